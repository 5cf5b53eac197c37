"""Any other sender: proof, redelivery key and results as the settings say."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from handlers.providers.generic.fresh import renewed, written
from handlers.providers.generic.handshake import Handshake
from handlers.providers.generic.leaves import plain
from handlers.providers.generic.reading import Reading
from handlers.providers.generic.settings import Expressions, GenericSettings, Means
from receiver.contract.door import Door
from receiver.contract.errors import Unreadable
from receiver.contract.model import InboundRequest, Notice, Outcome, Progress, Receipt, Verdict
from receiver.contract.proof import Check, Proven, Refused, Tokens
from receiver.contract.provider import Provider, Reply, SignedRequest
from receiver.contract.reading import Table, read_object
from receiver.contract.schemes import BasicScheme, Ed25519Scheme, HeaderSecretScheme, Scheme
from receiver.contract.webhooks import StandardWebhooks

_LONGEST_NAME = 200
_MOST_FIELDS = 1000

_encode = msgspec.json.Encoder().encode


class Generic(Provider[GenericSettings]):
    """Knows nothing of a sender but what the settings say."""

    name = "generic"
    Settings = GenericSettings
    normalizer = "generic/1"
    handshake_methods = frozenset({"POST", "GET", "OPTIONS"})
    setup = "Give it to the sender as the address of its callbacks."

    def __init__(self, source: str, settings: GenericSettings) -> None:
        super().__init__(source, settings)
        self._of = Expressions(settings)
        self._door = Door(settings, settings.signature, settings.secrets, settings.require, tuple(_schemes(settings)))
        self._tokens = Tokens(settings.token)
        self._handshakes = tuple(Handshake(one, settings.secrets) for one in settings.handshake)

    def leaves_out(self) -> Mapping[str, str]:
        """Return the leaves that the settings leave out, with the user's reasons."""
        return self.settings.leave_out

    def proofs(self) -> tuple[str, ...]:
        """Return the ways of proof that the settings allow, in words."""
        return self._door.ways()

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        """Say who sent `request`, by every way that the settings have."""
        return self._door.prove(request, now)

    def steps(self, request: InboundRequest) -> tuple[Check, ...]:
        """Return what was compared, and how each secret fares."""
        return self._door.steps(request)

    def explain(self, request: InboundRequest, now: float) -> tuple[Check, ...]:
        """Return which proof is right by itself, and what would have matched the others."""
        return self._door.explain(request, now)

    def handshake(self, request: InboundRequest) -> Reply | None:
        """Answer a set-up request that the settings describe, where its token is right."""
        for one in self._handshakes:
            reply = one.answer(request)
            if reply is not None and self._may_ask(request, proves=one.proves):
                return reply
        return None

    def _may_ask(self, request: InboundRequest, *, proves: bool) -> bool:
        if self._tokens and self._tokens.refusal(request.token) is not None:
            return False
        if not proves:
            return True
        proof = self._door.prove(request, request.received_at / 1000)
        return isinstance(proof, Proven) and proof.verdict is Verdict.SIGNATURE

    def message_key(self, proven: Proven) -> bytes:
        """Return what `message_key` finds, or the digest of the body where that is nothing, or lacks a part."""
        body = proven.request.body
        expression = self._of.top["message_key"]
        if expression is not None:
            try:
                found = plain(expression.of(self._read(body)))
                if found not in (None, "", [], {}) and not _has_gaps(found):
                    return _encode({"key": found})
            except (Unreadable, RecursionError, ValueError, TypeError):
                pass  # what no key is found in is known by its bytes
        return _encode((blake2b(body, digest_size=16).hexdigest(),))

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Turn a body into a result, a notice or progress, as the settings say."""
        document = self._read(receipt.body)
        try:
            return (self._outcome(Reading(self.settings, self._of, document), document),)
        except RecursionError:
            raise Unreadable("the body is nested too deeply") from None

    def _outcome(self, reading: Reading, document: Table) -> Outcome:
        event = reading.event()
        means = self._means(event)
        if means == "notice":
            if event is None:
                raise Unreadable("event: nothing is there, or no word, and nothing in events says what that means")
            return Notice(name=_as_name(event), body=document, call=reading.call())
        status = reading.status() if means == "result" else means
        if status == "progress":
            return Progress(job_id=reading.job_id(), status=reading.status_word())
        return reading.result("completed" if status == "completed" else "failed")

    def _means(self, event: str | None) -> Means:
        if self._of.top["event"] is None:
            return "result"
        return next((means for glob, means in self.settings.events.items() if fnmatchcase(event or "", glob)), "notice")

    def _read(self, body: bytes) -> Table:
        if self.settings.content == "json":
            return read_object(body)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise Unreadable("the body is no form, or one with too many fields") from None
        fields: dict[str, list[str]] = {}
        for name, value in pairs:
            fields.setdefault(name, []).append(value)
        return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        """Return `body` as another job's; it grows by repeating segments or words, where the expressions give a list."""
        return renewed(self._read(body), self._of, serial, grow_to, self.settings.content)

    def sign(self, body: bytes, now: float) -> SignedRequest:
        """Return the request that the sender would make, by the first secret of every proof.

        Raises UsageError where only the sender can sign.
        """
        token, headers = self._door.sign(body, now)
        return SignedRequest(
            token=token, headers=((b"content-type", written(self.settings.content)), *headers), body=body
        )


def _schemes(settings: GenericSettings) -> Iterator[Scheme]:
    if settings.standard_webhooks is not None:
        yield StandardWebhooks(settings.standard_webhooks)
    if settings.ed25519 is not None:
        yield Ed25519Scheme(settings.ed25519)
    if settings.header is not None:
        yield HeaderSecretScheme(settings.header)
    if settings.basic is not None:
        yield BasicScheme(settings.basic)


def _has_gaps(found: Any) -> bool:
    """Say whether a key lacks a part: messages without it would all be the same one."""
    items = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return any(item in (None, "", [], {}) for item in items)


def _as_name(word: str) -> str:
    """Return a sender's word as the name of an event: `[A-Za-z0-9_.]`."""
    allowed = (sign if sign.isascii() and (sign.isalnum() or sign in "_.") else "_" for sign in word[:_LONGEST_NAME])
    return "".join(allowed).strip(".") or "_"
