"""Rythmex, asked: whole flows against its emulator under every switch, crashes in the middle, and clear refusals."""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from called import Called, called, submission

from handlers.providers.rythmex import Rythmex, RythmexSettings
from handlers.providers.rythmex.settings import SMALLEST_CHUNK
from receiver.contract.asking import Answer, Fetched, Missing, Pending, Recording, Submission
from receiver.contract.errors import ConfigError, ProviderRefused, Unanswered, UsageError
from receiver.contract.model import Result
from receiver.testing.emulators import rythmex as emulated
from receiver.testing.emulators.rythmex import Switches
from receiver.testing.emulators.serving import serving
from receiver.testing.fixtures import settings_of

TOKEN = "rythmex-token-4Hq8"
EVERY = [
    Switches(),
    *(Switches(access=one) for one in ("Bearer", "Api-Key")),
    *(Switches(named=one) for one in ("job_id", "analytic_job_id")),
    Switches(numbered=True),
    *(Switches(result=one) for one in ("itself", "address", "job")),
    Switches(words="lower"),
    Switches(listing="array"),
    Switches(again="refuse"),
]


@contextlib.asynccontextmanager
async def site(
    folder: Path, switches: Switches | None = None, **settings: Any
) -> AsyncIterator[tuple[emulated.RythmexEmulator, Called]]:
    """Run the emulator and a provider that asks it."""
    emulator = emulated.RythmexEmulator(switches or Switches(), token=TOKEN)
    async with serving(emulator.app) as base:
        access = {"api_token": TOKEN, "auth_prefix": emulator.switches.access}
        table = {"api_url": f"{base}/api/v3/", **access, **settings}
        async with called(Rythmex, folder, **{key: value for key, value in table.items() if value}) as ours:
            yield emulator, ours


def recorded(folder: Path, size: int = 100) -> Path:
    """Write a file of bytes that are not alike."""
    path = folder / "call one.WAV"
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("switches", EVERY, ids=str)
async def test_a_recording_becomes_a_transcript(tmp_path: Path, switches: Switches) -> None:
    """Uploaded in chunks, started, polled until it is done: the result is about the analysis that was started."""
    path = recorded(tmp_path, 2 * SMALLEST_CHUNK + 77)
    async with site(tmp_path, switches) as (emulator, ours):
        done = await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        (upload,) = emulator.uploads.values()
        assert (len(upload.chunks), upload.complete) == (3, True)
        assert upload.whole.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert next(iter(emulator.uploads)) == "hookscribe-00job1.wav"
        assert isinstance(await ours.run(ours.api.poll(done.job_id, "call-analysis")), Pending)
        found = await ours.run(ours.api.poll(done.job_id, "call-analysis"))
        assert isinstance(found, Fetched)
        (result,) = ours.outcomes(found)
        assert isinstance(result, Result)
        assert (result.job_id, result.status, len(result.segments)) == (done.job_id, "completed", 2)
        assert [(one.id, one.role) for one in result.speakers] == [("AGENT", "agent"), ("CUSTOMER", "customer")]


@pytest.mark.parametrize("switches", EVERY, ids=str)
async def test_a_sweep_finds_what_others_submitted(tmp_path: Path, switches: Switches) -> None:
    """The list is read to its end, page after page; the keys are those that a poll gives."""
    path = recorded(tmp_path)
    async with site(tmp_path, switches) as (emulator, ours):
        emulator.polls = 0
        jobs = [
            (await ours.run(ours.api.submit(submission(path, "call-analysis", serial=f"0{n}"), {}), path)).job_id
            for n in range(5)
        ]
        found = await ours.swept()
        assert [one.job_id for one in found] == jobs
        keys = [ours.provider.message_key(ours.proven(one)) for one in found]
        assert keys[0] == ours.provider.message_key(
            ours.proven(await ours.run(ours.api.poll(jobs[0], "call-analysis")))
        )
        assert len(set(keys)) == 5


@pytest.mark.parametrize("switches", EVERY, ids=str)
async def test_a_failed_analysis_says_why(tmp_path: Path, switches: Switches) -> None:
    """Amazon's reason is the error of a failed transcript."""
    path = recorded(tmp_path)
    async with site(tmp_path, switches) as (emulator, ours):
        emulator.polls, emulator.fails_with = 0, "Unsupported media format"
        done = await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        (result,) = ours.outcomes(await ours.run(ours.api.poll(done.job_id, "call-analysis")))
        assert isinstance(result, Result)
        assert (result.status, result.job_id) == ("failed", done.job_id)
        assert result.error is not None
        assert result.error.message == "Unsupported media format"


@pytest.mark.parametrize("again", ["replace", "refuse"])
@pytest.mark.parametrize("after", range(6))
async def test_a_crash_is_resumed(tmp_path: Path, after: int, again: Any) -> None:
    """Whichever note was the last, the file arrives whole, and one analysis is started."""
    path = recorded(tmp_path, 2 * SMALLEST_CHUNK + 77)
    async with site(tmp_path, Switches(again=again)) as (emulator, ours):
        whole = submission(path, "call-analysis")
        await ours.run(ours.api.submit(whole, {}), path)
        states: list[dict[str, Any]] = [{}, *(note.state for note in ours.notes)]
        emulator.analyses.clear()
        upload = emulator.uploads["hookscribe-00job1.wav"]
        kept = max(0, min(after, 4) - 1)
        _cut(upload, path, kept + (again == "refuse" and 0 < kept < 3), complete=after == 5)
        await ours.run(ours.api.submit(whole, states[after]), path)
        used = emulator.uploads[next(iter(emulator.analyses.values())).name]
        assert used.whole.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert len(emulator.analyses) == 1


def _cut(upload: emulated.Upload, path: Path, chunks: int, *, complete: bool) -> None:
    """Leave of an upload what was there when the note was written, or one chunk more."""
    content = path.read_bytes()[: chunks * SMALLEST_CHUNK]
    upload.chunks, upload.complete = upload.chunks[:chunks], complete
    upload.size, upload.whole = len(content), hashlib.sha256(content)


@pytest.mark.parametrize("again", ["replace", "refuse"])
async def test_a_chunk_whose_answer_is_lost_is_sent_again(tmp_path: Path, again: Any) -> None:
    """Where its number is taken once only, the upload is begun anew under another name."""
    path = recorded(tmp_path, SMALLEST_CHUNK + 5)
    async with site(tmp_path, Switches(again=again)) as (emulator, ours):
        emulator.app.faults.append(("upload-file-chunk", "cut"))
        await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        (analysis,) = emulator.analyses.values()
        assert emulator.uploads[analysis.name].whole.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert analysis.name == ("hookscribe-00job1.wav" if again == "replace" else "hookscribe-00job1-1.wav")


async def test_a_start_whose_answer_is_lost_is_not_repeated(tmp_path: Path) -> None:
    """Nobody knows whether it was started; it is not started twice."""
    path = recorded(tmp_path)
    async with site(tmp_path) as (emulator, ours):
        emulator.app.faults.append(("start", "cut"))
        with pytest.raises(Unanswered):
            await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        assert len(emulator.analyses) == 1


async def test_faults_that_pass_are_waited_out(tmp_path: Path) -> None:
    """Errors of a server and limits cost time only."""
    path = recorded(tmp_path)
    async with site(tmp_path) as (emulator, ours):
        emulator.app.faults += [("create", 503), ("chunk", 502), ("chunk", 429), ("complete", 500), ("start", 429)]
        await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        assert (len(emulator.analyses), len(ours.sleeps)) == (1, 5)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (("create", "html"), None),
        (("start", 403), "was uploaded, but its analysis was not started: 403"),
        (("start", "html"), "not JSON"),
        (("create", 302), "the upload of call one.WAV was not begun: 302"),
        (("complete", 403), "the upload of call one.WAV was not completed: 403"),
        (("chunk", 413), "chunk 0 of call one.WAV was not taken: 413"),
    ],
)
async def test_refusals_name_the_file(tmp_path: Path, fault: Any, message: str | None) -> None:
    """Each error says which step of which file it was."""
    path = recorded(tmp_path)
    async with site(tmp_path) as (emulator, ours):
        emulator.app.faults.append(fault)
        steps = ours.api.submit(submission(path, "call-analysis"), {})
        if message is None:
            await ours.run(steps, path)
            return
        with pytest.raises(ProviderRefused) as raised:
            await ours.run(steps, path)
        assert message in str(raised.value)


async def test_wrong_credentials_are_named(tmp_path: Path) -> None:
    """The vendor's own words, and no token in them."""
    path = recorded(tmp_path)
    async with site(tmp_path, api_token="wrong-token-1") as (_, ours):
        with pytest.raises(ProviderRefused) as raised:
            await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        assert "Authentication credentials were not provided" in str(raised.value)
        assert "wrong-token" not in str(raised.value)


async def test_a_login_gives_an_access_token(tmp_path: Path) -> None:
    """Name and password, where the path of the login is set; an access token is fetched once and used for an hour."""
    emulator = emulated.RythmexEmulator(Switches(access="Bearer"), token=TOKEN)
    async with serving(emulator.app) as base:
        access: dict[str, Any] = {"username": "us", "password": "secret", "login_url": f"{base}/login/"}
        async with called(Rythmex, tmp_path, api_url=f"{base}/api/v3", **access) as ours:
            assert [await ours.swept(), await ours.swept()] == [[], []]
            assert emulator.app.seen.count("POST /login/") == 1
            ours.clock.ms += 3_600_000
            await ours.swept()
            assert emulator.app.seen.count("POST /login/") == 2
    async with serving(emulator.app) as base:
        access = {"username": "us", "password": "other", "login_url": f"{base}/login/"}
        async with called(Rythmex, tmp_path, api_url=f"{base}/api/v3", **access) as ours:
            with pytest.raises(ProviderRefused, match="No active account"):
                await ours.swept()
    async with serving(emulator.app) as base:
        access = {"refresh_token": "r", "refresh_url": f"{base}/login/"}
        async with called(Rythmex, tmp_path, api_url=f"{base}/api/v3", **access) as ours:
            with pytest.raises(ProviderRefused, match="no access token: check"):
                await ours.swept()


async def test_what_rythmex_does_not_know_is_missing(tmp_path: Path) -> None:
    """An id of somebody else's, also one that would change the path, is asked for as it is."""
    async with site(tmp_path) as (emulator, ours):
        assert isinstance(await ours.run(ours.api.poll("../a b", "call-analysis")), Missing)
        emulator.app.faults.append(("call-analytics", 403))
        with pytest.raises(ProviderRefused, match="analysis 7 was not given: 403"):
            await ours.run(ours.api.poll("7", "call-analysis"))


async def test_a_result_that_cannot_be_found_names_the_setting(tmp_path: Path) -> None:
    """A completed analysis without a result, an id by another name, a list that leads elsewhere."""
    path = recorded(tmp_path)
    async with site(tmp_path, Switches(result="address"), url_members=["elsewhere"]) as (emulator, ours):
        emulator.polls = 0
        done = await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        with pytest.raises(ProviderRefused, match="url_members says"):
            await ours.run(ours.api.poll(done.job_id, "call-analysis"))
    async with site(tmp_path, id_members=["elsewhere"]) as (_, ours):
        with pytest.raises(ProviderRefused, match="id_members says"):
            await ours.run(ours.api.submit(submission(path, "call-analysis", serial="02"), {}), path)


async def test_a_list_does_not_lead_our_token_astray(tmp_path: Path) -> None:
    """The next page is asked for on the same host only."""
    async with site(tmp_path) as (_, ours):
        steps = ours.api.sweep(0)
        next(steps)
        page = msgspec.json.encode({"results": [], "next": "https://elsewhere.example/api/v3/list"})
        with pytest.raises(ProviderRefused, match=r"elsewhere\.example, which is not 127\.0\.0\.1"):
            steps.send(Answer(status=200, body=page))


@pytest.mark.parametrize(
    ("recording", "more", "message"),
    [
        ({"size": None}, {}, "call.wav: Rythmex takes files only"),
        ({"size": 0}, {}, "call.wav: the file is empty"),
        ({"name": "call.amr"}, {}, "call.amr: Call Analytics reads"),
        ({}, {"language": "en-US"}, "set language_member"),
    ],
)
def test_what_is_known_to_fail_is_not_sent(recording: dict[str, Any], more: dict[str, Any], message: str) -> None:
    """The file is named, and the way out."""
    provider = Rythmex("source", settings_of(Rythmex, {"api_token": "t"}))
    given: dict[str, Any] = {"name": "call.wav", "size": 5, "sha256": None, "content_type": "audio/wav"}
    whole = Recording(**given | recording)
    one = Submission(recording=whole, operation="call-analysis", callback_url=None, serial="1", **more)
    api = provider.api()
    assert api is not None
    with pytest.raises(UsageError) as raised:
        api.check(one)
    assert message in str(raised.value)


async def test_a_start_says_what_the_settings_say(tmp_path: Path) -> None:
    """Language, channels and options go into the body under the names that were set."""
    path = recorded(tmp_path)
    more: dict[str, Any] = {"language_member": "language", "start_members": {"agent_channel": "0"}}
    async with site(tmp_path, **more) as (emulator, ours):
        one = submission(path, "call-analysis", language="de-DE", options={"redact": True})
        await ours.run(ours.api.submit(one, {}), path)
        (analysis,) = emulator.analyses.values()
        told = {"language": "de-DE", "agent_channel": "0", "redact": True}
        assert analysis.asked == {"file_name": analysis.name, **told}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"username": "us"}, "password, login_url is not set"),
        ({"refresh_token": "x"}, "refresh_url is not set"),
        ({"api_token": "t", "refresh_token": "x", "refresh_url": "https://x/"}, "one way to be let in is enough"),
        ({"retrieve_path": "analysis/"}, "retrieve_path: it needs {id}"),
        ({"api_url": "rythmex.com"}, "is not https://host/"),
    ],
)
def test_settings_that_cannot_work_are_explained(settings: dict[str, Any], message: str) -> None:
    """Each names the keys and the way out."""
    with pytest.raises(ConfigError) as raised:
        settings_of(Rythmex, settings)
    assert message in str(raised.value)


def test_without_credentials_there_is_nobody_to_ask() -> None:
    """A token in the URL alone receives; no proof at all is no source."""
    provider = Rythmex("source", RythmexSettings(provider="rythmex"))
    assert (provider.api(), provider.proofs()) == (None, ())
    known = Rythmex("source", settings_of(Rythmex, {"api_token": "t"}))
    assert known.proofs() == ("answers to what we ask",)


async def test_a_sweep_passes_over_what_is_old_or_goes_on(tmp_path: Path) -> None:
    """A row that tells its time or its state spares a request; one without an id cannot be asked about."""
    async with site(tmp_path) as (_, ours):
        steps = ours.api.sweep(1_776_000_000.0)
        next(steps)
        rows = [
            {"id": "old", "status": "COMPLETED", "created_at": "2026-01-01T00:00:00Z"},
            {"id": "busy", "status": "QUEUED"},
            {"status": "COMPLETED"},
            "no row",
            {"id": "new", "status": "COMPLETED", "created_at": "2026-05-01T00:00:00Z"},
        ]
        wanted = steps.send(Answer(status=200, body=msgspec.json.encode(rows)))
        assert wanted.url.endswith("/call-analytics/new/")
        with pytest.raises(StopIteration):
            steps.send(Answer(status=404))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "No quota."}', "403, No quota."),
        (b'{"file_name": ["Too long.", "Not ours."]}', "403, file_name: Too long. Not ours."),
        (b"[1]", "403"),
        (b"<html>", "403"),
    ],
)
async def test_the_vendors_words_are_shown(tmp_path: Path, body: bytes, words: str) -> None:
    """Of a body in the form of Django REST Framework; of any other the status says it."""
    path = recorded(tmp_path)
    async with site(tmp_path) as (_, ours):
        steps = ours.api.submit(submission(path, "call-analysis"), {})
        next(steps)
        with pytest.raises(ProviderRefused) as raised:
            steps.send(Answer(status=403, body=body))
        assert str(raised.value) == f"the upload of call one.WAV was not begun: {words}"


async def test_chunks_that_are_never_taken_end_it(tmp_path: Path) -> None:
    """After the second name there is no third."""
    path = recorded(tmp_path)
    async with site(tmp_path) as (emulator, ours):
        emulator.app.faults += [("chunk", 404), ("chunk", 404)]
        with pytest.raises(ProviderRefused, match=r"chunk 0 of call one\.WAV was not taken: 404"):
            await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        assert list(emulator.uploads) == ["hookscribe-00job1.wav", "hookscribe-00job1-1.wav"]


async def test_an_address_that_fails_names_its_host(tmp_path: Path) -> None:
    """The result is there, and cannot be read; a list that cannot be read says so."""
    path = recorded(tmp_path)
    async with site(tmp_path, Switches(result="address")) as (emulator, ours):
        emulator.polls = 0
        done = await ours.run(ours.api.submit(submission(path, "call-analysis"), {}), path)
        emulator.app.faults += [("files", 403), ("list", 403)]
        with pytest.raises(ProviderRefused, match=r"cannot be read at 127\.0\.0\.1: 403"):
            await ours.run(ours.api.poll(done.job_id, "call-analysis"))
        with pytest.raises(ProviderRefused, match="the analyses cannot be listed: 403"):
            await ours.swept()
