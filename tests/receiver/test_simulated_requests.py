"""What would be sent: the cases of each provider, for each way of proof, and what is expected of them."""

import itertools
from typing import Any, ClassVar

import msgspec
import pytest

from receiver.config import build
from receiver.contract.errors import UsageError
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Proven, Reason, Refused
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import Secret
from receiver.registry import Registry, discover, fixtures
from receiver.simulate import BUILT_IN, LARGE, Simulator, with_other_secrets
from receiver.testing.fixtures import load_cases

NOW = 1_790_000_000.0
TOKEN = "canary-token-0123456789"
SIGNATURE = {"header": "X-Sig", "prefix": "sha256="}
TIMED = {**SIGNATURE, "signed": "{timestamp}.{body}", "timestamp_header": "X-Time"}
SOURCES: dict[str, dict[str, Any]] = {
    "signed": {"provider": "callcov", "secrets": ["canary-secret"], "signature": SIGNATURE},
    "timed": {"provider": "callcov", "secrets": ["canary-secret"], "signature": TIMED},
    "either": {
        "provider": "callcov",
        "secrets": ["canary-secret"],
        "signature": SIGNATURE,
        "token": TOKEN,
        "require": "any",
    },
    "in-body": {
        "provider": "invox",
        "webhook_api_key": "canary-api-key",
        "webhook_secret_key": "canary-secret-key",
        "callback_signature": "required",
        "token": TOKEN,
    },
    "token": {"provider": "ringcentral", "token": TOKEN},
    "header": {"provider": "ringcentral", "verification_token": TOKEN},
    "both": {"provider": "ringcentral", "token": TOKEN, "verification_token": f"not-{TOKEN}"},
    "open": {"provider": "ringcentral", "verify": "none"},
    "small": {"provider": "ringcentral", "token": TOKEN, "max_body": 4096},
}


def simulator(source: str, registry: Registry | None = None, **more: Any) -> Simulator:
    """Make the simulator of a source."""
    registry = registry or discover()
    config = build({"sources": {source: {**SOURCES[source], **more}}}, {}, registry)
    provider: Any = registry.provider(config.sources[source].provider)
    folder = fixtures(provider)
    assert folder is not None
    numbers = itertools.count(1)
    return Simulator(
        provider(source, config.sources[source]),
        load_cases(folder),
        now=lambda: NOW,
        serial=lambda: f"serial-{next(numbers)}",
    )


def statuses(source: str, case: str) -> list[int]:
    """Return the statuses expected of a case."""
    return [send.status for send in simulator(source).plan(case).sends]


@pytest.mark.parametrize(
    ("source", "case", "expected"),
    [
        ("signed", "wrong-signature", [401]),
        ("signed", "changed-body", [401]),
        ("timed", "stale", [401]),
        ("either", "wrong-signature", [401]),
        ("in-body", "wrong-signature", [401]),
        ("in-body", "changed-body", [401]),
        ("token", "wrong-signature", [404]),
        ("header", "wrong-signature", [404]),
        ("both", "wrong-signature", [404]),
        ("both", "ace-pbx", [200]),
        ("both", "telephony-answered", [200]),
        ("token", "changed-body", [200]),
        ("open", "wrong-signature", [200]),
        ("small", "large", [413]),
        *((source, "duplicate", [200, 200]) for source in SOURCES),
        *((source, case, [200]) for source in SOURCES for case in ("completed", "failed")),
        *((source, "large", [200]) for source in SOURCES if source != "small"),
    ],
)
def test_what_is_expected(source: str, case: str, expected: list[int]) -> None:
    """Each way of proof refuses what it can tell, and nothing else."""
    assert statuses(source, case) == expected


@pytest.mark.parametrize("source", ["signed", "in-body", "token", "open"])
def test_where_no_time_is_signed_nothing_is_stale(source: str) -> None:
    """It is said instead of pretended."""
    with pytest.raises(UsageError, match="holds no time"):
        simulator(source).plan("stale")


def test_what_a_source_cannot_tell_is_noted() -> None:
    """Where a change or a stranger goes unseen, the plan says so."""
    assert "goes unseen" in simulator("token").plan("changed-body").note
    assert "accepts whatever comes" in simulator("open").plan("wrong-signature").note
    assert simulator("signed").plan("changed-body").note == ""
    assert "any age" in simulator("timed", verify="none").plan("stale").note


def test_a_large_callback_has_its_size() -> None:
    """At least 5 MB, in the provider's own form."""
    (send,) = simulator("signed").plan("large").sends
    assert len(send.request.body) >= LARGE
    assert msgspec.json.decode(send.request.body)["status"] == "completed"


def test_two_of_a_case_are_two_jobs() -> None:
    """Each plan is another job's; the two of a duplicate are the same to the byte, and the second is expected as such."""
    one = simulator("signed")
    first, second = (one.plan("completed").sends[0].request.body for _ in range(2))
    assert first != second
    sent, again = one.plan("duplicate").sends
    assert sent.request == again.request
    assert sent.words == {"accepted"}
    assert again.words == {"duplicate"}
    assert "no second event" in again.expected


@pytest.mark.parametrize("source", SOURCES)
def test_every_recorded_case_can_be_sent(source: str) -> None:
    """Each case of the list has a plan; those that were refused are no cases."""
    one = simulator(source)
    recorded = set(one.cases()) - set(BUILT_IN)
    assert recorded
    for name in recorded:
        assert one.plan(name).sends[0].status in (200, 401, 413), name


def test_recorded_cases_that_name_no_job_may_be_here_already() -> None:
    """Where nothing tells two of them apart, the second is a redelivery."""
    plan = simulator("signed").plan("unreadable-garbage")
    assert plan.sends[0].words == {"accepted", "duplicate"}
    assert "unreadable" in plan.note


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("refused-stale", "recorded as refused"),
        ("complete", "did you mean completed?"),
        ("x" * 100, "`--list` shows all"),
    ],
)
def test_cases_that_cannot_be(case: str, said: str) -> None:
    """The way out is named."""
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        simulator("signed").plan(case)


def test_a_handshake_is_no_case() -> None:
    """It is its provider's to begin, and nothing comes of it."""
    one = simulator("token")
    assert "handshake" not in one.cases()
    with pytest.raises(UsageError, match="recorded as a handshake"):
        one.plan("handshake")


def test_other_secrets_keep_their_form() -> None:
    """Every secret is another one of the same length and letters; what is no secret stays."""
    settings = build({"sources": {"either": SOURCES["either"]}}, {}, discover()).sources["either"]
    other = with_other_secrets(settings)
    assert other.token[0] != settings.token[0]
    assert len(other.token[0].value) == len(TOKEN)
    assert other.secrets[0].value.startswith("canary")
    assert (other.require, other.provider) == ("any", "callcov")
    assert with_other_secrets({"a": Secret("09afz")}) == {"a": Secret("10bag")}


class Sealed(Provider[Any]):
    """A stranger's provider, whose keys cannot be made up; it signs in a header and never grows."""

    name = "sealed"
    Settings: ClassVar[Any] = discover().provider("ringcentral").Settings

    def __init__(self, source: str, settings: Any) -> None:
        super().__init__(source, settings)
        if settings.token[0].value != TOKEN:
            raise ValueError("a key that was not issued")

    def proofs(self) -> tuple[str, ...]:
        return ("seal",)

    def prove(self, request: InboundRequest, now: float) -> Proven | Refused:
        sealed = request.header("seal") == f"ab-{len(request.body)}"
        return (
            Proven(request=request, verdict=Verdict.SIGNATURE) if sealed else Refused(reason=Reason.SIGNATURE_MISMATCH)
        )

    def fresh(self, body: bytes, serial: str, grow_to: int = 0) -> bytes:
        return body + serial.encode()

    def sign(self, body: bytes, now: float) -> SignedRequest:
        headers = ((b"Seal", b"ab-%d" % len(body)), (b"User-Agent", b"sealer"))
        return SignedRequest(token=None, headers=headers, body=body)


def test_a_strangers_provider_is_served_too() -> None:
    """Where no other key can be made up, the signature's header is changed; what cannot grow is said to."""
    settings = build({"sources": {"token": SOURCES["token"]}}, {}, discover()).sources["token"]
    folder = fixtures(discover().provider("ringcentral"))
    assert folder is not None
    completed = [case for case in load_cases(folder) if case.name == "stt-plain"]
    one = Simulator(Sealed("s", settings), completed, now=lambda: NOW, serial=lambda: "1")
    (send,) = one.plan("wrong-signature").sends
    assert send.status == 401
    assert (b"User-Agent", b"sealer") in send.request.headers
    with pytest.raises(UsageError, match="no recorded case that can be made larger"):
        one.plan("large")
    with pytest.raises(UsageError, match="no recorded case of a job that failed"):
        one.plan("failed")
