"""RingCentral, asked: AI jobs, recordings by id, by call log and by meeting, ACE insights, under every switch."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from called import Called, called, hooks

from handlers.providers.ringcentral import RingCentral
from handlers.providers.ringcentral.recordings import on_host, without_tokens
from receiver.contract.asking import Answer, Fetched, Found, Missing, Pending, Recording, Submission
from receiver.contract.errors import ProviderBusy, ProviderRefused, Unanswered, UsageError
from receiver.contract.model import InboundRequest, Outcome, Result
from receiver.contract.proof import Proven
from receiver.testing.emulators.posting import Sending
from receiver.testing.emulators.ringcentral import CLIENT, RingCentralEmulator, Switches
from receiver.testing.emulators.serving import serving
from receiver.testing.fixtures import receipt_of
from receiver.testing.store import Clock

OPERATIONS = ("transcription", "diarization", "interaction-analysis", "summarization", "punctuation")
UTTERANCES = [{"text": "Good morning.", "speakerId": "0", "start": 0, "end": 1}]
OPTIONS: dict[str, Any] = {"summarization": {"utterances": UTTERANCES}, "punctuation": {"texts": ["good morning"]}}
EVERY = [
    Switches(),
    Switches(running="Running"),
    Switches(api=False),
    Switches(webhook="optional"),
    Switches(polled="poorer"),
    Switches(errors="platform"),
    Switches(errors="empty"),
    Switches(limit_headers=False),
    Switches(retry_after=False),
    Switches(limit_headers=False, retry_after=False),
    Switches(heavy_per_minute=100),
    Switches(sessions="five"),
    Switches(outcome="Fail"),
    Switches(polls=2),
    Switches(pages=100),
    Switches(callbacks=Sending(lost=True)),
    Switches(callbacks=Sending(copies=2)),
    Switches(callbacks=Sending(early=True)),
]


@contextlib.asynccontextmanager
async def site(
    folder: Path, switches: Switches | None = None, **settings: Any
) -> AsyncIterator[tuple[RingCentralEmulator, Called, str]]:
    """Run the emulator, on the clock of the provider that asks it."""
    clock = Clock()
    emulator = RingCentralEmulator(switches or Switches(), now=clock)
    name, secret, jwt = CLIENT
    access = {"client_id": name, "client_secret": secret, "jwt": jwt, "token": ["hook-token"]}
    async with serving(emulator.app) as base:
        table = {"api_url": base, "media_url": base, **access, **settings}
        async with called(RingCentral, folder, clock, **table) as ours:
            yield emulator, ours, base


def one(operation: str, callback: str | None, url: str | None, **changes: Any) -> Submission:
    """Return a submission of a recording at an address."""
    recording = Recording(name="call.wav", size=None, sha256=None, content_type="audio/wav", url=url, **changes)
    options = OPTIONS.get(operation, {})
    return Submission(recording=recording, operation=operation, callback_url=callback, serial="1", options=options)


def taken(ours: Called, came: InboundRequest) -> Outcome:
    """Return what a callback becomes, once it was proven."""
    proven = ours.provider.prove(came, ours.clock())
    assert isinstance(proven, Proven)
    (outcome,) = ours.provider.normalize(receipt_of(proven, "ringcentral"))
    return outcome


@pytest.mark.parametrize(
    ("operation", "switches"),
    [*(("transcription", one) for one in EVERY), *((operation, Switches()) for operation in OPERATIONS[1:])],
    ids=str,
)
async def test_a_job_is_submitted_called_back_and_polled(tmp_path: Path, operation: str, switches: Switches) -> None:
    """Whether the callback comes or not, once or twice, the status gives the same job and message key."""
    async with site(tmp_path, switches) as (emulator, ours, base), hooks() as (address, came):
        emulator.record("r1", b"RIFF", at=ours.clock())
        emulator.recordings["r1"] = b"RIFF" * 9
        media = await ours.run(ours.api._grant())
        url = f"{base}/restapi/v1.0/account/~/recording/r1/content?access_token={media[0]}"
        submitted = one(operation, address, url)
        ours.api.check(submitted)
        done = await ours.run(ours.api.submit(submitted, {}))
        await emulator.callbacks.settled()
        waits = [await ours.run(ours.api.poll(done.job_id, operation)) for _ in range(switches.polls)]
        assert all(isinstance(found, Pending) for found in waits)
        found = await ours.run(ours.api.poll(done.job_id, operation))
        assert isinstance(found, Fetched)
        (result,) = ours.outcomes(found)
        assert isinstance(result, Result)
        assert (result.job_id, result.status) == (done.job_id, "failed" if switches.outcome == "Fail" else "completed")
        assert emulator.jobs[done.job_id].fetched == (36 if ours.api.fetches(operation) else None)
        expected = 0 if switches.callbacks.lost or switches.polls else switches.callbacks.copies
        assert len(came) == expected
        for callback in came:
            outcome = taken(ours, callback)
            assert isinstance(outcome, Result)
            assert outcome.job_id == done.job_id
            body = msgspec.structs.replace(ours.proven(found), request=callback)
            assert ours.provider.message_key(body) == ours.provider.message_key(ours.proven(found))
        ours.clock.ms += 8 * 86_400_000
        assert isinstance(await ours.run(ours.api.poll(done.job_id, operation)), Missing)


@pytest.mark.parametrize("switches", [Switches(), Switches(retry_after=False), Switches(heavy_per_minute=4)], ids=str)
async def test_the_heavy_bucket_is_shared_and_kept(tmp_path: Path, switches: Switches) -> None:
    """Submissions and polls together: ten a minute, none refused; a smaller bucket is found out and waited for."""
    async with site(tmp_path, switches) as (emulator, ours, _), hooks() as (address, _came):
        jobs = [await ours.run(ours.api.submit(one("punctuation", address, None), {})) for _ in range(12)]
        await emulator.callbacks.settled()
        for job in jobs:
            await ours.run(ours.api.poll(job.job_id, "punctuation"))
        assert len(emulator.jobs) == 12
        assert (emulator.refused == 0) == (switches.heavy_per_minute == 10)


@pytest.mark.parametrize("switches", EVERY, ids=str)
async def test_recordings_are_found_with_their_calls(tmp_path: Path, switches: Switches) -> None:
    """By id, by an entry of the call log, and since a moment, page after page."""
    async with site(tmp_path, switches) as (emulator, ours, base):
        since = ours.clock()
        emulator.record("old", b"RIFF", at=since - 3600)
        for number in range(3):
            emulator.record(f"r{number}", b"RIFF%d" % number, at=since + number)
        emulator.calls.insert(0, {"id": "unrecorded", "startTime": "2099-01-01T00:00:00.000Z"})
        found = await ours.run(ours.api.recorded_since(since))
        assert [(one.recording.id, one.call.external_id) for one in found] == [
            (f"r{number}", f"s-r{number}") for number in (2, 1, 0)
        ]
        (entry,) = await ours.run(ours.api.entry(json.dumps(emulator.calls[1]).encode()))
        assert entry == found[0]
        call = entry.call
        assert (call.from_, call.to, call.direction, call.recording_id) == ("+15550100", "101", "inbound", "r2")
        assert call.started_at is not None
        alone = await ours.run(ours.api.found("r1"))
        assert alone == Found(recording=found[1].recording)
        content = f"{base}/restapi/v1.0/account/~/recording/r1/content"
        assert (alone.recording.name, alone.recording.content_type, alone.recording.url) == (
            "r1.wav",
            "audio/wav",
            content,
        )
        with pytest.raises(UsageError, match="RingCentral has no recording r9"):
            await ours.run(ours.api.found("r9"))


async def test_a_recording_is_asked_for_with_our_token_in_a_header(tmp_path: Path) -> None:
    """The request that is passed on names no token in its address."""
    async with site(tmp_path) as (emulator, ours, _):
        emulator.record("r1", bytes(range(100)), at=ours.clock())
        wanted = await ours.run(ours.api.recording("r1"))
        whole = await ours.caller._ask(wanted, None, None)
        assert (whole.status, whole.body) == (200, bytes(range(100)))
        stretch = msgspec.structs.replace(wanted, headers=(("Range", "bytes=10-19"),))
        part = await ours.caller._ask(stretch, None, None)
        assert (part.status, part.body) == (206, bytes(range(10, 20)))
        assert emulator.queries == ["", ""]


@pytest.mark.parametrize("access", ["proxy", "token"])
async def test_how_the_ai_gets_a_recording_is_a_setting(tmp_path: Path, access: str) -> None:
    """An address of ours that passes it on, or RingCentral's own with a token that outlives the queue."""
    async with site(tmp_path, recording_access=access) as (emulator, ours, base), hooks() as (address, _):
        emulator.record("r1", b"RIFF" * 5, at=ours.clock())
        found = await ours.run(ours.api.found("r1"))
        ours_ = "https://hooks.example/media/signed"
        recording = msgspec.structs.replace(found.recording, url=ours_)
        submission = msgspec.structs.replace(one("transcription", address, None), recording=recording)
        done = await ours.run(ours.api.submit(submission, {}))
        uri = emulator.jobs[done.job_id].asked["contentUri"]
        if access == "proxy":
            assert uri == ours_
            return
        await emulator.callbacks.settled()
        assert uri.startswith(f"{base}/restapi/v1.0/account/~/recording/r1/content?access_token=")
        assert emulator.jobs[done.job_id].fetched == 20
        ours.clock.ms += 1_900_000
        async with httpx.AsyncClient() as client:
            assert (await client.get(uri)).status_code == 200
        assert "access_token" not in repr(ours.notes)


async def test_an_address_with_a_token_stands_in_no_error(tmp_path: Path) -> None:
    """RingCentral's words about a contentUri are shown without what it must not show."""
    words = "Parameter [contentUri] is invalid: http://x/content?access_token=abc.def-1&b=2"
    assert without_tokens(words).endswith("access_token=***&b=2")
    async with site(tmp_path, Switches(webhook="required")) as (_, ours, base):
        url = f"{base}/restapi/v1.0/account/~/recording/none/content?access_token=s3cret-token"
        with pytest.raises(ProviderRefused, match="CAI-101") as raised:
            await ours.run(ours.api.submit(one("transcription", None, url), {}))
        assert "s3cret" not in str(raised.value)


def meeting(base: str, **changes: Any) -> bytes:
    """Return the recording of a video meeting."""
    whole = {
        "id": "m-1",
        "url": f"{base}/rcvideo/v1/recordings/m-1.mp4",
        "status": "Processed",
        "availabilityStatus": "Alive",
        "startTime": 1_760_000_000_000,
        "meetingId": "meet-7",
        "duration": 900,
    }
    return json.dumps({**whole, **changes}).encode()


async def test_a_meeting_is_a_recording_too(tmp_path: Path) -> None:
    """Its address is its id, without a token that it carries; one that is not ready, or is elsewhere, is refused."""
    async with site(tmp_path) as (_, ours, base):
        (found,) = await ours.run(ours.api.entry(meeting(base, url=f"{base}/m-1.mp4?access_token=x&v=1")))
        assert (found.recording.url, found.recording.content_type) == (f"{base}/m-1.mp4?v=1", "video/mp4")
        assert (found.call.external_id, found.call.started_at) == ("meet-7", "2025-10-09T08:53:20.000Z")
        wanted = await ours.run(ours.api.recording(found.recording.id))
        assert wanted.url == f"{base}/m-1.mp4?v=1"
        for changes, message in (
            ({"status": "Processing"}, "status is 'Processing'"),
            ({"availabilityStatus": "Deleted"}, "availabilityStatus is 'Deleted'"),
            ({"url": "https://elsewhere.example/m.mp4"}, r"is at elsewhere\.example"),
        ):
            with pytest.raises(UsageError, match=message):
                await ours.run(ours.api.entry(meeting(base, **changes)))


def test_our_token_goes_to_the_media_host_only() -> None:
    """The port that the scheme implies may be named; another host, port or scheme is refused."""
    media = "https://media.ringcentral.com"
    assert on_host(media, f"{media}:443/a?b=1") == f"{media}/a?b=1"
    for url in ("http://media.ringcentral.com/a", f"{media}:8443/a", "https://media.ringcentral.com.example/a"):
        with pytest.raises(UsageError, match="media_url says"):
            on_host(media, url)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<xml>", "is not JSON"),
        (b"[]", "neither an object nor a list"),
        (b"[1]", "neither an object nor a list"),
        (b'{"id": "x"}', "names no recording"),
        (b'{"recording": {"id": "../../x"}}', "is no id of a recording"),
    ],
)
async def test_entries_that_make_no_sense_are_explained(tmp_path: Path, body: bytes, message: str) -> None:
    """Each says what is missing."""
    async with site(tmp_path) as (_, ours, _base):
        with pytest.raises(UsageError, match=message):
            await ours.run(ours.api.entry(body))


async def test_recordings_of_legs_count_once(tmp_path: Path) -> None:
    """The detailed view repeats a recording in its legs, and may have others there."""
    async with site(tmp_path) as (emulator, ours, _):
        record = emulator.record("r1", b"RIFF", at=ours.clock())
        emulator.recordings["r2"] = b"RIFF"
        legs = [{"recording": {"id": "r1"}}, {"recording": {"id": "r2"}}, {"id": 7}]
        found = await ours.run(ours.api.entry(json.dumps({"records": [{**record, "legs": legs}]}).encode()))
        assert [one.recording.id for one in found] == ["r1", "r2"]


async def test_ace_insights_are_swept(tmp_path: Path) -> None:
    """Insights of recorded calls become transcripts, as if a subscription had sent them."""
    async with site(tmp_path, Switches(pages=100), ace_domains=["pbx"]) as (emulator, ours, _):
        since = ours.clock()
        for name in ("r1", "r2"):
            emulator.record(name, b"RIFF", at=since)
        emulator.insights["r1"] = {
            "domain": "pbx",
            "sourceRecordId": "r1",
            "sourceSessionId": "s-r1",
            "lastModifiedTime": "2026-04-01T10:00:00.000Z",
            "insights": {"Transcript": [{"start": 0, "end": 2, "text": "Good morning.", "speakerId": "1"}]},
        }
        (found,) = await ours.swept(since)
        (result,) = ours.outcomes(found)
        assert isinstance(result, Result)
        assert (result.operation, result.job_id, result.text) == ("conversation-insights", "r1", "Good morning.")
        assert json.loads(ours.provider.message_key(ours.proven(found)))["sourceRecordId"] == "r1"
    async with site(tmp_path) as (_, ours, _base):
        with pytest.raises(UsageError, match="set ace_domains"):
            await ours.swept()


async def test_missing_scopes_are_named(tmp_path: Path) -> None:
    """What the token's answer does not name is missing; one that names nothing says nothing."""
    for scope, missing in (("AI Video", ("ReadCallLog", "ReadCallRecording")), (Switches().scope, ())):
        async with site(tmp_path, Switches(scope=scope)) as (_, ours, _base):
            assert await ours.run(ours.api.missing_scopes()) == missing


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (403, ProviderRefused, "call.wav was not taken: 403"),
        (302, ProviderRefused, "call.wav was not taken: 302"),
        ("html", ProviderRefused, "not JSON"),
        ("cut", Unanswered, "closed before the answer"),
        (500, Unanswered, "failed while it was at it"),
    ],
)
async def test_refused_submissions_name_the_file(
    tmp_path: Path, fault: Any, kind: type[Exception], message: str
) -> None:
    """A job that may have been started is not started again by itself."""
    async with site(tmp_path) as (emulator, ours, _), hooks() as (address, _came):
        emulator.app.faults.append(("punctuate", fault))
        with pytest.raises(kind) as raised:
            await ours.run(ours.api.submit(one("punctuation", address, None), {}))
        assert message in str(raised.value)
        await emulator.callbacks.settled()


async def test_what_cannot_be_read_is_explained(tmp_path: Path) -> None:
    """Each answer that is none says what was asked for; a fault that lasts is busy."""
    async with site(tmp_path, ace_domains=["pbx"]) as (emulator, ours, _):
        emulator.record("r1", b"RIFF", at=ours.clock())
        for path, steps, message in (
            ("recording", ours.api.found("r1"), "recording r1 was not described: 403"),
            ("call-log", ours.api.recorded_since(0), "the call log cannot be read: 403"),
            ("jobs", ours.api.poll("x", "transcription"), "the status of x was not given: 403"),
        ):
            emulator.app.faults.append((path, 403))
            with pytest.raises(ProviderRefused, match=message):
                await ours.run(steps)
        emulator.app.faults.append(("insights", 403))
        with pytest.raises(ProviderRefused, match="the insights of r1 were not given"):
            await ours.swept()
        emulator.app.faults += [("call-log", 503)] * 4
        with pytest.raises(ProviderBusy):
            await ours.run(ours.api.recorded_since(0))


async def test_wrong_credentials_are_named(tmp_path: Path) -> None:
    """The app's or the user's: the settings are named, their values are not."""
    for name in ("client_secret", "jwt"):
        wrong: dict[str, Any] = {name: "wrong-value-77"}
        async with site(tmp_path, **wrong) as (_, ours, _base):
            with pytest.raises(ProviderRefused, match="check client_id, client_secret and jwt") as raised:
                await ours.run(ours.api.found("r1"))
            assert "wrong-value" not in str(raised.value)


@pytest.mark.parametrize(
    ("operation", "changes", "more", "message"),
    [
        ("emotion", {}, {}, "there is no operation emotion"),
        ("transcription", {}, {"options": {"colour": 1}}, "transcription has no option colour"),
        ("summarization", {}, {"options": {}}, "needs the option utterances"),
        ("transcription", {"content_type": "audio/amr"}, {}, "RingCentral takes no audio/amr"),
        ("transcription", {}, {"language": "de-DE"}, "understands English only, not de-DE"),
    ],
)
async def test_what_is_known_to_fail_is_not_sent(
    tmp_path: Path, operation: str, changes: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    """The file is named, and what is taken instead."""
    async with site(tmp_path) as (_, ours, _base):
        whole = one(operation, None, "https://x/y")
        recording = msgspec.structs.replace(whole.recording, **changes)
        with pytest.raises(UsageError) as raised:
            ours.api.check(msgspec.structs.replace(whole, recording=recording, **more))
        assert message in str(raised.value)


async def test_an_answer_without_a_job_is_refused(tmp_path: Path) -> None:
    """RingCentral said yes, and no name: the error says what was missing."""
    async with site(tmp_path) as (_, ours, _base):
        steps = ours.api.submit(one("punctuation", None, None), {})
        next(steps)
        with pytest.raises(ProviderRefused, match="holds no jobId"):
            steps.send(Answer(status=202, body=b'{"jobId": "not a uuid"}'))
