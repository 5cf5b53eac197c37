"""ProviderContract: what every provider must hold. Subclass it, name the provider and its fixtures folder.

class TestAcme(ProviderContract):
provider = Acme
fixtures = Path("fixtures/acme")
"""

import contextlib
import json
import pickle
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from receiver.contract.errors import Unreadable
from receiver.contract.model import InboundRequest, Outcome, Result, Verdict
from receiver.contract.proof import Check, Proven, Refused
from receiver.contract.provider import Provider
from receiver.testing.events import HOSTILE
from receiver.testing.fixtures import Case, bare, load_cases, observed, receipt_of, settings_of
from receiver.testing.forms import read_form, with_part
from receiver.testing.tables import secrets_in

PRINTABLE = re.compile(rb"[ -~]*")
LARGE = 5_000_000
"""Bytes of a large body."""
PATIENCE = 20.0
"""Seconds that one may take."""
_TEXTS = 100
"""Texts of a body that are made hostile, one after the other."""
Path_ = tuple[str | int, ...]


class ProviderContract:
    """Recorded cases give what was expected; every leaf is used or excused; hostile bytes never raise."""

    provider: ClassVar[type[Provider[Any]]]
    fixtures: ClassVar[Path]

    def cases(self) -> list[Case]:
        """Return the recorded cases; at least one completed and one failed result should be among them."""
        return load_cases(self.fixtures)

    def build(self, case: Case) -> Provider[Any]:
        """Make the provider with the settings of a case."""
        return self.provider("source", settings_of(self.provider, case.settings))

    def test_there_are_cases(self) -> None:
        """A provider without recorded cases is not tested at all."""
        assert self.cases()

    def test_every_case_gives_what_was_expected(self) -> None:
        """Answer to a handshake, or verdict, message key and outcomes, are those written in expected.json."""
        for case in self.cases():
            assert bare(self.observed(case)) == bare(case.expected), case.name

    def observed(self, case: Case) -> dict[str, Any]:
        """Run one case and return what happened, in the form of expected.json."""
        return observed(self.build(case), case)

    def test_every_leaf_is_found_or_ignored_with_a_reason(self) -> None:
        """Changing any leaf changes the outcome outside `analysis.raw`, or the provider's table says why not."""
        for case in self.cases():
            if not {"result", "notice"} & {kind for item in case.expected.get("outcomes", ()) for kind in item}:
                continue
            provider = self.build(case)
            before = self.visible(provider, case, case.body)
            unused = [
                written(path)
                for path, body in changed_bodies(case.body)
                if not ignored(provider, path) and self.visible(provider, case, body) == before
            ]
            assert not unused, f"{case.name}: neither in the transcript nor in `ignored`: {unused}"

    def visible(self, provider: Provider[Any], case: Case, body: bytes) -> Any:
        """Return what users see of a body, without the provider's raw words."""
        request = msgspec.structs.replace(case.request(), body=body)
        proven = provider.prove(case.request(), case.now)
        assert isinstance(proven, Proven)
        try:
            outcomes = provider.normalize(receipt_of(msgspec.structs.replace(proven, request=request), provider.name))
        except Unreadable as error:
            return str(error)
        return [without_raw(outcome) for outcome in outcomes]

    def test_ignored_paths_are_real(self) -> None:
        """Every path in the table of ignored leaves stands in some recorded case, with a reason."""
        seen = {written(path) for case in self.cases() for path in paths(case.body)}
        tables = [self.build(case).leaves_out() for case in self.cases()]
        for path, reason in {path: reason for table in tables for path, reason in table.items()}.items():
            stem = path.removesuffix(".*")
            assert reason
            assert any(known == path or (path.endswith(".*") and known.startswith(stem)) for known in seen), path

    def test_the_message_key_is_stable(self) -> None:
        """The same message has the same key, whenever it comes; another body has another."""
        for case in self.cases():
            provider = self.build(case)
            proof = provider.prove(case.request(), case.now)
            if isinstance(proof, Proven):
                later = msgspec.structs.replace(proof.request, received_at=proof.request.received_at + 86_400_000)
                assert provider.message_key(proof) == provider.message_key(
                    msgspec.structs.replace(proof, request=later)
                )

    def test_signed_requests_prove(self) -> None:
        """What `sign` makes is proven, also for a fresh and a large body."""
        for case in self.cases():
            if "outcomes" not in case.expected:
                continue
            provider = self.build(case)
            for body in (case.body, provider.fresh(case.body, "contract-1"), provider.fresh(case.body, "2", 50_000)):
                signed = provider.sign(body, case.now)
                request = InboundRequest(
                    source="source", token=signed.token, headers=signed.headers, body=signed.body, received_at=0
                )
                assert isinstance(provider.prove(request, case.now), Proven), case.name

    def test_fresh_bodies_are_other_messages(self) -> None:
        """`fresh` gives another message key and readable results, as large as asked for where it can grow."""
        for case in self.cases():
            if "outcomes" not in case.expected:
                continue
            provider = self.build(case)
            keys = set()
            for serial in ("a", "b"):
                signed = provider.sign(provider.fresh(case.body, serial), case.now)
                request = msgspec.structs.replace(
                    case.request(), token=signed.token, headers=signed.headers, body=signed.body
                )
                proof = provider.prove(request, case.now)
                assert isinstance(proof, Proven)
                provider.normalize(receipt_of(proof, provider.name))
                keys.add(provider.message_key(proof))
            assert len(keys) == 2, case.name

    def test_hostile_bytes_never_raise(self) -> None:
        """For any body, headers and token: proof returns or refuses, a key comes out, normalizing explains."""
        for case in self.cases():
            provider = self.build(case)
            for request in hostile(case):
                proof = provider.prove(request, case.now)
                assert isinstance(proof, Proven | Refused)
                said = (*provider.explain(request, case.now), *provider.steps(request))
                assert all(isinstance(check, Check) for check in said)
                proven = proof if isinstance(proof, Proven) else Proven(request=request, verdict=Verdict.UNVERIFIED)
                assert isinstance(provider.message_key(proven), bytes)
                with contextlib.suppress(Unreadable):
                    msgspec.json.encode(provider.normalize(receipt_of(proven, provider.name)))

    def test_handshakes_say_nothing_harmful(self) -> None:
        """Whatever is sent: a handshake is left alone, or its answer has headers of printable text, and is small."""
        for case in self.cases():
            provider = self.build(case)
            for request in (case.request(), *hostile(case), *challenges(case)):
                reply = provider.handshake(request)
                if reply is not None:
                    assert all(PRINTABLE.fullmatch(part) for header in reply.headers for part in header), case.name
                    assert sum(map(len, (reply.body, *(part for header in reply.headers for part in header)))) < 4096

    def test_strangers_get_no_handshake(self) -> None:
        """Who knows the challenge alone, and no token of ours in the URL, is answered as anybody."""
        for case in self.cases():
            if "handshake" in case.expected and case.settings.get("token") and case.settings.get("require") != "any":
                for token in (None, "x" * 40):
                    stranger = msgspec.structs.replace(case.request(), token=token)
                    assert self.build(case).handshake(stranger) is None, case.name

    def test_wrong_tokens_and_secrets_are_refused(self) -> None:
        """A token or secret that is not ours proves nothing."""
        for case in self.cases():
            if "refused" in case.expected or case.settings.get("verify") == "none":
                continue
            provider = self.build(case)
            stranger = msgspec.structs.replace(case.request(), token="x" * 40, headers=())
            assert isinstance(provider.prove(stranger, case.now), Refused), case.name

    def test_a_large_body(self) -> None:
        """Five megabytes, where a recorded body can grow to it, are proven, have a key and are read, within their time."""
        for case in self.cases():
            provider = self.build(case)
            if "outcomes" not in case.expected or len(provider.fresh(case.body, "size", 50_000)) < 50_000:
                continue
            signed = provider.sign(provider.fresh(case.body, "large", LARGE), case.now)
            if len(signed.body) < LARGE * 9 // 10:
                continue
            request = msgspec.structs.replace(
                case.request(), token=signed.token, headers=signed.headers, body=signed.body
            )
            began = time.monotonic()
            proof = provider.prove(request, case.now)
            assert isinstance(proof, Proven), case.name
            assert provider.message_key(proof)
            msgspec.json.encode(provider.normalize(receipt_of(proof, provider.name)))
            assert time.monotonic() - began < PATIENCE, case.name
            return

    def test_hostile_text_is_read_or_refused(self) -> None:
        """Mark-up, control and bidi characters in any text of a body: it is read, and can be written, or is Unreadable."""
        for case in self.cases():
            if "outcomes" not in case.expected or read_form(case.body) is not None:
                continue
            provider = self.build(case)
            proven = provider.prove(case.request(), case.now)
            assert isinstance(proven, Proven)
            for body in hostile_texts(case.body):
                request = msgspec.structs.replace(case.request(), body=body)
                receipt = receipt_of(msgspec.structs.replace(proven, request=request), provider.name)
                assert isinstance(provider.message_key(msgspec.structs.replace(proven, request=request)), bytes)
                with contextlib.suppress(Unreadable):
                    json.loads(msgspec.json.encode(provider.normalize(receipt)))

    def test_nothing_shows_a_secret(self) -> None:
        """Neither the settings of a source nor the provider itself, however they are printed."""
        for case in self.cases():
            provider = self.build(case)
            for secret in secrets_in(provider.settings):
                assert secret not in f"{provider.settings!r} {provider!r} {provider}", case.name

    def test_a_pickled_provider_is_the_same(self) -> None:
        """A provider goes to another process and comes to the same verdict there."""
        for case in self.cases():
            provider = self.build(case)
            copy = pickle.loads(pickle.dumps(provider))  # noqa: S301 -- made in the line above
            assert type(copy.prove(case.request(), case.now)) is type(provider.prove(case.request(), case.now))


def challenges(case: Case) -> Iterator[InboundRequest]:
    """Yield a case with each header's value made into what would break an answer: line ends, controls, length."""
    request = case.request()
    for name, value in request.headers:
        for other in (b"", value + b"\r\nx: y", value + b"\n", b"\x00", b"\xff", b"a b", value * 5000, b"x" * 1025):
            headers = tuple((key, other if key == name else known) for key, known in request.headers)
            yield msgspec.structs.replace(request, headers=headers)


def hostile_texts(body: bytes) -> Iterator[bytes]:
    """Yield a body of JSON with each of its texts replaced in turn, by one hostile text after the other."""
    document = json.loads(body)
    texts = [path for path, value in leaves(document) if isinstance(value, str)]
    for number, path in enumerate(texts[:_TEXTS]):
        yield json.dumps(replaced(document, path, HOSTILE[number % len(HOSTILE)])).encode()


def leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Yield every leaf of a JSON value with its path; an empty object or list is a leaf without content, left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif value is not None:
        yield path, value


def changed_bodies(body: bytes) -> Iterator[tuple[Path_, bytes]]:
    """Yield a body of JSON, or a form, with each of its leaves changed in turn; a form's leaves are its parts."""
    form = read_form(body)
    if form is not None:
        for name, content in form.items():
            yield (name,), with_part(body, name, content[:-1] + (b"x" if content[-1:] != b"x" else b"y"))
        return
    document = json.loads(body)
    for path, value in leaves(document):
        yield path, json.dumps(changed(document, path, value)).encode()


def written(path: Path_) -> str:
    """Write a path as the table of ignored leaves does: `response.words[].end`."""
    return "".join("[]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def ignored(provider: Provider[Any], path: Path_) -> bool:
    """Say whether the provider's table excuses a path."""
    text, table = written(path), provider.leaves_out()
    return text in table or any(text.startswith(known[:-1]) for known in table if known.endswith(".*"))


def paths(body: bytes) -> Iterator[Path_]:
    """Yield the paths of a body's leaves, none for what is neither JSON nor a form; nulls count."""

    def walk(value: Any, path: Path_) -> Iterator[Path_]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, (*path, index))
        yield path

    yield from ((name,) for name in read_form(body) or ())
    try:
        yield from walk(json.loads(body), ())
    except ValueError:
        return


def changed(document: Any, path: Path_, value: Any) -> Any:
    """Return a copy of `document` with another value of the same type at `path`."""
    other: Any
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, int | float):
        other = value + 1
    else:
        other = value[:-1] + ("x" if value[-1:] != "x" else "y")
    return replaced(document, path, other)


def replaced(document: Any, path: Path_, value: Any) -> Any:
    """Return a copy of `document` with a value at `path`."""
    copy = json.loads(json.dumps(document))
    target = copy
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return copy


def without_raw(outcome: Outcome) -> Any:
    """Return an outcome as plain data, without `analysis.raw`."""
    data = msgspec.to_builtins(outcome)
    if isinstance(outcome, Result) and data.get("analysis"):
        data["analysis"].pop("raw")
    return data


def hostile(case: Case) -> Iterator[InboundRequest]:
    """Yield a case cut, mutated and replaced by garbage."""
    dice = random.Random(case.name)  # noqa: S311 -- the same garbage each time
    request = case.request()
    bodies = [b"", b"null", b"[]", b"{}", b'""', b"0", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 20_000, b"1e999"]
    bodies += [case.body[: len(case.body) * cut // 7] for cut in range(7)]
    for _ in range(60):
        mutated = bytearray(case.body or b"{}")
        for _ in range(dice.randint(1, 3)):
            mutated[dice.randrange(len(mutated))] ^= 1 << dice.randrange(8)
        bodies.append(bytes(mutated))
    for body in bodies:
        yield msgspec.structs.replace(request, body=body)
    garbage = ["", "=", "sha256=", "\xff" * 64, "0" * 64, "A" * 44, "1" * 400, "-1", "1e9", "\x00"]
    for text in garbage:
        headers = tuple((name, text.encode("latin-1")) for name, _ in request.headers)
        yield msgspec.structs.replace(request, headers=headers)
        yield msgspec.structs.replace(request, token=text)
