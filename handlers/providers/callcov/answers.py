"""What CallCov's answers say: errors in both shapes, waits, deadlines, analyses of both generations, pages of lists."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import msgspec

from receiver.contract.asking import Answer, refused
from receiver.contract.errors import ProviderRefused
from receiver.contract.model import Headers
from receiver.contract.proof import digest
from receiver.contract.reading import identifier
from receiver.contract.times import to_rfc3339

CALLBACK_HEADER = b"hookscribe-callback"
"""Kept with a listed result: the digest, in hexadecimal, of the token in the address that it is sent to."""

_WAIT = re.compile(r"\b(?:in|after)\s+([0-9]{1,6})\s*(s|sec|seconds?|m|min|minutes?)\b", re.IGNORECASE)
_WAYS_OUT = {
    401: "check api_key and api_key_header",
    403: "the key may not do this: make another at CallCov",
    413: "compress the recording, or split it",
}
_DONE = frozenset({"completed", "failed"})


def fail(answer: Answer, what: str) -> NoReturn:
    """Raise the error for an answer that is no success, with CallCov's own words and a way out."""
    if 300 <= answer.status < 400:
        raise ProviderRefused(f"{what}: CallCov redirects ({answer.status}), which is not followed; check api_url")
    words = [word for word in (said(answer), _WAYS_OUT.get(answer.status)) if word]
    raise refused(answer, what, "; ".join(words) or None)


def said(answer: Answer) -> str | None:
    """Return what an error body says, in either shape: `error` (S0, S9) or `detail` (S10)."""
    body = answer.said()
    error, detail = body.get("error"), body.get("detail")
    if isinstance(error, dict):
        return " ".join(str(error[key]) for key in ("code", "message") if error.get(key)) or None
    if isinstance(detail, list):
        return "; ".join(_complaint(one) for one in detail if isinstance(one, dict)) or None
    return next((one for one in (error, detail) if isinstance(one, str)), None)


def _complaint(one: Mapping[str, Any]) -> str:
    where = one.get("loc")
    place = ".".join(str(part) for part in where) if isinstance(where, list) else "?"
    return f"{place}: {one.get('msg')}"


def wait(answer: Answer) -> float | None:
    """Return the seconds to wait, which stand in the text of a 429 and nowhere else (S0)."""
    found = _WAIT.search(said(answer) or "")
    if found is None:
        return None
    return float(found[1]) * (60.0 if found[2].lower().startswith("m") else 1.0)


def job_id(analysis: Mapping[str, Any]) -> str | None:
    """Return an analysis's name, in either generation."""
    return identifier(analysis.get("id")) or identifier(analysis.get("analysis_id"))


def is_done(analysis: Mapping[str, Any]) -> bool:
    """Say whether an analysis has ended; words that nobody documents count as running."""
    return str(analysis.get("status")).lower() in _DONE


def deadline_in(answer: Answer, made: Mapping[str, Any]) -> float | None:
    """Return the seconds until `estimated_completion`, from the answer's own time: its Date, else `created_at`."""
    until = moment(made.get("estimated_completion"))
    since = _date(answer.headers.get("date")) or moment(made.get("created_at"))
    return max(0.0, until - since) if until is not None and since is not None else None


def moment(value: Any) -> float | None:
    """Read a time of either generation as Unix seconds: a number, or ISO 8601."""
    written = to_rfc3339(value, "UTC")
    return datetime.fromisoformat(written).timestamp() if written else None


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def address_of(made: Mapping[str, Any]) -> str | None:
    """Return the `webhook_url` of an answer: at the top (S0), or in `metadata` (S4)."""
    inner = made.get("metadata")
    found = made.get("webhook_url") or (inner.get("webhook_url") if isinstance(inner, dict) else None)
    return found if isinstance(found, str) else None


def mark(analysis: Mapping[str, Any]) -> Headers:
    """Return a header that says by which callback token an analysis was submitted, as the token's digest."""
    token = (address_of(analysis) or "").partition("?")[0].rstrip("/").rpartition("/")[2]
    return ((CALLBACK_HEADER, digest(token.encode("utf-8", "surrogatepass")).hex().encode()),) if token else ()


def page(answer: Answer) -> list[dict[str, Any]]:
    """Return the analyses of a page: under `data` (S5), the only list in the object, or the list itself (inferred)."""
    found = answer.json()
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        found = found["data"] if isinstance(found.get("data"), list) else lists[0] if len(lists) == 1 else None
    if not isinstance(found, list):
        raise ProviderRefused("CallCov's answer holds no list of analyses")
    return [one for one in found if isinstance(one, dict)]


def with_speakers(came: bytes, reread: bytes) -> bytes:
    """Return a read analysis, with the speakers of its callback where it names none and the same was said at the same times.

    Whether reading gives the speakers that the callback had is documented nowhere.
    """
    try:
        ours, theirs = (msgspec.json.decode(one) for one in (came, reread))
        spoken = ours["transcript"]["segments"]
        given = theirs["transcript"]["segments"]
        bare = [{name: value for name, value in one.items() if name != "speaker"} for one in spoken]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return reread
    if bare != given or bare == spoken:
        return reread
    return msgspec.json.encode({**theirs, "transcript": {**theirs["transcript"], "segments": spoken}})
