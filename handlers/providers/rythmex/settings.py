"""The settings of a Rythmex source: what its public pages leave open has an inferred default, or has to be said."""

from typing import Annotated

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SourceSettings, about

SMALLEST_CHUNK = 5 * 1024 * 1024
"""Bytes; what the vendor's sample sends, and the smallest part that Amazon S3 takes of a multipart upload."""
_ID = "{id}"


class RythmexSettings(SourceSettings, frozen=True, kw_only=True):
    """A source whose results are asked for: Rythmex documents no callbacks."""

    api_url: Annotated[
        str, about("Rythmex's API up to and with its version; the pages print paths below it only", inferred=True)
    ] = "https://rythmex.com/api/v3/"
    api_token: Annotated[
        Secret | None, about("the API token for servers: one of the ways to be let in; it does not expire")
    ] = None
    username: Annotated[str | None, about("the main account's name, for a login instead of api_token")] = None
    password: Annotated[Secret | None, about("the main account's password, with username")] = None
    login_url: Annotated[
        str | None, about("where username and password are exchanged for an access token; no page says it")
    ] = None
    login_members: Annotated[tuple[str, str], about("what a login's body calls name and password", inferred=True)] = (
        "username",
        "password",
    )
    refresh_token: Annotated[
        Secret | None, about("a refresh token, which lives 7 days, instead of username and password")
    ] = None
    refresh_url: Annotated[
        str | None, about("where a refresh token is exchanged for an access token; no page says it")
    ] = None
    auth_header: Annotated[str, about("the header that carries the token", inferred=True)] = "Authorization"
    auth_prefix: Annotated[
        str | None,
        about('the word before the token; default: "Token" for api_token, else "Bearer"; "" for none', inferred=True),
    ] = None

    start_path: Annotated[str, about("path that starts an analysis, below api_url", inferred=True)] = (
        "transcription/job/call-analytics/start/"
    )
    retrieve_path: Annotated[str, about("path of an analysis; {id} is its id", inferred=True)] = (
        "transcription/job/call-analytics/{id}/"
    )
    list_path: Annotated[str, about("path that lists all analyses", inferred=True)] = (
        "transcription/call-analytics-list/"
    )
    file_member: Annotated[str, about("what a start's body calls the uploaded file's name", inferred=True)] = (
        "file_name"
    )
    language_member: Annotated[
        str | None, about("what a start's body calls the language; without it no language can be asked for")
    ] = None
    start_members: Annotated[
        dict[str, str], about("more members of every start's body, such as who speaks in which channel")
    ] = {}  # noqa: RUF012 -- msgspec copies it
    id_members: Annotated[tuple[str, ...], about("members that may hold an analysis's id", inferred=True)] = (
        "id",
        "job_id",
        "analytic_job_id",
        "analytics_job_id",
        "uuid",
        "CallAnalyticsJobName",
    )
    status_members: Annotated[tuple[str, ...], about("members that may hold its status", inferred=True)] = (
        "status",
        "job_status",
        "JobStatus",
        "CallAnalyticsJobStatus",
    )
    completed_words: Annotated[
        tuple[str, ...], about("statuses of an analysis that is done, in any case", inferred=True)
    ] = ("completed", "complete", "done", "success", "succeeded", "finished")
    failed_words: Annotated[
        tuple[str, ...], about("statuses of one that failed; every other word means that it goes on", inferred=True)
    ] = ("failed", "failure", "error", "cancelled", "canceled")
    url_members: Annotated[
        tuple[str, ...],
        about("members that may hold a result's address, where it is not in the answer itself", inferred=True),
    ] = ("TranscriptFileUri", "RedactedTranscriptFileUri", "transcript_url", "result_url", "results_url")
    chunk_bytes: Annotated[int, about("bytes of a chunk of an upload", ge=SMALLEST_CHUNK, le=64 * 1024 * 1024)] = (
        SMALLEST_CHUNK
    )

    def check(self) -> None:
        _together(self, "username", "password", "login_url")
        _together(self, "refresh_token", "refresh_url")
        ways = [name for name in ("api_token", "username", "refresh_token") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ConfigError(f"{' and '.join(ways)}: one way to be let in is enough, remove the others")
        if _ID not in self.retrieve_path:
            raise ConfigError('retrieve_path: it needs {id}, as in "transcription/job/call-analytics/{id}/"')
        for name in ("api_url", "login_url", "refresh_url"):
            url = getattr(self, name)
            if url is not None and not url.startswith(("https://", "http://")):
                raise ConfigError(f"{name}: {url[:80]!r} is not https://host/…")

    def has_access(self) -> bool:
        """Say whether there is a way to be let in."""
        return bool(self.api_token or self.username or self.refresh_token)

    def word(self) -> str:
        """Return what stands before the token."""
        return self.auth_prefix if self.auth_prefix is not None else "Token" if self.api_token else "Bearer"


def _together(settings: msgspec.Struct, *names: str) -> None:
    given = [name for name in names if getattr(settings, name) is not None]
    if given and len(given) < len(names):
        missing = ", ".join(name for name in names if name not in given)
        raise ConfigError(f"{', '.join(given)}: {', '.join(names)} are needed together; {missing} is not set")
