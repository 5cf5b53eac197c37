"""A provider whose normalizer can be switched, and `hookscribe` with it, as a process: `python -m switched_fakes 2 …`."""

import asyncio
import sys
import time
from types import SimpleNamespace
from typing import Any

from receiver import cli, registry
from receiver.cli import loading
from receiver.contract.model import Call, Receipt, ReceiptState, Result
from receiver.contract.provider import Provider
from receiver.contract.settings import SourceSettings
from receiver.registry import Registry, discover
from receiver.runtime import running
from receiver.store.store import Store
from receiver.testing.rows import a_receipt

CONFIG = """
store = "sqlite:store.db"

[sources.sw]
provider = "switched"
verify = "none"

[sinks.archive]
kind = "jsonl"
path = "archive.jsonl"
events = ["none"]

[sinks.crm]
kind = "jsonl"
path = "crm.jsonl"
"""


class Switched(Provider[SourceSettings]):
    """Version 1 reads every other receipt wrong; version 2 reads all of them right."""

    name = "switched"
    Settings = SourceSettings
    normalizer = "switched/1"

    def proofs(self) -> tuple[str, ...]:
        return ()

    def normalize(self, receipt: Receipt) -> tuple[Result]:
        number = int(receipt.body)
        wrong = number % 2 == 0 and self.normalizer == "switched/1"
        if "slow" in self.normalizer:
            time.sleep(0.005)
        return (
            Result(
                kind="transcript",
                operation="transcription",
                job_id=str(number),
                call=Call(external_id=str(number // 4)),
                text=f"{'wrong' if wrong else 'right'} words {number}",
                language=None if wrong else "en",
            ),
        )


def _provider(version: str) -> type[Provider[Any]]:
    return type("Switched", (Switched,), {"normalizer": f"switched/{version}"})


said = SimpleNamespace(provider=_provider, touched=lambda many: (many + 1) // 2)


async def _keep(store: Store, numbers: range) -> None:
    for number in numbers:
        body = b"%d" % number
        await store.keep([a_receipt(store, body, body=body, source="sw", provider="switched")])


async def _fill(many: int) -> None:
    async with running(*loading.loaded(None), "worker") as run:
        await _keep(run.runtime.store, range(many))
        await _settled(run.runtime.store)


async def _work(many: int) -> None:
    """Normalize and deliver what comes, until there is nothing left to do for a while."""
    async with running(*loading.loaded(None), "worker") as run:
        for number in range(many, 2 * many):
            await _keep(run.runtime.store, range(number, number + 1))
            await asyncio.sleep(0.002)
        quiet = time.monotonic()
        while time.monotonic() - quiet < 2:
            await _settled(run.runtime.store)
            if await run.runtime.store.engine.rows("sink_backlogs"):
                quiet = time.monotonic()
            await asyncio.sleep(0.05)


async def _settled(store: Store) -> None:
    while await store.waiting(ReceiptState.RECEIVED, 1):
        await asyncio.sleep(0.01)


def main() -> None:
    """Run `hookscribe` with the provider, or a verb of the tests."""
    version, _, config, *arguments = sys.argv[1:]
    known = discover()
    mine = Registry({**known.providers, "switched": _provider(version)}, known.sinks)
    registry.discover = loading.discover = lambda: mine  # type: ignore[attr-defined]
    if arguments[0] in ("fill", "work"):
        asyncio.run({"fill": _fill, "work": _work}[arguments[0]](int(arguments[1])))
        return
    sys.exit(cli.run(["--config", config, *arguments]))


if __name__ == "__main__":
    main()
