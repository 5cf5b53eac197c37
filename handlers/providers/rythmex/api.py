"""Asking Rythmex: an upload in chunks, a start, polls, and a list.

Source: rythmex.com/documentation, call-analytics (the upload, whole; of start, retrieve and list only the ids of their
operations). What no page shows is a setting.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import msgspec

from handlers.providers.rythmex import shapes
from handlers.providers.rythmex.settings import RythmexSettings
from receiver.contract.api import Api
from receiver.contract.asking import (
    Answer,
    Ask,
    Fetched,
    Form,
    FormFile,
    Missing,
    Note,
    Part,
    Pending,
    Polled,
    Steps,
    Submission,
    Submitted,
    Swept,
    Token,
    ask,
    at_once,
    refused,
)
from receiver.contract.errors import ProviderRefused, UsageError
from receiver.contract.settings import Secret
from receiver.contract.times import to_seconds

_CREATE = "transcription/job/create-multipart-upload/"
_CHUNK = "transcription/job/upload-file-chunk/"
_COMPLETE = "transcription/job/complete-multipart-upload/"
_JSON = (("Content-Type", "application/json"),)
_ACCESS_SECONDS = 3600.0
"""How long an access token lives (introduction page)."""
_FORMATS = frozenset({".mp3", ".mp4", ".wav", ".flac", ".ogg", ".webm", ".m4a"})
"""What Amazon Transcribe Call Analytics reads (API_CallAnalyticsJob), m4a being mp4."""
_GONE = frozenset({400, 404, 409, 410})
"""Answers to a chunk that say its upload is not, or not so, known any more."""
_MOST_PAGES = 1000
_CREATED = ("created_at", "created", "CreationTime", "date_created")


class RythmexApi(Api):
    """Rythmex's call analytics as one account."""

    name = "rythmex"
    operations = ("call-analysis",)
    calls_back = False
    rereads = True

    def __init__(self, settings: RythmexSettings) -> None:
        self._settings = settings
        self._base = settings.api_url.rstrip("/") + "/"

    def authorize(self) -> Steps[Token]:
        """Give the API token, or exchange name and password, or the refresh token, for an access token."""
        settings = self._settings
        if settings.api_token is not None:
            return at_once(self._token(settings.api_token, None))
        if settings.username is not None and settings.password is not None and settings.login_url:
            name, password = settings.login_members
            return self._exchange(settings.login_url, {name: settings.username, password: settings.password.value})
        if settings.refresh_token is not None and settings.refresh_url:
            return self._exchange(settings.refresh_url, {"refresh": settings.refresh_token.value})
        raise UsageError("rythmex: api_token, or username with password and login_url, is needed to ask it")

    def _exchange(self, url: str, body: dict[str, str]) -> Steps[Token]:
        sent = msgspec.json.encode(body)
        answer = yield from ask(Ask(method="POST", url=url, headers=_JSON, body=sent, authorized=False))
        if not answer.ok:
            fail(answer, "Rythmex gives no access token: check the credentials and the address of the login")
        found = answer.members()
        token = next((found[key] for key in ("access", "access_token", "token") if isinstance(found.get(key), str)), "")
        if not token:
            raise ProviderRefused("Rythmex's answer to the login holds no access token")
        return self._token(Secret(token), _ACCESS_SECONDS)

    def _token(self, secret: Secret, lasts: float | None) -> Token:
        value = f"{self._settings.word()} {secret.value}".strip()
        return Token(headers=((self._settings.auth_header, value),), expires_in=lasts)

    def check(self, submission: Submission) -> None:
        """Raise UsageError for a recording that is not a file of ours, is empty, or of a format that Amazon refuses."""
        recording = submission.recording
        if recording.size is None:
            raise UsageError(f"{recording.name}: Rythmex takes files only, not addresses; download it first")
        if recording.size == 0:
            raise UsageError(f"{recording.name}: the file is empty")
        if PurePath(recording.name).suffix.lower() not in _FORMATS:
            known = ", ".join(sorted(_FORMATS))
            raise UsageError(f"{recording.name}: Call Analytics reads {known}; convert it or rename it")
        if submission.language and not self._settings.language_member:
            raise UsageError(
                f"{recording.name}: no page says how Rythmex is told a language: set language_member, or leave it out"
            )

    def submit(self, submission: Submission, state: Mapping[str, Any]) -> Steps[Submitted]:
        """Upload the recording in chunks, each awaited, then start the analysis.

        Goes on after the chunk that the last note names. An upload that Rythmex does not know any more, or that does not
        take a chunk twice, is begun once more under another name.
        """
        name = yield from self._upload(submission, state)
        if name is None:
            name = yield from self._upload(submission, {"round": state.get("round", 0) + 1})
        assert name is not None, "a second upload ends in an error instead"
        body: dict[str, Any] = {self._settings.file_member: name, **self._settings.start_members, **submission.options}
        if submission.language and self._settings.language_member:
            body[self._settings.language_member] = submission.language
        answer = yield from self._post(self._settings.start_path, body, creates=True)
        if not answer.ok:
            fail(answer, f"{submission.recording.name} was uploaded, but its analysis was not started")
        job_id = shapes.value_of(answer.members(), self._settings.id_members)
        if job_id is None:
            raise ProviderRefused(
                f"{submission.recording.name}: the answer to the start holds none of {', '.join(self._settings.id_members)}; "
                "id_members says where the id stands"
            )
        return Submitted(job_id=job_id)

    def _upload(self, submission: Submission, state: Mapping[str, Any]) -> Steps[str | None]:
        """Send what is not sent yet, and return the name that it has at Rythmex; None where it must be begun anew."""
        done = {"round": state.get("round", 0), "next": state.get("next")}
        name = unique_name(submission, done["round"])
        size, step = submission.recording.size or 0, self._settings.chunk_bytes
        if done["next"] is None:
            answer = yield from self._post(_CREATE, {"file_name": name})
            if not answer.ok:
                fail(answer, f"the upload of {submission.recording.name} was not begun")
            done["next"] = 0
            yield Note(state=dict(done))
        for start in range(done["next"] * step, size, step):
            answer = yield from ask(self._chunk(name, start))
            if answer.status in _GONE and not done["round"]:
                return None
            if not answer.ok:
                fail(answer, f"chunk {start // step} of {submission.recording.name} was not taken")
            done["next"] = start // step + 1
            yield Note(state=dict(done))
        if not state.get("complete"):
            answer = yield from self._post(_COMPLETE, {"file_name": name})
            if answer.status in _GONE and not done["round"]:
                return None
            if not answer.ok:
                fail(answer, f"the upload of {submission.recording.name} was not completed")
            yield Note(state={**done, "complete": True})
        return name

    def _chunk(self, name: str, start: int) -> Ask:
        step = self._settings.chunk_bytes
        part = Part(start=start, length=step)
        file = FormFile(field="file_chunk", name=name, content_type="application/octet-stream", part=part)
        fields = (("file_name", name), ("chunk_number", str(start // step)))
        return Ask(method="POST", url=self._base + _CHUNK, body=Form(fields=fields, file=file), timeout=120.0)

    def poll(self, job_id: str, operation: str) -> Steps[Polled]:  # noqa: ARG002 -- there is one
        """Ask for an analysis; where its result is behind an address, read that without our credentials."""
        path = self._settings.retrieve_path.replace("{id}", quote(job_id, safe=""))
        answer = yield from ask(Ask(method="GET", url=self._base + path))
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            fail(answer, f"analysis {job_id} was not given")
        document = answer.members()
        state, word = shapes.state_of(document, self._settings)
        if state == "pending":
            return Pending(status=word)
        if state == "failed" or shapes.result_in(document):
            return _fetched(answer.body, job_id)
        address = shapes.address_in(document, self._settings)
        if address is None:
            raise ProviderRefused(
                f"analysis {job_id} is {word}, but the answer holds neither a Transcript nor one of "
                f"{', '.join(self._settings.url_members)}; url_members says where its address stands"
            )
        file = yield from ask(Ask(method="GET", url=address, authorized=False))
        if not file.ok:
            fail(file, f"the result of analysis {job_id} cannot be read at {urlsplit(address).hostname}")
        return _fetched(file.body, job_id)

    def sweep(self, since: float) -> Swept:
        """List the analyses and read those that ended; one whose time is not given may be as new as any."""
        url: str | None = self._base + self._settings.list_path
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            answer = yield from ask(Ask(method="GET", url=url))
            if not answer.ok:
                fail(answer, "the analyses cannot be listed")
            rows, onward = shapes.rows_of(answer.json())
            for row in rows:
                job_id = shapes.value_of(row, self._settings.id_members)
                state, word = shapes.state_of(row, self._settings)
                if job_id is None or (word and state == "pending") or _is_older(row, since):
                    continue
                found = yield from self.poll(job_id, self.operations[0])
                if isinstance(found, Fetched):
                    yield found
            url = self._same_host(onward)

    def _same_host(self, url: str | None) -> str | None:
        """Return the address of a next page, where our credentials may go there."""
        if url is None:
            return None
        ours, theirs = urlsplit(self._base), urlsplit(url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise ProviderRefused(
                f"the list goes on at {theirs.hostname}, which is not {ours.hostname}; api_url says it"
            )
        return url

    def _post(self, path: str, body: dict[str, Any], *, creates: bool = False) -> Steps[Answer]:
        sent = msgspec.json.encode(body)
        return ask(Ask(method="POST", url=self._base + path, headers=_JSON, body=sent, creates=creates))


def unique_name(submission: Submission, begun_anew: int) -> str:
    """Return a name that no other upload has, with the recording's own extension: the name is an upload's only key."""
    again = f"-{begun_anew}" if begun_anew else ""
    return f"hookscribe-{submission.serial}{again}{PurePath(submission.recording.name).suffix.lower()}"


def fail(answer: Answer, what: str) -> NoReturn:
    """Raise the error for an answer that is no success, with the words of a Django REST Framework body, if it is one."""
    raise refused(answer, what, said(answer))


def said(answer: Answer) -> str | None:
    """Return what an error body says: its `detail`, or what is wrong with which member."""
    body = answer.said()
    if isinstance(body.get("detail"), str):
        return str(body["detail"])
    wrong = [f"{key}: {' '.join(map(str, value))}" for key, value in body.items() if isinstance(value, list)]
    return "; ".join(wrong) or None


def _fetched(body: bytes, job_id: str) -> Fetched:
    return Fetched(body=body, headers=((b"hookscribe-job-id", job_id.encode()),), job_id=job_id)


def _is_older(row: Mapping[str, Any], since: float) -> bool:
    moments = [moment for key in _CREATED if (moment := to_seconds(row.get(key))) is not None]
    return bool(moments) and moments[0] < since
