"""INVOX Medical: tokens, and signatures made by Node."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invox_samples import CALLBACK, DOCUMENTED, ORGANIZATION, TOKEN, Mode, arriving, outcome, result, signed, source
from javascript import Node

from handlers.providers.invox import InvoxSettings
from receiver.contract.errors import ConfigError, Unreadable
from receiver.contract.model import ResultError, Verdict
from receiver.contract.proof import Check, Proven, Reason, Refused
from receiver.contract.settings import Secret

WITHOUT_TIME = {name: value for name, value in CALLBACK.items() if name != "createdAt"}


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(Path(__file__).with_name("invox_sign.mjs")) as process:
        yield process


def reason(proof: Proven | Refused) -> Reason | Verdict:
    return proof.reason if isinstance(proof, Refused) else proof.verdict


def note(proof: Proven | Refused) -> Check:
    (check,) = proof.checks
    return check


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (CALLBACK, DOCUMENTED),
        (CALLBACK | {"createdAt": "1762934391250"}, DOCUMENTED),
        (CALLBACK | {"createdAt": None}, DOCUMENTED),
        (CALLBACK | {"transcription": []}, DOCUMENTED),
        (WITHOUT_TIME, DOCUMENTED),
        (WITHOUT_TIME, ["requestId", "transcription"]),
        (CALLBACK | {"audioDuration": 6.0}, [*DOCUMENTED, "audioDuration"]),
        ({"version": 1.0, **CALLBACK}, ["version", *DOCUMENTED]),
        (dict(reversed(CALLBACK.items())), DOCUMENTED),
        (CALLBACK | {"10": "ten", "9": "nine"}, ["9", "10", *DOCUMENTED]),
    ],
    ids=str,
)
def test_a_signature_made_by_node_is_recognised(node: Node, body: dict[str, Any], names: list[str]) -> None:
    """Documented order with empty slots, and members as received, over values as JavaScript prints them."""
    request = arriving(signed(node, body, names, "public-key", "secret-key"))
    required = source("required", **ORGANIZATION).prove(request, 0)
    assert reason(required) is Verdict.SIGNATURE, required.checks
    advisory = source(**ORGANIZATION).prove(request, 0)
    assert reason(advisory) is Verdict.TOKEN
    assert note(required) == note(advisory)
    assert note(advisory).ok is True


@pytest.mark.parametrize("transcription", [{}, {"transcription": None}])
def test_a_signed_failure_is_proven_and_read(node: Node, transcription: dict[str, Any]) -> None:
    """No page says that a failed job calls back; if it does as polling answers, it is a failed transcript."""
    body = {"requestId": "r", **transcription, "processingStatus": "ERROR", "errorMessage": "no speech"}
    body = signed(node, body, [*DOCUMENTED, "processingStatus", "errorMessage"], "public-key", "secret-key")
    assert reason(source("required", **ORGANIZATION).prove(arriving(body), 0)) is Verdict.SIGNATURE
    failed = result(body)
    assert (failed.status, failed.error) == ("failed", ResultError(code="ERROR", message="no speech"))
    assert (failed.text, failed.metadata) == (None, {})


@pytest.mark.parametrize(
    ("keys", "api_key", "key", "words"),
    [
        (ORGANIZATION, "public-key", "secret-key", "key webhook_secret_key 1, apiKey webhook_api_key 1"),
        ({**ORGANIZATION, "api_key": ["ai"]}, "public-key", "ai", "key api_key 1, apiKey webhook_api_key 1"),
        ({**ORGANIZATION, "api_key": ["ai"]}, "ai", "secret-key", "key webhook_secret_key 1, apiKey api_key 1"),
        ({"api_key": ["old", "new"]}, "new", "new", "key api_key 2, apiKey api_key 2"),
        ({"webhook_secret_key": ["secret-key"], "api_key": ["ai"]}, "ai", "ai", "key api_key 1, apiKey api_key 1"),
        (
            {"webhook_api_key": ["old", "new"], "webhook_secret_key": ["older", "newer"]},
            *("new", "newer", "key webhook_secret_key 2, apiKey webhook_api_key 2"),
        ),
        (
            {"webhook_api_key": ["ünï|cøde"], "webhook_secret_key": ["clé 🔑" * 40]},
            *("ünï|cøde", "clé 🔑" * 40, "key webhook_secret_key 1, apiKey webhook_api_key 1"),
        ),
    ],
)
def test_every_key_is_tried_in_every_place(
    node: Node, keys: dict[str, Any], api_key: str, key: str, words: str
) -> None:
    """The organization's pair, the AI-services API Key and rotated ones; the check names the settings, not the keys."""
    request = arriving(signed(node, CALLBACK, DOCUMENTED, api_key, key), None)
    check = note(source("required", token=False, **keys).prove(request, 0))
    assert check.detail == f"matches: documented order, {words}"
    assert check.secret is not None
    assert [*keys.get("webhook_secret_key", []), *keys.get("api_key", [])][check.secret - 1] == key


def test_sign_gives_what_node_gives(node: Node) -> None:
    """What `simulate` sends is signed as a stranger signs it."""
    provider = source("required", **ORGANIZATION)
    body = json.loads(provider.sign(json.dumps(CALLBACK).encode(), 0).body)
    assert body == signed(node, CALLBACK, DOCUMENTED, "public-key", "secret-key")


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.text(max_size=20), max_size=3),
    start=st.floats(allow_nan=False, allow_infinity=False),
    request_id=st.text(min_size=1, max_size=20).filter(lambda text: "|" not in text),
)
def test_any_callback_signed_by_node_is_proven_and_read(
    node: Node, texts: list[str], start: float, request_id: str
) -> None:
    """Whatever was said, numbered and named: the signature matches and the words arrive."""
    segments = [{"text": text, "start": start, "end": index} for index, text in enumerate(texts)]
    body = signed(
        node, CALLBACK | {"requestId": request_id, "transcription": segments}, DOCUMENTED, "public-key", "secret-key"
    )
    assert reason(source("required", **ORGANIZATION).prove(arriving(body), 0)) is Verdict.SIGNATURE
    assert [segment.text for segment in result(body).segments] == texts


@pytest.fixture
def genuine(node: Node) -> dict[str, Any]:
    return signed(node, CALLBACK, DOCUMENTED, "public-key", "secret-key")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"requestId": "request-2"}, Reason.SIGNATURE_MISMATCH),
        ({"transcription": []}, Reason.SIGNATURE_MISMATCH),
        ({"createdAt": 1762934391251}, Reason.SIGNATURE_MISMATCH),
        ({"extra": None}, Reason.SIGNATURE_MISMATCH),
        ({"extra": ""}, Reason.SIGNATURE_MISMATCH),
        ({"signature": None}, Reason.SIGNATURE_MISSING),
        ({"signature": 1}, Reason.SIGNATURE_MALFORMED),
        ({"signature": ""}, Reason.SIGNATURE_MALFORMED),
        ({"signature": "ab" * 32}, Reason.SIGNATURE_MALFORMED),
        ({"signature": "é" * 44}, Reason.SIGNATURE_MALFORMED),
        ({"signature": "A" * 43 + "="}, Reason.SIGNATURE_MISMATCH),
        ({"requestId": "a|b"}, Reason.BODY_UNEXPECTED),
        ({"requestId": 1}, Reason.BODY_UNEXPECTED),
        ({"requestId": ""}, Reason.BODY_UNEXPECTED),
        ({"requestId": None}, Reason.BODY_UNEXPECTED),
        ({"transcription": "[]"}, Reason.BODY_UNEXPECTED),
        ({"transcription": None}, Reason.SIGNATURE_MISMATCH),
        ({"createdAt": [1]}, Reason.BODY_UNEXPECTED),
        ({"createdAt": True}, Reason.BODY_UNEXPECTED),
    ],
    ids=str,
)
def test_a_changed_callback_is_refused_or_noted(genuine: dict[str, Any], change: dict[str, Any], why: Reason) -> None:
    """Required: refused with this reason. Advisory: the token proves, and the check says that nothing matched."""
    request = arriving(genuine | change)
    refused = source("required", **ORGANIZATION).prove(request, 0)
    assert reason(refused) is why
    proven = source(**ORGANIZATION).prove(request, 0)
    assert reason(proven) is Verdict.TOKEN
    assert note(proven) == note(refused)
    assert note(proven).ok is not True


def test_look_alikes_of_what_was_signed_do_not_match(node: Node) -> None:
    """A line end is not the backslash and n that were signed, null is not the word; padding belongs to a signature."""
    provider = source("required", **ORGANIZATION)
    for member, value, other in (("requestId", "a\\n", "a\n"), ("createdAt", "null", None)):
        genuine = signed(node, CALLBACK | {member: value}, DOCUMENTED, "public-key", "secret-key")
        assert reason(provider.prove(arriving(genuine), 0)) is Verdict.SIGNATURE
        assert reason(provider.prove(arriving(genuine | {member: other}), 0)) is Reason.SIGNATURE_MISMATCH
    genuine = signed(node, CALLBACK, DOCUMENTED, "public-key", "secret-key")
    unpadded = genuine | {"signature": genuine["signature"][:-1]}
    assert reason(provider.prove(arriving(unpadded), 0)) is Reason.SIGNATURE_MALFORMED


@pytest.mark.parametrize(
    "names",
    [
        {"createdAt": "requestId", "requestId": "createdAt"},
        {"requestId": "id"},
        {"requestId": "createdAt", "createdAt": "requestId"},
        {"transcription": "words"},
        {"createdAt": "createdat"},
    ],
    ids=str,
)
def test_renamed_members_do_not_pass_as_others(node: Node, names: dict[str, str]) -> None:
    """Names are not signed: a callback whose members were renamed is refused all the same."""
    genuine = signed(node, CALLBACK | {"createdAt": "1762934391250"}, DOCUMENTED, "public-key", "secret-key")
    renamed = {names.get(name, name): value for name, value in genuine.items()}
    assert isinstance(source("required", **ORGANIZATION).prove(arriving(renamed), 0), Refused)


def test_values_do_not_flow_into_their_neighbours(node: Node) -> None:
    """Values are joined without escaping: what was said cannot become another transcription."""
    said = [{"text": 'x|[{"text":"forged"}]|1'}]
    genuine = signed(node, CALLBACK | {"transcription": said}, DOCUMENTED, "public-key", "secret-key")
    forged = {
        "requestId": 'request-1|[{"text":"x',
        "transcription": [{"text": "forged"}],
        "createdAt": '1"}]|1762934391250',
        "signature": genuine["signature"],
    }
    assert reason(source("required", **ORGANIZATION).prove(arriving(forged), 0)) is Reason.BODY_UNEXPECTED


@pytest.mark.parametrize("place", ['{"requestId":"other",', '{"createdAt":1,"createdAt":2,', '{"signature":"x",'])
def test_a_member_that_stands_twice_is_never_accepted(genuine: dict[str, Any], place: str) -> None:
    """Required refuses it, advisory notes it (also where the last one was signed), and it is not read."""
    twice = place + json.dumps(genuine, ensure_ascii=False, separators=(",", ":"))[1:]
    refused = source("required", **ORGANIZATION).prove(arriving(twice), 0)
    assert reason(refused) is Reason.BODY_UNEXPECTED
    proven = source(**ORGANIZATION).prove(arriving(twice), 0)
    assert reason(proven) is Verdict.TOKEN
    assert note(proven).detail.endswith("appears twice")
    with pytest.raises(Unreadable, match="appears twice"):
        outcome(twice)


def test_a_required_signature_and_a_token_are_both_asked_for(genuine: dict[str, Any]) -> None:
    """The right signature under a wrong token, or none, is refused; a token where none is configured is not ours."""
    both, alone = source("required", **ORGANIZATION), source("required", token=False, **ORGANIZATION)
    assert reason(both.prove(arriving(genuine, "wrong"), 0)) is Reason.TOKEN_UNKNOWN
    assert reason(both.prove(arriving(genuine, None), 0)) is Reason.TOKEN_MISSING
    assert reason(alone.prove(arriving(genuine, None), 0)) is Verdict.SIGNATURE
    assert reason(alone.prove(arriving(genuine, TOKEN), 0)) is Reason.TOKEN_UNKNOWN


@pytest.mark.parametrize(("mode", "keys"), [("off", ORGANIZATION), ("advisory", {})])
def test_no_signature_is_looked_for_where_it_is_off_or_no_key_is_there(mode: Mode, keys: dict[str, Any]) -> None:
    """The token alone proves any bytes, without a check."""
    proof = source(mode, **keys).prove(arriving(b"\xff not json"), 0)
    assert isinstance(proof, Proven)
    assert proof.checks == ()


def test_a_huge_body_is_not_searched_for_an_advisory_signature(genuine: dict[str, Any]) -> None:
    """Above a megabyte the token proves and the check says why nothing was looked for."""
    body = json.dumps(genuine | {"requestId": "x" * 2_000_000})
    check = note(source(**ORGANIZATION).prove(arriving(body), 0))
    assert check.ok is None
    assert check.detail == "not looked for in a body of more than 1048576 bytes"


def test_proofs_name_what_the_settings_allow() -> None:
    """An advisory signature is no proof of a callback: without a token, events alone can be proven, by their pair."""
    assert source().proofs() == ("token",)
    assert source(token=False, api_key=["ai"]).proofs() == ()
    assert source(token=False, **ORGANIZATION).proofs() == ("signature of events",)
    assert source("off", token=False, **ORGANIZATION).proofs() == ("signature of events",)
    assert source("required", **ORGANIZATION).proofs() == ("signature", "token")
    assert source("required", token=False, api_key=["ai"]).proofs() == ("signature",)
    assert reason(source(token=False).prove(arriving(CALLBACK, None), 0)) is Reason.TOKEN_MISSING
    assert reason(source(token=False).prove(arriving(CALLBACK, "x"), 0)) is Reason.TOKEN_UNKNOWN


def test_an_operator_learns_how_the_signature_stands_under_a_wrong_token(genuine: dict[str, Any]) -> None:
    """`explain` tells a wrong token from a stranger: the signature matches."""
    (check,) = source(**ORGANIZATION).explain(arriving(genuine, "wrong"), 0)
    assert check.ok is True
    assert source().explain(arriving(genuine, "wrong"), 0) == ()


@pytest.mark.parametrize(
    ("mode", "keys", "names"),
    [
        ("required", {}, ["callback_signature", "webhook_secret_key", "advisory"]),
        ("required", {"webhook_api_key": ["x"]}, ["webhook_api_key", "webhook_secret_key"]),
        ("advisory", {"webhook_api_key": ["x"]}, ["webhook_api_key", "webhook_secret_key"]),
        ("advisory", {"webhook_secret_key": ["x"]}, ["webhook_secret_key", "webhook_api_key"]),
        ("off", {"webhook_api_key": ["x"], "webhook_secret_key": ["x", ""]}, ["webhook_secret_key", "empty"]),
        ("off", {"api_key": [""]}, ["api_key", "empty"]),
    ],
)
def test_contradictions_name_their_keys_and_the_way_out(mode: Mode, keys: dict[str, Any], names: list[str]) -> None:
    """Settings that cannot prove what they promise do not start."""
    with pytest.raises(ConfigError) as wrong:
        source(mode, **keys)
    assert all(name in str(wrong.value) for name in names), wrong.value
    with pytest.raises(ConfigError, match="token: it is empty"):
        InvoxSettings(provider="invox", token=(Secret(TOKEN), Secret(""))).check()
