"""Errors as answers: which status each has, and the problem document (RFC 9457) that says why."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from receiver.contract import errors
from receiver.contract.errors import HookscribeError

STATUS: dict[type[HookscribeError], int] = {
    errors.HookscribeError: 500,
    errors.ConfigError: 500,
    errors.UsageError: 400,
    errors.NotFound: 404,
    errors.Gone: 410,
    errors.Unreadable: 422,
    errors.ProviderError: 502,
    errors.ProviderRefused: 502,
    errors.NoAccess: 502,
    errors.ProviderBusy: 503,
    errors.Unanswered: 502,
    errors.StoreError: 500,
    errors.StoreUnavailable: 503,
    errors.Conflict: 409,
    errors.SchemaError: 503,
    errors.Overloaded: 503,
}
RETRY_AFTER = "5"
"""Seconds after which a 503 is worth another try."""

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def problem(
    status: int, detail: str | None = None, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Return a problem document; `members` replace `type` and `title`, which are those of the status by default."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, **members}
    if detail is not None:
        document["detail"] = detail
    extra = {"retry-after": RETRY_AFTER} if status == 503 else {}
    content = msgspec.json.encode(document)
    return Response(content, status, {**extra, **(headers or {})}, media_type="application/problem+json")


def status_of(error: HookscribeError) -> int:
    """Return the status of an error of ours."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def problem_of(error: HookscribeError) -> Response:
    """Return the answer to an error of ours: its class is the type, the class's sentence the title."""
    known = next(cls for cls in type(error).__mro__ if cls in STATUS)
    name = _CAPITAL.sub("-", known.__name__).lower()
    title = (known.__doc__ or "").partition("\n")[0]
    return problem(STATUS[known], str(error), type=f"urn:hookscribe:problem:{name}", title=title)


async def explain(_: Request, error: Exception) -> Response:
    """Answer an error of ours, as an exception handler."""
    assert isinstance(error, HookscribeError)
    return problem_of(error)
