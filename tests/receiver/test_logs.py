"""Log lines: one a step, in both styles, from us and from libraries, without secrets and without content."""

import io
import json
import logging
import sys
from typing import Any

import msgspec
import pytest
import structlog

from receiver import logs
from receiver.contract.errors import StoreUnavailable, Unreadable
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.settings import Secret

CANARY = "canary-0123456789"


class Stderr:
    """What was written to stderr so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        """Return all of it."""
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Stderr:
    """Give a stderr to look at."""
    return Stderr(capsys)


def lines(stderr: Stderr) -> list[dict[str, Any]]:
    """Return the JSON lines that were written."""
    return [json.loads(line) for line in stderr.getvalue().splitlines()]


def test_half_a_surrogate_pair_is_logged_too(stderr: Stderr) -> None:
    """A reason may quote a name of the sender's; what has no UTF-8 form stands there as an escape."""
    logs.configure("json", "info")
    structlog.get_logger().warning("receipt.unreadable", reason="lone \ud800")
    (line,) = lines(stderr)
    assert line["reason"] == "lone \ud800"


def test_a_step_is_one_line_of_json(stderr: Stderr) -> None:
    """Time, level and event come first, then what the step says."""
    logs.configure("json", "info")
    structlog.get_logger().info("receipt.stored", receipt="rcp_1", bytes=5, verdict=Verdict.TOKEN, none=None)
    (line,) = lines(stderr)
    assert list(line)[:3] == ["time", "level", "event"]
    assert len(line.pop("time")) == len("2026-01-01T00:00:00.000Z")
    assert line == {
        "level": "info",
        "event": "receipt.stored",
        "receipt": "rcp_1",
        "bytes": 5,
        "verdict": "token",
        "none": None,
    }


def test_auto_is_text_on_a_terminal_only(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no terminal gets JSON; a terminal gets text, with colour."""
    logs.configure("auto", "info")
    structlog.get_logger().warning("a.b")
    assert stderr.getvalue().startswith("{")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure("auto", "info")
    structlog.get_logger().warning("c.d", n=1)
    assert stderr.getvalue().splitlines()[1].startswith("\x1b[33m")
    assert stderr.getvalue().endswith(" warning c.d\x1b[0m n=1\n")


def test_text_cannot_steer_the_terminal_or_fake_a_line(stderr: Stderr) -> None:
    """Control characters in values and event names are shown as what they are."""
    logs.configure("text", "info")
    structlog.get_logger().info("a\nb", source="x\x1b[2J\ny", plain="rcp_1", spaced="a b", many=["a\n", 1])
    assert stderr.getvalue().count("\n") == 1
    assert "\x1b" not in stderr.getvalue()
    assert stderr.getvalue().endswith('plain=rcp_1 spaced="a b" many=["a\\n",1]\n')


@pytest.mark.parametrize("style", ["text", "json"])
def test_levels_below_are_not_written(stderr: Stderr, style: logs.Style) -> None:
    """The level filters before anything is made of a line."""
    logs.configure(style, "warning")
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert stderr.getvalue().count("\n") == 2
    assert (logs.is_on("info"), logs.is_on("warning")) == (False, True)
    logs.configure(style, "debug")
    assert logs.is_on("debug")


def test_a_kept_logger_follows_stderr_and_style(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module's logger, once used, writes where stderr is now and as `configure` said last."""
    logs.configure("json", "info")
    log = structlog.get_logger()
    log.info("a")
    other = io.StringIO()
    monkeypatch.setattr(sys, "stderr", other)
    logs.configure("text", "info")
    log.info("b")
    assert stderr.getvalue().count("\n") == 1
    assert other.getvalue().endswith(" info    b\n")


class Thing:
    """Something whose repr tells too much."""

    def __repr__(self) -> str:
        return CANARY


class Row(msgspec.Struct):
    """A struct, whose repr holds its members."""

    said: str


REQUEST = InboundRequest(
    source="s", token=CANARY, headers=((b"x", CANARY.encode()),), body=CANARY.encode(), received_at=1
)

UNSAFE: dict[str, Any] = {
    "value": Secret(CANARY),
    "values": [Secret(CANARY), {"x": Secret(CANARY), "authorization": CANARY}],
    "request": REQUEST,
    "raw": CANARY.encode(),
    "raws": [bytearray(CANARY, "ascii"), memoryview(CANARY.encode())],
    "row": Row(CANARY),
    "thing": Thing(),
    "things": {Thing()},
    "deep": [[[[[[CANARY]]]]]],
    "function": lambda: CANARY,
    "error": ValueError(CANARY),
    "url": f"https://user:{CANARY}@host/x",
    "path": f"/hooks/invox/{CANARY}?x=1",
    "store": f"postgresql://{CANARY}@db/calls",
    "long": "x" * 1000 + CANARY,
}
UNSAFE |= dict.fromkeys(
    (
        *("token", "tokens", "admin_token", "hook-token", "secret", "client_secret", "secrets", "password", "passwd"),
        *("authorization", "Authorization", "cookie", "set_cookie", "signature", "x-signature", "api_key", "apikey"),
        *("webhook_secret_key", "private_key", "body", "text", "headers", "payload", "content", "segments", "words"),
        "data",
    ),
    CANARY,
)


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("key", UNSAFE)
def test_no_secret_and_no_content_in_a_line(stderr: Stderr, style: logs.Style, key: str) -> None:
    """Secrets, bodies, unknown objects and tokens in addresses are replaced, at any depth."""
    logs.configure(style, "info")
    log = structlog.get_logger().bind(**{key: UNSAFE[key]})
    log.info("a.b", inner={key: UNSAFE[key]}, items=[{key: UNSAFE[key]}])
    assert stderr.getvalue().count("\n") == 1
    assert CANARY not in stderr.getvalue()


def raise_deep(text: str) -> None:
    """Raise a chain of errors that quote `text`."""
    try:
        msgspec.convert(text, Verdict)
    except msgspec.ValidationError as error:
        try:
            dict[str, int]()[text]
        except KeyError as inner:
            raise ExceptionGroup(text, [error, inner, StoreUnavailable("disk full")]) from inner


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_exception_is_types_and_places(stderr: Stderr, style: logs.Style) -> None:
    """What an error quotes and what its variables hold stays out; types, frames and our own messages are in."""
    logs.configure(style, "info")
    try:
        raise_deep(CANARY)
    except ExceptionGroup:
        structlog.get_logger().exception("step.failed", receipt="rcp_1")
    written = stderr.getvalue()
    assert CANARY not in written
    for part in ("ExceptionGroup", "ValidationError", "KeyError", "StoreUnavailable: disk full", "raise_deep"):
        assert part in written
    assert "test_logs.py:" in written


def test_errors_as_values_are_explained(stderr: Stderr) -> None:
    """Our own errors with their message, the system's with theirs, others by type and code."""
    logs.configure("json", "info")
    coded = type("SqlError", (Exception,), {"sqlstate": "40001"})(CANARY)
    errors = [Unreadable("member x is missing"), OSError(28, CANARY), coded, ValueError(CANARY)]
    structlog.get_logger().error("a.b", errors=errors, exc_info=errors[1])
    (line,) = lines(stderr)
    assert line["errors"] == [
        "Unreadable: member x is missing",
        "OSError ENOSPC: No space left on device",
        "SqlError 40001",
        "ValueError",
    ]
    assert line["exception"] == [{"error": "OSError ENOSPC: No space left on device", "frames": []}]
    structlog.get_logger().error("a.b", exc_info=True)
    assert "exception" not in lines(stderr)[1]


def test_libraries_write_into_the_same_lines(stderr: Stderr) -> None:
    """From warnings on, as a template without values; what they say at length or at lower levels is dropped."""
    logs.configure("json", "info")
    logging.getLogger("uvicorn.error").info("started %s", CANARY)
    logging.getLogger("uvicorn.access").error("GET /hooks/invox/%s", CANARY)
    logging.getLogger("aiohttp.server").warning("Error handling request from %s", CANARY)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %s", CANARY)
    logging.getLogger("nats.aio.client").error(OSError(111, CANARY))
    logging.getLogger("other").error(5)
    try:
        int(CANARY)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    written = lines(stderr)
    assert CANARY not in stderr.getvalue()
    assert [(line["level"], line["event"], line["logger"]) for line in written] == [
        ("warning", "library.logged", "aiohttp.server"),
        ("error", "library.logged", "asyncio"),
        ("error", "library.logged", "nats.aio.client"),
        ("error", "library.logged", "other"),
        ("error", "library.logged", "uvicorn.error"),
    ]
    assert written[1]["message"] == "Task exception was never retrieved"
    assert written[2]["error"] == "ConnectionRefusedError ECONNREFUSED: Connection refused"
    assert written[4]["exception"][0]["error"] == "ValueError"


def test_configuring_twice_writes_once(stderr: Stderr) -> None:
    """A second `configure` replaces the first."""
    logs.configure("json", "info")
    logs.configure("json", "info")
    logging.getLogger("nats").error("lost")
    assert len(lines(stderr)) == 1


def test_a_full_disk_stops_the_log_alone(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr takes nothing, logging raises nothing, and goes on once it does again."""
    logs.configure("json", "debug")

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Full())
        structlog.get_logger().error("lost")
    structlog.get_logger().error("seen")
    assert "seen" in stderr.getvalue()
