"""Roles by rule: by name, by channel, by our own numbers; what does not fit gives none."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_fakes import world

from receiver.contract.model import Call, Notice, Result, Segment, Speaker
from receiver.contract.settings import SourceSettings
from receiver.pipeline.roles import ruled

CALL = Call(from_="+34 600 111 222", to="0034 912 345 678", direction="inbound")


def result(*speakers: str | Speaker, channels: dict[str | None, Any] | None = None, call: Call | None = None) -> Result:
    """Return a result in which each speaker speaks in a channel."""
    told = tuple(one if isinstance(one, Speaker) else Speaker(id=one) for one in speakers)
    spoken = tuple(
        Segment(start=float(place), end=place + 1.5, speaker=who, channel=channel, text="words")
        for place, (who, channel) in enumerate((channels or {}).items())
    )
    return Result(kind="transcript", operation="o", job_id="1", speakers=told, segments=spoken, call=call)


def roles(said: Result, **settings: Any) -> dict[str, str | None]:
    """Return the role of each speaker after the rules of a source."""
    (became,) = ruled((said,), SourceSettings(provider="acme", **settings))
    assert isinstance(became, Result)
    return {speaker.id: speaker.role for speaker in became.speakers}


def test_without_rules_nothing_changes() -> None:
    """The same objects come back."""
    said = (result("A"), Notice(name="x", body=1))
    assert ruled(said, SourceSettings(provider="acme")) is said


def test_names_decide_before_the_provider_does() -> None:
    """The rule by name is the user's word; the label counts where the id says nothing."""
    said = result(Speaker(id="A", role="customer"), Speaker(id="1", label="Rosa"), "C")
    assert roles(said, roles={"A": "agent", "Rosa": "customer"}) == {"A": "agent", "1": "customer", "C": None}


def test_channels_decide_in_their_order() -> None:
    """The lowest channel has the first role, whether channels are numbers from 0, from 1, as text or names."""
    for first, second in ((0, 1), (1, 2), ("1", "2"), ("2", "10"), ("left", "right")):
        said = result("B", "A", channels={"B": second, "A": first})
        assert roles(said, channels=("agent", "customer")) == {"A": "agent", "B": "customer"}


def test_a_channel_more_or_less_says_nothing() -> None:
    """Where the channels are not as many as the roles, nobody knows which one is missing."""
    assert roles(result("A", channels={"A": 1}), channels=("agent", "customer")) == {"A": None}
    three = result("A", "B", "C", channels={"A": 0, "B": 1, "C": 2})
    assert set(roles(three, channels=("agent", "customer")).values()) == {None}


def test_who_speaks_in_both_channels_has_no_role() -> None:
    """Crosstalk is not decided."""
    said = result("A", "B")
    spoken = tuple(
        Segment(start=None, end=None, speaker=who, channel=channel, text=None)
        for who, channel in (("A", 0), ("B", 1), ("A", 1))
    )
    (became,) = ruled(
        (Result(kind=said.kind, operation="o", job_id="1", speakers=said.speakers, segments=spoken),),
        SourceSettings(provider="acme", channels=("agent", "customer")),
    )
    assert isinstance(became, Result)
    assert [speaker.role for speaker in became.speakers] == [None, "customer"]


def test_channels_without_speakers_become_speakers() -> None:
    """Where the provider tells channels apart and nobody by name, each channel is somebody, with the seconds spoken."""
    spoken = tuple(
        Segment(start=start, end=end, speaker=None, channel=channel, text="words")
        for start, end, channel in ((0.0, 2.0, 1), (2.0, 3.0, 0), (3.0, 3.5, 1))
    )
    said = Result(kind="transcript", operation="o", job_id="1", segments=spoken)
    (became,) = ruled((said,), SourceSettings(provider="acme", channels=("agent", "customer")))
    assert isinstance(became, Result)
    assert [(one.id, one.role, one.talk_time) for one in became.speakers] == [
        ("channel-1", "customer", 2.5),
        ("channel-0", "agent", 1.0),
    ]
    assert [one.speaker for one in became.segments] == ["channel-1", "channel-0", "channel-1"]


def test_our_numbers_are_agents_and_the_other_side_is_the_customer() -> None:
    """Numbers are compared by their digits, whatever stands between, in id or label."""
    said = result("34600111222", Speaker(id="7", label="+34 (912) 345-678"), "+1 555 0100", call=CALL)
    assert roles(said, own_numbers=("+34912345678",)) == {"34600111222": "customer", "7": "agent", "+1 555 0100": None}


def test_the_direction_decides_where_no_number_of_the_call_is_known_as_ours() -> None:
    """Inbound calls end at us, outbound calls begin here; without a direction nothing is decided."""
    both = ("+34600111222", "+34912345678")
    assert roles(result(*both, call=CALL), own_numbers=("900",)) == {both[0]: "customer", both[1]: "agent"}
    turned = Call(from_=CALL.from_, to=CALL.to, direction="outbound")
    assert roles(result(*both, call=turned), own_numbers=("900",)) == {both[0]: "agent", both[1]: "customer"}
    unknown = Call(from_=CALL.from_, to=CALL.to)
    assert set(roles(result(*both, call=unknown), own_numbers=("900",)).values()) == {None}


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(["inbound", "outbound", None]))
def test_hostile_names_never_raise(name: str, number: str, direction: Any) -> None:
    """Whatever speakers and numbers are called, the rules give a role or none."""
    said = result(name, channels={name: number, None: 3}, call=Call(from_=number, to=name, direction=direction))
    found = roles(said, own_numbers=(number or "1",), channels=("agent",), roles={"x": "agent"})
    assert set(found.values()) <= {"agent", "customer", None}


async def test_rules_are_applied_after_normalizing(tmp_path: Path) -> None:
    """A provider that knows nothing of rules has roles all the same, in the stored transcript."""
    async with world(tmp_path, channels=("customer", "agent")) as one:
        await one.say(result("A", "B", channels={"A": 0, "B": 1}))
        ((doc,),) = one.sql("SELECT doc FROM versions")
    assert '"role":"customer"' in str(doc)


async def test_a_rule_that_fails_makes_one_receipt_unreadable(tmp_path: Path) -> None:
    """A plugin's impossible speaker stops nothing else."""
    broken = Result(kind="transcript", operation="o", job_id="2", speakers=(Speaker(id=["x"]),))  # type: ignore[arg-type]
    async with world(tmp_path, roles={"A": "agent"}) as one:
        await one.say(broken)
        await one.say(result("A"))
        assert [state for state, _ in one.states()] == ["unreadable", "normalized"]


@pytest.mark.parametrize(
    ("settings", "types", "became"),
    [
        ({}, ["transcript.completed", "acme.started"], '"event"'),
        ({"ignore": ("acme.*",)}, ["transcript.completed"], '[{"ignored":"acme.started"}]'),
        ({"include": ("acme.st*",)}, ["acme.started"], '"event"'),
        ({"include": ("acme.*",), "ignore": ("*.started",)}, [], '[{"ignored":"acme.started"}]'),
    ],
)
async def test_ignored_events_are_not_made(tmp_path: Path, settings: Any, types: list[str], became: str) -> None:
    """What a source's globs leave out makes no row but the receipt, which says so."""
    async with world(tmp_path, **settings) as one:
        await one.say(result("A"))
        number = await one.say(Notice(name="started", body={"x": 1}))
        assert one.types() == types
        assert became in one.sql("SELECT outcome FROM receipts WHERE id = ?", number)[0][0]
        assert {state for state, _ in one.states()} == {"normalized"}
        assert bool(one.sql("SELECT 1 FROM versions")) is ("transcript.completed" in types)


async def test_an_ignored_update_leaves_the_transcript(tmp_path: Path) -> None:
    """A later version that nobody wants is not written; with a prefix, globs match with and without it."""
    async with world(tmp_path, prefix="com.example", ignore=("com.example.transcript.updated",)) as one:
        await one.say(result("A"))
        number = await one.say(result("A", "B"))
        assert one.types() == ["transcript.completed"]
        assert one.sql("SELECT outcome FROM receipts WHERE id = ?", number) == [('[{"ignored":"transcript.updated"}]',)]
        assert len(one.sql("SELECT 1 FROM versions")) == 1
