"""What a provider is: proof, message key and normalizing as plain functions of bytes. No I/O."""

from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

import msgspec

from receiver.contract.api import Api
from receiver.contract.model import InboundRequest, Outcome, Receipt
from receiver.contract.proof import Check, Proven, Refused
from receiver.contract.settings import SourceSettings

SettingsT = TypeVar("SettingsT", bound=SourceSettings)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a provider's handshake; JSON unless its headers (names in lower case) name another content type."""

    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider would send: the URL's token, headers and body."""

    token: str | None
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Provider(Generic[SettingsT]):
    """Base of every provider: subclass, name the settings, fill in `proofs`, `prove`, `message_key`, `normalize`.

    One instance serves one source. Instances are immutable after `__init__` and can be pickled.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[SourceSettings]]
    normalizer: ClassVar[str]
    """Name and version of the normalizing code, such as `callcov/1`; raise the number when its results change."""
    setup: ClassVar[str] = ""
    """What to do at the provider with the callback's address: one sentence, which `hookscribe dev` prints."""
    api_settings: ClassVar[tuple[str, ...]] = ()
    """The settings that `api` needs, for the message where they are missing."""
    handshake_methods: ClassVar[frozenset[str]] = frozenset({"POST"})
    """How set-up requests come: POST, and GET and OPTIONS where a provider asks by these."""
    ignored: ClassVar[Mapping[str, str]] = {}
    """Leaves of the provider's bodies that are left out, by path, with the reason.

    A path is written `call.duration_ms` or `transcript.segments[].id`; a trailing `.*` covers everything below.
    """

    def __init__(self, source: str, settings: SettingsT) -> None:
        self.source = source
        self.settings = settings

    def leaves_out(self) -> Mapping[str, str]:
        """Return the leaves that are left out, with the reason: `ignored`, and what the settings add to it."""
        return self.ignored

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof that the settings allow, in words; empty means the source cannot be trusted."""
        raise NotImplementedError

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Say who sent `request`. Returns or refuses for any bytes; never raises. `now` is Unix time in seconds."""
        raise NotImplementedError

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:  # noqa: ARG002
        """Return what was compared, without content, and how each secret fares, proven or not. May be slow."""
        return ()

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:  # noqa: ARG002
        """Return what else an operator should know about a refused request: what would have matched. May be slow."""
        return ()

    def handshake(self, request: InboundRequest) -> Reply | None:  # noqa: ARG002
        """Return the answer to a provider's set-up request, or None for an ordinary callback.

        Asked before `prove`, and nothing else is: answer only those that could also prove a callback, for the others
        None, so that they are refused as usual. Requests by other methods than POST come without a body, and nothing
        else is done with them.
        """
        return None

    def api(self) -> Api | None:
        """Return how the provider is asked, or None where it has no API or the settings hold no credentials for it."""
        return None

    def can_confirm(self) -> bool:
        """Say whether the settings hold credentials to re-read a result from the provider."""
        api = self.api()
        return api is not None and api.rereads

    def agreed(self, came: bytes, reread: bytes) -> bytes:  # noqa: ARG002
        """Return the body that counts of a callback that was asked for again: what the provider answered.

        A provider whose answer says less than its callback returns the callback where it agrees with the answer.
        """
        return reread

    def message_key(self, proven: Proven) -> bytes:
        """Return what a redelivery of the same message has in common with it, from proven content only.

        For bytes that cannot be read, return a digest of them. Never raises.
        """
        raise NotImplementedError

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Turn a receipt into results, in our words. Raises Unreadable, naming members and types, never content."""
        raise NotImplementedError

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return the body of a recorded callback as another job's: ids made from `serial`, at least `grow_to` bytes.

        For `simulate` and load tests. `grow_to` repeats segments or words, in the provider's format.
        """
        raise NotImplementedError

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return the request that the provider would send with `body`, proven by the first secret of the settings."""
        raise NotImplementedError
