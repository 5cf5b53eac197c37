"""What goes wrong with a submission, as a user of `hookscribe submit` sees it: exit code, file, and the way out."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from flows import Provided, provided
from recordings import a_wave

from receiver.asking import caller
from receiver.asking.client import ProviderClient
from receiver.contract.asking import Answer, Ask
from receiver.testing.emulators import EMULATORS, emulator
from receiver.testing.emulators.trouble import Fault, Trouble
from receiver.testing.server import RawServer, closes, listening

CREATES = {
    "callcov": "/analysis/",
    "invox": "/generate-presigned-url",
    "ringcentral": "/speech-to-text",
    "callmissed": "/analyze",
    "rythmex": "/start/",
}
"""The request by which a provider takes a recording; what INVOX makes there is not billed, and may be made twice."""
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "callcov": ({"api_key": "wrong"}, "check api_key"),
    "invox": ({"app_id": "wrong"}, "check app_id, api_key"),
    "ringcentral": ({"jwt": "wrong"}, "check client_id, client_secret and jwt"),
    "callmissed": ({"api_key": "wrong"}, "check the credentials"),
    "rythmex": ({"api_token": "wrong"}, "check the credentials"),
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment where a provider asks for patience."""
    for name in ("_FIRST_WAIT", "_PENALTY"):
        monkeypatch.setattr(caller, name, 0.05)


def recording(ours: Provided) -> str:
    """Return what to submit: an address where the provider would fetch it from us, and nobody serves."""
    file = a_wave(ours.folder / "call.wav")
    return "http://127.0.0.1:9/call.wav" if ours.source == "ringcentral" else str(file)


async def submitted(ours: Provided, *files: str) -> tuple[int, dict[str, Any], str]:
    """Submit into a new store; return exit code, the only row, and stderr."""
    assert (await ours.cli("migrate")).exit_code == 0
    code, (row,), error = await ours.submit(*(files or [recording(ours)]))
    return code, row, error


def troubled(source: str) -> Any:
    """Make an emulator with faults in front of it."""
    made: Any = emulator(source)
    if not isinstance(made.app, Trouble):
        made.app = Trouble(made.app)
    return made


@pytest.mark.parametrize("source", EMULATORS)
async def test_wrong_credentials(tmp_path: Path, source: str) -> None:
    """The job has failed, and says which settings to look at."""
    settings, said = WRONG[source]
    async with provided(tmp_path, source, **settings) as ours:
        code, row, _ = await submitted(ours)
    assert (code, row["state"], "call.wav" in row["detail"], said in row["detail"]) == (1, "failed", True, True), row


@pytest.mark.parametrize(
    ("fault", "said"), [(400, ": 400"), (403, ": 403"), (413, ": 413"), (307, "redirects"), (404, ": 404")]
)
@pytest.mark.parametrize("source", EMULATORS)
async def test_a_refusal_fails_the_job(tmp_path: Path, source: str, fault: Fault, said: str) -> None:
    """It is sent once, and its status is told with the file."""
    made = troubled(source)
    made.app.faults = [(CREATES[source], fault)]
    async with provided(tmp_path, source, made=made) as ours:
        code, row, _ = await submitted(ours)
    assert (code, row["state"], "call.wav" in row["detail"], said in row["detail"]) == (1, "failed", True, True), row
    assert [CREATES[source] in one for one in made.app.seen].count(True) == 1


@pytest.mark.parametrize("fault", [500, 502, "cut", "html"])
@pytest.mark.parametrize("source", [one for one in EMULATORS if one != "invox"])
async def test_an_answer_that_tells_nothing_leaves_doubt(tmp_path: Path, source: str, fault: Fault) -> None:
    """The provider may have it: it is shown, and neither sent again by itself nor by a second command."""
    made = troubled(source)
    made.app.faults = [(CREATES[source], fault)]
    async with provided(tmp_path, source, made=made) as ours:
        code, row, error = await submitted(ours)
        assert (code, row["state"], "call.wav" in row["detail"]) == (1, "uncertain", True), row
        assert ("call.wav" in error, "jobs settle" in error) == (True, True), error
        code, (row,), _ = await ours.submit(recording(ours))
        assert (code, row["state"]) == (1, "uncertain")
    assert [CREATES[source] in one for one in made.app.seen].count(True) == 1


@pytest.mark.parametrize("source", EMULATORS)
async def test_a_provider_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """After its time the request is given up, with the work done or not: in doubt, but where asking again is safe."""
    send = ProviderClient.send

    async def impatient(self: ProviderClient, asked: Ask, *given: Any, **more: Any) -> Answer:
        return await send(self, msgspec.structs.replace(asked, timeout=0.5), *given, **more)

    monkeypatch.setattr(ProviderClient, "send", impatient)
    made = troubled(source)
    made.app.faults = [(CREATES[source], "silent")]
    async with provided(tmp_path, source, made=made) as ours:
        code, row, error = await submitted(ours)
    if source == "invox":
        assert (code, row["state"]) == (0, "submitted"), row
    else:
        assert (code, row["state"], "call.wav: " in row["detail"]) == (1, "uncertain", True), row
        assert ("no answer in time" in row["detail"], "jobs settle" in error) == (True, True), row


@pytest.mark.parametrize(("fault", "state"), [(500, "submitted"), ("cut", "submitted"), ("html", "failed")])
async def test_what_may_be_asked_twice_is_asked_twice(tmp_path: Path, fault: Fault, state: str) -> None:
    """INVOX gives another address for an upload, and nothing is lost; an answer that is not JSON is the end of it."""
    made = troubled("invox")
    made.app.faults = [(CREATES["invox"], fault)]
    async with provided(tmp_path, "invox", made=made) as ours:
        code, row, _ = await submitted(ours)
    assert (code, row["state"]) == (int(state == "failed"), state), row
    assert state != "failed" or ("call.wav" in row["detail"] and "is not JSON" in row["detail"])


@pytest.mark.parametrize("fault", [429, 503])
@pytest.mark.parametrize("source", EMULATORS)
async def test_a_busy_provider_is_asked_again(tmp_path: Path, source: str, fault: Fault) -> None:
    """Such answers say that nothing was done."""
    made = troubled(source)
    made.app.faults = [(CREATES[source], fault)] * 2
    async with provided(tmp_path, source, made=made) as ours:
        code, row, _ = await submitted(ours)
    assert (code, row["state"]) == (0, "submitted"), row
    assert [CREATES[source] in one for one in made.app.seen].count(True) == 3


@pytest.mark.parametrize("source", ["callcov", "callmissed"])
async def test_an_upload_that_is_cut_in_the_middle(tmp_path: Path, source: str) -> None:
    """The provider goes away while it takes the file: whether it has enough of it, nobody knows."""
    async with listening() as server:
        server.answer = closes
        async with provided(tmp_path, source, api_url=server.url()) as ours:
            code, row, error = await submitted(ours)
    assert (code, row["state"], "call.wav" in row["detail"]) == (1, "uncertain", True), row
    assert "jobs settle" in error
    assert isinstance(server, RawServer)


async def test_nobody_listens(tmp_path: Path) -> None:
    """Nothing was sent: the job waits for `--resume`."""
    async with provided(tmp_path, "callmissed", api_url="http://127.0.0.1:9") as ours:
        code, row, _ = await submitted(ours)
    assert (code, row["state"]) == (1, "submitting")
    assert "127.0.0.1" in row["detail"]


@pytest.mark.parametrize(
    ("source", "name", "size", "said"),
    [
        ("callcov", "large.wav", 501 << 20, "more than the 500 MB"),
        ("callcov", "page.pdf", 10, "CallCov takes no"),
        ("invox", "page.pdf", 10, "page.pdf"),
        ("ringcentral", "page.pdf", 10, "RingCentral takes no"),
        ("callmissed", "page.pdf", 10, "page.pdf"),
        ("callmissed", "large.wav", 106_000_000, "large.wav"),
        ("rythmex", "page.pdf", 10, "convert it or rename it"),
        *((source, "empty.wav", 0, "is empty") for source in EMULATORS),
        *((source, "none.wav", None, "there is no such file") for source in EMULATORS),
    ],
)
async def test_files_that_no_provider_is_bothered_with(
    tmp_path: Path, source: str, name: str, size: int | None, said: str
) -> None:
    """Nothing is sent, no job is made, and the message names file and way out."""
    if size is not None:
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    made = troubled(source)
    async with provided(tmp_path, source, made=made) as ours:
        code, row, _ = await submitted(ours, str(tmp_path / name))
    assert (code, row["state"], row["id"], made.app.seen) == (1, "refused", None, [])
    assert (name in row["detail"], said in row["detail"]) == (True, True), row
