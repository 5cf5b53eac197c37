"""The verbs of `receipts`: send one again, make a fixture of one."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kept import kept_in

from receiver import cli
from receiver.config import load
from receiver.making import sources
from receiver.registry import discover
from receiver.store.ids import RECEIPT, encode
from receiver.store.records import pack_headers
from receiver.testing.fixtures import load_case, observed
from receiver.testing.store import Clock, a_receipt

SECRET = "canary-secret-0123456789"
TOKEN = "canary-token-0123456789"
CONFIG = f"""
store = "sqlite:store.db"
admin_token = "canary-admin-0123456789"

[sources.cc]
provider = "callcov"
secrets = ["{SECRET}"]
signature = {{ header = "X-Hook-Signature", prefix = "sha256=" }}
token = "{TOKEN}"

[sinks.team]
kind = "slack"
url = "https://hooks.slack.com/services/T0/B0/canary-slack"
"""
BODY = (Path(__file__).parents[3] / "fixtures" / "callcov" / "completed-older-shape" / "body").read_bytes()


class Far:
    """Another receiver: writes down what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[str, list[tuple[str, str]], bytes]] = []
        self.status = 200


@pytest.fixture
def far() -> Iterator[tuple[Far, str]]:
    """Give another receiver and its address."""
    made = Far()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.got.append((self.path, self.headers.items(), body))
            self.send_response(made.status)
            self.send_header("location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(b'{"status":"accepted"}')

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, tuple[tuple[bytes, bytes], ...]]:
    """Give a signed receipt in a store: its id, and its headers as they came."""
    monkeypatch.chdir(tmp_path)
    Path("hookscribe.toml").write_text(CONFIG)
    provider = sources(load(Path("hookscribe.toml"), {}, discover()), discover())["cc"]
    signed = tuple((name.lower(), value) for name, value in provider.sign(BODY, 0).headers)
    headers = (
        *signed,
        (b"host", b"calls.example.com"),
        (b"connection", b"keep-alive"),
        (b"content-length", b"%d" % len(BODY)),
        (b"authorization", b"Bearer theirs"),
        (b"x-twice", b"1"),
        (b"x-twice", b"2"),
    )

    async def keep() -> int:
        async with kept_in(tmp_path / "store.db", Clock()) as store:
            made = a_receipt(store, b"m", body=BODY, source="cc", provider="callcov", headers=pack_headers(headers))
            await store.keep([made])
            return made.id

    return encode(RECEIPT, asyncio.run(keep())), signed


def run(*arguments: str, code: int = 0) -> Result:
    """Run the command."""
    done = CliRunner().invoke(cli.hookscribe, ["receipts", *arguments])
    assert done.exit_code == code, done.output
    return done


def test_the_exact_bytes_are_sent(kept: Any, far: tuple[Far, str]) -> None:
    """With every header that came, in order, but for those of the connection."""
    (number, signed), (other, address) = kept, far
    assert run("send", number, "--to", f"{address}/hooks/cc/", "--token", "tok").stdout == '200 {"status":"accepted"}\n'
    ((path, headers, body),) = other.got
    assert (path, body) == ("/hooks/cc/tok", BODY)
    sent = [(name.lower().encode(), value.encode()) for name, value in headers]
    theirs = [*signed, (b"authorization", b"Bearer theirs"), (b"x-twice", b"1"), (b"x-twice", b"2")]
    assert [pair for pair in sent if pair[0] not in (b"host", b"content-length")] == theirs
    assert (b"host", address.removeprefix("http://").encode()) in sent


@pytest.mark.parametrize("status", [302, 401, 503])
def test_another_answer_ends_with_1(kept: Any, far: tuple[Far, str], status: int) -> None:
    """It is printed, and a redirect is not followed."""
    far[0].status = status
    assert run("send", kept[0], "--to", far[1], code=1).stdout.startswith(f"{status} ")
    assert len(far[0].got) == 1


@pytest.mark.parametrize(
    ("to", "code", "told"),
    [
        ("nonsense", 2, "--to: expected a whole address"),
        ("ftp://x/", 2, "--to: expected a whole address"),
        ("http://127.0.0.1:1/", 1, "gave no answer (ConnectError)"),
    ],
)
def test_addresses_that_do_not_answer(kept: Any, to: str, code: int, told: str) -> None:
    """Say what is wrong with them."""
    assert told in run("send", kept[0], "--to", to, code=code).stderr


def test_a_fixture_is_made(kept: Any, tmp_path: Path) -> None:
    """It loads, it proves, and no secret and no word of the original is in it."""
    assert "request.json" in run("fixture", kept[0], "--to", str(tmp_path / "made")).stdout
    case = load_case(tmp_path / "made")
    settings = {**case.settings, "provider": "callcov"}
    config = tmp_path / "other.toml"
    config.write_text("[sources.cc]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in settings.items()))
    provider = sources(load(config, {}, discover()), discover())["cc"]
    assert json.dumps(observed(provider, case), sort_keys=True) == json.dumps(case.expected, sort_keys=True)
    whole = b"".join(file.read_bytes() for file in (tmp_path / "made").iterdir()).decode()
    assert "canary" not in whole
    assert "theirs" not in whole
    said = [one["text"] for one in case.expected["outcomes"][0]["result"]["segments"]]
    assert not [one for one in said if one.encode() in BODY]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def test_wrong_use(kept: Any, tmp_path: Path) -> None:
    """What is not there, what would be overwritten, whose settings are gone."""
    for verb in (("send", "--to", "http://127.0.0.1:1/"), ("fixture",)):
        assert "there is no rcp_0" in run(verb[0], "rcp_0000000000000", *verb[1:], code=2).stderr
    assert "is not empty" in run("fixture", kept[0], "--to", str(tmp_path), code=2).stderr
    file = Path("hookscribe.toml")
    file.write_text(file.read_text().replace("[sources.cc]", "[sources.other]"))
    assert "no source is called 'cc' now" in run("fixture", kept[0], code=2).stderr


def test_the_list_needs_no_word(kept: Any) -> None:
    """`receipts` lists, `receipts ID` shows, and the help shows both ways."""
    assert kept[0] in run().stdout
    assert run("--json").stdout == run("list", "--json").stdout
    assert "signature" in run(kept[0]).stdout
    told = run("--help").stdout
    with contextlib.suppress(ValueError):
        told.index("--body")
    assert all(word in told for word in ("--state", "send", "fixture", "list"))
