"""What only all tables together show: errors that keep everything from starting, and warnings."""

import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from msgspec import inspect

from receiver.config.declared import fields_of, is_secret, nested_of
from receiver.config.root import RootSettings, check_token
from receiver.config.samples import samples
from receiver.config.words import Problems
from receiver.contract.errors import ConfigError
from receiver.contract.expressions import Expression, check_comparisons
from receiver.contract.settings import Secret, SinkSettings, SourceSettings
from receiver.registry import Registry, close_match

EVENT_TYPES = (
    "transcript.completed",
    "transcript.failed",
    "transcript.updated",
    "analysis.completed",
    "analysis.failed",
    "analysis.updated",
    "call.completed",
    "job.submitted",
    "job.overdue",
    "job.lost",
    "ops.delivery_dead",
    "ops.sink_tripped",
    "ops.receipt_unreadable",
    "ops.source_silent",
    "ops.refusals_rising",
    "ops.test",
)
"""Every type that is not a provider's own `<provider>.<name>`."""


def check_sources(sources: Mapping[str, SourceSettings], registry: Registry, problems: Problems) -> None:
    """Report what is wrong with a source beyond its own table: guessable tokens, zones, no proof."""
    for name, settings in sources.items():
        place = ("sources", name)
        for token in settings.token:
            _checked_token(token, place, problems)
        if settings.timezone is not None and (wrong := _zone_fault(settings.timezone)):
            problems.report((*place, "timezone"), wrong)
        for number in settings.own_numbers:
            if not any(sign.isdigit() for sign in number):
                problems.report((*place, "own_numbers"), f"{number!r} is no telephone number")
        try:
            proofs = registry.provider(settings.provider)(name, settings).proofs()
        except ConfigError as error:
            problems.report_check(place, error)
            continue
        except Exception as error:  # noqa: BLE001 -- somebody else's code; its message may hold a secret
            problems.report(
                (*place, "provider"), f"{settings.provider} fails with these settings: {type(error).__name__}"
            )
            continue
        if not proofs and settings.verify != "none":
            problems.report_check(place, ConfigError(_no_proof(settings)))


def check_conditions(
    root: RootSettings,
    sources: Mapping[str, SourceSettings],
    sinks: Mapping[str, SinkSettings],
    problems: Problems,
) -> None:
    """Report a sink's `where` that is no expression, or that cannot be evaluated on an event that would go there."""
    providers = sorted({source.provider for source in sources.values()})
    for name, sink in sinks.items():
        if sink.where is None:
            continue
        try:
            expression = Expression("where", sink.where)
            check_comparisons("where", expression)
            for told, event in samples(sink.events, root.event_prefix, EVENT_TYPES, providers):
                expression.check_on(event, told)
        except ConfigError as error:
            problems.report_check(("sinks", name), error)


def _condition_warnings(
    name: str, sink: SinkSettings, prefix: str, sources: Mapping[str, SourceSettings]
) -> Iterator[str]:
    """Yield what a `where` asks for that no event has: null everywhere is allowed, and probably a slip."""
    if sink.where is None:
        return
    providers = sorted({source.provider for source in sources.values()})
    events = [event for _, event in samples(sink.events, prefix, EVENT_TYPES, providers)]
    for asked, there in Expression("where", sink.where).unknown(events).items():
        near = f"{close_match(asked, there)}docs/events.md has every field"
        yield f"[sinks.{name}] where: no event that goes there has {asked!r} in this place; {near}"


def check_together(
    root: RootSettings, sources: Mapping[str, SourceSettings], environ: Mapping[str, str], problems: Problems
) -> None:
    """Report contradictions between the top of the file, the sources and the platform."""
    if environ.get("DYNO") and root.store.startswith("sqlite:"):
        problems.report(
            ("store",),
            "SQLite on a dyno loses everything at the next restart, because its disk is not kept; "
            'use PostgreSQL (store = "postgresql://…"; the platform\'s own is in $DATABASE_URL), or run this where the disk is kept',
        )
    for name, settings in sources.items():
        if settings.max_body > root.limits.spool:
            problems.report(
                ("sources", name, "max_body"),
                f"a body of {settings.max_body} bytes does not fit into [limits] spool ({root.limits.spool}): "
                "lower the one or raise the other",
            )


def warnings_of(
    root: RootSettings, sources: Mapping[str, SourceSettings], sinks: Mapping[str, SinkSettings]
) -> tuple[str, ...]:
    """Return what is allowed and probably not meant, a line each."""
    return tuple(_warnings(root, sources, sinks))


def _warnings(
    root: RootSettings, sources: Mapping[str, SourceSettings], sinks: Mapping[str, SinkSettings]
) -> Iterator[str]:
    if not sources:
        yield "no [sources.NAME]: nothing can be received"
    if not sinks:
        yield "no [sinks.NAME]: events are kept, and go nowhere"
    for name, source in sources.items():
        yield from _source_warnings(name, source, root.event_prefix)
    providers = {source.provider for source in sources.values()}
    for name, sink in sinks.items():
        if sink.payload_links and not root.public_url:
            yield f"[sinks.{name}] payload_links: without public_url nothing can be signed; links lead to admin_url"
        yield from _condition_warnings(name, sink, root.event_prefix, sources)
        for glob in sink.sources:
            if sources and not any(fnmatchcase(source, glob) for source in sources):
                yield f"[sinks.{name}] sources: {glob!r} matches no source; there are {', '.join(sources)}"
        for glob in sink.events:
            if not _matches_events(glob, root.event_prefix, providers):
                yield f"[sinks.{name}] events: {glob!r} matches no type of event; {_types(glob, providers)}"


def _source_warnings(name: str, source: SourceSettings, prefix: str) -> Iterator[str]:
    if source.verify == "none":
        yield f'[sources.{name}] verify = "none": anybody\'s callbacks are accepted without proof'
    own = {source.provider}
    for key, globs in (("include", source.include), ("ignore", source.ignore)):
        for glob in globs:
            if not _matches_events(glob, prefix, own):
                yield f"[sources.{name}] {key}: {glob!r} matches no type of event; {_types(glob, own)}"


def _checked_token(token: Secret, place: tuple[str, ...], problems: Problems) -> None:
    try:
        check_token("token", token)
    except ConfigError as error:
        problems.report_check(place, error)


def _zone_fault(name: str) -> str | None:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = close_match(name, zoneinfo.available_timezones())
        return f"this is no zone of the IANA database; {near}they are written like Europe/Madrid"
    return None


def _no_proof(settings: SourceSettings) -> str:
    keys = [key for key, field in fields_of(type(settings)).items() if _proves(field.kind)]
    return (
        f"{', '.join(keys)}: nothing proves who calls; set one of these, "
        'or verify = "none" to accept anybody\'s callbacks'
    )


def _proves(kind: inspect.Type) -> bool:
    """Say whether a setting holds secrets, itself or in a table of its own."""
    table = nested_of(kind)
    return is_secret(kind) if table is None else any(is_secret(field.kind) for field in fields_of(table).values())


def _matches_events(glob: str, prefix: str, providers: Iterable[str]) -> bool:
    bare_glob = glob.removeprefix(f"{prefix}.") if prefix else glob
    if any(fnmatchcase(event, bare_glob) for event in EVENT_TYPES):
        return True
    head = bare_glob.partition(".")[0]
    return any(fnmatchcase(provider, head) for provider in providers)


def _types(glob: str, providers: Iterable[str]) -> str:
    known = [*EVENT_TYPES, *(f"{provider}.*" for provider in sorted(providers))]
    return f"{close_match(glob, known)}there are {', '.join(known)}"
