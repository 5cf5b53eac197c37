"""INVOX audio events: forms that are whole, and forms that are not; 10 MB of audio; signatures made by Node."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invox_samples import ORGANIZATION, arriving, outcome, signed, source
from javascript import Node

from handlers.providers.invox import multipart
from receiver.contract.errors import Unreadable
from receiver.contract.model import Notice, Verdict
from receiver.contract.proof import Proven, Reason, Refused

MARK = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"
ORDER = ["id", "duration", "userId", "organizationId", "consultationSessionId", "patientId", "sentAt"]
PARTS = {
    "id": "aura-1",
    "duration": "330",
    "userId": "user-1",
    "organizationId": "org-1",
    "consultationSessionId": "consultation-1",
    "patientId": "PAT-ñ",
    "sentAt": "1738670400000",
}
AUDIO = bytes(range(256)) * 4 + b"\r\n--\r\n\r\n--" + MARK[:-1] + b"\r\n"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node(Path(__file__).with_name("invox_sign.mjs")) as process:
        yield process


def part(name: str, content: bytes, more: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"{more}'.encode()
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (MARK, head, content)


def form(parts: dict[str, str], audio: bytes | None = AUDIO) -> bytes:
    texts = [part(name, text.encode()) for name, text in parts.items()]
    file = part("audio", audio, '; filename="audio.pcm"\r\nContent-Type: audio/pcm') if audio is not None else b""
    return b"".join([*texts, file, b"--%b--\r\n" % MARK])


def genuine(node: Node, parts: dict[str, str] | None = None, names: list[str] = ORDER) -> dict[str, str]:
    """Return an audio event's text parts, signed by Node."""
    parts = PARTS if parts is None else parts
    made = signed(node, parts, names, "public-key", "secret-key")
    return {"eventName": "OnInvoxAuraAudioCreated", **parts, "requestSignature": made["signature"]}


def judged(body: bytes) -> Reason | Verdict:
    proof = source("off", token=False, **ORGANIZATION).prove(arriving(body, None), 0)
    return proof.reason if isinstance(proof, Refused) else proof.verdict


def test_audio_signed_by_node_proves_with_empty_slots_alone(node: Node) -> None:
    """Its page says what an absent part is: the other reading is none."""
    few = {name: text for name, text in PARTS.items() if name not in ("userId", "consultationSessionId", "patientId")}
    assert judged(form(genuine(node))) is Verdict.SIGNATURE
    assert judged(form(dict(reversed(genuine(node).items())))) is Verdict.SIGNATURE
    assert judged(form(genuine(node, few))) is Verdict.SIGNATURE
    assert judged(form(genuine(node, few, list(few)))) is Reason.SIGNATURE_MISMATCH
    more = PARTS | {"room": "2"}
    assert judged(form(genuine(node, more, list(more)))) is Verdict.SIGNATURE


def test_the_audio_is_told_of_and_stays_out_of_the_event(node: Node) -> None:
    """Its size and SHA-256, that it is not signed, and every part; never its bytes."""
    found = outcome(form(genuine(node)))
    assert isinstance(found, Notice)
    assert found.name == "audio_created"
    assert found.call is not None
    assert found.call.external_id == "consultation-1"
    assert found.body["duration"] == 330
    assert found.body["audio"] == {
        "filename": "audio.pcm",
        "content_type": "audio/pcm",
        "size": len(AUDIO),
        "sha256": hashlib.sha256(AUDIO).hexdigest(),
        "signed": False,
    }
    assert found.body["patientId"] == "PAT-ñ"


def test_ten_megabytes_of_audio(node: Node) -> None:
    """Proven and read as the smallest; another audio is the same message, because it is not signed."""
    audio = random.Random(1).randbytes(10 * 1024 * 1024)
    body = form(genuine(node), audio)
    assert judged(body) is Verdict.SIGNATURE
    found = outcome(body)
    assert isinstance(found, Notice)
    assert found.body["audio"]["sha256"] == hashlib.sha256(audio).hexdigest()
    provider = source("off", token=False, **ORGANIZATION)
    keys = {
        provider.message_key(Proven(request=arriving(one), verdict=Verdict.SIGNATURE))
        for one in (body, form(genuine(node)), form(genuine(node, PARTS | {"sentAt": "1"})))
    }
    assert len(keys) == 1
    assert len(provider.fresh(form(genuine(node)), "1", 5_000_000)) >= 5_000_000


def test_no_change_of_one_to_three_bits_of_what_is_signed_proves(node: Node) -> None:
    """A change of the audio, of a file name or of a header's case goes unseen: none of them is signed."""
    parts = genuine(node)
    body, dice = form(parts), random.Random(7)
    proven = 0
    for _ in range(6000):
        changed = bytearray(body)
        for _ in range(dice.randint(1, 3)):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        if judged(bytes(changed)) is Verdict.SIGNATURE:
            read = multipart.parse(bytes(changed))
            assert {one.name: one.text() for one in read if one.name != "audio"} == parts
            proven += 1
    assert proven > 1000


WHOLE = form({"eventName": "OnInvoxAuraAudioCreated", **PARTS})
CLOSE = b"--%b--\r\n" % MARK


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"--", "begin with a boundary"),
        (b"--\r\n", "begin with a boundary"),
        (b"--" + b"x" * 71 + b"\r\n", "begin with a boundary"),
        (b"--x \r\n", "begin with a boundary"),
        (b"--a\r\n", "no headers"),
        (b"--a\r\n\r\n\r\nx\r\n--a--", "none that a form has"),
        (part("a", b"x"), "ends in the middle"),
        (WHOLE[:-3], "something follows|ends in the middle|no headers"),
        (WHOLE[:-200], "ends in the middle"),
        (WHOLE + b"x", "something follows"),
        (WHOLE + b"\r\n", "something follows"),
        (WHOLE.replace(CLOSE, part("id", b"other") + CLOSE), "appears twice"),
        (WHOLE.replace(CLOSE, part("audio", b"other") + CLOSE), "appears twice"),
        (part("", b"x") + CLOSE, "no name"),
        (part("a", b"x", '; name="b"') + CLOSE, "not that of a form"),
        (part("a", b"x", '; name*=utf-8"b"') + CLOSE, "not that of a form"),
        (part("a", b"x", "; junk") + CLOSE, "not that of a form"),
        (part("a", b"x", "\r\nContent-Disposition: form-data; name=b") + CLOSE, "appears twice"),
        (part("a", b"x", "\r\nContent-Transfer-Encoding: base64") + CLOSE, "transfer encoding"),
        (part("a", b"x", "\r\n folded") + CLOSE, "none that a form has"),
        (part("a", b"x", "\r\nX-Other: 1") + CLOSE, "none that a form has"),
        (part("a", b"x", "\nX-Other: 1") + CLOSE, "not that of a form|none that a form has"),
        (part("a", b"x").replace(b'"a"', b'"\xff"') + CLOSE, "not UTF-8"),
        (b"".join(part(f"p{number}", b"x") for number in range(65)) + CLOSE, "more than 64 parts"),
        (part("a", b"x", "; filename=" + "x" * 5000) + CLOSE, "no headers"),
        (b"--%b\r\n" % MARK + b"\r\n--%b" % MARK * 1000, "no headers"),
    ],
    ids=str,
)
def test_what_is_no_whole_form_is_refused(body: bytes, why: str) -> None:
    """Each with its reason, and never read."""
    with pytest.raises(multipart.NotMultipart, match=why):
        multipart.parse(body)
    assert judged(body) is Reason.BODY_UNEXPECTED
    with pytest.raises(Unreadable):
        outcome(body)


@pytest.mark.parametrize(
    "parts", [{"id": "x" * 70_000}, {"id": "a|b"}, {"duration": "long"}, {"sentAt": ""}, {"id": ""}]
)
def test_parts_of_a_wrong_shape_are_refused(node: Node, parts: dict[str, str]) -> None:
    """Signed or not."""
    assert judged(form(genuine(node, PARTS | parts))) is Reason.BODY_UNEXPECTED


def test_text_that_is_no_text_and_missing_audio_are_refused() -> None:
    """A part that is signed is UTF-8; the audio must be there, in a form of its event alone."""
    assert judged(WHOLE.replace("PAT-ñ".encode(), b"PAT-\xff")) is Reason.BODY_UNEXPECTED
    assert judged(form({"eventName": "OnInvoxAuraAudioCreated", **PARTS}, None)) is Reason.BODY_UNEXPECTED
    assert judged(form({"eventName": "OnMedicalReportFinished", **PARTS})) is Reason.BODY_UNEXPECTED
    assert judged(form(PARTS)) is Reason.BODY_UNEXPECTED


@pytest.mark.parametrize(
    "head",
    [
        "content-disposition:form-data;name=id",
        'Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="id"',
        "Content-Disposition: form-data; name=id; filename=x; filename*=utf-8''x",
        'Content-Disposition: Form-Data; Name="id"\r\nContent-Length: 6\r\nContent-Transfer-Encoding: 8bit',
    ],
)
def test_forms_of_other_libraries_are_read(node: Node, head: str) -> None:
    """Names quoted or bare, in any case, with a type for text; with or without an end of line at the end."""
    body = form(genuine(node)).replace(b'Content-Disposition: form-data; name="id"', head.encode())
    assert judged(body) is Verdict.SIGNATURE
    assert judged(body[:-2]) is Verdict.SIGNATURE


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_make_the_parser_raise_anything_else(data: st.DataObject) -> None:
    """Garbage, and pieces of forms in any order: read, or refused with its reason."""
    pieces: list[Any] = [
        b"--%b" % MARK, b"\r\n", b"--", b"\r\n\r\n", b'Content-Disposition: form-data; name="a"', b"audio", b":", b'"',
        b"; filename=x", b"\xff", b"\x00", part("id", b"x"), CLOSE, b"\n", b" ",
    ]  # fmt: skip
    start = data.draw(st.sampled_from([b"--%b\r\n" % MARK, b"--", b""]))
    body = start + b"".join(data.draw(st.lists(st.sampled_from(pieces) | st.binary(max_size=20), max_size=30)))
    try:
        parts = multipart.parse(body)
    except multipart.NotMultipart:
        return
    assert len({one.name for one in parts}) == len(parts)
    assert all(bytes(one.content) in body for one in parts)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Za-z]{1,12}", fullmatch=True), st.binary(max_size=200), max_size=8))
def test_what_is_written_is_read(contents: dict[str, bytes]) -> None:
    """Any contents that do not hold the boundary come back as they were."""
    parts = [(f'Content-Disposition: form-data; name="{name}"'.encode(), content) for name, content in contents.items()]
    body = multipart.written(MARK, parts)
    if contents:
        assert {one.name: bytes(one.content) for one in multipart.parse(body)} == contents


def test_sign_gives_what_node_gives(node: Node) -> None:
    """Also where the recorded event has no signature yet; the boundary stands in the header as in the body."""
    provider = source("off", token=False, **ORGANIZATION)
    sent = provider.sign(WHOLE, 0)
    read = multipart.parse(sent.body)
    assert {one.name: one.text() for one in read if one.name != "audio"} == genuine(node)
    assert sent.headers == ((b"content-type", b'multipart/form-data; boundary="%b"' % MARK),)
    assert provider.sign(b"--cut", 0).body == b"--cut"


@pytest.mark.parametrize("patient", ["PAT-1", None])
def test_a_transcript_is_no_audio(node: Node, patient: str | None) -> None:
    """Its values would fit where the user is a number: the time of delivery gives it away."""
    values = {
        "id": "org-1",
        "duration": "2222222",
        "userId": "2026-03-31T19:06:58.667Z",
        "organizationId": "consultation-1",
        "consultationSessionId": "aura-1",
        "patientId": "WEBVTT\n",
        "sentAt": "1738670400000",
        **({"more": patient} if patient else {}),
    }
    assert judged(form(genuine(node, values, list(values)))) is Reason.BODY_UNEXPECTED
    assert judged(form(genuine(node, values | {"userId": "user-1"}, list(values)))) is Verdict.SIGNATURE
