"""The command `ask`: a question to an emulated CallMissed, whose answer is kept with the transcript."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from audited_table import COMMANDS
from kept import kept_in, normalized, result
from programs import run

from receiver.contract.model import Segment, Speaker
from receiver.pipeline.jobs.question import told
from receiver.store.lists import Lists
from receiver.testing.emulators.callmissed import CallMissedEmulator
from receiver.testing.emulators.serving import serving
from receiver.testing.store import Clock

ACME = '[sources.acme]\nprovider = "callcov"\ntoken = "0123456789abcdef"\n'


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[tuple[CallMissedEmulator, str]]:
    """Run CallMissed, and keep a transcript of another provider; yield its id."""
    emulator = CallMissedEmulator()
    said = (Segment(start=0, end=1, speaker="A", text="Hello."), Segment(start=1, end=2, speaker="B", text="Hi you."))
    async with serving(emulator.app) as base, kept_in(folder / "store.db", Clock()) as store:
        speakers = (Speaker(id="A", role="agent"), Speaker(id="B"))
        await normalized(store, [result("job-1", segments=said, speakers=speakers)], ())
        (row,) = (await Lists(store.engine).transcripts({}, whole=False)).items
        head = f'store = "sqlite:{folder / "store.db"}"\n'
        (folder / "hookscribe.toml").write_text(head + ACME + emulator.configuration(base))
        yield emulator, row["id"]


async def test_an_answer_is_shown_with_the_transcript(tmp_path: Path) -> None:
    """Who can answer is found, the turns are sent with their roles, and the answer stays."""
    async with site(tmp_path) as (_, transcript):
        done = await asyncio.to_thread(run, "ask", transcript, "Who?", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "Who? The transcript has 5 words.\n")
        again = await asyncio.to_thread(
            run, "ask", transcript, "Why?", "--source", "callmissed", "--json", cwd=tmp_path
        )
        assert json.loads(again.stdout)["question"] == "Why?"
        trail = await asyncio.to_thread(run, "audit", "--json", cwd=tmp_path)
        asked = [json.loads(line) for line in trail.stdout.splitlines()]
        assert [(one["what"], one["thing"]) for one in asked] == [(COMMANDS["ask"], transcript)] * 2
        shown = await asyncio.to_thread(run, "transcripts", transcript, "--json", cwd=tmp_path)
        answers = json.loads(shown.stdout)["answers"]
        assert [(one["source"], one["question"]) for one in answers] == [("callmissed", "Who?"), ("callmissed", "Why?")]


async def test_what_cannot_be_asked_says_why(tmp_path: Path) -> None:
    """A source that answers no questions, a transcript that is not there, a provider that refuses; nothing is kept."""
    async with site(tmp_path) as (emulator, transcript):
        done = await asyncio.to_thread(run, "ask", transcript, "Who?", "--source", "acme", cwd=tmp_path)
        assert done.returncode == 2
        assert "acme" in done.stderr
        done = await asyncio.to_thread(run, "ask", "trn_0000000000000", "Who?", cwd=tmp_path)
        assert (done.returncode, "there is no trn_0000000000000" in done.stderr) == (2, True)
        emulator.key = "another"
        done = await asyncio.to_thread(run, "ask", transcript, "Who?", cwd=tmp_path)
        assert (done.returncode, "Invalid API key" in done.stderr) == (1, True)
        shown = await asyncio.to_thread(run, "transcripts", transcript, "--json", cwd=tmp_path)
        assert "answers" not in json.loads(shown.stdout)
        (tmp_path / "hookscribe.toml").write_text(f'store = "sqlite:{tmp_path / "store.db"}"\n{ACME}')
        done = await asyncio.to_thread(run, "ask", transcript, "Who?", cwd=tmp_path)
        assert (done.returncode, "no source can be asked questions" in done.stderr) == (2, True)


def test_a_question_is_about_who_said_what() -> None:
    """Turns by role, else by label, else by id; without speakers the whole text."""
    speakers = [{"id": "0", "role": "agent"}, {"id": "1", "label": "Ada"}, {"id": "2"}]
    said = [{"speaker": str(number), "text": f"w{number}"} for number in range(3)]
    whole = {"segments": said, "speakers": speakers, "text": "all"}
    assert told(whole) == "agent: w0\nAda: w1\n2: w2"
    assert told({**whole, "segments": [*said, {"speaker": None, "text": "x"}]}) == "all"
    assert told({"text": None}) == ""
