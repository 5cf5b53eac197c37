"""Asking INVOX Medical: a token, an address to upload to, the upload itself, and polling.

Source: developer.invoxmedical.com/ai-services/credentials and …/transcribe-pre-recorded-audio/{generate-presign-url,
api-guide,get-transcription-status}. Base URL and token endpoint stand on pages that cannot be read: they are settings.
"""

import base64
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urljoin

import msgspec

from handlers.providers.invox.settings import InvoxSettings
from receiver.contract.api import Api
from receiver.contract.asking import (
    Answer,
    Ask,
    Fetched,
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
    refused,
)
from receiver.contract.errors import ProviderRefused, UsageError
from receiver.contract.settings import Secret

JOB_ID_HEADER = b"hookscribe-job-id"
"""Says the request id of a polled body, which has none."""
LASTS = 7200.0
"""Seconds that a token lasts where the answer does not say: two hours (…/generate-presign-url)."""
PERMISSION = "BATCH-TRANSCRIBE"

_TYPES = {
    "audio/x-wav": "audio/x-wav",
    "audio/wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mp3",
    "audio/mpeg": "audio/mp3",
    "audio/m4a": "audio/m4a",
    "audio/x-m4a": "audio/m4a",
    "audio/mp4": "audio/m4a",
    "audio/flac": "audio/flac",
    "audio/x-flac": "audio/flac",
    "audio/ogg": "audio/ogg",
    "audio/webm": "audio/webm",
    "video/webm": "audio/webm",
}
"""The accepted `mimeType`s (…/generate-presign-url), by what files are called elsewhere; MP3 has to be audio/mp3."""
_UPLOAD = 120.0
"""Seconds without progress while a recording is taken."""


class InvoxApi(Api):
    """INVOX Medical's AI services as one application."""

    name = "invox"
    operations = ("transcription",)
    rereads = True

    def __init__(self, settings: InvoxSettings, app_id: str, key: Secret, addresses: tuple[str, str]) -> None:
        """`addresses` are those of the API server and of the token endpoint."""
        self._settings = settings
        self._app_id = app_id
        self._key = key
        self._base = addresses[0].rstrip("/")
        self._token_url = urljoin(f"{self._base}/", addresses[1])

    def authorize(self) -> Steps[Token]:
        """Exchange the Base64 of `APP Id:API Key` for a token (…/credentials); its form is a setting."""
        form = self._settings.token_request
        credentials = base64.b64encode(f"{self._app_id}:{self._key.value}".encode()).decode()
        headers, body = [], form.body.replace("{credentials}", credentials)
        if form.authorization:
            headers.append(("Authorization", form.authorization.replace("{credentials}", credentials)))
        if body:
            headers.append(("Content-Type", form.content_type))
        request = Ask(
            method=form.method, url=self._token_url, headers=tuple(headers), body=body.encode(), authorized=False
        )
        answer = yield from ask(request)
        if not answer.ok:
            fail(answer, "INVOX gives no token: check app_id, api_key, token_url and token_request")
        found = answer.members()
        token = _first(found, form.member)
        if not isinstance(token, str) or not token:
            raise ProviderRefused(
                f"INVOX's answer has no token under {', '.join(form.member)}: set token_request.member to one of its "
                f"members, {', '.join(sorted(found))[:200] or 'of which there are none'}"
            )
        return Token(headers=(("Authorization", f"Bearer {token}"),), expires_in=self._lifetime(found))

    def check(self, submission: Submission) -> None:
        """Raise UsageError for what INVOX is known to refuse, or could not be told."""
        name, recording = submission.recording.name, submission.recording
        if submission.options:
            raise UsageError(f"{name}: INVOX takes no options, such as {', '.join(sorted(submission.options))}")
        if submission.language:
            raise UsageError(f"{name}: INVOX cannot be told a language; leave it out")
        if recording.sha256 is None:
            raise UsageError(f"{name}: INVOX is sent recordings and fetches none; download it and submit the file")
        if recording.size == 0:
            raise UsageError(f"{name}: it is empty")
        if recording.content_type not in _TYPES:
            accepted = ", ".join(sorted(set(_TYPES.values())))
            raise UsageError(f"{name}: INVOX takes no {recording.content_type}; it takes {accepted}")

    def submit(self, submission: Submission, state: Mapping[str, Any]) -> Steps[Submitted]:
        """Get an address for the upload, then upload: processing begins by itself.

        Asking for an address does nothing that would have to be undone, and the same upload may be made again: so both
        are repeated after a failure, but the upload not once it is known to be through, or there is a result already.
        """
        if state.get("uploaded"):
            return Submitted(job_id=str(state["requestId"]))
        if state:
            job_id, url = str(state["requestId"]), str(state["upload"])
            polled = yield from self.poll(job_id, submission.operation)
            if isinstance(polled, Fetched):
                return Submitted(job_id=job_id, result=polled)
        else:
            job_id, url = yield from self._request(submission)
            # The address is good for this one recording and for a short time; with it a crash loses nothing.
            yield Note(state={"requestId": job_id, "upload": url}, job_id=job_id)
        yield from self._upload(submission, url, resumed=bool(state))
        yield Note(state={"requestId": job_id, "uploaded": True}, job_id=job_id)
        return Submitted(job_id=job_id)

    def poll(self, job_id: str, operation: str) -> Steps[Polled]:  # noqa: ARG002 -- there is one
        """Ask for a transcription; the answer names no request, so that a header does."""
        answer = yield from self._post("/api/v1/get-transcription", {"requestId": job_id})
        if answer.status == 404:
            return Missing()
        if not answer.ok:
            fail(answer, f"the transcription of {job_id} was not given")
        found = answer.members()
        status = found.get("processingStatus") or found.get("transcriptionStatus")
        if status in {"COMPLETED", "ERROR"}:
            return Fetched(body=answer.body, headers=((JOB_ID_HEADER, job_id.encode()),), job_id=job_id)
        return Pending(status=str(status))

    def sweep(self, since: float) -> Swept:  # noqa: ARG002
        """Raise UsageError: no page describes a list of requests."""
        raise UsageError(
            "INVOX has no list of its transcriptions: only those can be asked for whose requestId is known; "
            "`hookscribe jobs adopt` takes one up"
        )

    def _request(self, submission: Submission) -> Steps[tuple[str, str]]:
        """Return the request's id and the address to upload to."""
        name = submission.recording.name
        asked = {"mimeType": _TYPES[submission.recording.content_type]}
        if submission.callback_url:
            asked["callbackUrl"] = submission.callback_url
        answer = yield from self._post("/api/v1/generate-presigned-url", asked)
        if not answer.ok:
            fail(answer, f"{name}: INVOX gives no address for the upload")
        found = answer.members()
        job_id, url = found.get("requestId"), found.get("presignedUrl")
        if not (isinstance(job_id, str) and job_id and isinstance(url, str) and url):
            raise ProviderRefused(f"{name}: INVOX's answer lacks presignedUrl or requestId")
        return job_id, url

    def _upload(self, submission: Submission, url: str, *, resumed: bool) -> Steps[None]:
        """Send the recording, with the very content type that was announced and without our token."""
        name = submission.recording.name
        content_type = _TYPES[submission.recording.content_type]
        answer = yield from ask(
            Ask(
                method="PUT",
                url=url,
                headers=(("Content-Type", content_type),),
                body=Part(),
                authorized=False,
                timeout=_UPLOAD,
            )
        )
        if answer.status in {400, 403} and resumed:
            raise ProviderRefused(
                f"{name}: the address for the upload is good no more ({answer.status}), and whether the recording arrived "
                "before is unknown; if no result comes, submit it --again"
            )
        if not answer.ok:
            raise refused(answer, f"{name}: the storage did not take it")

    def _post(self, path: str, asked: Mapping[str, Any]) -> Steps[Answer]:
        version = self._settings.api_version
        chosen = (("X-Invox-Medical-Api-Version", version),) if version else ()
        headers = (("Content-Type", "application/json"), *chosen)
        return ask(Ask(method="POST", url=self._base + path, headers=headers, body=msgspec.json.encode(asked)))

    def _lifetime(self, found: Mapping[str, Any]) -> float:
        try:
            return float(_first(found, self._settings.token_request.expiry_member) or LASTS)
        except (TypeError, ValueError):
            return LASTS


def fail(answer: Answer, what: str) -> NoReturn:
    """Raise the error for an answer that is no success, with INVOX's own words and a way out."""
    if 300 <= answer.status < 400:
        raise ProviderRefused(f"{what}: INVOX redirects ({answer.status}), which is not followed; check api_url")
    words = [said(answer)]
    if answer.status == 403:
        words.append(f"the application's credentials need the permission {PERMISSION}")
    raise refused(answer, what, "; ".join(word for word in words if word) or None)


def said(answer: Answer) -> str | None:
    """Return what an error body says: under `messsage`, as most pages spell it, or `message`; OAuth2's members too."""
    body = answer.said()
    keys = ("errorType", "messsage", "message", "error", "error_description")
    return " ".join(body[key] for key in keys if isinstance(body.get(key), str) and body[key]) or None


def _first(found: Mapping[str, Any], paths: tuple[str, ...]) -> Any:
    """Return the value at the first of the paths that leads to one."""
    for path in paths:
        value: Any = found
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
