"""The doctor's judgement: what is said of settings, and of what was seen of a store."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from config_fakes import REGISTRY, Acme, Hose, HoseSettings, made, source

from receiver.config import Config, LimitSettings, build
from receiver.contract.errors import ConfigError
from receiver.contract.model import DeliveryState, SinkState
from receiver.contract.proof import Check
from receiver.contract.sink import SinkPorts
from receiver.doctor import (
    Finding,
    is_loopback,
    of_addresses,
    of_building,
    of_old_sources,
    of_quarantine,
    of_settings,
    of_sink,
    of_source,
    of_store,
    of_unreadable_settings,
)
from receiver.registry import Registry
from receiver.store.lists import COUNTED
from receiver.store.look import FileLook
from receiver.store.quarantine.records import QuarantinedRow

LIMITS = LimitSettings()
GOOD = FileLook(
    path=Path("data") / "hookscribe.db",
    exists=True,
    writable=True,
    folder_writable=True,
    folder_open=False,
    readable_by_others=(),
    free=1 << 40,
    sqlite=(3, 45, 1),
    journal="wal",
    schema=1,
    newest=1,
    worked_on=True,
)
QUIET = {state: 0 for state in DeliveryState if state is not DeliveryState.DELIVERED}


class Broken(Hose):
    """A sink that cannot be made."""

    def __init__(self, name: str, settings: HoseSettings, ports: SinkPorts) -> None:
        raise ConfigError("acme-queue is not installed: pip install acme-queue")


class Leaking(Hose):
    """A sink that fails with a secret in its mouth."""

    def __init__(self, name: str, settings: HoseSettings, ports: SinkPorts) -> None:
        raise RuntimeError(settings.url.value)


class Bare(Hose):
    """A sink that misses something on this machine."""

    def lacking(self) -> str | None:
        """Return what."""
        return "there is no tap"


class Slack(Hose):
    """A sink called slack."""


WITH_SINKS = Registry(
    {"acme": Acme}, {"hose": Hose, "broken": Broken, "leaking": Leaking, "bare": Bare, "slack": Slack}
)


def told(findings: Any) -> list[str]:
    """Return the levels and texts of findings that are not ok."""
    return [f"{one.level} {one.about}: {one.text}" for one in findings if one.level != "ok"]


def with_sink(kind: str, **settings: Any) -> Config:
    """Return a configuration with one sink of a kind."""
    table = {"sinks": {"out": {"kind": kind, "url": "https://canary-secret"}}, **source(), **settings}
    return build(table, {}, WITH_SINKS)


def a_sink(state: str = SinkState.RUNNING, kind: str | None = "hose", **waiting: int) -> dict[str, Any]:
    """Return a sink as lists show it."""
    return {
        "name": "out",
        "kind": kind,
        "state": state,
        "failures": 7,
        "reason": "HTTP 500",
        "backlog": QUIET | waiting,
    }


def a_source(**changes: Any) -> dict[str, Any]:
    """Return a source as lists show it."""
    counts = {"last_24h": 0, "received": 0, "confirming": 0, "unreadable": 0}
    return {"name": "one", "provider": "acme", "last_receipt": None, **counts, **changes}


def test_wrong_settings_are_problems_line_by_line() -> None:
    """Each error of the file is one problem."""
    assert [one.level for one in of_unreadable_settings(ConfigError("a: no\nb: no"))] == ["problem", "problem"]


def test_warnings_of_the_settings_are_told_once() -> None:
    """Those of the file come through; a source without proof is told of with the source."""
    config = made({"sources": {"one": {"provider": "acme", "verify": "none"}}})
    assert told(of_settings(config)) == ["warning settings: no [sinks.NAME]: events are kept, and go nowhere"]
    (proof,) = told(of_source(Acme("one", config.sources["one"]), None))  # type: ignore[arg-type]
    assert proof.startswith("warning source one: nothing proves who calls")


def test_addresses_are_looked_at() -> None:
    """No public address, addresses without TLS, a page in reach of others, Slack without links: each is told."""
    assert [line.partition(":")[0] for line in told(of_addresses(made(source())))] == ["warning public_url"]
    plain = source(tries=1) | {"public_url": "http://calls.example.com", "admin_url": "http://127.0.0.1:8081"}
    assert [line.partition(" is not https")[0] for line in told(of_addresses(made(plain)))] == [
        "warning public_url: http://calls.example.com"
    ]
    open_to_all = source() | {"public_url": "https://calls.example.com", "listen": {"admin": "0.0.0.0:8081"}}
    assert [line.partition(":")[0] for line in told(of_addresses(made(open_to_all)))] == ["warning listen"]
    one_port = source() | {"public_url": "https://calls.example.com", "listen": {"admin": "/admin"}}
    assert told(of_addresses(made(one_port))) == []
    slack = with_sink("slack", public_url="https://calls.example.com")
    assert [line.partition(":")[0] for line in told(of_addresses(slack))] == ["warning admin_url"]


@pytest.mark.parametrize(
    ("host", "mine"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("::", False), ("hook", False)],
)
def test_loopback_is_known(host: str, mine: bool) -> None:
    """It is known by number and by name."""
    assert is_loopback(host) is mine


def test_a_source_says_how_it_is_proven_and_what_is_inferred() -> None:
    """Ways of proof in words; settings that rest on a guess by name, without secrets."""
    config = made(source(signature={"header": "X-Sign"}, token="canary-token-0123456789"))
    findings = list(of_source(Acme("one", config.sources["one"]), a_source()))  # type: ignore[arg-type]
    assert {one.level for one in findings} == {"ok"}
    texts = [one.text for one in findings]
    assert texts[0] == "proven by some way"
    assert texts[1].startswith("signature is ")
    assert texts[1].endswith(": inferred, the vendor does not document it")
    assert texts[2].startswith("was never heard yet")
    assert "canary" not in str(findings)


def test_a_source_says_when_it_was_heard() -> None:
    """The last callback, how many in a day, and what is unreadable."""
    config = made(source())
    heard = a_source(last_receipt="2026-11-20T11:00:00.000Z", last_24h=COUNTED, unreadable=3)
    findings = list(of_source(Acme("one", config.sources["one"]), heard))  # type: ignore[arg-type]
    assert "2026-11-20T11:00:00.000Z, 10,000 or more callbacks in 24 hours" in findings[1].text
    assert told(findings)[0].startswith("warning source one: 3 receipts are unreadable")
    assert findings[2].way_out == "`hookscribe receipts --source one --state unreadable` shows why"


def test_a_good_store_is_ok() -> None:
    """Everything that is looked at is said to be as it should."""
    findings = list(of_store(GOOD, LIMITS))
    assert {one.level for one in findings} == {"ok"}
    assert findings[-1].text == "is at work on this store"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"folder_writable": False}, "problem store: "),
        ({"writable": False}, "problem store: data/hookscribe.db cannot be written to"),
        ({"schema": None, "fault": "file is not a database"}, "problem store: data/hookscribe.db cannot be read"),
        ({"schema": 2}, "problem store: data/hookscribe.db has schema 2, and this release knows 1"),
        ({"schema": 0}, "warning store: data/hookscribe.db has schema 0 of 1"),
        ({"free": LIMITS.free_disk - 1}, "problem store: 255 MiB of disk are free: soon"),
        ({"filesystem": "nfs4"}, "problem store: data/hookscribe.db is on a network file system (nfs4)"),
        (
            {"free": LIMITS.free_disk},
            "warning store: 256 MiB of disk are free, and large bodies alone may take 1,024 MiB",
        ),
        ({"sqlite": (3, 37, 2)}, "problem store: SQLite 3.37.2 is too old"),
        ({"journal": "delete"}, "warning store: SQLite 3.45.1, journal mode delete"),
        ({"folder_open": True}, "warning store: everybody may write to "),
        ({"readable_by_others": (Path("hookscribe.db"),)}, "warning store: hookscribe.db can be read or written by"),
    ],
)
def test_what_is_wrong_with_a_store_is_told(changes: dict[str, Any], line: str) -> None:
    """One fault, one line, with a way out."""
    findings = [one for one in of_store(msgspec.structs.replace(GOOD, **changes), LIMITS) if one.level != "ok"]
    assert len(findings) == 1
    assert told(findings)[0].startswith(line)
    assert findings[0].way_out


def test_a_store_that_is_not_there_yet_is_ok() -> None:
    """The first `serve` makes it."""
    seen = msgspec.structs.replace(GOOD, exists=False, writable=False, schema=None, journal=None, worked_on=False)
    assert told(of_store(seen, LIMITS)) == []


@pytest.mark.parametrize(
    ("sink", "lines"),
    [
        (a_sink(pending=3), []),
        (a_sink(SinkState.PAUSED, pending=3), ["warning sink out: is paused, 3 deliveries wait"]),
        (
            a_sink(SinkState.TRIPPED),
            ["problem sink out: tripped after 7 failures (HTTP 500); it is probed, and comes back by itself"],
        ),
        (a_sink(dead=12), ["problem sink out: 12 deliveries are dead"]),
        (
            a_sink(kind=None, pending=2, dead=1),
            [
                "problem sink out: is not in the settings, and 2 deliveries to it are pending",
                "problem sink out: is not in the settings, and 1 deliveries to it are dead",
            ],
        ),
        (a_sink(kind=None, discarded=5), []),
    ],
)
def test_sinks_are_looked_at(sink: dict[str, Any], lines: list[str]) -> None:
    """State, dead letters, and what waits for a sink that is configured no more."""
    assert told(of_sink(sink)) == lines


def test_an_orphans_deliveries_can_be_given_up() -> None:
    """The way out names a state that `discard` takes."""
    findings = of_sink(a_sink(kind=None, pending=1, in_flight=1, dead=1))
    assert [(one.way_out or "").split()[-1] for one in findings] == ["pending`", "pending`", "dead`"]


def test_receipts_without_a_source_are_problems() -> None:
    """A source that was taken out while receipts of it wait; one that is quiet is history."""
    sources = [a_source(provider=None, received=1, unreadable=1), a_source(provider=None), a_source(received=9)]
    assert told(of_old_sources(sources)) == [
        "problem source one: is not in the settings, and 2 receipts of it are not normalized"
    ]


def test_the_quarantine_is_looked_at() -> None:
    """How many, and why the newest; the counts only where nothing is kept."""
    check = Check(scheme="token", ok=None, detail="the URL carries no token")
    row = QuarantinedRow(1, "one", "token_missing", 0, 10, (check,))
    (line,) = told([of_quarantine([row, row], enabled=True)])
    assert line == "warning quarantine: 2 refused requests; the newest to one: token_missing, the URL carries no token"
    assert "1,000 or more" in of_quarantine([row] * 1000, enabled=True).text
    assert of_quarantine([msgspec.structs.replace(row, checks=())], enabled=True).text.endswith("token_missing")
    assert told([of_quarantine([], enabled=True), of_quarantine([], enabled=False)]) == []


def test_sinks_that_cannot_be_made_are_problems() -> None:
    """What is missing is named; what a plugin's exception says is not."""

    def lines(kind: str) -> list[Finding]:
        ports: Any = SinkPorts(http=None, links=None, now=float)  # type: ignore[arg-type]
        return list(of_building(with_sink(kind), WITH_SINKS, ports))

    assert lines("hose") == []
    assert [one.text for one in lines("broken")] == ["acme-queue is not installed: pip install acme-queue"]
    assert [one.text for one in lines("leaking")] == ["leaking fails: RuntimeError"]
    assert [one.text for one in lines("bare")] == ["there is no tap"]
    assert REGISTRY.sinks
