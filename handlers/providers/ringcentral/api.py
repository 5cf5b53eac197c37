"""Asking RingCentral: one shared token by JWT grant, AI jobs, recordings, and subscriptions.

Source: https://developers.ringcentral.com/guide/authentication/jwt-flow and …/guide/notifications/webhooks.
"""

import base64
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote, urlencode

import msgspec

from handlers.providers.ringcentral import jobs, recordings, texts
from handlers.providers.ringcentral.library import Library
from handlers.providers.ringcentral.settings import RingCentralSettings
from receiver.contract.api import Api
from receiver.contract.asking import (
    Answer,
    Ask,
    Fetched,
    Found,
    Limit,
    Missing,
    Pending,
    Polled,
    Steps,
    Submission,
    Submitted,
    Subscription,
    Swept,
    Token,
    ask,
    at_once,
    refused,
)
from receiver.contract.errors import ProviderRefused
from receiver.contract.settings import Secret

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SUBSCRIPTIONS = "/restapi/v1.0/subscription"
_LIVE = "Active"
_SCOPES = ("AI", "ReadCallLog", "ReadCallRecording", "Video")
"""What AI jobs of calls and of video meetings need (…/guide/ai/media-files)."""
_MINUTE = 61.0
"""Seconds: one more than RingCentral counts, for requests do not arrive when they are sent, and one too many costs 60 s."""
_JSON = (("Content-Type", "application/json"),)


class RingCentralApi(Api):
    """RingCentral's REST API as one user of one app."""

    name = "ringcentral"
    operations = tuple(jobs.PATHS)
    subscribes = True
    rereads = True
    limits: ClassVar[Mapping[str, Limit]] = {
        "auth": Limit(count=5, seconds=_MINUTE),
        "heavy": Limit(count=10, seconds=_MINUTE),
        "medium": Limit(count=40, seconds=_MINUTE),
        "light": Limit(count=50, seconds=_MINUTE),
    }
    """Defaults of each user, app and group (…/guide/basics/rate-limits); a window that slides."""

    def __init__(self, settings: RingCentralSettings, client: tuple[str, Secret, Secret]) -> None:
        """`client` is the app's id and secret, and the user's JWT."""
        self._settings = settings
        self._id, self._secret, self._jwt = client
        self._base = settings.api_url.rstrip("/")
        self._library = Library(settings, fail)

    def authorize(self) -> Steps[Token]:
        """Exchange the JWT for an access token; `expires_in` is believed, whatever the pages say."""
        token, found = yield from self._grant()
        lasts = found.get("expires_in")
        expires = float(lasts) if isinstance(lasts, int | float) else 600.0
        return Token(headers=(("Authorization", f"Bearer {token}"),), expires_in=expires)

    def _grant(self, **more: str) -> Steps[tuple[str, dict[str, Any]]]:
        """Return an access token and the answer that it came in."""
        basic = base64.b64encode(f"{self._id}:{self._secret.value}".encode()).decode()
        answer = yield from ask(
            Ask(
                method="POST",
                url=f"{self._base}/restapi/oauth/token",
                headers=(
                    ("Authorization", f"Basic {basic}"),
                    ("Content-Type", "application/x-www-form-urlencoded"),
                ),
                body=urlencode({"grant_type": _GRANT, "assertion": self._jwt.value, **more}).encode(),
                authorized=False,
                bucket="auth",
            )
        )
        if not answer.ok:
            fail(answer, "RingCentral gives no token: check client_id, client_secret and jwt")
        found = answer.members()
        token = found.get("access_token")
        if not isinstance(token, str):
            raise ProviderRefused("RingCentral's answer holds no access_token")
        return token, found

    def missing_scopes(self) -> Steps[tuple[str, ...]]:
        """Return which of the scopes that recordings and their jobs need the token's answer does not name."""
        _, found = yield from self._grant()
        scope = found.get("scope")
        return tuple(one for one in _SCOPES if one not in scope.split()) if isinstance(scope, str) else ()

    def wait_after(self, answer: Answer) -> float | None:
        """Return the length of the window that is full, where a 429 names it and no `Retry-After` (…/rate-limits)."""
        seconds = answer.headers.get("x-rate-limit-window", "")
        return float(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 6 else None

    def recording(self, recording_id: str) -> Steps[Ask]:
        """Return the request for a recording's bytes; of a meeting's recording the id is its address."""
        return at_once(self._library.content(recording_id))

    def found(self, recording_id: str) -> Steps[Found]:
        """Describe a call's recording."""
        return self._library.found(recording_id)

    def entry(self, body: bytes) -> Steps[tuple[Found, ...]]:
        """Read a record of the call log, several, or a video meeting's recording."""
        return self._library.entry(body)

    def recorded_since(self, since: float) -> Steps[tuple[Found, ...]]:
        """List the recordings of calls since a moment."""
        return self._library.recorded_since(since)

    def sweep(self, since: float) -> Swept:
        """Read the ACE insights of recorded calls; AI jobs are listed nowhere."""
        return self._library.insights(since)

    def fetches(self, operation: str) -> bool:
        """Say whether RingCentral fetches the recording: it does, and is sent texts."""
        return operation not in texts.MEMBERS

    def takes_text(self, operation: str) -> bool:
        """Say whether an operation is sent a text."""
        return operation in texts.MEMBERS

    def text(self, operation: str, body: bytes) -> dict[str, Any]:
        """Read what was said out of a file: JSON, one of our own transcripts, or lines."""
        return texts.options(operation, body)

    def check(self, submission: Submission) -> None:
        """Raise UsageError for what the API is known to refuse."""
        jobs.check(submission)

    def submit(self, submission: Submission, state: Mapping[str, Any]) -> Steps[Submitted]:  # noqa: ARG002 -- one step
        """Start a job; RingCentral calls the `webhook` when it is done, and fetches the recording by a plain GET."""
        submission = yield from self._within_reach(submission)
        query = (("webhook", submission.callback_url),) if submission.callback_url else ()
        answer = yield from ask(
            Ask(
                method="POST",
                url=self._base + jobs.PATHS[submission.operation],
                query=query,
                headers=_JSON,
                body=jobs.body(submission),
                bucket="heavy",
                creates=True,
            )
        )
        if not answer.ok:
            fail(answer, f"{submission.recording.name} was not taken")
        return Submitted(job_id=jobs.job_id(answer), deadline_in=jobs.LATEST)

    def _within_reach(self, submission: Submission) -> Steps[Submission]:
        """Put a token of its own into the address of a RingCentral recording, where the settings say so.

        It lives as long as tokens can, since the job may wait in a queue; the address is kept nowhere.
        """
        recording = submission.recording
        if self._settings.recording_access != "token" or recording.id is None or not self.fetches(submission.operation):
            return submission
        token, _ = yield from self._grant(access_token_ttl=str(recordings.TOKEN_SECONDS))
        url = recordings.with_token(recordings.content_url(self._library.media, recording.id), token)
        return msgspec.structs.replace(submission, recording=msgspec.structs.replace(recording, url=url))

    def poll(self, job_id: str, operation: str) -> Steps[Polled]:  # noqa: ARG002 -- the answer names its own
        """Ask for a job's status; finished it is what the webhook got. Jobs are kept a week."""
        answer = yield from ask(
            Ask(method="GET", url=f"{self._base}{jobs.STATUS}{quote(job_id, safe='')}", bucket="heavy")
        )
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            fail(answer, f"the status of {job_id} was not given")
        document = answer.members()
        if jobs.is_running(document):
            return Pending(status=str(document.get("status")))
        return Fetched(body=answer.body, job_id=job_id)

    def subscriptions(self) -> Steps[tuple[Subscription, ...]]:
        """List the user's webhook subscriptions of this app: 30 at most."""
        answer = yield from self._ask("GET", _SUBSCRIPTIONS)
        if not answer.ok:
            fail(answer, "the subscriptions cannot be listed")
        records = answer.members().get("records")
        found = (_subscription(one) for one in records or () if isinstance(one, dict))
        return tuple(one for one in found if one is not None)

    def subscribe(self, address: str, events: tuple[str, ...]) -> Steps[Subscription]:
        """Make a subscription; RingCentral sends its handshake to the address before it answers."""
        filters = events or self._settings.subscribe
        if not filters:
            raise ProviderRefused(
                "there is nothing to subscribe to: set subscribe, such as "
                '["/ai/ringsense/v1/public/accounts/~/domains/pbx/insights"], or give --event'
            )
        proof = self._settings.verification_token[:1]
        mode = {"transportType": "WebHook", "address": address}
        body = {
            "eventFilters": list(filters),
            "deliveryMode": mode | ({"verificationToken": proof[0].value} if proof else {}),
            "expiresIn": self._settings.subscription_seconds,
        }
        answer = yield from self._ask("POST", _SUBSCRIPTIONS, body)
        if not answer.ok:
            fail(answer, "the subscription was not made")
        return self._read(answer)

    def resubscribe(self, subscription: Subscription, address: str) -> Steps[Subscription]:
        """Renew a live one that stays where it is; else make another, then end the first.

        A blacklisted one is not brought to life: it is made anew (…/webhooks/troubleshooting).
        """
        if subscription.alive and subscription.address == address:
            answer = yield from self._ask("POST", f"{_SUBSCRIPTIONS}/{subscription.id}/renew")
            if not answer.ok:
                fail(answer, "the subscription was not renewed")
            return self._read(answer)
        made = yield from self.subscribe(address, subscription.events)
        yield from self.unsubscribe(subscription)
        return made

    def unsubscribe(self, subscription: Subscription) -> Steps[None]:
        """End a subscription; one that is gone is fine."""
        answer = yield from self._ask("DELETE", f"{_SUBSCRIPTIONS}/{subscription.id}")
        if not answer.ok and answer.status != 404:
            fail(answer, "the old subscription was not ended")

    def _ask(self, method: Any, path: str, body: Any = None) -> Steps[Answer]:
        sent = b"" if body is None else msgspec.json.encode(body)
        headers = _JSON if sent else ()
        return ask(Ask(method=method, url=self._base + path, headers=headers, body=sent, bucket="medium"))

    def _read(self, answer: Answer) -> Subscription:
        found = _subscription(answer.members())
        if found is None:
            raise ProviderRefused("RingCentral's answer describes no webhook subscription")
        return found


def fail(answer: Answer, what: str) -> NoReturn:
    """Raise the error for an answer that is no success, with RingCentral's own code and words.

    Both forms of error bodies are read, the platform's and the AI API's, and none where there is none. A missing scope
    is named (…/guide/basics/errors).
    """
    words = said(answer)
    raise refused(answer, what, recordings.without_tokens(words) if words else None)


def said(answer: Answer) -> str | None:
    """Return what an error body says: code, words and the permission that is missing."""
    body = answer.said()
    errors = body.get("errors")
    inner = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    parts = [
        str(part.get(key))
        for part, key in (
            (body, "error"),
            (inner, "errorCode"),
            (inner, "message"),
            (inner, "permissionName"),
            (inner, "parameterName"),
        )
        if part.get(key)
    ]
    if not inner:
        parts += [str(body[key]) for key in ("errorCode", "message", "error_description") if body.get(key)]
    return " ".join(parts) or None


def _subscription(record: Mapping[str, Any]) -> Subscription | None:
    mode = record.get("deliveryMode")
    if not isinstance(mode, dict) or mode.get("transportType") != "WebHook" or not isinstance(record.get("id"), str):
        return None
    black = record.get("blacklistedData")
    status = str(record.get("status"))
    reason = black.get("reason") if isinstance(black, dict) else None
    filters = record.get("eventFilters")
    lasts = record.get("expiresIn")
    return Subscription(
        id=record["id"],
        address=str(mode.get("address")),
        events=tuple(str(one) for one in filters) if isinstance(filters, list) else (),
        alive=status == _LIVE,
        reason=None if status == _LIVE else ": ".join(str(word) for word in (status, reason) if word),
        expires_in=float(lasts) if isinstance(lasts, int | float) else None,
    )
