"""Asking CallCov: recordings submitted as files or addresses, analyses read and listed, in both generations of its API."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from handlers.providers.callcov import answers, limits
from handlers.providers.callcov.settings import CallCovSettings
from receiver.contract.api import Api
from receiver.contract.asking import (
    Ask,
    Fetched,
    Form,
    FormFile,
    Limit,
    Missing,
    Pending,
    Polled,
    Steps,
    Submission,
    Submitted,
    Swept,
    Token,
    ask,
    at_once,
)
from receiver.contract.errors import ProviderRefused
from receiver.contract.settings import Secret

_JSON = (("Content-Type", "application/json"),)
_PAGE = 100
"""Analyses of a page: the documented default (S5)."""
_UPLOAD = 120.0
"""Seconds without progress while a recording is taken."""
_MINUTE = 61.0
"""Seconds: one more than CallCov counts, for requests do not arrive when they are sent."""


class _Paths(NamedTuple):
    create: str
    one: str
    all: str


_PATHS = {
    "analysis": _Paths("/api/v1/analysis/", "/api/v1/analysis/", "/api/v1/analysis/"),
    "calls": _Paths("/api/v1/calls/analyze", "/api/v1/calls/analyze/", "/api/v1/calls"),
}
"""Creating and listing analyses has a slash at the end (S2, S3, S5), which S1 leaves out; the list of calls is S12's."""


class CallCovApi(Api):
    """CallCov's REST API as one key."""

    name = "callcov"
    operations = ("call-analysis",)
    rereads = True

    def __init__(self, settings: CallCovSettings, key: Secret) -> None:
        self._settings = settings
        self._key = key
        self._base = settings.api_url.rstrip("/")
        self._paths = _PATHS[settings.generation]
        submissions = settings.submissions_per_minute
        self.limits = {  # type: ignore[misc]  # an instance may have its own
            "submissions": Limit(count=submissions, seconds=_MINUTE, parallel=settings.parallel),
            "reads": Limit(count=settings.requests_per_minute - submissions, seconds=_MINUTE),
        }

    def authorize(self) -> Steps[Token]:
        """Give the key, which needs no exchange: in one of the two documented headers, never in both."""
        if self._settings.api_key_header == "Authorization":
            return at_once(Token(headers=(("Authorization", f"Bearer {self._key.value}"),)))
        return at_once(Token(headers=(("X-API-Key", self._key.value),)))

    def wait_after(self, answer: Any) -> float | None:
        """Read the wait out of a 429's text (S0)."""
        return answers.wait(answer)

    def fetches(self, operation: str) -> bool:  # noqa: ARG002 -- there is one
        """Say whether CallCov is given an address instead of the file."""
        return self._settings.upload == "url"

    def not_before(self, now: float) -> float:
        """Return when the off-peak hours are open, where the settings have such."""
        window = self._settings.window()
        return limits.opens(now, window, self._settings.timezone) if window else now

    def check(self, submission: Submission) -> None:
        """Raise UsageError for what CallCov is known to refuse."""
        limits.check(submission, self._settings.generation, by_url=self._by_url(submission))

    def submit(self, submission: Submission, state: Mapping[str, Any]) -> Steps[Submitted]:  # noqa: ARG002 -- one step
        """Hand a recording over, once: no idempotency key is documented, and a second analysis would be billed."""
        by_url = self._by_url(submission)
        members = self._members(submission, by_url=by_url)
        answer = yield from ask(
            Ask(
                method="POST",
                url=self._base + self._paths.create,
                headers=_JSON if by_url else (),
                body=msgspec.json.encode(members) if by_url else _form(submission, members),
                bucket="submissions",
                creates=True,
                timeout=_UPLOAD,
            )
        )
        if not answer.ok:
            answers.fail(answer, f"{submission.recording.name} was not taken{self._hint(answer.status, by_url=by_url)}")
        made = answer.members()
        job_id = answers.job_id(made)
        if job_id is None:
            raise ProviderRefused(f"{submission.recording.name}: CallCov's answer holds neither id nor analysis_id")
        return Submitted(
            job_id=job_id,
            deadline_in=answers.deadline_in(answer, made),
            result=Fetched(body=answer.body, job_id=job_id) if answers.is_done(made) else None,
            warnings=(*limits.advice(submission), *_other_address(submission, made)),
        )

    def poll(self, job_id: str, operation: str) -> Steps[Polled]:  # noqa: ARG002 -- there is one
        """Read an analysis, which uses no minutes (S4)."""
        answer = yield from ask(self._read(self._paths.one + quote(job_id, safe="")))
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            answers.fail(answer, f"analysis {job_id} was not given")
        found = answer.members()
        if answers.is_done(found):
            return Fetched(body=answer.body, job_id=job_id)
        return Pending(status=str(found.get("status")))

    def sweep(self, since: float) -> Swept:
        """List all analyses, page by page, and yield those that were made since a moment and have ended.

        Neither the order nor the names of what tells of further pages are documented: a page that is not full, or that
        brings nothing new, is the last. What the list shows without its results is read by itself.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            query = (("limit", str(_PAGE)), ("offset", str(offset)))
            answer = yield from ask(self._read(self._paths.all, query))
            if not answer.ok:
                answers.fail(answer, "the analyses cannot be listed")
            found = answers.page(answer)
            fresh = {name: one for one in found if (name := answers.job_id(one)) is not None and name not in seen}
            for name, one in fresh.items():
                made = answers.moment(one.get("created", one.get("created_at")))
                if (made is None or made >= since) and answers.is_done(one):
                    yield from self._whole(name, one)
            seen |= fresh.keys()
            offset += len(found)
            if len(found) < _PAGE or not fresh:
                return

    def _whole(self, job_id: str, shown: Mapping[str, Any]) -> Swept:
        """Yield a listed analysis; the token of its callback tells whose it is, also where no answer told its name."""
        if shown.get("transcript") and (shown.get("results") or shown.get("analysis")):
            yield Fetched(body=msgspec.json.encode(shown), headers=answers.mark(shown), job_id=job_id)
            return
        polled = yield from self.poll(job_id, self.operations[0])
        if isinstance(polled, Fetched):
            whole = msgspec.json.decode(polled.body)
            yield msgspec.structs.replace(polled, headers=answers.mark(whole))

    def _read(self, path: str, query: tuple[tuple[str, str], ...] = ()) -> Ask:
        return Ask(method="GET", url=self._base + path, query=query, bucket="reads")

    def _by_url(self, submission: Submission) -> bool:
        """Say whether an address is sent: a recording without a digest is one that we never had."""
        return submission.recording.sha256 is None or self.fetches(submission.operation)

    def _members(self, submission: Submission, *, by_url: bool) -> dict[str, str]:
        """Return what is sent beside the recording; `analysis` has no direction, no time and no metadata (S3)."""
        sent: dict[str, str | None] = {
            "audio_url": submission.recording.url if by_url else None,
            "agent_id": limits.party(submission, "agent"),
            "contact_id": limits.party(submission, "contact"),
            "webhook_url": submission.callback_url,
        }
        if self._settings.generation == "calls":
            sent["call_direction"] = limits.direction(submission)
            sent["call_timestamp"] = limits.began(submission)
            if submission.metadata:
                sent["metadata"] = msgspec.json.encode(submission.metadata).decode()
        return {name: value for name, value in sent.items() if value is not None}

    def _hint(self, status: int, *, by_url: bool) -> str:
        if by_url and self._settings.generation == "analysis" and status in {400, 415, 422}:
            return ' (generation "analysis" may take files only: set generation = "calls", or submit the file itself)'
        return ""


def _form(submission: Submission, members: Mapping[str, str]) -> Form:
    recording = submission.recording
    file = FormFile(field="audio_file", name=recording.name, content_type=recording.content_type)
    return Form(fields=tuple(members.items()), file=file)


def _other_address(submission: Submission, made: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a warning where the result will be sent elsewhere, or nowhere; addresses hold tokens and are not shown."""
    wanted, found = submission.callback_url, answers.address_of(made)
    if wanted is None or found == wanted:
        return ()
    said = "names another webhook_url" if found else "names no webhook_url"
    return (f"{submission.recording.name}: CallCov's answer {said} than was sent; the result is asked for instead",)
