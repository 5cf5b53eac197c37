"""The sink exec: the contract of every sink with a real command, and how that ends."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import uvloop

from handlers.sinks.exec import Exec, ExecSettings
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.contract.sink import Delivered, Rejected, SinkPorts, TryLater
from receiver.testing.events import sample_delivery, sample_event
from receiver.testing.sink import Arrived, Behaviour, SinkContract

BEHAVES = {
    Behaviour.TAKES: "cat >> arrived; echo >> arrived",
    Behaviour.LATER: "echo not now >&2; exit 75",
    Behaviour.REFUSES: "echo never >&2; exit 1",
    Behaviour.HANGS: "sleep 60",
}


class Command:
    """The other side: a script in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "takes.sh"

    def settings(self) -> Mapping[str, Any]:
        """Return the settings that run it."""
        return {"command": [str(self.script)], "folder": str(self.folder), "env": {"TOKEN": "s3cret-word"}}

    async def behave(self, how: Behaviour) -> None:
        """Behave like this from now on."""
        self.script.unlink(missing_ok=True)
        if how in BEHAVES:
            self.script.write_text(f"#!/bin/sh\n{BEHAVES[how]}\n")
            self.script.chmod(0o700)

    async def arrived(self) -> Sequence[Arrived]:
        """Return what it was given, a line an event."""
        lines = (self.folder / "arrived").read_bytes().split(b"\n")
        return [Arrived(raw=line, event=line) for line in lines if line]


class TestExec(SinkContract):
    """Exec holds what every sink holds."""

    sink = Exec

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Command]:
        """Give a command that takes everything."""
        with TemporaryDirectory() as folder:
            command = Command(Path(folder))
            await command.behave(Behaviour.TAKES)
            yield command


def made(script: str, **settings: Any) -> Exec:
    """Return a sink that runs a line of shell."""
    checked = ExecSettings(kind="exec", command=("/bin/sh", "-c", script), **settings)
    checked.check()
    return Exec("hook", checked, SinkPorts(http=None, links=None, now=time.time))  # type: ignore[arg-type]


async def run(script: str, **settings: Any) -> Any:
    """Return the outcome of one delivery."""
    async with asyncio.timeout(10):
        (outcome,) = await made(script, **settings).send([sample_delivery(attempt=3)])
    return outcome


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 0", Delivered(detail="exit status 0")),
        ("exit 75", TryLater(reason="exit status 75")),
        ("exit 2", Rejected(reason="exit status 2")),
        ("echo first >&2; echo last words >&2; echo out; exit 1", Rejected(reason="exit status 1: last words")),
        ("kill -9 $$", TryLater(reason="the command was ended by signal 9")),
        ("printf '\\033[31mred\\n' >&2; exit 75", TryLater(reason="exit status 75: [31mred")),
        ("echo token $TOKEN >&2; exit 1", Rejected(reason="exit status 1: token ***")),
    ],
)
async def test_how_a_command_ends(script: str, outcome: Any) -> None:
    """0 is delivered, 75 later, another status never, a signal later; the last line says why, without secrets."""
    assert await run(script, env={"TOKEN": Secret("s3cret-word")}) == outcome


async def test_the_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds what was given, and which event this is; nothing of ours."""
    monkeypatch.setenv("HOOKSCRIBE_ADMIN_TOKEN", "s3cret")
    outcome = await run("env > environment; pwd > where", folder=str(tmp_path), env={"CRM": Secret("yes")})
    assert isinstance(outcome, Delivered)
    lines = (line.partition("=") for line in (tmp_path / "environment").read_text().splitlines())
    found = {name: value for name, _, value in lines if name not in ("PWD", "SHLVL", "_", "OLDPWD")}
    assert found.pop("PATH").endswith("/usr/bin:/sbin:/bin")
    event = sample_event()
    assert found == {
        "LANG": "C.UTF-8",
        "CRM": "yes",
        "HOOKSCRIBE_EVENT_ID": event.id,
        "HOOKSCRIBE_EVENT_TYPE": event.type,
        "HOOKSCRIBE_ATTEMPT": "3",
    }
    assert (tmp_path / "where").read_text().strip() == str(tmp_path.resolve())


async def test_there_is_no_shell(tmp_path: Path) -> None:
    """Arguments arrive as they are written."""
    settings = ExecSettings(kind="exec", command=("touch", "a b; $(id) *"), folder=str(tmp_path))
    sink = Exec("hook", settings, SinkPorts(http=None, links=None, now=time.time))  # type: ignore[arg-type]
    assert isinstance((await sink.send([sample_delivery()]))[0], Delivered)
    assert [path.name for path in tmp_path.iterdir()] == ["a b; $(id) *"]


async def test_a_command_need_not_read() -> None:
    """Five megabytes that nobody reads hold up nothing."""
    large = sample_delivery(sample_event(grow_to=5_000_000))
    async with asyncio.timeout(10):
        assert (await made("exit 0").send([large]))[0] == Delivered(detail="exit status 0")


def test_the_loop_of_serve_runs_it_as_well() -> None:
    """Uvloop has processes of its own: what is read, what is not, and what stays behind end the same way."""
    large = sample_delivery(sample_event(grow_to=3_000_000))

    async def ends(script: str) -> Any:
        async with asyncio.timeout(10):
            return (await made(script).send([large]))[0]

    assert uvloop.run(ends("cat > /dev/null")) == Delivered(detail="exit status 0")
    assert uvloop.run(ends("sleep 61 & echo no >&2; exit 75")) == TryLater(reason="exit status 75: no")


def test_nothing_of_a_command_is_open_once_it_is_judged() -> None:
    """Its pipes are closed by then, the one too that it did not read: a loop that ended right after it found one busy."""
    large = sample_delivery(sample_event(grow_to=3_000_000))

    async def left(script: str) -> set[Path]:
        await made("cat > /dev/null").send([sample_delivery()])
        before = set(Path("/proc/self/fd").iterdir())
        await made(script).send([large])
        return set(Path("/proc/self/fd").iterdir()) - before

    assert uvloop.run(left("exec 3<&0; sleep 61 & sleep 0.1; exit 75")) == set()
    assert asyncio.run(left("exec 3<&0; setsid sleep 0.5 2>&- & sleep 0.1; exit 75")) == set()


def test_a_command_that_ends_before_it_is_given_the_event_is_judged_by_its_status() -> None:
    """Its input is closed by then, which is no fault: neither of a command that is done nor of one that refuses."""

    async def ends(script: str) -> list[Any]:
        return [(await made(script).send([sample_delivery()]))[0] for _ in range(30)]

    assert uvloop.run(ends("exit 0")) == [Delivered(detail="exit status 0")] * 30
    assert uvloop.run(ends("exit 1")) == [Rejected(reason="exit status 1")] * 30


async def test_a_flood_on_standard_error_is_bounded() -> None:
    """Megabytes are read, to the end, and little is kept."""
    outcome = await run("head -c 20000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 1")
    assert outcome == Rejected(reason="exit status 1: the end")


async def test_a_send_that_is_cancelled_ends_the_whole_group(tmp_path: Path) -> None:
    """The command, and what it started, is gone when the send is."""
    sink = made("sleep 61 & echo $! > child; echo $$ > parent; wait", folder=str(tmp_path))
    task = asyncio.ensure_future(sink.send([sample_delivery()]))
    await both_written(tmp_path)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    await gone(tmp_path)


async def test_a_send_that_is_cancelled_at_once_ends_the_whole_group() -> None:
    """Also while the command is being started, whatever it has started by then."""
    seconds = f"61.{uuid.uuid4().int}"
    sink = made(f"sleep {seconds} & wait")
    for turns in range(12):
        task = asyncio.ensure_future(sink.send([sample_delivery()]))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
    async with asyncio.timeout(5):
        while any(seconds in line for line in running()):
            await asyncio.sleep(0.05)


def running() -> Iterator[str]:
    """Give the command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_text("utf-8", "replace")


async def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """A child in the background holds up nothing, though it has standard error open."""
    script = "sleep 61 & echo $! > child; echo $$ > parent; exit 0"
    began = time.monotonic()
    assert isinstance(await run(script, folder=str(tmp_path)), Delivered)
    assert time.monotonic() - began < 5
    await gone(tmp_path)


async def both_written(folder: Path) -> None:
    """Wait until a script wrote down its processes."""
    async with asyncio.timeout(5):
        while not ((folder / "parent").exists() and (folder / "parent").read_text()):
            await asyncio.sleep(0.01)


async def gone(folder: Path) -> None:
    """Wait until both processes are gone, or dead and waiting for a parent."""
    async with asyncio.timeout(5):
        while any(alive(int((folder / name).read_text())) for name in ("parent", "child")):
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Say whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_program_that_cannot_start_is_tried_later(tmp_path: Path) -> None:
    """The reason names what is wrong, not the settings."""
    outcome = await run("exit 0", folder=str(tmp_path / "nowhere"))
    assert outcome == TryLater(reason="the command cannot be started: No such file or directory")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"command": ()}, "command must name"),
        ({"command": ("",)}, "command must name"),
        ({"command": ("a\0",)}, "command must not hold"),
        ({"command": ("a",), "env": {"A-B": Secret("x")}}, "env: 'A-B' is no name"),
        ({"command": ("a",), "env": {"HOOKSCRIBE_EVENT_ID": Secret("x")}}, "env: 'HOOKSCRIBE_EVENT_ID'"),
        ({"command": ("a",), "env": {"A": Secret("x\0")}}, "env: the value of A holds a NUL"),
    ],
)
def test_a_command_that_cannot_be_is_an_error(settings: dict[str, Any], words: str) -> None:
    """The message names the key."""
    with pytest.raises(ConfigError, match=words):
        ExecSettings(kind="exec", **settings).check()


@pytest.mark.parametrize(
    ("table", "lacks"),
    [
        ({"command": ("sh",)}, None),
        ({"command": ("/bin/sh", "-c", "true")}, None),
        ({"command": ("./here.sh",), "folder": "."}, None),
        ({"command": ("there.sh",), "env": {"PATH": Secret(".")}}, None),
        ({"command": ("./here.txt",), "folder": "."}, "command: there is no program ./here.txt that may be run"),
        ({"command": ("nowhere-4711",)}, "command: there is no program nowhere-4711 that may be run"),
        ({"command": ("sh",), "env": {"PATH": Secret("/nowhere")}}, "command: there is no program sh that may be run"),
        ({"command": ("sh",), "folder": "gone"}, "folder: there is no gone"),
    ],
)
def test_a_program_that_is_not_there_is_known_before_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: dict[str, Any], lacks: str | None
) -> None:
    """Looked for as it will be: in the folder where it is named by its place, else on the PATH that it gets."""
    monkeypatch.chdir(tmp_path)
    for name, mode in (("here.sh", 0o700), ("there.sh", 0o700), ("here.txt", 0o600)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    ports: Any = SinkPorts(http=None, links=None, now=time.time)  # type: ignore[arg-type]
    assert Exec("run", ExecSettings(kind="exec", **table), ports).lacking() == lacks
