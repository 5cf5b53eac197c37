"""Library: the recordings that lie at a provider, as `submit` names them: by id, by a record of the call log, by time."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from receiver.asking.caller import Caller
from receiver.cli.orders import Item, lying_there, template
from receiver.contract.asking import Found
from receiver.contract.errors import UsageError
from receiver.store.listing import milliseconds

_LARGEST = 16 << 20


class Library:
    """Asks one source's provider what it has."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def items(self, given: Mapping[str, Any]) -> list[Item]:
        """Return what --recording, --call-log-entry and --recorded-since name, each recording once. Raises UsageError."""
        api = self._caller.api
        found = [await self._caller.run(api.found(name)) for name in given["recording"]]
        for path in given["call_log_entry"]:
            found += await self._entry(path)
        if given["recorded_since"]:
            since = milliseconds(given["recorded_since"]) / 1000
            found += await self._caller.run(api.recorded_since(since))
        base, by_id = template(given), {one.recording.id: one for one in found}
        return [lying_there(base, one) for one in by_id.values()]

    async def _entry(self, path: Path) -> tuple[Found, ...]:
        try:
            body = await asyncio.to_thread(_read, path)
            return await self._caller.run(self._caller.api.entry(body))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(_LARGEST + 1)
    if len(body) > _LARGEST:
        raise UsageError(f"it has more than {_LARGEST >> 20} MiB; split it")
    return body
