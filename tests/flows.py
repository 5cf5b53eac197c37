"""A receiver in this process beside a provider's emulator: recordings are submitted as `hookscribe submit --wait` does."""

import asyncio
import contextlib
import json
import sqlite3
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from click.testing import CliRunner, Result
from recordings import a_wave

from receiver.cli import hookscribe
from receiver.cli.orders import Item
from receiver.cli.submit import Refusal, Work
from receiver.config import load
from receiver.exporting import Exporter
from receiver.registry import discover
from receiver.runtime import Running
from receiver.store.jobs import JobRow, Jobs
from receiver.store.lists import Lists
from receiver.testing.emulators import emulator
from receiver.testing.emulators.invox import TOKEN_PATH
from receiver.testing.emulators.serving import serving
from receiver.testing.server import free_port
from receiver.web.serve import serving as listening

REGISTRY = discover()
OPTIONS: Mapping[str, dict[str, Any]] = {"callcov": {"agent": "agent_017", "contact": "contact_4821"}}
"""What a provider wants to know with every recording."""
CALLS_BACK = ("callcov", "invox", "ringcentral")
"""Providers that post the results of recordings; the answer of callmissed is the result, rythmex is asked."""
_SETTINGS = """
store = "sqlite:{folder}/store.db"
grace = 2
public_url = "http://127.0.0.1:{port}"
[listen]
public = "127.0.0.1:{port}"
admin = "127.0.0.1:0"
[sinks.archive]
kind = "jsonl"
path = "{folder}/events.jsonl"
[sources]
"""
_AT_REST = """SELECT (SELECT count(*) FROM receipts WHERE state IN ('received', 'confirming'))
    + (SELECT count(*) FROM deliveries WHERE state IN ('pending', 'in_flight'))"""
_GRANTS = {"oauth": {}, "get": {"method": "GET", "body": ""}, "json": {
    "authorization": "", "body": '{"credentials":"{credentials}"}', "content_type": "application/json"}}  # fmt: skip
_SIGNED: Mapping[str, dict[str, Any]] = {
    "hex": {"header": "X-Emulated-Signature"},
    "prefixed": {"header": "X-Emulated-Signature", "prefix": "sha256="},
    "timestamp": {
        "header": "X-Emulated-Signature",
        "signed": "{timestamp}.{body}",
        "timestamp_header": "X-Emulated-Timestamp",
    },
}


class Flow(msgspec.Struct, kw_only=True):
    """A running receiver with one source, the provider that it asks, and a folder."""

    source: str
    emulator: Any
    run: Running
    folder: Path
    provided: "Provided"

    async def submitted(self, *paths: Path, wait: bool = True, **given: Any) -> list[JobRow | Refusal]:
        """Submit recordings, with `Item`'s members, and return their jobs; with `wait` once their results are here."""
        work = Work(self.run.runtime, self.run.asks, self.source)
        options = {**OPTIONS.get(self.source, {}), **given.pop("options", {})}
        wanted = [Item(where=str(path), options=options, **given) for path in paths]
        ended = await work.sent(await work.started(wanted, again=False))
        return await asyncio.wait_for(work.waited(ended), 30) if wait else ended

    async def one(self, **given: Any) -> JobRow:
        """Submit a small recording; return its job at its end."""
        (job,) = await self.submitted(a_wave(self.folder / "call.wav"), **given)
        assert isinstance(job, JobRow), job.why
        return job

    async def job(self, number: int) -> JobRow:
        """Return a job as it is now."""
        (found,) = await Jobs(self.run.runtime.store).by_id([number])
        return found

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Return the delivered events of these types; of all where none is named."""
        file = self.folder / "events.jsonl"
        lines = [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []
        return [one for one in lines if not types or one["type"] in types]

    async def delivered(self, *types: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for events; return them."""
        await until(lambda: len(self.events(*types)) >= count, f"{count} of {types}")
        return self.events(*types)

    async def quiet(self) -> None:
        """Wait until every callback was sent, every receipt read, and every event delivered."""
        if hasattr(self.emulator, "callbacks"):
            await self.emulator.callbacks.settled()
        await until(lambda: self.rows(_AT_REST) == [(0,)], "rest")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read the store, beside its owner."""
        path = self.folder / "store.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement).fetchall()

    async def exported(self, form: str = "json") -> list[bytes]:
        """Return every transcript in a form."""
        exporter = Exporter(Lists(self.run.runtime.store.engine), "calls.example.com")
        return [one.data async for one in exporter.many({}, form)]  # type: ignore[union-attr]


class Provided(msgspec.Struct, kw_only=True):
    """An emulator that listens, and a folder with the settings of a receiver that asks it."""

    source: str
    emulator: Any
    folder: Path

    @property
    def settings(self) -> Path:
        """The file that `--config` names."""
        return self.folder / "hookscribe.toml"

    async def cli(self, *arguments: str) -> Result:
        """Run a command line beside whatever else goes on in this process."""
        return await asyncio.to_thread(CliRunner().invoke, hookscribe, ["--config", str(self.settings), *arguments])

    async def submit(self, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        """Run `submit` for the source; return exit code, rows, and stderr."""
        options = OPTIONS.get(self.source, {}).items()
        given = [word for name, value in options for word in ("--option", f"{name}={value}")]
        done = await self.cli("submit", self.source, *given, "--json", *arguments)
        return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@contextlib.asynccontextmanager
async def provided(
    folder: Path, source: str, switches: Mapping[str, Any] | None = None, made: Any = None, **more: Any
) -> AsyncIterator[Provided]:
    """Run an emulator with these switches, or the one that was made, and write settings; `more` are the source's."""
    made = made or emulator(source, switches)
    port = free_port()
    async with serving(made.app) as base:
        document = tomllib.loads(_SETTINGS.format(folder=folder, port=port) + made.configuration(base))
        patience = 0.2 if is_polled(source, made.switches) else 600
        document["sources"][source] |= {"poll_after": patience, **fitting(source, made.switches), **more}
        ours = Provided(source=source, emulator=made, folder=folder)
        ours.settings.write_text("\n".join(f"{name} = {_toml(value)}" for name, value in document.items()))
        yield ours


@contextlib.asynccontextmanager
async def flowing(
    folder: Path, source: str, switches: Mapping[str, Any] | None = None, made: Any = None, **more: Any
) -> AsyncIterator[Flow]:
    """Run a receiver beside that."""
    async with provided(folder, source, switches, made, **more) as ours:
        config = load(ours.settings, {}, REGISTRY)
        async with listening(config, REGISTRY) as (run, _):
            yield Flow(source=source, emulator=ours.emulator, run=run, folder=folder, provided=ours)


def _toml(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def fitting(source: str, switches: Any) -> dict[str, Any]:
    """Return the settings that a user would have to choose for a provider that behaves so."""
    if source == "callcov":
        proof = (
            {"signature": _SIGNED[switches.signature], "secrets": ["emulator-secret"]}
            if switches.signature != "none"
            else {}
        )
        return {
            "api_key_header": switches.key_header,
            "submissions_per_minute": switches.submissions_per_minute,
            **proof,
        }
    if source == "invox":
        inner = {"member": ["data.accessToken"], "expiry_member": ["data.expiresIn"]}
        form = _GRANTS[switches.grant] | (inner if switches.grant_member == "inner" else {})
        return {"token_request": form, "token_url": TOKEN_PATH}
    return {}


def is_polled(source: str, switches: Any) -> bool:
    """Say whether no callback comes under these switches, so that the result has to be asked for."""
    if source not in CALLS_BACK or switches.callbacks.lost:
        return True
    fails = switches.outcome not in ("completed", "COMPLETED", "Success")
    return fails and not getattr(switches, "failures_called_back", True)


def every_switch(source: str) -> list[Any]:
    """Return a test's parameter for each value of each switch but the defaults, and for the ways of callbacks."""
    switches = get_type_hints(type(emulator(source)).__init__)["switches"]
    found = [pytest.param(source, {}, id=source)]
    for name, hint in get_type_hints(switches).items():
        values = (False, True) if hint is bool else get_args(hint)
        rest = [one for one in values if one is not type(None) and one != getattr(switches(), name)]
        found += [
            pytest.param(source, {name: one}, id=f"{source}-{name}={one}")
            for one in rest
            if isinstance(one, bool | int | str)
        ]
    ways = [{"copies": 2}, {"late": 0.1}, {"lost": True}, {"early": True}]
    found += [pytest.param(source, {"callbacks": way}, id=f"{source}-{way}") for way in ways if source in CALLS_BACK]
    return found


async def until(condition: Callable[[], Any], what: str, patience: float = 20.0) -> None:
    """Wait for what the receiver does. Raises AssertionError when it does not come."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"waited {patience:g} s for {what}"
        await asyncio.sleep(0.02)
