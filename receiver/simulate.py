"""Simulate: what a provider would send, signed, and in the ways that go wrong; plain functions of settings and cases.

What to expect of a request is asked of the source's own proof, so that it holds for any provider and any settings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from receiver.contract.errors import HookscribeError, UsageError
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Proven, Reason, Refused
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import Secret, Settings
from receiver.registry import close_match
from receiver.testing.fixtures import Case, as_expected, bare, receipt_of

LARGE = 5_000_000
"""Bytes of the case `large`."""
A_DAY = 86_400.0

BUILT_IN: Mapping[str, str] = {
    "completed": "a result, as the provider sends it",
    "failed": "a job that the provider could not do",
    "duplicate": "one callback twice, as after an answer that got lost",
    "stale": "signed a day ago, where the signature holds a time",
    "wrong-signature": "signed with another secret; where nothing is signed, to another token",
    "changed-body": "changed after it was signed",
    "large": "5 MB of the same",
}

ACCEPTED, DUPLICATE = "accepted", "duplicate"
_MEANING = {
    200: "proven, and kept",
    401: "not proven; the sender learns no more",
    404: "no token of this source; the sender learns no more",
    413: "larger than the source's max_body",
}
_TURNED = str.maketrans(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "1234567890bcdefahijklmnopqrstuvwxyzgBCDEFAHIJKLMNOPQRSTUVWXYZG",
)
"""Every digit and letter to another one that is hex, or base64, as much as it was."""
_STEM = 6
"""Characters at the start of a longer secret that may say what kind it is, such as `whsec_`."""
_FAILING = (HookscribeError, ValueError, TypeError, LookupError, ArithmeticError)


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """One request, and the answer to expect: its status, and one of `words` where the answer has such a word."""

    request: SignedRequest
    status: int
    words: frozenset[str] = frozenset()

    @property
    def expected(self) -> str:
        """Say it in a line."""
        words = f" {' or '.join(sorted(self.words))}" if self.words else ""
        known = self.words == {DUPLICATE}
        return f"{self.status}{words}: {'here already, no second event' if known else _MEANING[self.status]}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of one case, in order; `note` says what is special about this source, if anything is."""

    case: str
    recorded: str
    sends: tuple[Send, ...]
    note: str = ""


class Simulator:
    """Plans the cases of one source."""

    def __init__(
        self,
        provider: Provider[Any],
        cases: Sequence[Case],
        *,
        now: Callable[[], float],
        serial: Callable[[], str],
    ) -> None:
        """`now` is Unix time in seconds, `serial` a text that was never given before."""
        self._provider = provider
        self._cases = {case.name: case for case in cases if "verdict" in case.expected}
        self._handshakes = {case.name for case in cases if "handshake" in case.expected}
        self._refusals = {case.name for case in cases} - set(self._cases) - self._handshakes
        self._now = now
        self._serial = serial

    def cases(self) -> dict[str, str]:
        """Return every case by name, with what it is: the built-in ones, then the recorded ones."""
        recorded = {name: case.about for name, case in self._cases.items() if name not in BUILT_IN}
        return {**BUILT_IN, **recorded}

    def plan(self, name: str) -> Plan:
        """Return what to send. Raises UsageError where this source has no such case, and says why."""
        if name in BUILT_IN:
            plan: Plan = getattr(self, f"_{name.replace('-', '_')}")()
            return plan
        if name in self._refusals:
            raise UsageError(
                f"{name} was recorded as refused, with secrets that are not yours; "
                "take stale, wrong-signature or changed-body"
            )
        if name in self._handshakes:
            raise UsageError(f"{name} was recorded as a handshake, which only its provider begins; it is no callback")
        if name not in self._cases:
            near = close_match(name, self.cases())
            raise UsageError(f"no case is called {name[:60]!r}; {near}`--list` shows all")
        return self._recorded(self._cases[name])

    def _completed(self) -> Plan:
        return self._plan("completed", self._typical("completed"))

    def _failed(self) -> Plan:
        return self._plan("failed", self._typical("failed"))

    def _duplicate(self) -> Plan:
        case = self._typical("completed")
        first = self._genuine(self._fresh(case))
        again = msgspec.structs.replace(first, words=first.words and frozenset({DUPLICATE}))
        return Plan(case="duplicate", recorded=case.name, sends=(first, again))

    def _stale(self) -> Plan:
        case = self._typical("completed")
        body, now = self._fresh(case), self._now()
        request = self._provider.sign(body, now - A_DAY)
        if request == self._provider.sign(body, now):
            raise UsageError(
                f"stale: the proof of source {self._provider.source} holds no time, so a callback cannot be too old; "
                "one that comes again is known by its content (case duplicate)"
            )
        note = "a callback of any age is accepted" if self._refusal(request) is None else ""
        return Plan(case="stale", recorded=case.name, sends=(self._expect(request),), note=note)

    def _wrong_signature(self) -> Plan:
        case = self._typical("completed")
        tried = [*self._wrong(self._fresh(case))]
        refused = [request for request in tried if self._refusal(request) is not None]
        note = "" if refused else "this source accepts whatever comes"
        sends = (self._expect((refused or tried)[0]),)
        return Plan(case="wrong-signature", recorded=case.name, sends=sends, note=note)

    def _changed_body(self) -> Plan:
        case = self._typical("completed")
        signed = self._sign(self._fresh(case))
        changed = msgspec.structs.replace(signed, body=self._provider.fresh(signed.body, self._serial()))
        note = "" if self._refusal(changed) else "nothing signs the bodies of this source: a change goes unseen"
        return Plan(case="changed-body", recorded=case.name, sends=(self._expect(changed),), note=note)

    def _large(self) -> Plan:
        for case in self._by_likeness("completed"):
            body = self._fresh(case, LARGE)
            if len(body) >= LARGE:
                return Plan(case="large", recorded=case.name, sends=(self._genuine(body),))
        raise UsageError(f"large: {self._provider.name} has no recorded case that can be made larger")

    def _recorded(self, case: Case) -> Plan:
        """Send a recorded case as another job's, or as it is where it names no job."""
        try:
            body, other = self._fresh(case), self._fresh(case)
        except _FAILING:
            body = other = case.body
        send = self._expect(self._sign(body))
        if body == other and send.words:
            send = msgspec.structs.replace(send, words=frozenset({ACCEPTED, DUPLICATE}))
        note = "proven and unreadable: kept for after a fix" if send.words and "unreadable" in case.expected else ""
        return Plan(case=case.name, recorded=case.name, sends=(send,), note=note)

    def _plan(self, name: str, case: Case) -> Plan:
        return Plan(case=name, recorded=case.name, sends=(self._genuine(self._fresh(case)),))

    def _genuine(self, body: bytes) -> Send:
        """Sign as the provider would. Raises UsageError where these settings make no signature that they prove."""
        request = self._sign(body)
        if (refused := self._refusal(request)) is not None:
            why = next((check.detail for check in refused.checks if check.detail), refused.reason)
            raise UsageError(f"nothing can be signed for source {self._provider.source}: {why}")
        return self._expect(request)

    def _typical(self, status: str) -> Case:
        found = self._by_likeness(status)
        if not found:
            raise UsageError(
                f"source {self._provider.source} has no recorded case of a job that {status}; `--list` shows those that it has"
            )
        return found[0]

    def _by_likeness(self, status: str) -> list[Case]:
        """Return the cases of a status: those that this source accepts first, of them the one of its name, then
        transcripts, then the richest.
        """

        def likeness(case: Case) -> tuple[bool, bool, bool, int]:
            return self._accepts(case), case.name == status, _is_transcript(case), len(case.body)

        found = [case for case in self._cases.values() if any(one["status"] == status for one in _results(case))]
        return sorted(found, key=likeness, reverse=True)

    def _accepts(self, case: Case) -> bool:
        """Say whether the settings of this source prove such messages at all."""
        try:
            return self._refusal(self._sign(case.body)) is None
        except _FAILING:
            return False

    def _fresh(self, case: Case, grow_to: int = 0) -> bytes:
        return self._provider.fresh(case.body, self._serial(), grow_to)

    def _sign(self, body: bytes) -> SignedRequest:
        return self._provider.sign(body, self._now())

    def _wrong(self, body: bytes) -> Iterator[SignedRequest]:
        """Yield requests that should not prove, the more telling ones first."""
        right = self._sign(body)
        token = f"{right.token or ''}-not-ours"
        try:
            settings = with_other_secrets(self._provider.settings)
            other = type(self._provider)(self._provider.source, settings).sign(body, self._now())
        except _FAILING:
            other = msgspec.structs.replace(right, headers=_with_other_values(right.headers))
        yield msgspec.structs.replace(other, token=right.token)
        yield msgspec.structs.replace(right, token=token)
        yield msgspec.structs.replace(other, token=token)

    def _refusal(self, request: SignedRequest) -> Refused | None:
        if self._provider.settings.verify == "none":
            return None
        headers = tuple((name.lower(), value) for name, value in request.headers)
        now = self._now()
        seen = InboundRequest(
            source=self._provider.source,
            token=request.token,
            headers=headers,
            body=request.body,
            received_at=int(now * 1000),
        )
        proof = self._provider.prove(seen, now)
        return proof if isinstance(proof, Refused) else None

    def _expect(self, request: SignedRequest) -> Send:
        if len(request.body) > self._provider.settings.max_body:
            return Send(request=request, status=413)
        refused = self._refusal(request)
        if refused is None:
            return Send(request=request, status=200, words=frozenset({ACCEPTED}))
        return Send(request=request, status=404 if refused.reason is Reason.TOKEN_UNKNOWN else 401)


def fits(provider: Provider[Any], case: Case) -> bool:
    """Say whether a case is one of this source: those recorded with a configuration of their own fit few others."""
    if case.config is None or "outcomes" not in case.expected:
        return case.config is None
    seen = Proven(request=case.request(provider.source), verdict=Verdict.UNVERIFIED)
    try:
        outcomes = provider.normalize(receipt_of(seen, provider.name))
    except _FAILING:
        return False
    return bool(bare(as_expected(outcomes)) == bare(case.expected["outcomes"]))


def with_other_secrets(settings: Any) -> Any:
    """Return settings with every secret changed into another one of the same form."""
    if isinstance(settings, Secret):
        keep = _STEM if len(settings.value) > 2 * _STEM else 0
        return Secret(settings.value[:keep] + settings.value[keep:].translate(_TURNED))
    if isinstance(settings, Settings):
        changed = {name: with_other_secrets(getattr(settings, name)) for name in settings.__struct_fields__}
        return msgspec.structs.replace(settings, **changed)
    if isinstance(settings, tuple):
        return tuple(with_other_secrets(one) for one in settings)
    if isinstance(settings, Mapping):
        return {key: with_other_secrets(one) for key, one in settings.items()}
    return settings


def _with_other_values(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    plain = (b"content-type", b"user-agent")
    return tuple(
        (name, value if name.lower() in plain else value.decode("latin-1").translate(_TURNED).encode("latin-1"))
        for name, value in headers
    )


def _results(case: Case) -> list[Mapping[str, Any]]:
    """Return the results of a case, each with its status."""
    found = [one["result"] for one in case.expected.get("outcomes", ()) if "result" in one]
    return [{"status": "completed", **one} for one in found]


def _is_transcript(case: Case) -> bool:
    return any(one.get("kind") == "transcript" for one in _results(case))
