"""Hostile requests: nothing unproven is kept, nobody learns anything, nothing breaks, and everybody else goes on."""

import asyncio
import hashlib
import hmac
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from receiver.store.ids import RECEIPT, encode
from system.hostile_harness import (
    ADVISED,
    BY_TOKEN,
    HEADER,
    PREFIX,
    PROVIDERS,
    REQUIRED,
    SECRET,
    SIGNED,
    TOKENS,
    Answer,
    Serve,
    answers,
    ask,
    flowing,
    genuine,
    http,
    serving,
    talk,
    until,
)

pytestmark = pytest.mark.system

MUTATIONS = 250
"""Of each of the seven kinds."""
OTHERS = 10_000
GENUINE = 1_000
AT_ONCE = 24
CONSTANT = {
    400: b"Invalid HTTP request received.",
    401: b'{"error":"not proven"}',
    404: b'{"error":"not found"}',
    405: b'{"error":"POST only"}',
    413: b'{"error":"too large"}',
}


class Attack(msgspec.Struct):
    """What was sent, what may be kept of it, and what came back."""

    chance: random.Random
    may_be_kept: defaultdict[str, set[bytes]]
    """By source: the bodies that were sent with a proof that holds."""
    told: defaultdict[int, Counter[tuple[tuple[str, ...], bytes]]]
    """By status: headers and bodies of answers."""
    accepted: set[str]

    @classmethod
    def seeded(cls, seed: int) -> "Attack":
        return cls(random.Random(seed), defaultdict(set), defaultdict(Counter), set())

    def note(self, raw: bytes) -> list[Answer]:
        """Remember what came back over a connection."""
        found = answers(raw)
        for one in found:
            if one.status == 200:
                if one.body.startswith(b"{"):
                    self.accepted.add(json.loads(one.body)["id"])
            else:
                self.told[one.status][one.headers, one.body] += 1
        return found

    def flipped(self, data: bytes) -> bytes:
        """Return bytes with one to three bits changed."""
        changed = bytearray(data)
        while changed == data:
            for _ in range(self.chance.randint(1, 3)):
                changed[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
        return bytes(changed)


Sending = Callable[[Attack, int, int], Awaitable[None]]


async def _mutated_body(attack: Attack, port: int, number: int, source: str) -> None:
    request = genuine(source, f"body-{number}")
    changed = msgspec.structs.replace(request, body=attack.flipped(request.body))
    (answer,) = attack.note(await talk(port, http(source, changed, close=True)))
    proven = source in (ADVISED, BY_TOKEN) or (source == REQUIRED and _same_values(changed.body, request.body))
    if proven:
        attack.may_be_kept[source].add(changed.body)
    assert answer.status == 200 if proven and source != REQUIRED else answer.status in (200, 401)
    assert proven or answer.status == 401


async def _mutated_signature(attack: Attack, port: int, number: int) -> None:
    request = genuine(SIGNED, f"signature-{number}")
    ((name, value),) = [header for header in request.headers if header[0] == HEADER.lower().encode()]
    wrong = attack.flipped(value)
    sent = http(SIGNED, request, close=True).replace(name + b": " + value, name + b": " + wrong)
    found = attack.note(await talk(port, sent, wait=2))
    if _mac_of(wrong) == _mac_of(value):
        attack.may_be_kept[SIGNED].add(request.body)
        assert [one.status for one in found] == [200]
    else:
        assert {one.status for one in found} <= {400, 401}


async def _mutated_token(attack: Attack, port: int, number: int, source: str) -> None:
    request = genuine(source, f"token-{number}")
    assert request.token
    wrong = attack.flipped(request.token.encode())
    sent = http(source, request, close=True).replace(request.token.encode(), wrong, 1)
    found = attack.note(await talk(port, sent, wait=2))
    assert {one.status for one in found} <= {400, 401, 404}


def _mac_of(value: bytes) -> bytes | None:
    found = re.fullmatch(rb"sha256=([0-9a-fA-F]{64})\s*", value)
    return bytes.fromhex(found[1].decode()) if found else None


def _same_values(body: bytes, original: bytes) -> bool:
    """Say, by other means than ours, whether a changed INVOX body has the values that were signed, and that signature."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(found) == len(dict(found))
        return dict(found)

    try:
        changed, was = (json.loads(text.decode(), object_pairs_hook=pairs) for text in (body, original))
        return all(changed[key] == was[key] for key in ("requestId", "transcription", "createdAt", "signature"))
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        return False


def _head(line: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: localhost", *headers, b"", b""])


_CLOSE = b"Connection: close"
_GARBAGE = (
    b"",
    b"{}",
    b"null",
    b"[" * 5000,
    b"\x00" * 100,
    b'{"id":"\xff\xfe"}',
    b'{"a":1,"a":2}',
    b"\xef\xbb\xbf{}",
    b"1e999",
)
_PATHS = (
    b"/hooks//x", b"/hooks/", b"/hooks", b"//hooks/callcov", b"/hooks/./callcov", b"/hooks/../callcov", b"/hooks/%2e%2e/callcov",
    b"/hooks/callcov/%2e%2e", b"/hooks/callcov%2f..", b"/hooks/callcov%00", b"/hooks/callcov/a/b", b"/hooks/callcov/" + b"a" * 20_000,
    b"/hooks/" + b"%41" * 5000, b"/hooks/callcov?token=x", b"/hooks/callcov#x", b"/HOOKS/callcov", b"/hooks/Callcov", b"/hooks/callcov\xc3\xa9",
    b"/hooks/%ff%fe", b"/hooks/callcov;x=1", b"/hooks/\\callcov", b"http://evil/hooks/callcov", b"http://[::1/hooks/callcov", b"*", b"callcov", b"",
    b"/hooks/callcov HTTP/1.1\r\nX: y", b"/api/v1/receipts", b"/metrics", b"/healthz/", b"/media/x", b"/%", b"/hooks/%", b"/hooks/%zz/%u1234",
)  # fmt: skip
_METHODS = (
    b"GET",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"PATCH",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"post",
    b"P\x00ST",
    b"PRI",
    b"BREW",
    b"\x16\x03\x01",
)
_VERSIONS = (
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"HTTP/1.1 ",
    b"HTTP/9.9",
    b"FTP/1.1",
    b"",
    b"HTTP/1.10",
)
_LENGTHS = (
    b"-1",
    b"+5",
    b"0x5",
    b"5, 5",
    b"5 5",
    b"",
    b"99999999999999999999",
    b"18446744073709551616",
    b"\xd9\xa5",
    b"5\x00",
    b"1e1",
    b"05",
    b"5;5",
)
_CHUNKED = (
    b"zz\r\nabc\r\n0\r\n\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\nabc", b"-1\r\nabc", b'3;ext="\x00"\r\nabc\r\n0\r\n\r\n', b"3\nabc\n0\n\n",
    b"0\r\nTrailer: x\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nX-Signature: sha256=" + b"0" * 64 + b"\r\n\r\n", b"1\r\na" * 100,
)  # fmt: skip
_HEADERS = (
    b"X-Signature", b"X-Signature:", b"X-Signature: sha256=", b"X-Signature: " + b"a" * 30_000, b"X-Signature : sha256=0", b"X-Signature: sha256=\xff\xfe",
    b"X-Signature: sha256=" + b"0" * 64, b"X-Signature: sha256=" + "٣".encode() * 64, b"X-Signature: sha512=x\r\nX-Signature: sha256=y", b": empty",
    b"X\x00Y: z", b"X: \x00", b"X: a\r\n folded", b"X: a\nY: b", b"Transfer-Encoding: gzip", b"Content-Encoding: gzip", b"Upgrade: h2c\r\nConnection: Upgrade",
    b"Upgrade: websocket\r\nConnection: Upgrade", b"Expect: 100-continue", b"Expect: nonsense", b"Host: \r\nHost: b", b"Content-Type: " + b"x" * 9000,
    b"\r\n".join(b"H%d: %d" % (n, n) for n in range(500)), b"Validation-Token: guess", b"Forwarded: for=1", b"Authorization: Bearer x",
)  # fmt: skip


def _hostile(chance: random.Random) -> bytes:
    """Make a request that proves nothing, of one of many kinds."""
    body = chance.choice(_GARBAGE) if chance.random() < 0.7 else chance.randbytes(chance.randrange(2000))
    path = b"/hooks/" + chance.choice([*PROVIDERS, "nobody"]).encode()
    path += chance.choice((b"", b"/", b"/wrong-token-0123456789", b"/%74oken"))
    length = b"Content-Length: %d" % len(body)
    end = chance.choice((_CLOSE, b"Connection: keep-alive, close"))
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: _head(b"POST %b HTTP/1.1" % path, length, end) + body,
        lambda: _head(b"POST %b HTTP/1.1" % chance.choice(_PATHS), length, end) + body,
        lambda: _head(b"%b %b HTTP/1.1" % (chance.choice(_METHODS), path), length, end) + body,
        lambda: _head(b"POST %b %b" % (path, chance.choice(_VERSIONS)), length, end) + body,
        lambda: _head(b"POST %b HTTP/1.1" % path, b"Content-Length: " + chance.choice(_LENGTHS), end) + body,
        lambda: _head(b"POST %b HTTP/1.1" % path, b"Transfer-Encoding: chunked", end) + chance.choice(_CHUNKED),
        lambda: _head(b"POST %b HTTP/1.1" % path, b"Transfer-Encoding: chunked", length, end) + body,
        lambda: _head(b"POST %b HTTP/1.1" % path, length, length, end) + body,
        lambda: _head(b"POST %b HTTP/1.1" % path, length, chance.choice(_HEADERS), end) + body,
        lambda: (_head(b"POST %b HTTP/1.1" % path, length) + body) * chance.randint(2, 40),
        lambda: _head(b"POST %b HTTP/1.1" % path, length, end)[: chance.randrange(60)],
        lambda: chance.randbytes(chance.randrange(1, 3000)),
    )
    return chance.choice(kinds)()


def _legitimate_in_odd_clothes(number: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (source, body, request): odd HTTP around a proof that holds."""
    signed, by_token = genuine(SIGNED, f"odd-{number}"), genuine(BY_TOKEN, f"odd-{number}")
    whole = http(SIGNED, signed, close=True)
    yield SIGNED, signed.body, whole.replace(b"Host: localhost", b"Host: localhost\r\nExpect: 100-continue")
    yield SIGNED, signed.body, whole.replace(b"Host: localhost", b"Host: h\r\nConnection: Upgrade\r\nUpgrade: h2c")
    yield SIGNED, signed.body, whole.replace(b"HTTP/1.1", b"HTTP/1.0")
    yield SIGNED, signed.body, whole.replace(b"/hooks/", b"http://elsewhere/hooks/", 1)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (signed.body[:7], signed.body[7:])) + b"0\r\n\r\n"
    head, _, _ = whole.partition(b"\r\n\r\n")
    chunked = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", head) + b"\r\n\r\n" + chunks
    yield SIGNED, signed.body, chunked
    yield BY_TOKEN, by_token.body, http(BY_TOKEN, by_token, close=True).replace(b" HTTP/1.1", b"?a=b HTTP/1.1", 1)
    garbage = msgspec.structs.replace(by_token, body=b"\x00 no json %d" % number)
    yield BY_TOKEN, garbage.body, http(BY_TOKEN, garbage, close=True)


async def _other(attack: Attack, port: int, number: int) -> None:
    if number % 50 == 0:
        for source, body, request in _legitimate_in_odd_clothes(number):
            attack.may_be_kept[source].add(body)
            assert [one.status for one in attack.note(await talk(port, request))] == [200], request[:200]
        return
    data = _hostile(attack.chance)
    cut = attack.chance.randrange(len(data)) if attack.chance.random() < 0.1 else len(data)
    half_close = attack.chance.random() < 0.1
    attack.note(await talk(port, data[:cut], data[cut:], wait=0.3, half_close=half_close))


def _mutations() -> Iterator[Sending]:
    for source in PROVIDERS:
        yield lambda attack, port, number, source=source: _mutated_body(attack, port, number, source)  # type: ignore[misc]
    yield _mutated_signature
    for source in (BY_TOKEN, ADVISED):
        yield lambda attack, port, number, source=source: _mutated_token(attack, port, number, source)  # type: ignore[misc]


async def test_hostile_among_genuine(tmp_path: Path) -> None:
    """Mutations and 10,000 hostile requests among 1,000 genuine: only what proves is kept, and everybody else goes on."""
    attack = Attack.seeded(20_261_120)
    with serving(tmp_path) as serve:
        works = [(send, number) for send in _mutations() for number in range(MUTATIONS)]
        works += [(_other, number) for number in range(OTHERS)]
        attack.chance.shuffle(works)

        async def lane() -> None:
            while works:
                send, number = works.pop()
                await send(attack, serve.port, number)

        sending = asyncio.create_task(flowing(serve.port, "genuine", GENUINE, 0.005))
        await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
        flow = await sending
        print(f"p99 {flow.p99 * 1000:.0f} ms,", {status: sum(told.values()) for status, told in attack.told.items()})
        for number in range(GENUINE):
            source = (SIGNED, REQUIRED, ADVISED, BY_TOKEN)[number % 4]
            attack.may_be_kept[source].add(genuine(source, f"genuine-{number}").body)
        assert flow.statuses == {200: GENUINE}
        assert flow.p99 < 0.25
        _only_proven_is_kept(serve, attack, set(flow.ids))
        _senders_learn_nothing(attack)
        serve.assert_quiet()


def _only_proven_is_kept(serve: Serve, attack: Attack, genuine_ids: set[str]) -> None:
    kept = {
        encode(RECEIPT, number): (source, body)
        for number, source, body in serve.rows("SELECT id, source, body FROM receipts")
    }
    assert genuine_ids <= kept.keys()
    assert len(genuine_ids) == GENUINE
    assert kept.keys() == genuine_ids | attack.accepted
    assert not [source for source, body in kept.values() if body not in attack.may_be_kept[source]]
    for headers, body in serve.rows(f"SELECT headers, body FROM receipts WHERE source = '{SIGNED}'"):
        (value,) = re.findall(rb"(?im)^x-signature:(.*)$", headers)
        assert _mac_of(value.removeprefix(b" ")) == hmac.digest(SECRET.encode(), body, hashlib.sha256)
    for token in TOKENS.values():
        assert token.encode() not in b"".join(row[0] for row in serve.rows("SELECT headers FROM receipts"))


def _senders_learn_nothing(attack: Attack) -> None:
    """Every refusal of a kind is the same bytes, but for whether the connection goes on."""
    assert attack.told.keys() <= {307, *CONSTANT}
    for status, constant in CONSTANT.items():
        bodies = {body for _, body in attack.told[status]} - {b""}
        assert bodies <= ({constant, b"Not Found"} if status == 404 else {constant})
        seen = {
            tuple(line for line in headers if line != "connection: close")
            for headers, body in attack.told[status]
            if body == constant
        }
        assert len(seen) <= 1


async def test_garbage_under_a_token(tmp_path: Path) -> None:
    """Whatever comes with a token that is ours is answered 200, and what cannot be read ends unreadable."""
    chance = random.Random(5)
    bodies = [
        b"%d " % n + garbage for n, garbage in enumerate([*_GARBAGE, *(chance.randbytes(500) for _ in range(40))])
    ]
    bodies += [b"x" * 3_000_000, b"[" * 2_000_000]
    with serving(tmp_path) as serve:
        for source in (BY_TOKEN, ADVISED):
            for body in bodies:
                request = msgspec.structs.replace(genuine(source, "x"), body=body)
                assert (await ask(serve.port, http(source, request, close=True))).status == 200
        count = 2 * len(bodies)
        await until(lambda: serve.rows("SELECT state, count(*) FROM receipts GROUP BY 1") == [("unreadable", count)])
        assert {row[0] for row in serve.rows("SELECT body FROM receipts")} == set(bodies)
        serve.assert_quiet()


async def test_answers(tmp_path: Path) -> None:
    """Each way to be turned away has one constant answer; a body that is too large is 413, proven or not."""
    large = b"x" * (33 << 20)
    with serving(tmp_path) as serve:

        async def answer(path: str, body: bytes, *headers: bytes) -> Answer:
            length = b"Content-Length: %d" % len(body)
            return await ask(serve.port, _head(f"POST {path} HTTP/1.1".encode(), length, _CLOSE, *headers) + body)

        unknown = await answer("/hooks/nobody", b"{}")
        assert unknown == await answer(f"/hooks/{BY_TOKEN}/another-token-0123456789", b"{}")
        assert unknown == await answer(f"/hooks/{REQUIRED}/another-token-0123456789", genuine(REQUIRED, "x").body)
        unproven = await answer(f"/hooks/{SIGNED}", b"{}")
        assert unproven == await answer(f"/hooks/{SIGNED}", b"{}", f"{HEADER}: {PREFIX}{'0' * 64}".encode())
        assert unproven == await answer(f"/hooks/{SIGNED}", b"", f"{HEADER}: nonsense".encode())
        assert unproven == await answer(f"/hooks/{REQUIRED}/{TOKENS[REQUIRED]}", b"garbage")
        assert unproven == await answer(f"/hooks/{BY_TOKEN}", genuine(BY_TOKEN, "x").body)
        assert (unknown.status, unknown.body) == (404, CONSTANT[404])
        assert (unproven.status, unproven.body) == (401, CONSTANT[401])
        too_large = await answer(f"/hooks/{SIGNED}", large)
        assert too_large == await answer(f"/hooks/{BY_TOKEN}/{TOKENS[BY_TOKEN]}", large)
        assert (too_large.status, too_large.body) == (413, CONSTANT[413])
        assert serve.rows("SELECT count(*) FROM receipts") == [(0,)]
        serve.assert_quiet()
