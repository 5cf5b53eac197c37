"""Providers as small ASGI apps on this machine: each behaves as its public pages say, and is switched where they do not.

Behaviour names its evidence: [D] documented, [I] inferred, [U] unknown, [X] or [C] the vendor's pages contradict each other.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, get_type_hints

import msgspec
from starlette.types import ASGIApp

from receiver.contract.errors import UsageError

EMULATORS = {
    "callcov": "receiver.testing.emulators.callcov:CallCovEmulator",
    "invox": "receiver.testing.emulators.invox:InvoxEmulator",
    "callmissed": "receiver.testing.emulators.callmissed:CallMissedEmulator",
    "ringcentral": "receiver.testing.emulators.ringcentral:RingCentralEmulator",
    "rythmex": "receiver.testing.emulators.rythmex:RythmexEmulator",
}
"""Import paths of classes that are made with their switches alone, or with nothing, by provider."""


class Emulator(Protocol):
    """A provider that can be run for users without an account."""

    @property
    def app(self) -> ASGIApp: ...

    def configuration(self, base: str) -> str:
        """Return a source's settings, as TOML, for a server that listens at `base`."""
        ...


def emulator(provider: str, switches: Mapping[str, Any] | None = None) -> Emulator:
    """Make the emulator of a provider, its switches given as text. Raises UsageError for what it does not have."""
    if provider not in EMULATORS:
        raise UsageError(f"there is no emulator of {provider[:60]!r}; there are {', '.join(sorted(EMULATORS))}")
    module, _, name = EMULATORS[provider].partition(":")
    kind = getattr(import_module(module), name)
    made: Emulator = kind(_chosen(provider, kind, switches)) if switches else kind()
    return made


def _chosen(provider: str, kind: type[Emulator], switches: Mapping[str, Any]) -> Any:
    """Read switches: the Struct that the constructor's argument of that name wants."""
    wanted = get_type_hints(kind.__init__)["switches"]
    names = [field.name for field in msgspec.structs.fields(wanted)]
    if unknown := sorted(switches.keys() - set(names)):
        raise UsageError(
            f"the emulator of {provider} has no switch {', '.join(unknown)[:60]}; it has {', '.join(names)}"
        )
    try:
        return msgspec.convert(switches, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"a switch of the emulator of {provider}: {error}") from None
