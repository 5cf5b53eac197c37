"""Anonymised fixtures: they load, prove and say the same kind of thing, and hold nothing of whom they were about."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from receiver.contract.errors import HookscribeError, UsageError
from receiver.contract.provider import Provider
from receiver.registry import discover
from receiver.testing.anonymous import Anonymous, secrets_of, written_fixture
from receiver.testing.fixtures import Case, load_cases, observed, settings_of

FIXTURES = Path(__file__).parents[3] / "fixtures"
KEY = b"0123456789abcdef"


REFUSED = {
    "invox-event-audio",
    "invox-event-audio-absent-slots",
    "invox-event-audio-null",
    "invox-event-transcription",
    "invox-event-transcription-empty",
    "invox-event-transcription-hostile",
}
"""What is no JSON, or what its words decide: a form, WebVTT."""


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every recorded case that says something, with its provider's name."""
    for name in discover().providers:
        if (FIXTURES / name).is_dir():
            yield from (
                (name, case)
                for case in load_cases(FIXTURES / name)
                if "outcomes" in case.expected and "sloppy" not in case.name
            )


def built(name: str, case: Case) -> Provider[Any]:
    """Make the provider of a case."""
    provider = discover().providers[name]
    return provider("source", settings_of(provider, case.settings))


def kinds(expected: Any) -> list[Any]:
    """Return what an outcome is, without what it says."""
    return [
        (kind, one.get("kind"), one.get("operation"), one.get("status"), len(one.get("segments", ())))
        for outcome in expected["outcomes"]
        for kind, one in outcome.items()
    ]


@pytest.mark.parametrize(("name", "case"), [one for one in cases() if f"{one[0]}-{one[1].name}" in REFUSED])
def test_what_its_words_decide_is_refused(tmp_path: Path, name: str, case: Case) -> None:
    """Rather no fixture than one of something else; nothing is written."""
    with pytest.raises(UsageError, match=r"depends on its words|no JSON"):
        written_fixture(tmp_path / "case", built(name, case), case.request(), frozenset())
    assert not (tmp_path / "case").exists()


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(*one, id=f"{one[0]}-{one[1].name}") for one in cases() if f"{one[0]}-{one[1].name}" not in REFUSED],
)
def test_every_recorded_case(tmp_path: Path, name: str, case: Case) -> None:
    """It proves by a secret of its own, and has the outcomes of the original in kind and number."""
    provider = built(name, case)
    private = secrets_of(provider.settings)
    made = written_fixture(tmp_path / "case", provider, case.request(), private)
    assert observed(built(name, made), made) == json.loads(msgspec.json.encode(made.expected))
    assert kinds(made.expected) == kinds(case.expected)
    whole = b"".join(file.read_bytes() for file in (tmp_path / "case").iterdir()).decode()
    assert not [one for one in private if one in whole]


def test_settings_that_say_how_to_read_stay_and_people_go(tmp_path: Path) -> None:
    """A source by settings alone makes a fixture too: its expressions are kept, whom they are about is not."""
    settings = {
        "token": ["an-unguessable-token-of-ours"],
        "event": "meta.kind",
        "events": {"call.*": "completed"},
        "job_id": "data.id",
        "segments": "data.turns[?text]",
        "roles": {"Maria Lopez": "agent"},
        "own_numbers": ["+34912345678"],
    }
    body = b'{"meta":{"kind":"call.done"},"data":{"id":"4711","turns":[{"speaker":"Maria Lopez","text":"Hello you"}]}}'
    case = Case(name="case", about="", token=None, headers={}, settings=settings, now=1.8e9, body=body, expected={})
    made = written_fixture(tmp_path / "case", built("generic", case), case.request(), frozenset())
    assert made.settings["segments"] == "data.turns[?text]"
    assert made.settings["events"] == {"call.*": "completed"}
    whole = b"".join(file.read_bytes() for file in (tmp_path / "case").iterdir())
    assert not [word for word in (b"Maria", b"Lopez", b"Hello", b"912345678") if word in whole]


def test_nothing_of_a_person_is_left() -> None:
    """Names, words, numbers, addresses, in whatever member, also as the name of a member."""
    document = {
        "status": "completed",
        "agent": "María-José Öztürk",
        "phone": "+34 600 123 456",
        "number": 34600123456,
        "mail": "maria@clinic.example.org",
        "url": "https://calls.clinic.example.org/a/b?sig=abcdef123456",
        "text": "Hello Maria, your card is 4111 1111.",
        "talk_time": {"María-José Öztürk": 12.5, "A": 1},
        "inner": '{"name": "Maria Lopez"}',
        "vtt": "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nHello Maria",
        "role": "agent",
        "type": "Maria Lopez",
    }
    one = Anonymous(KEY, 10)
    one.document(document)
    made = one.document(document)
    whole = json.dumps(made, ensure_ascii=False).lower()
    for word in ("mar", "lopez", "öz", "600", "4111", "clinic", "hello", "card", "sig", "abcdef123456"):
        assert word not in whole, word
    assert (made["status"], made["role"], made["talk_time"]["A"]) == ("completed", "agent", 1)
    assert made["agent"] in made["talk_time"]
    assert "00:00:01.000 --> 00:00:02.000" in made["vtt"]
    assert set(json.loads(made["inner"])) == {"name"}
    assert len(made["text"]) == len(str(document["text"]))
    assert [one.isdigit() for one in made["phone"]] == [one.isdigit() for one in document["phone"]]  # type: ignore[attr-defined]


def test_shapes_and_distances_stay() -> None:
    """Ids look like ids and stay equal to each other; times move together; small numbers and labels stay."""
    one = Anonymous(KEY, 10)
    made = one.document({
        "id": "9f1c2d3e-0000-4abc-8def-0123456789ab",
        "again": ["9f1c2d3e-0000-4abc-8def-0123456789ab", "rec_8KxQ2"],
        "at": "2026-03-01T10:00:00.5+01:00",
        "day": "2026-03-02",
        "no_day": "2026-99-99",
        "speaker": "speaker_1",
        "score": "0.75",
        "offset": "01:02.5",
        "started_at": 1772461800000,
        "ok": True,
        "none": None,
    })  # fmt: skip
    assert made["id"] == made["again"][0] != "9f1c2d3e-0000-4abc-8def-0123456789ab"
    assert [len(part) for part in made["id"].split("-")] == [8, 4, 4, 4, 12]
    assert set(made["id"]) <= set("0123456789abcdef-")
    assert made["again"][1][3] == "_"
    assert (made["at"], made["day"]) == ("2026-03-11T10:00:00.5+01:00", "2026-03-12")
    assert made["no_day"] != "2026-99-99"
    kept = ("speaker", "score", "offset", "started_at", "ok", "none")
    assert [made[name] for name in kept] == ["speaker_1", "0.75", "01:02.5", 1772461800000, True, None]


def test_another_key_replaces_otherwise() -> None:
    """Nobody can try out what gave a replacement."""
    first, second = (Anonymous(key, 0).text("rec_8KxQ2abc") for key in (KEY, KEY[::-1]))
    assert first != second


def test_what_is_left_is_found_before_it_is_written(tmp_path: Path) -> None:
    """A secret of the configuration anywhere in the files: nothing is written."""
    name, case = next(cases())
    with pytest.raises(HookscribeError, match="nothing was written"):
        written_fixture(tmp_path / "case", built(name, case), case.request(), frozenset({"anonymised receipt"}))
    assert not (tmp_path / "case").exists()


def test_bodies_that_are_no_json_are_refused(tmp_path: Path) -> None:
    """It is not known what in them is content."""
    name, case = next(cases())
    request = msgspec.structs.replace(case.request(), body=b"--boundary")
    with pytest.raises(UsageError, match="no JSON object or list"):
        written_fixture(tmp_path / "case", built(name, case), request, frozenset())
