"""New settings are compared with those in force, and taken over whole or not at all."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from pipeline_fakes import until
from running_fakes import REGISTRY, TOKEN, Keeps, configured

from receiver.contract.errors import ConfigError, NotFound
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Refused
from receiver.pipeline.operating.reprocess import Meant
from receiver.reload import RELOADABLE, Names, changes, reload
from receiver.runtime import Running, running
from receiver.store.records import Kept
from receiver.web.reloading import Hangup

OTHER = "other-token-0123456789"


def a_source(token: str = TOKEN) -> dict[str, Any]:
    """Return the table of a source."""
    return {"provider": "acme", "token": token}


async def receive(run: Running, source: str, body: bytes, token: str = TOKEN) -> Kept | Refused:
    """Receive a callback."""
    assert run.ingest
    return await run.ingest.receive(
        InboundRequest(source=source, token=token, headers=(), body=body, received_at=1_780_000_000_000)
    )


def test_changes_are_found_by_name(tmp_path: Path) -> None:
    """Added, removed, changed; a secret counts as much as anything else."""
    old = configured(tmp_path, sinks={"a": {"kind": "keeps"}, "b": {"kind": "keeps"}})
    new = configured(
        tmp_path,
        sources={"acme": a_source(OTHER)},
        sinks={"b": {"kind": "keeps", "timeout": 3}, "c": {"kind": "keeps"}},
    )
    found = changes(old, new)
    assert found.sources == Names(added=(), removed=(), changed=("acme",))
    assert found.sinks == Names(added=("c",), removed=("a",), changed=("b",))
    assert changes(old, old).sinks == Names(added=(), removed=(), changed=())


def test_what_only_a_start_changes_keeps_its_value(tmp_path: Path) -> None:
    """It is told, and the rest is applied; every key of the file's top is one or the other."""
    old = configured(tmp_path)
    new = configured(tmp_path, grace=9, event_prefix="com.x", admin_token="t" * 43, log_level="debug")
    found = changes(old, new)
    assert set(found.root) == {"event_prefix", "log_level"}
    assert set(found.restart) == {"grace", "admin_token"}
    assert (found.config.root.grace, found.config.root.event_prefix) == (old.root.grace, "com.x")
    assert set(old.root.__struct_fields__) >= RELOADABLE


async def test_sources_are_swapped_and_routes_changed(tmp_path: Path) -> None:
    """A new token, a new source, another prefix, another sink: all from the next callback on."""
    async with running(configured(tmp_path), REGISTRY) as run:
        await receive(run, "acme", b"1")
        await until(lambda: len(Keeps.sent) == 1)
        same = run.runtime.sources["acme"]
        sinks = {"other": {"kind": "keeps"}}
        new = configured(tmp_path, sources={"acme": a_source(), "new": a_source(OTHER)}, sinks=sinks, event_prefix="x")
        await reload(run, new)
        assert run.runtime.sources["acme"] is same
        assert isinstance(await receive(run, "new", b"2", OTHER), Kept)
        await until(lambda: len(Keeps.sent) == 1)
        assert (Keeps.sent[0].sink, Keeps.sent[0].event.type) == ("other", "x.transcript.completed")
        await reload(run, configured(tmp_path, sources={"new": a_source(TOKEN)}))
        assert isinstance(await receive(run, "acme", b"3"), Refused)
        assert isinstance(await receive(run, "new", b"4", OTHER), Refused)
        assert isinstance(await receive(run, "new", b"5"), Kept)


async def test_reading_again_goes_by_the_new_settings(tmp_path: Path) -> None:
    """A sink that came with the reload can be told, one that went cannot, and a source that came is read by its handler."""
    async with running(configured(tmp_path, sinks={"first": {"kind": "keeps"}}), REGISTRY) as run:
        await receive(run, "acme", b"1")
        await until(lambda: len(Keeps.sent) == 1)
        sources = {"acme": a_source(), "new": a_source(OTHER)}
        await reload(run, configured(tmp_path, sources=sources, sinks={"other": {"kind": "keeps"}}))
        await receive(run, "new", b"2", OTHER)
        await until(lambda: len(Keeps.sent) == 1)
        again = [one async for one in run.reprocess.run(Meant(), deliver=["other"])]
        assert [(one.source, one.result) for one in again] == [("acme", "unchanged"), ("new", "unchanged")]
        with pytest.raises(NotFound):
            await anext(run.reprocess.run(Meant(), deliver=["first"]))


async def test_a_sink_that_cannot_be_made_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is made before anything is changed."""
    async with running(configured(tmp_path), REGISTRY) as run:
        before = run.runtime
        new = configured(tmp_path, sources={}, sinks={"other": {"kind": "keeps"}})

        def fails(*_: Any) -> None:
            raise ConfigError("install what is missing")

        with monkeypatch.context() as patch:
            patch.setattr(Keeps, "__init__", fails)
            with pytest.raises(ConfigError):
                await reload(run, new)
        assert run.runtime is before
        assert isinstance(await receive(run, "acme", b"1"), Kept)
        await until(lambda: len(Keeps.sent) == 1)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("[sinks.a] x: no\n[sinks.b] y: no"), ["[sinks.a] x: no", "[sinks.b] y: no"]),
        (ValueError("canary"), [None]),
    ],
)
async def test_wrong_settings_are_told_line_by_line(
    tmp_path: Path, error: Exception, told: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what runs goes on with what it has."""
    monkeypatch.setattr("receiver.web.reloading._at_terminal", lambda: False)

    def read() -> Any:
        raise error

    async with running(configured(tmp_path), REGISTRY) as run:
        before = run.runtime
        with structlog.testing.capture_logs() as lines:
            await Hangup(read, lambda: None)._reload(run)
        assert [line.get("why") for line in lines if line["event"].startswith("reload.")] == told
        assert run.runtime is before


async def test_nothing_new_touches_nothing(tmp_path: Path) -> None:
    """The same file again: no sink is closed, no runner is another."""
    config = configured(tmp_path)
    async with running(config, REGISTRY) as run:
        assert run.worker
        runners = run.worker.runners
        await reload(run, msgspec.structs.replace(config))
        assert run.worker.runners == runners
