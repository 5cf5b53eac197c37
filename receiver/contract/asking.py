"""How a provider is asked: plain generators yield requests and are sent the answers; the engine drives them.

    def poll(self, job_id):
        answer = yield Ask(method="GET", url=f"{self.api}/jobs/{job_id}", bucket="heavy")
        return Fetched(job_id=job_id, body=answer.body)

No generator opens a connection, waits or reads a clock: tests drive it with recorded answers.
"""

from collections.abc import Generator, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from receiver.contract.errors import ProviderBusy, ProviderRefused
from receiver.contract.model import Call, Headers
from receiver.contract.settings import Secret

T = TypeVar("T")
MIB = 1 << 20


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the recording, in bytes; the engine streams it and never holds it whole."""

    start: int = 0
    length: int | None = None
    """None: up to the end."""


class FormFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a form: a stretch of the recording under a name and a media type."""

    field: str
    name: str
    content_type: str
    part: Part = Part()


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """A `multipart/form-data` body."""

    fields: tuple[tuple[str, str], ...] = ()
    file: FormFile | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a provider; its repr holds no header, no query and no body."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | Part | Form = b""
    authorized: bool = True
    """Send it with the provider's `authorize`d headers, once more with fresh ones after a 401."""
    bucket: str | None = None
    """Which of the provider's `limits` it counts against."""
    creates: bool = False
    """It has an effect that must not happen twice: sent and never answered, it ends in Unanswered instead of a retry."""
    timeout: float = 30.0
    """Seconds without progress."""
    bound: int = 64 * MIB
    """Bytes of an answer; a longer one is an error."""

    def __repr__(self) -> str:
        parts = urlsplit(self.url)
        return f"Ask({self.method} {parts.hostname or '?'})"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider answered; header names are lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Return the body as JSON. Raises ProviderRefused where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProviderRefused(
                f"the answer ({self.status}, {len(self.body)} bytes) is not JSON; does the provider's API listen at the address in the "
                "settings, and nothing else in its place?"
            ) from None

    def members(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises ProviderRefused where it is none."""
        found = self.json()
        if not isinstance(found, dict):
            raise ProviderRefused(f"the answer ({self.status}) is not a JSON object")
        return found

    def said(self) -> dict[str, Any]:
        """Return the members of a body that explains an error; of one that is no JSON object, none."""
        try:
            return self.members()
        except ProviderRefused:
            return {}

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What to remember before going on, so that a crash can be resumed: JSON; it is kept sealed."""

    state: dict[str, Any]
    job_id: str | None = None
    """The provider's name for the job, as soon as it is known."""


Steps = Generator[Ask | Note, Answer | None, T]
"""Yields requests (sent the Answer) and notes (sent None); returns its outcome."""


def ask(request: Ask) -> Generator[Ask | Note, Answer | None, Answer]:
    """Yield one request and return its answer, whatever the status; for `yield from`."""
    answer = yield request
    assert answer is not None
    return answer


def at_once(value: T) -> Steps[T]:
    """Return an outcome that needs no request."""
    yield from ()
    return value


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What makes requests authorized; its repr shows nothing of it."""

    headers: tuple[tuple[str, str], ...]
    expires_in: float | None = None
    """Seconds from now until another is needed; None: never."""

    def __repr__(self) -> str:
        return "Token('***')"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider lets a client do: `count` requests in each stretch of `seconds`, `parallel` at once."""

    count: int
    seconds: float
    parallel: int | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The audio that a job is about."""

    name: str
    """The file's name without its folders, as the provider may see it."""
    size: int | None
    """Bytes; None where only the provider can reach it."""
    sha256: str | None
    """Hexadecimal; None where only the provider can reach it."""
    content_type: str
    """Such as `audio/wav`."""
    url: str | None = None
    """Where the provider can fetch it by a plain GET, if it has to."""
    sample_rate: int | None = None
    duration: float | None = None
    """Seconds, where the file's head tells."""
    id: str | None = None
    """The provider's own name for it, where it lies there already; `url` is then an address of ours that passes it on."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that lies at the provider, with the call that it is of."""

    recording: Recording
    call: Call | None = None


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A recording on its way to a provider, with everything that is asked of it."""

    recording: Recording
    operation: str
    callback_url: str | None
    """Where the result is to be posted; it carries the job's own token."""
    serial: str
    """Unique for each job, `[a-z0-9]+`; for file names and idempotency keys."""
    call: Call | None = None
    language: str | None = None
    metadata: dict[str, str] = {}
    options: dict[str, Any] = {}
    """The provider's own members, such as `insights`."""

    def __repr__(self) -> str:
        return f"Submission({self.serial})"


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider took it."""

    job_id: str
    deadline_in: float | None = None
    """Seconds in which the provider says that it will be done."""
    result: "Fetched | None" = None
    """The result itself, of providers that answer at once."""
    warnings: tuple[str, ...] = ()


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A result that we asked for: it becomes a receipt with the verdict `fetched`.

    `headers` (names in lower case) are kept with it: what the body does not say itself, such as `hookscribe-job-id`.
    """

    body: bytes
    headers: Headers = ()
    job_id: str | None = None

    def __repr__(self) -> str:
        return f"Fetched({len(self.body)} bytes)"


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The provider is still at it."""

    status: str | None = None


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """The provider does not know the job, or not any more."""


Polled = Fetched | Pending | Missing

Swept = Generator[Ask | Note | Fetched, Answer | None, None]
"""Yields requests, and each result that it finds."""


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A standing order at the provider to call us."""

    id: str
    address: str
    events: tuple[str, ...] = ()
    alive: bool = True
    reason: str | None = None
    """Why it is dead, in the provider's words."""
    expires_in: float | None = None
    """Seconds from now; None: never."""
    secret: Secret | None = None
    """What its callbacks are signed with; only in the answer that made it."""


def refused(answer: Answer, what: str, said: str | None = None) -> ProviderRefused | ProviderBusy:
    """Return the error for an answer that is no success: busy for 408, 425, 429 and 5xx, else refused.

    `what` names the thing in words, `said` is the provider's own explanation; secrets have no place in either.
    """
    words = f"{what}: {answer.status}" + (f", {said[:500]}" if said else "")
    if 300 <= answer.status < 400:
        words += "; redirects are not followed: put the API's own address into the settings"
    if answer.status == 401 and "check " not in words:
        words += "; check the credentials in the settings"
    if answer.status in {408, 425, 429} or answer.status >= 500:
        return ProviderBusy(words)
    return ProviderRefused(words)
