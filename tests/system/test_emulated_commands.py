"""`hookscribe submit` as a user types it, against every provider's emulator: what it prints, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from flows import flowing, provided
from recordings import a_wave

from receiver.testing.emulators import EMULATORS
from receiver.testing.emulators.ringcentral import RingCentralEmulator, Switches


@pytest.mark.parametrize("source", EMULATORS)
async def test_submit_wait_and_export(tmp_path: Path, source: str) -> None:
    """Beside `serve`: the job is completed, the transcript exported and delivered, and a second submission finds it."""
    file = str(a_wave(tmp_path / "call.wav"))
    async with flowing(tmp_path, source) as flow:
        code, (job,), error = await flow.provided.submit(file, "--wait", "--call", "C-1")
        assert (code, job["state"], error) == (0, "completed", "")
        exported = await flow.provided.cli("export", "--source", source, "--job-id", job["job_id"])
        assert exported.exit_code == 0
        (transcript,) = (json.loads(line) for line in exported.stdout.splitlines())
        (event,) = await flow.delivered("transcript.completed")
        assert event["data"]["id"] == transcript["id"]
        assert transcript["job"]["id"] == job["id"]
        code, (again,), _ = await flow.provided.submit(file)
        assert (code, again["id"]) == (0, job["id"])


async def test_a_call_is_found_by_the_id_that_was_given_with_it(tmp_path: Path) -> None:
    """`--call C-1` at submit is `--call C-1` everywhere, and so is our own id for the call."""
    file = str(a_wave(tmp_path / "call.wav"))
    async with flowing(tmp_path, "callcov") as flow:
        _, (job,), _ = await flow.provided.submit(file, "--wait", "--call", "C-1")
        (event,) = await flow.delivered("transcript.completed")
        call = event["data"]["call"]["id"]
        for words in (
            ("export", "--call"),
            ("transcripts", "--json", "--call"),
            ("events", "--json", "--call"),
            ("jobs", "--json", "--call"),
        ):
            named, ours, other = [await flow.provided.cli(*words, id_) for id_ in ("C-1", call, "C-2")]
            assert (named.exit_code, named.stdout) == (0, ours.stdout), words
            assert job["id"] in named.stdout or event["data"]["id"] in named.stdout
            assert (other.exit_code, other.stdout) == (0, "")
        wrong = await flow.provided.cli("export", "--call", job["id"])
        assert (wrong.exit_code, "no id of the form call_" in wrong.stderr) == (2, True)


async def test_recordings_that_lie_at_the_provider(tmp_path: Path) -> None:
    """By id, by an entry of the call log, by time: RingCentral gets them by our link, and the job has the call's fields."""
    emulator = RingCentralEmulator(Switches(heavy_per_minute=1000))
    made = [emulator.record(f"r{number}", b"RIFF%d" % number * 9, at=1_790_000_000 + number) for number in range(3)]
    entry = tmp_path / "entry.json"
    entry.write_text(json.dumps(made[1]))
    async with flowing(tmp_path, "ringcentral", made=emulator) as flow:
        code, rows, error = await flow.provided.submit(
            *("--recording", "r0", "--call-log-entry", str(entry), "--wait"), *("--meta", "team=north")
        )
        assert (code, [row["state"] for row in rows], error) == (0, ["completed"] * 2, "")
        assert {row["file"] for row in rows} == {"r0.wav", "r1.wav"}
        assert [job.fetched for job in emulator.jobs.values()] == [45, 45]
        assert all("/media/" in job.asked["contentUri"] for job in emulator.jobs.values())
        assert not any("access_token" in query for query in emulator.queries)
        (call,) = (row["call"] for row in rows if row["file"] == "r1.wav")
        assert (call["external_id"], call["from"], call["to"], call["direction"]) == (
            "s-r1",
            "+15550100",
            "101",
            "inbound",
        )
        code, rows, _ = await flow.provided.submit("--recorded-since", "2020-01-01", "--wait", "--call", "C-9")
        assert (code, sorted(row["file"] for row in rows)) == (0, ["r0.wav", "r1.wav", "r2.wav"])
        assert len(emulator.jobs) == 3
        (call,) = (row["call"] for row in rows if row["file"] == "r2.wav")
        assert (call["external_id"], call["from"]) == ("C-9", "+15550100")
        await flow.quiet()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--recording", "r9"), "RingCentral has no recording r9"),
        (("--call-log-entry", "none.json"), "none.json cannot be read: No such file"),
        (("--call-log-entry", "bad.json"), "bad.json: the call-log entry is not JSON"),
        (("--call-log-entry", "large.json"), "large.json: it has more than 16 MiB"),
        (("--recorded-since", "soon"), "--recorded-since: "),
        (("--recording", "r0", "--resume"), "--resume stands without recordings"),
        ((), "name at least one file or URL"),
    ],
)
async def test_what_does_not_lie_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    """Wrong use: exit code 2, and what to do."""
    monkeypatch.chdir(tmp_path)
    Path("bad.json").write_text("{")
    with Path("large.json").open("wb") as file:
        file.truncate((16 << 20) + 1)
    async with provided(tmp_path, "ringcentral") as ours:
        assert (await ours.cli("migrate")).exit_code == 0
        code, rows, error = await ours.submit(*arguments)
        assert (code, rows, said in error) == (2, [], True), error


@pytest.mark.parametrize(
    ("operation", "text", "sent"),
    [
        ("summarization", '[{"speakerId": 3, "text": "Hello.", "start": 1}]',
         {"utterances": [{"speakerId": "3", "text": "Hello.", "start": 1}], "summaryType": "All"}),
        ("summarization", '{"segments": [{"speaker": "A", "text": "Hi.", "end": 2, "start": null}]}',
         {"utterances": [{"speakerId": "A", "text": "Hi.", "end": 2}], "summaryType": "All"}),
        ("summarization", "Hello.\n\n Hi. \n",
         {"utterances": [{"speakerId": "0", "text": one} for one in ("Hello.", "Hi.")], "summaryType": "All"}),
        ("punctuation", '{"texts": ["good morning"]}', {"texts": ["good morning"]}),
        ("punctuation", "good morning\n", {"texts": ["good morning"]}),
    ],
)  # fmt: skip
async def test_texts_are_read_out_of_files(tmp_path: Path, operation: str, text: str, sent: dict[str, Any]) -> None:
    """A file of what was said stands where a recording would."""
    (tmp_path / "said.txt").write_text(text)
    async with flowing(tmp_path, "ringcentral") as flow:
        code, (job,), error = await flow.provided.submit(str(tmp_path / "said.txt"), "--operation", operation, "--wait")
        assert (code, job["state"], error) == (0, "completed", "")
        (asked,) = flow.emulator.jobs.values()
        assert asked.asked == sent
        await flow.quiet()
        assert [one["type"] for one in flow.events("analysis.completed")] == ["analysis.completed"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xff\xfe", "said.txt: it is neither JSON nor text"),
        (b"{}", "said.txt: it holds no list of utterances"),
        (b"[1]", "said.txt: something in its list is neither a text"),
        (b"[]", "said.txt: it holds no list"),
    ],
)
async def test_files_that_hold_no_text(tmp_path: Path, body: bytes, said: str) -> None:
    """The message names the file."""
    (tmp_path / "said.txt").write_bytes(body)
    async with provided(tmp_path, "ringcentral") as ours:
        assert (await ours.cli("migrate")).exit_code == 0
        code, (row,), _ = await ours.submit(str(tmp_path / "said.txt"), "--operation", "summarization")
        assert (code, row["state"], said in row["detail"]) == (1, "refused", True), row


@pytest.mark.parametrize(
    ("scope", "said"), [("AI Video", "lack ReadCallLog, ReadCallRecording"), (Switches().scope, "")]
)
async def test_the_doctor_names_missing_permissions(tmp_path: Path, scope: str, said: str) -> None:
    """The token's answer tells them."""
    async with provided(tmp_path, "ringcentral", {"scope": scope}) as ours:
        assert (await ours.cli("migrate")).exit_code == 0
        done = await ours.cli("doctor")
        assert ("the credentials lack" in done.stdout, said in done.stdout) == (bool(said), True), done.stdout


async def test_the_doctor_says_where_credentials_are_wrong(tmp_path: Path) -> None:
    """A problem, with exit code 1."""
    async with provided(tmp_path, "ringcentral", jwt="another") as ours:
        assert (await ours.cli("migrate")).exit_code == 0
        done = await ours.cli("doctor")
        assert (done.exit_code, "check client_id, client_secret and jwt" in done.stdout) == (1, True), done.stdout
