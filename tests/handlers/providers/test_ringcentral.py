"""RingCentral: its recorded cases, and what they cannot show."""

import json
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.providers.ringcentral import RingCentral, RingCentralSettings
from handlers.providers.ringcentral.identity import DIGEST_PREFIX
from receiver.contract.errors import Unreadable
from receiver.contract.model import InboundRequest, Receipt, Result, Verdict
from receiver.contract.proof import Proven, Refused
from receiver.contract.settings import Secret
from receiver.testing.fixtures import Case, as_expected, load_case, load_cases
from receiver.testing.provider import ProviderContract, changed, leaves, paths, written

FIXTURES = Path(__file__).parents[3] / "fixtures" / "ringcentral"
TOKEN = "t" * 40
STRANGE: tuple[Any, ...] = (None, True, -1, "marker", "1e400", [], {}, [7, "marker"], {"marker": "marker"}, [[{}]])


class TestRingCentral(ProviderContract):
    """Every recorded case, leaf and hostile body."""

    provider = RingCentral
    fixtures = FIXTURES

    def visible(self, provider: Any, case: Case, body: bytes) -> Any:
        """Leave out job ids that are digests of the body: they would hide what else changed."""
        seen = super().visible(provider, case, body)
        for outcome in seen if isinstance(seen, list) else ():
            if outcome.get("job_id", "").startswith(DIGEST_PREFIX):
                outcome["job_id"] = None
        return seen

    def test_words_are_excused_only_beside_utterances(self) -> None:
        """Where no utterance repeats them, every leaf of `words` is found in the segments."""
        for case in self.cases():
            document = json.loads(case.body) if "outcomes" in case.expected else {}
            response = document.get("response") if isinstance(document, dict) else None
            if not isinstance(response, dict) or response.get("utterances") or document["status"] == "Archived":
                continue
            before = self.visible(self.build(case), case, case.body)
            for path, value in leaves(document):
                if written(path).startswith("response.words"):
                    body = json.dumps(changed(document, path, value)).encode()
                    assert self.visible(self.build(case), case, body) != before, (case.name, path)


def provider(**settings: Any) -> RingCentral:
    """Make the provider with one token."""
    return RingCentral("rc", RingCentralSettings(provider="ringcentral", **{"token": (Secret(TOKEN),), **settings}))


def request(body: bytes, token: str | None = TOKEN) -> InboundRequest:
    """Make a callback."""
    return InboundRequest(source="rc", token=token, headers=(), body=body, received_at=0)


def key(document: Any) -> bytes:
    """Return the message key of a document."""
    proven = provider().prove(request(json.dumps(document).encode()), 0)
    assert isinstance(proven, Proven)
    return provider().message_key(proven)


def normalized(document: Any, **settings: Any) -> Any:
    """Return the one outcome of a document."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    receipt = Receipt(
        id="rcp_1", source="rc", provider="ringcentral", verdict=Verdict.TOKEN, received_at=0, headers=(), body=body
    )
    (outcome,) = provider(**settings).normalize(receipt)
    return outcome


def recorded(name: str) -> Any:
    """Return the body of a recorded case as a document."""
    return json.loads(load_case(FIXTURES / name).body)


def readable_cases() -> Iterator[Case]:
    """Yield the cases that give results."""
    for case in load_cases(FIXTURES):
        if any("result" in outcome for outcome in case.expected.get("outcomes", ())):
            yield case


def test_any_member_can_be_anything() -> None:
    """Whatever stands at any place of any body: a result that can be written, or Unreadable without its content."""
    for case in readable_cases():
        document = json.loads(case.body)
        for path in {path for path in paths(case.body) if path}:
            for value in STRANGE:
                assert "marker" not in complaint(replaced(document, path, value)), (case.name, path)


def complaint(document: Any) -> str:
    """Return why a document is unreadable; nothing where it gives something that can be written."""
    try:
        msgspec.json.encode(normalized(document))
    except Unreadable as error:
        return str(error)
    return ""


def replaced(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy of `document` with `value` at `path`."""
    if not path:
        return value
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


def test_order_of_members_does_not_matter() -> None:
    """The guide promises no order: the same members backwards are the same result, apart from lists of insights."""

    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: backwards(item) for name, item in reversed(value.items())}
        return [backwards(item) for item in value] if isinstance(value, list) else value

    for name in ("stt-diarized-utterances", "stt-diarized-words-only", "stt-failed", "diarize", "punctuate"):
        document = recorded(name)

        assert normalized(backwards(document)) == normalized(document)


def test_the_key_is_job_and_status() -> None:
    """A redelivery written differently has the same key; another status of the job, or other parts, do not."""
    document = recorded("stt-plain")
    assert key(document) == key({"status": "Success", "extra": 1, "jobId": document["jobId"]})
    assert key(document) != key({**document, "status": "Fail"})
    assert key({"jobId": 'a","b', "status": "c"}) != key({"jobId": "a", "status": 'b","c'})


@pytest.mark.parametrize("job_id", [None, "", 5, {"a": 1}])
def test_without_a_job_id_the_body_is_the_key(job_id: Any) -> None:
    """A jobId that is missing, empty or no text cannot tell messages apart; their bytes can."""
    assert key({"jobId": job_id, "status": "Success"}).startswith(DIGEST_PREFIX.encode())
    assert key({"jobId": job_id, "status": "Success"}) != key({"jobId": job_id, "status": "Fail"})


def test_the_job_of_a_body_without_id_is_its_key() -> None:
    """A body of 2022 has the same digest as message key and as job id."""
    document = recorded("stt-2022")

    assert normalized(document).job_id.encode() == key(document)


def test_proofs() -> None:
    """Without a token nothing proves a callback; `verify = "none"` takes all, and says so in the verdict."""
    assert provider(token=()).proofs() == ()
    assert provider().proofs()
    assert isinstance(provider(token=()).prove(request(b"{}"), 0), Refused)
    anyone = provider(verify="none").prove(request(b"{}", "guess"), 0)
    assert isinstance(anyone, Proven)
    assert (anyone.verdict, bool(anyone.checks)) == (Verdict.UNVERIFIED, True)
    known = provider(verify="none").prove(request(b"{}"), 0)
    assert isinstance(known, Proven)
    assert known.verdict is Verdict.TOKEN


def test_it_can_be_pickled() -> None:
    """Workers in other processes get the provider by pickle."""
    copy = pickle.loads(pickle.dumps(provider()))

    assert isinstance(copy.prove(request(b"{}"), 0), Proven)


def test_an_insight_without_findings_is_kept() -> None:
    """An empty list of values says that it was looked for."""
    result = normalized(recorded("interaction"))

    assert [insight.value for insight in result.analysis.insights if insight.name == "ExtractiveSummary"] == [[]]


def test_summary_falls_back() -> None:
    """The short summary, else the long one, else the extracted sentences."""
    document = recorded("interaction")
    groups = document["response"]["conversationalInsights"]
    found = []
    while groups:
        found.append(normalized(document).analysis.summary)
        groups.pop()

    assert found == [
        "A meter is read over the phone and a visit arranged.",
        "The customer reports an odd reading.\nThe agent arranges a visit.",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["POSITIVE"], "positive"),
        (["mixed", "Mixed"], "mixed"),
        (["positive", "negative"], None),
        (["Splendid"], None),
        ([0.7], None),
        ([], None),
    ],
)
def test_sentiment(values: list[Any], expected: str | None) -> None:
    """The overall sentiment is taken where it is one of our words, and never averaged."""
    groups = [{"name": "OverallSentiment", "values": [{"value": value} for value in values]}]
    result = normalized({"jobId": "j", "status": "Success", "response": {"conversationalInsights": groups}})

    assert result.analysis.sentiment == expected


def test_words_go_to_the_utterance_they_start_in() -> None:
    """Utterances out of order, a word before the first, and a word without a time: each has one place."""
    utterances = [{"start": 5, "end": 6, "text": "b c"}, {"start": 1, "end": 2, "text": "a"}, {"text": "?"}]
    words = [{"word": "a", "start": 0.5}, {"word": "b", "start": 5}, {"word": "c", "start": 5.5}, {"word": "z"}]
    result = normalized({"jobId": "j", "status": "Success", "response": {"utterances": utterances, "words": words}})
    said = [[word.text for word in segment.words or ()] for segment in result.segments]

    assert said == [["b", "c"], ["a", "z"], []]


def test_words_that_differ_from_the_timings_change_nothing() -> None:
    """Confidence is taken from `words` only where these are the same words as the timings."""
    timings = [{"word": "a", "start": 0, "end": 1}]
    response = {
        "utterances": [{"start": 0, "end": 1, "text": "A", "wordTimings": timings}],
        "words": [{"word": "b", "start": 0, "end": 1, "confidence": 0.5}],
    }
    result = normalized({"jobId": "j", "status": "Success", "response": response})

    assert result.segments[0].words[0].confidence is None


def test_speakers_may_be_numbers() -> None:
    """Every sample has speaker ids as text; a number is the same voice."""
    response = {"utterances": [{"speakerId": 0, "start": 0, "end": 1}, {"speakerId": "0", "start": 1, "end": 2.5}]}
    result = normalized({"jobId": "j", "status": "Success", "response": response}, roles={"0": "agent"})

    assert [(one.id, one.role, one.talk_time) for one in result.speakers] == [("0", "agent", 2.5)]


def test_fresh_is_a_plausible_job() -> None:
    """The jobId is a version-1 UUID on the samples' kind of node, the same for the same serial."""
    body = load_case(FIXTURES / "stt-plain").body
    made = json.loads(provider().fresh(body, "s1"))
    job = uuid.UUID(made["jobId"])

    assert (job.version, job.node >> 24) == (1, 0x005056)
    assert provider().fresh(body, "s1") == provider().fresh(body, "s1")
    assert {**made, "jobId": None} == {**json.loads(body), "jobId": None}


@pytest.mark.parametrize("name", ["stt-diarized-utterances", "stt-diarized-words-only", "emotion-2023", "punctuate"])
def test_growth_is_more_of_the_same(name: str) -> None:
    """A grown body is as large as asked for, and time goes on in it."""
    grown = provider().fresh(load_case(FIXTURES / name).body, "s", 200_000)
    result = normalized(grown)
    places = result.segments or result.analysis.insights
    starts = [place.start for place in places if place.start is not None]

    assert 200_000 <= len(grown) < 300_000
    assert starts == sorted(starts)
    assert len(places) > 50


def test_what_cannot_grow_stays() -> None:
    """Failures and bytes that are no JSON are made fresh without growing."""
    failed = provider().fresh(load_case(FIXTURES / "stt-failed").body, "s", 100_000)

    assert len(failed) < 1_000
    assert provider().fresh(b"{", "s") == b"{s"
    assert provider().fresh(b"[]", "s") == b"[]"
    assert len(provider().fresh(load_case(FIXTURES / "stt-silence").body, "s", 100_000)) < 1_000


def test_an_hour_of_talk_keeps_every_word() -> None:
    """A body of 3 MB, each word in it twice, gives each word once."""
    body = provider().fresh(load_case(FIXTURES / "stt-diarized-utterances").body, "hour", 3_000_000)
    result = normalized(body)
    words = [word for segment in result.segments for word in segment.words]

    assert isinstance(result, Result)
    assert len(words) == len(json.loads(body)["response"]["words"]) > 15_000
    assert len(as_expected((result,))) == 1
