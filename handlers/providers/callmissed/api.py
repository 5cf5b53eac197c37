"""Asking CallMissed by an API key: uploads, questions, sessions (S0, S2, S3), subscriptions and their delivery log (S1)."""

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

import msgspec

from handlers.providers.callmissed import sessions, uploads
from receiver.contract.api import Api
from receiver.contract.asking import (
    Answer,
    Ask,
    Fetched,
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
from receiver.contract.model import Outcome
from receiver.contract.settings import Secret
from receiver.contract.times import to_seconds

_WEBHOOKS = "/api/v1/webhooks"
_JSON = (("Content-Type", "application/json"),)
_RESULTS = ("voice_analysis.completed",)
"""What is subscribed to unless the settings name events: creating demands one at least (S1)."""


class CallMissedApi(Api):
    """CallMissed's REST API as one key."""

    name = "callmissed"
    operations = ("call-analysis",)
    calls_back = False
    subscribes = True
    limits: ClassVar[Mapping[str, Limit]] = {"key": Limit(count=60, seconds=61)}
    """A minute of the free plan, the smallest (docs/rate-limits), and a second, for requests arrive later than they are sent."""

    def __init__(self, base: str, key: Secret, events: tuple[str, ...]) -> None:
        self._base = base.rstrip("/")
        self._key = key
        self._events = events

    def authorize(self) -> Steps[Token]:
        """Give the key, which needs no exchange."""
        return at_once(Token(headers=(("Authorization", f"Bearer {self._key.value}"),)))

    def check(self, submission: Submission) -> None:
        """Raise UsageError for what CallMissed is known to refuse."""
        uploads.check(submission)

    def submit(self, submission: Submission, state: Mapping[str, Any]) -> Steps[Submitted]:  # noqa: ARG002 -- one step
        """Upload a recording; the answer is the result. It is billed, so it is never sent twice by itself."""
        answer = yield from ask(
            Ask(
                method="POST",
                url=self._base + uploads.ANALYZE,
                body=uploads.form(submission),
                bucket="key",
                creates=True,
                timeout=uploads.PATIENCE,
            )
        )
        if not answer.ok:
            fail(answer, f"{submission.recording.name} was not analysed")
        name = uploads.job_id(submission)
        return Submitted(job_id=name, result=uploads.result(answer.body, name))

    def ask(self, transcript: str, question: str) -> Steps[str]:
        """Ask about a transcript; CallMissed keeps nothing of it, the text goes along each time."""
        body = uploads.question(transcript, question)
        answer = yield from self._ask("POST", uploads.QUESTION, body, timeout=uploads.PATIENCE)
        if not answer.ok:
            fail(answer, "the question was not answered")
        said_ = answer.members().get("answer")
        if not isinstance(said_, str):
            raise ProviderRefused("CallMissed's answer to the question holds no answer")
        return said_

    def follow(self, outcome: Outcome) -> Steps[tuple[Fetched, ...]]:
        """After a completed analysis fetch the session, which has the conclusions whole, and its turns."""
        session = sessions.announced(outcome)
        return at_once(()) if session is None else self._session(session)

    def _session(self, session: str) -> Steps[tuple[Fetched, ...]]:
        whole, turns = sessions.paths(session)
        told = yield from self._ask("GET", whole)
        if not told.ok:
            fail(told, f"session {session} was not given")
        sessions.with_analysis(told)
        spoken = yield from self._ask("GET", turns, query=(("format", "json"),))
        if not spoken.ok and spoken.status != 404:
            fail(spoken, f"the transcript of session {session} was not given")
        found = (sessions.fetched(told, whole), sessions.fetched(spoken, turns))
        return found if spoken.ok else found[:1]

    def poll(self, job_id: str, operation: str) -> Steps[Polled]:
        """Ask for a session's analysis or turns; uploads cannot be asked about, their answer was the result."""
        if operation == "call-analysis":
            return (yield from at_once(Missing()))
        whole, turns = sessions.paths(job_id)
        path = turns if operation == "conversation" else whole
        answer = yield from self._ask("GET", path)
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            fail(answer, f"session {job_id} was not given")
        if path == whole and not isinstance(answer.members().get("analysis"), dict):
            return Pending()
        return msgspec.structs.replace(sessions.fetched(answer, path), job_id=job_id)

    def sweep(self, since: float) -> Swept:
        """Read the delivery log of every subscription, and the body of each delivery since then.

        A delivery that has come has the same message key, and makes no second receipt.
        """
        for subscription in (yield from self.subscriptions()):
            log = f"{_WEBHOOKS}/{subscription.id}/deliveries"
            answer = yield from self._ask("GET", log, query=(("limit", "200"),))
            if not answer.ok:
                fail(answer, f"the deliveries of {subscription.id} cannot be listed")
            for row in _rows(answer):
                made = to_seconds(row.get("created_at"))
                if made is not None and made < since:
                    continue
                one = yield from self._ask("GET", f"{log}/{row.get('id')}")
                if one.status == 404:
                    continue
                if not one.ok:
                    fail(one, f"delivery {row.get('id')} was not given")
                yield Fetched(body=one.body)

    def subscriptions(self) -> Steps[tuple[Subscription, ...]]:
        """List the tenant's subscriptions; their secrets are masked."""
        answer = yield from self._ask("GET", _WEBHOOKS, query=(("limit", "200"),))
        if not answer.ok:
            fail(answer, "the subscriptions cannot be listed")
        return tuple(_subscription(one) for one in _rows(answer))

    def subscribe(self, address: str, events: tuple[str, ...]) -> Steps[Subscription]:
        """Make a subscription; its secret stands in this answer and nowhere else."""
        body = {"url": address, "events": list(events or self._events or _RESULTS)}
        answer = yield from self._ask("POST", _WEBHOOKS, body, creates=True)
        if not answer.ok:
            fail(answer, "the subscription was not made")
        made = answer.members()
        if not isinstance(made.get("secret"), str) or not made["secret"]:
            raise ProviderRefused(
                "CallMissed made the subscription without showing its secret; delete it and try again"
            )
        return msgspec.structs.replace(_subscription(made), secret=Secret(made["secret"]))

    def resubscribe(self, subscription: Subscription, address: str) -> Steps[Subscription]:
        """Switch it on and let it send to the address; id and secret stay."""
        path = f"{_WEBHOOKS}/{subscription.id}"
        answer = yield from self._ask("PUT", path, {"url": address, "is_active": True})
        if not answer.ok:
            fail(answer, "the subscription was not changed")
        return _subscription(answer.members())

    def unsubscribe(self, subscription: Subscription) -> Steps[None]:
        """End a subscription; one that is gone is fine."""
        answer = yield from self._ask("DELETE", f"{_WEBHOOKS}/{subscription.id}")
        if not answer.ok and answer.status != 404:
            fail(answer, "the old subscription was not ended")

    def _ask(
        self,
        method: Any,
        path: str,
        body: Any = None,
        *,
        query: tuple[tuple[str, str], ...] = (),
        **more: Any,
    ) -> Steps[Answer]:
        sent = b"" if body is None else msgspec.json.encode(body)
        headers = _JSON if sent else ()
        url = self._base + path
        return ask(Ask(method=method, url=url, query=query, headers=headers, body=sent, bucket="key", **more))


def _rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the rows of a list: an array, or (intermediate versions of the pages show no more than that) `data`."""
    found = answer.json()
    records = found if isinstance(found, list) else found.get("data") if isinstance(found, dict) else None
    return [one for one in records if isinstance(one, dict)] if isinstance(records, list) else []


def fail(answer: Answer, what: str) -> NoReturn:
    """Raise the error for an answer that is no success, with CallMissed's own words, in any of its three forms (S13)."""
    raise refused(answer, what, said(answer))


def said(answer: Answer) -> str | None:
    """Return what an error body says."""
    body = answer.said()
    error = body.get("error")
    if isinstance(error, dict):
        return " ".join(str(error[key]) for key in ("code", "message") if error.get(key)) or None
    detail = body.get("detail")
    if isinstance(detail, list):
        return "; ".join(_complaint(one) for one in detail if isinstance(one, dict)) or None
    return detail if isinstance(detail, str) else None


def _complaint(one: Mapping[str, Any]) -> str:
    where = one.get("loc")
    place = ".".join(str(part) for part in where) if isinstance(where, list) else "?"
    return f"{place}: {one.get('msg')}"


def _subscription(record: Mapping[str, Any]) -> Subscription:
    events = record.get("events")
    alive = record.get("is_active") is not False
    return Subscription(
        id=str(record.get("id")),
        address=str(record.get("url")),
        events=tuple(str(one) for one in events) if isinstance(events, list) else (),
        alive=alive,
        reason=None if alive else "is_active is false",
    )
