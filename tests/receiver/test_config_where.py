"""A sink's `where` is tried before anything starts: what could fail on an event that may come is refused with its name."""

from typing import Any

import pytest
from running_fakes import REGISTRY, TOKEN

from receiver.config import Config, build
from receiver.config.samples import samples
from receiver.contract.errors import ConfigError
from receiver.store.jobs import JobDoc, JobRow, JobState
from receiver.store.shapes import job


def configured(where: str, **settings: Any) -> Config:
    """Return a configuration with one sink that has this condition."""
    sources = {"acme": {"provider": "acme", "token": TOKEN}}
    prefix = settings.pop("event_prefix", "")
    sinks = {"team": {"kind": "keeps", "where": where, **settings}}
    return build({"sources": sources, "sinks": sinks, "event_prefix": prefix}, {}, REGISTRY)


@pytest.mark.parametrize(
    "where",
    [
        "data.status == 'failed'",
        "data.duration > `600`",
        "contains(data.text || '', 'refund')",
        "data.analysis.sentiment == 'negative' && !(data.call.direction == 'outbound')",
        "length(data.segments[?sentiment == 'negative'] || `[]`) > `3`",
        "starts_with(type, 'transcript.')",
    ],
)
def test_conditions_that_hold_everywhere_start(where: str) -> None:
    """Members that an event does not have are null, and null is an answer."""
    assert configured(where).sinks["team"].where == where


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("data.status =", r"\[sinks.team\] where: 'data.status =' is no JMESPath expression"),
        ("has(data.text)", r"\[sinks.team\] where: there is no function has\(\); JMESPath has abs"),
        ("`true` || lenght(data.text)", r"where: there is no function lenght\(\)"),
        ("contains(data.text)", r"where: contains\(\) takes 2 arguments, and 1 are given"),
        (
            "contains(data.text, 'x')",
            r"where: contains\(\) takes array or string and gets null in a transcript.completed",
        ),
        ("data.duration > '600'", r"where: > compares numbers, and '600' is none"),
        ("(" * 2000 + "a" + ")" * 2000, r"where: the expression is nested too deeply"),
        (
            "sort_by(data.speakers, &to_array(id))",
            r"where: sort_by\(\) takes string or number and gets array in a whole",
        ),
        ("x" * 5000, r"where: 5000 characters are more than"),
    ],
)
def test_conditions_that_cannot_work_do_not_start(where: str, said: str) -> None:
    """The message names sink, function and event, and says what would do."""
    with pytest.raises(ConfigError, match=said):
        configured(where)


def test_only_events_that_go_there_count() -> None:
    """With globs that leave the others out, a condition may ask of an event what only its kind has."""
    where = "length(data.segments) > `1`"
    assert configured(where, events=["transcript.*"]).sinks["team"].where == where
    assert configured(where, events=["com.x.transcript.*"], event_prefix="com.x").sinks["team"].where == where
    with pytest.raises(ConfigError, match=r"gets null in an event call\."):
        configured(where)
    with pytest.raises(ConfigError, match=r"gets null in an event acme\.\*"):
        configured(where, events=["acme.*"])


@pytest.mark.parametrize("event", ["call.completed", "job.submitted", "ops.sink_tripped", "ops.test"])
def test_members_that_other_events_have_are_not_taken_for_granted(event: str) -> None:
    """What a transcript names its source by is not in these: a condition that reads it could never be evaluated."""
    where = "contains(data.text, 'x')" if event == "job.submitted" else "contains(data.source, 'x')"
    if event == "ops.test":
        assert configured("contains(data.text, 'x')", events=[event]).warnings == ()
    with pytest.raises(ConfigError, match=rf"contains\(\) takes array or string and gets null in an event {event}"):
        configured(where, events=[event])


def test_a_tried_job_has_what_a_real_one_has() -> None:
    """Member for member, with and without what can be null."""
    given: dict[str, Any] = {
        **dict.fromkeys(("id", "created_at", "updated_at", "round", "owner", "sending", "polls"), 1),
        **dict.fromkeys(("source", "provider", "operation"), "x"),
        **dict.fromkeys(("job_id", "recording", "call_key", "submitted_at", "result_at", "deadline", "next_poll")),
        **dict.fromkeys(("detail", "note")),
    }
    row = JobRow(**given, state=JobState.SUBMITTED, doc=JobDoc())
    real = job(row)
    full, bare = (event["data"] for _, event in samples(["job.submitted"], "", ["job.submitted"], []))

    assert full.keys() == bare.keys() == real.keys()
    assert {name for name, value in bare.items() if value is None} == {
        name for name, value in real.items() if value is None
    }


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("data.durration > `60`", "'durration' in this place; did you mean duration?"),
        ("data.sentiment == 'negative' || data.analysis.sentiment == 'negative'", "'sentiment' in this place"),
        ("data.segments[].words[].txt", "'txt' in this place; did you mean text?"),
    ],
)
def test_a_member_that_no_event_has_is_a_warning(where: str, said: str) -> None:
    """It would be null for ever, and nothing would ever go there."""
    (warning,) = configured(where).warnings
    assert warning.startswith(f"[sinks.team] where: no event that goes there has {said}")


@pytest.mark.parametrize(
    "where",
    [
        "data.metadata.tenant == 'a' || data.job.metadata.tenant == 'a' || data.analysis.raw.x.y",
        "data.body.party == 'x' || data.error.code == 'x'",
        "data.analysis.insights[?name == 'x'].value.score",
        "data.call.direction == 'inbound' && data.analysis.flags[?!ok]",
    ],
)
def test_members_that_may_be_there_are_no_warning(where: str) -> None:
    """Those of a transcript, and whatever a provider or a submitter puts where anything may stand."""
    assert configured(where).warnings == ()


def test_what_is_said_to_stand_for_nothing_does() -> None:
    """The message's own example, put in, starts."""
    where = "sum(data.segments[].end) > `10`"
    with pytest.raises(ConfigError, match=r"as in sum\(a.b \|\| `\[\]`\)"):
        configured(where)
    assert configured(where.replace("end)", "end || `[]`)")).warnings == ()


def test_the_type_has_its_prefix() -> None:
    """A condition sees the event as the sink would."""
    said = "type != 'com.x.transcript.completed' || length(data.segments) >= `0`"
    assert configured(said, events=["transcript.completed"], event_prefix="com.x").sinks["team"].where == said


def test_links_that_cannot_be_signed_are_a_warning() -> None:
    """Without an address of ours there is nothing to lead to."""
    config = configured("type != 'x'", payload_links=True)
    assert any("payload_links: without public_url" in one for one in config.warnings)
