"""What the demo sends: for every provider and way of proof one source with secrets made up for it, and its callbacks."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from receiver.contract.errors import HookscribeError
from receiver.contract.model import InboundRequest
from receiver.contract.proof import Proven
from receiver.contract.provider import Provider, SignedRequest
from receiver.contract.settings import Secret, Settings
from receiver.contract.webhooks import SYMMETRIC, generate
from receiver.registry import Registry, fixtures
from receiver.testing.fixtures import Case, load_cases, settings_of

_STRONGEST = ("signature", "token")
_BROKEN = (HookscribeError, ValueError, TypeError, LookupError, OSError)

Table = dict[str, Any]


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded callback, proven by the secrets of its source."""

    source: str
    case: str
    request: SignedRequest
    expected: Mapping[str, Any]
    """What was written down beside it when it was recorded."""


class Prepared(msgspec.Struct, kw_only=True):
    """The sources as tables of a configuration, how each is proven, what is sent, and what is left out with its reason."""

    tables: dict[str, Table] = {}
    proofs: dict[str, str] = {}
    callbacks: list[Callback] = []
    left_out: list[str] = []


def prepare(registry: Registry, now: float) -> Prepared:
    """Make sources for every installed provider; one that is broken or brings no cases is left out, with a reason."""
    prepared = Prepared()
    for name in registry.providers:
        try:
            provider = registry.provider(name)
            folder = fixtures(provider)
            if folder is None:
                prepared.left_out.append(f"{name}: brings no recorded callbacks")
                continue
            _add_provider(prepared, provider, load_cases(folder), now)
        except _BROKEN as error:
            prepared.left_out.append(f"{name}: {type(error).__name__}")
    return prepared


def promised(callbacks: Sequence[Callback]) -> int:
    """Return how many events the recorded cases promise, whatever the receiver thinks of them.

    One for each result of its own (source, operation, job), each notice, and each callback that cannot be read.
    """
    results, others = set(), 0
    for callback in callbacks:
        others += "unreadable" in callback.expected
        for outcome in callback.expected.get("outcomes", ()):
            if "result" in outcome:
                results.add((callback.source, outcome["result"]["operation"], outcome["result"]["job_id"]))
            others += "notice" in outcome
    return len(results) + others


def _add_provider(prepared: Prepared, provider: type[Provider[Any]], cases: list[Case], now: float) -> None:
    configs = dict.fromkeys(case.config for case in cases)
    for config in configs:
        name = provider.name if config is None else f"{provider.name}-{config.partition('.')[0]}"
        groups = _by_proof([case for case in cases if case.config == config])
        for verdict, group in groups.items():
            source = name if len(groups) == 1 else f"{name}-{verdict}"
            _add_source(prepared, provider, source, verdict=verdict, group=group, now=now)


def _add_source(
    prepared: Prepared,
    provider: type[Provider[Any]],
    source: str,
    *,
    verdict: str,
    group: Sequence[Case],
    now: float,
) -> None:
    typical = [case for case in group if case.expected["verdict"] == verdict]
    table, settings = _working(provider, source, typical, now)
    prepared.tables[source] = table
    ours = provider(source, settings)
    prepared.proofs[source] = " and ".join(ours.proofs())
    for case in group:
        request = ours.sign(case.body, now)
        if _proves(ours, request, now):
            callback = Callback(source=source, case=case.name, request=request, expected=case.expected)
            prepared.callbacks.append(callback)
        else:
            prepared.left_out.append(f"{source} {case.name}: cannot be signed anew, because it cannot be read")


def _by_proof(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """Return the proven cases by how they were proven; those that were accepted without go to the strongest."""
    groups = {verdict: [case for case in cases if case.expected.get("verdict") == verdict] for verdict in _STRONGEST}
    groups = {verdict: group for verdict, group in groups.items() if group}
    if groups:
        known = {case.name for group in groups.values() for case in group}
        first = next(iter(groups.values()))
        first += [case for case in cases if "verdict" in case.expected and case.name not in known]
    return groups


def _working(provider: type[Provider[Any]], source: str, group: Sequence[Case], now: float) -> tuple[Table, Any]:
    """Return the recorded settings that prove most of a group, the plainest of those; with new secrets where these work."""
    plainest = sorted(group, key=lambda case: (len(case.settings), case.name != "completed"))
    plain = max(plainest, key=lambda case: _proven(provider, source, case, group, now))
    for renew in (True, False):
        table = {"provider": provider.name, **plain.settings}
        try:
            if renew:
                table = _renewed(table, settings_of(provider, table))
            settings = settings_of(provider, table)
            ours = provider(source, settings)
            if _proves(ours, ours.sign(plain.body, now), now):
                return table, settings
        except _BROKEN:
            continue
    raise HookscribeError("its own recorded settings do not prove")


def _proven(provider: type[Provider[Any]], source: str, case: Case, group: Sequence[Case], now: float) -> int:
    """Return how many cases of a group the settings of one of them prove."""
    try:
        ours = provider(source, settings_of(provider, case.settings))
        return sum(_proves(ours, ours.sign(other.body, now), now) for other in group)
    except _BROKEN:
        return 0


def _renewed(value: Any, parsed: Any) -> Any:
    """Return a table with a new text wherever its settings hold a secret."""
    if isinstance(parsed, Secret):
        shared = parsed.value.startswith(SYMMETRIC)
        return generate().secret.value if shared else secrets.token_urlsafe(32)
    if isinstance(parsed, tuple) and not isinstance(value, list):
        return _renewed([value], parsed)
    if isinstance(value, Mapping):
        known = dict(_members(parsed))
        return {key: _renewed(one, known.get(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_renewed(one, inner) for one, inner in zip(value, parsed, strict=True)]
    return value


def _members(parsed: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(parsed, Settings):
        names = zip(parsed.__struct_encode_fields__, parsed.__struct_fields__, strict=True)
        yield from ((key, getattr(parsed, name)) for key, name in names)
    elif isinstance(parsed, Mapping):
        yield from parsed.items()


def _proves(provider: Provider[Any], request: SignedRequest, now: float) -> bool:
    headers = tuple((name.lower(), value) for name, value in request.headers)
    seen = InboundRequest(
        source=provider.source, token=request.token, headers=headers, body=request.body, received_at=int(now * 1000)
    )
    return isinstance(provider.prove(seen, now), Proven)
