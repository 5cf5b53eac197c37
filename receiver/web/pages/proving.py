"""Proof on the pages: what proves a request as it lies there, step by step, also with a secret that is tried once."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from receiver.config.declared import fields_of, is_secret
from receiver.contract.errors import ConfigError, NotFound, UsageError
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Proven, Reason
from receiver.contract.provider import Provider
from receiver.contract.settings import Secret, SourceSettings
from receiver.pipeline.verify import explain_proof

LARGEST = 1024 * 1024
"""Bytes of a body of which proof is shown without being asked for; larger ones take long."""


def secrets_of(provider: Provider[Any]) -> list[str]:
    """Return the settings of a source that hold secrets, those that are set first."""
    declared = fields_of(_settings(provider)).values()
    names = [one.name for one in declared if is_secret(one.kind)]
    return sorted(names, key=lambda name: not getattr(provider.settings, name))


def with_secret(provider: Provider[Any], name: str, secret: str) -> Provider[Any]:
    """Return the same source with one secret in the place of another. Raises UsageError, which never shows it."""
    if name not in secrets_of(provider):
        raise UsageError(f"setting: expected one of {', '.join(secrets_of(provider))}")
    several = isinstance(_kind(provider, name), inspect.VarTupleType)
    changed = {name: (Secret(secret),) if several else Secret(secret)}
    try:
        return type(provider)(provider.source, msgspec.structs.replace(provider.settings, **changed))
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _settings(provider: Provider[Any]) -> type[SourceSettings]:
    kind: type[SourceSettings] = type(provider.settings)
    return kind


def _kind(provider: Provider[Any], name: str) -> inspect.Type:
    declared = fields_of(_settings(provider)).values()
    return next(one.kind for one in declared if one.name == name)


def proof_of(provider: Provider[Any], request: InboundRequest, *, kept: bool) -> dict[str, Any]:
    """Return how a request proves as at the time when it came, with every step; `kept`: it is a receipt, so no token.

    Where a receipt lacks nothing but its token, that is said: tokens are not kept with receipts.
    """
    told = explain_proof(provider, request, request.received_at / 1000)
    proven = isinstance(told.proof, Proven)
    reason = None if isinstance(told.proof, Proven) else told.proof.reason
    return {
        "proven": proven,
        "word": told.proof.verdict if isinstance(told.proof, Proven) else reason,
        "token_only": kept and reason is Reason.TOKEN_MISSING,
        "checks": [msgspec.structs.asdict(check) for check in told.checks],
        "tried_on": {name: value for name, value in told.tried_on.items() if name != "headers"},
    }


def source_of(providers: Mapping[str, Provider[Any]], name: str) -> Provider[Any]:
    """Return a source. Raises NotFound."""
    if name not in providers:
        raise NotFound(f"no source is called {name[:40]!r} any more; there are {', '.join(providers) or 'none'}")
    return providers[name]
