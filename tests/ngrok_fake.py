"""A fake ngrok for tests: an agent that answers as ngrok's does, and a program that stands for ngrok itself."""

import contextlib
import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any


class FakeAgent:
    """Answers `/api/tunnels` with `tunnels`, which a test may change at any time; `raw` is said instead if it is set."""

    def __init__(self) -> None:
        self.tunnels: list[dict[str, Any]] = []
        self.raw: bytes | None = None
        self.url = ""

    def lead(self, url: str, target: str) -> None:
        """Have one tunnel from a public address to a target here."""
        self.tunnels = [tunnel(url, target)]


def tunnel(url: str, target: str) -> dict[str, Any]:
    """Return a tunnel as ngrok lists it."""
    proto = url.partition(":")[0]
    return {
        "name": "command_line",
        "uri": "/api/tunnels/x",
        "public_url": url,
        "proto": proto,
        "config": {"addr": target, "inspect": True},
    }


@contextlib.contextmanager
def agent(port: int = 0) -> Iterator[FakeAgent]:
    """Run a fake agent."""
    fake = FakeAgent()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = fake.raw or json.dumps({"tunnels": fake.tunnels, "uri": "/api/tunnels"}).encode()
            self.send_response(200 if self.path == "/api/tunnels" else 404)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()


_PROGRAM = """#!{python}
import signal, sys, threading
sys.path.insert(0, {tests!r})
from ngrok_fake import agent
assert sys.argv[1] == "http", sys.argv
done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: done.set())
signal.signal(signal.SIGINT, signal.SIG_IGN)
with agent({port}) as fake:
    fake.lead("https://fake.ngrok.example", "http://localhost:" + sys.argv[2])
    done.wait()
open({marker!r}, "w").write("ended")
"""
_FAILING = """#!/bin/sh
echo "ERROR:  authentication failed: this needs an account."
echo "ERROR:  Your authtoken: canary-authtoken"
echo "ERROR:  ERR_NGROK_4018"
exit 1
"""


def install(folder: Path, port: int) -> Path:
    """Put a program `ngrok` into a folder, whose agent answers on `port`; return the file that it writes at its end."""
    marker = folder / "ended"
    tests = str(Path(__file__).parent)
    _executable(folder / "ngrok", _PROGRAM.format(python=sys.executable, tests=tests, port=port, marker=str(marker)))
    return marker


def install_failing(folder: Path) -> None:
    """Put a program `ngrok` into a folder that ends at once, as without an account."""
    _executable(folder / "ngrok", _FAILING)


def path_with(folder: Path) -> str:
    """Return a PATH that begins with a folder."""
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _executable(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
