"""CallMissed, asked: uploads, questions, sessions after a callback, the delivery log, under every switch of its emulator."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from called import Called, called, hooks, submission

from handlers.providers.callmissed import CallMissed, CallMissedSettings
from receiver.contract.asking import Fetched, Missing, Pending, Recording, Submission
from receiver.contract.errors import ProviderBusy, ProviderRefused, Unanswered, UsageError
from receiver.contract.model import Notice, Outcome, Progress, Result
from receiver.contract.proof import Proven
from receiver.contract.settings import Secret
from receiver.testing.emulators.callmissed import CallMissedEmulator, Switches
from receiver.testing.emulators.posting import Sending
from receiver.testing.emulators.serving import serving
from receiver.testing.fixtures import receipt_of
from receiver.testing.store import Clock

KEY = "cm_live_test_8Wq2"
EVERY = [
    Switches(),
    Switches(speakers="SPEAKER_00"),
    Switches(layout="markdown"),
    Switches(errors="error"),
    Switches(retry_after=False),
    Switches(requests_per_minute=500),
    Switches(restamped=True),
    Switches(headers=False),
    Switches(late=2),
    Switches(erased=True),
    Switches(without_turns=True),
    Switches(callbacks=Sending(copies=2)),
    Switches(callbacks=Sending(lost=True)),
]


@contextlib.asynccontextmanager
async def site(folder: Path, switches: Switches | None = None) -> AsyncIterator[tuple[CallMissedEmulator, Called]]:
    """Run the emulator, on the clock of the provider that asks it."""
    clock = Clock()
    emulator = CallMissedEmulator(switches or Switches(), key=KEY, now=clock)
    async with serving(emulator.app) as base, called(CallMissed, folder, clock, api_url=base, api_key=KEY) as ours:
        yield emulator, ours


def recorded(folder: Path, name: str = "call one.mp3") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(b"ID3" + bytes(range(200)))
    return path


@pytest.mark.parametrize("switches", EVERY, ids=str)
async def test_the_answer_to_an_upload_is_the_result(tmp_path: Path, switches: Switches) -> None:
    """A recording becomes a transcript at once, named by its content and the language."""
    path = recorded(tmp_path)
    async with site(tmp_path, switches) as (emulator, ours):
        one = submission(path, "call-analysis", language="hi-IN")
        done = await ours.run(ours.api.submit(one, {}), path)
        assert emulator.analysed == [("call one.mp3", 203, "hi-IN")]
        (result,) = ours.outcomes(done.result)
        assert isinstance(result, Result)
        assert done.job_id == result.job_id == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}:hi-IN"
        assert (result.kind, result.operation, len(result.segments)) == ("transcript", "call-analysis", 3)
        assert [one.talk_time for one in result.speakers] == [12.5, 8]
        assert "job_id_from" not in result.metadata
        again = await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        keys = {ours.provider.message_key(ours.proven(found)) for found in (done.result, done.result, again.result)}
        assert len(keys) == 2


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.mp4", "a.M4A", "a.ogg", "a.flac", "a.webm", "a.aac", "a.amr"])
async def test_all_nine_formats_are_taken(tmp_path: Path, name: str) -> None:
    """Each format that the page names is sent, and comes back as a result."""
    path = recorded(tmp_path, name)
    async with site(tmp_path) as (emulator, ours):
        one = submission(path, "call-analysis")
        ours.api.check(one)
        await ours.run(ours.api.submit(one, {}), path)
        assert emulator.analysed == [(name, 203, None)]


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({"size": None}, {}, "call.wav: CallMissed takes files only"),
        ({"size": 0}, {}, "call.wav: the file is empty"),
        ({"size": 105 << 20}, {}, "CallMissed takes 100 MB"),
        ({"name": "call.opus"}, {}, "call.opus: CallMissed takes .aac, .amr"),
        ({}, {"options": {"summary": True}}, "CallMissed knows no summary"),
    ],
)
def test_what_is_known_to_fail_is_not_sent(changes: dict[str, Any], more: dict[str, Any], message: str) -> None:
    """The file is named, and the way out."""
    whole: dict[str, Any] = {"name": "call.wav", "size": 5, "sha256": "00", "content_type": "audio/wav"} | changes
    one = Submission(recording=Recording(**whole), operation="call-analysis", callback_url=None, serial="1", **more)
    api = CallMissed("source", CallMissedSettings(provider="callmissed", api_key=Secret("k"))).api()
    assert api is not None
    with pytest.raises(UsageError) as raised:
        api.check(one)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (402, ProviderRefused, "call one.mp3 was not analysed: 402"),
        (302, ProviderRefused, "call one.mp3 was not analysed: 302"),
        (413, ProviderRefused, "call one.mp3 was not analysed: 413"),
        ("html", ProviderRefused, "holds no transcript"),
        ("cut", Unanswered, "closed before the answer"),
        (500, Unanswered, "failed while it was at it"),
    ],
)
async def test_refusals_name_the_file(tmp_path: Path, fault: Any, kind: type[Exception], message: str) -> None:
    """An upload is billed: where nobody knows whether it was, it is not repeated."""
    path = recorded(tmp_path)
    async with site(tmp_path) as (emulator, ours):
        emulator.app.faults.append(("analyze", fault))
        with pytest.raises(kind) as raised:
            await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        assert message in str(raised.value)
        assert emulator.app.seen == ["POST /api/v1/analytics/calls/analyze"]


@pytest.mark.parametrize("switches", [Switches(), Switches(errors="error")], ids=str)
async def test_wrong_credentials_are_named(tmp_path: Path, switches: Switches) -> None:
    """In both forms of error bodies; the key is in no message."""
    path = recorded(tmp_path)
    async with site(tmp_path, switches) as (emulator, ours):
        emulator.key = "another"
        with pytest.raises(ProviderRefused, match="Invalid API key") as raised:
            await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        assert KEY not in str(raised.value)


async def test_a_question_is_answered(tmp_path: Path) -> None:
    """The text goes along; a 422 says what was missing."""
    async with site(tmp_path) as (emulator, ours):
        assert await ours.run(ours.api.ask("A: Hello.\nB: Hi.", "Who?")) == "Who? The transcript has 4 words."
        for transcript, question, message in (
            ("  ", "Who?", "no text"),
            ("A", " ", "empty"),
            ("a" * 2_000_000, "?", "most"),
        ):
            with pytest.raises(UsageError, match=message):
                await ours.run(ours.api.ask(transcript, question))
        faults: list[tuple[Any, str]] = [("html", "not JSON"), (402, "the question was not answered: 402")]
        for fault, message in faults:
            emulator.app.faults.append(("question", fault))
            with pytest.raises(ProviderRefused, match=message):
                await ours.run(ours.api.ask("A", "Who?"))


async def test_the_limit_is_kept(tmp_path: Path) -> None:
    """Seventy questions take more than a minute, and none is refused."""
    async with site(tmp_path) as (emulator, ours):
        for _ in range(70):
            await ours.run(ours.api.ask("A", "Who?"))
        assert (emulator.refused, len(emulator.app.seen)) == (0, 70)


@pytest.mark.parametrize("retry_after", [True, False])
async def test_a_smaller_limit_is_waited_out(tmp_path: Path, retry_after: bool) -> None:
    """A plan with less than documented: 429s cost time, with or without Retry-After."""
    async with site(tmp_path, Switches(requests_per_minute=2, retry_after=retry_after)) as (emulator, ours):
        for _ in range(5):
            await ours.run(ours.api.ask("A", "Who?"))
        assert emulator.refused > 0


def announced(ours: Called, secret: str, came: Any) -> Outcome:
    """Return what a delivery becomes, once its signature was checked."""
    settings = CallMissedSettings(provider="callmissed", secrets=(Secret(secret),))
    provider = CallMissed("source", settings)
    proven = provider.prove(came, ours.clock())
    assert isinstance(proven, Proven)
    (outcome,) = provider.normalize(receipt_of(proven, "callmissed"))
    return outcome


@pytest.mark.parametrize("switches", EVERY, ids=str)
async def test_after_a_callback_session_and_transcript_are_fetched(tmp_path: Path, switches: Switches) -> None:
    """What the callback announces is read, as soon as it is there; a lost callback is in the delivery log."""
    async with site(tmp_path, switches) as (emulator, ours), hooks() as (address, came):
        made = await ours.run(ours.api.subscribe(address, ()))
        emulator.hold("s 1")
        await emulator.announce("s 1")
        (swept,) = await ours.swept() if switches.callbacks.lost else (None,)
        (outcome,) = ours.outcomes(swept) if swept else (announced(ours, made.secret.value, came[0]),)
        assert isinstance(outcome, Result)
        assert outcome.job_id == "an-s 1"
        for _ in range(switches.late):
            with pytest.raises(ProviderBusy, match="does not have yet") as raised:
                await ours.run(ours.api.follow(outcome))
            assert raised.value.after == 30
        found = await ours.run(ours.api.follow(outcome))
        results = [one for fetched in found for one in ours.outcomes(fetched) if isinstance(one, Result)]
        operations = ["conversation-analysis"] if switches.without_turns else ["conversation-analysis", "conversation"]
        assert [one.operation for one in results] == operations
        assert {one.call.external_id for one in results if one.call} == {"s 1"}
        assert results[0].analysis is not None
        assert (results[0].analysis.summary is None) == switches.erased
        assert [await ours.run(ours.api.follow(one)) for one in results] == [()] * len(results)


@pytest.mark.parametrize("switches", EVERY, ids=str)
async def test_the_delivery_log_is_swept(tmp_path: Path, switches: Switches) -> None:
    """Every delivery since a moment is found, with the message key of the callback that may have come."""
    async with site(tmp_path, switches) as (emulator, ours), hooks() as (address, came):
        made = await ours.run(ours.api.subscribe(address, ("voice_analysis.completed", "test")))
        ours.clock.ms += 1_000_000
        since = ours.clock()
        emulator.hold("one")
        await emulator.announce("one")
        await emulator.deliver("test", {"message": "hello"})
        found = await ours.swept(since - 1)
        kinds = [type(outcome) for one in found for outcome in ours.outcomes(one)]
        assert sorted(kind.__name__ for kind in kinds) == [Notice.__name__, Result.__name__]
        if came:
            provider = CallMissed("source", CallMissedSettings(provider="callmissed", secrets=(made.secret,)))
            proven = provider.prove(came[0], 0)
            assert isinstance(proven, Proven)
            assert provider.message_key(proven) in {provider.message_key(ours.proven(one)) for one in found}
        assert await ours.swept(since + 10) == []


async def test_a_session_can_be_asked_about(tmp_path: Path) -> None:
    """By the names that results have; what is not there, or not yet, is said so."""
    async with site(tmp_path, Switches(late=1)) as (emulator, ours):
        emulator.hold("s1")
        assert isinstance(await ours.run(ours.api.poll("s1", "conversation-analysis")), Pending)
        for operation in ("conversation-analysis", "conversation"):
            found = await ours.run(ours.api.poll("s1", operation))
            assert isinstance(found, Fetched)
            (result,) = ours.outcomes(found)
            assert not isinstance(result, Progress)
            assert isinstance(await ours.run(ours.api.poll("s2", operation)), Missing)
        assert isinstance(await ours.run(ours.api.poll("sha256:00", "call-analysis")), Missing)
        for path, steps in (("sessions", ours.api.poll("s1", "conversation")), ("webhooks", ours.api.sweep(0))):
            emulator.app.faults.append((path, 403))
            with pytest.raises(ProviderRefused, match="403"):
                await (ours.run(steps) if path == "sessions" else ours.swept())


async def test_a_replay_is_the_same_message(tmp_path: Path) -> None:
    """It comes under another delivery's name, and has the key of the first."""
    async with site(tmp_path) as (emulator, ours), hooks() as (address, came):
        made = await ours.run(ours.api.subscribe(address, ()))
        emulator.hold("s1")
        await emulator.announce("s1")
        (row,) = emulator.log[made.id]
        path = f"{ours.api._base}/api/v1/webhooks/{made.id}/deliveries/{row['id']}/replay"
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
            assert (await client.post(path)).status_code == 202
            assert (await client.post(path.replace(row["id"], "other"))).status_code == 404
        await emulator.callbacks.settled()
        first, second = came
        assert first.header("x-callmissed-delivery") != second.header("x-callmissed-delivery")
        provider = CallMissed("source", CallMissedSettings(provider="callmissed", secrets=(made.secret,)))
        keys = set()
        for one in came:
            proven = provider.prove(one, 0)
            assert isinstance(proven, Proven)
            keys.add(provider.message_key(proven))
        assert len(keys) == 1


@pytest.mark.parametrize("switches", [Switches(), Switches(errors="error")], ids=str)
async def test_what_callmissed_refuses_is_shown_in_its_words(tmp_path: Path, switches: Switches) -> None:
    """A format that is none of the nine, sent all the same."""
    path = recorded(tmp_path, "call.opus")
    async with site(tmp_path, switches) as (_, ours):
        with pytest.raises(ProviderRefused, match=r"call\.opus was not analysed: 400, .*Unsupported audio format"):
            await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
