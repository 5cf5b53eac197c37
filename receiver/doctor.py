"""What may be wrong with a receiver, and the way out: plain functions of settings and of what was seen of the store."""

import ipaddress
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from receiver.config import Config, LimitSettings, RootSettings, address
from receiver.config.declared import fields_of, is_secret, quoted
from receiver.contract.errors import ConfigError
from receiver.contract.model import DeliveryState, SinkState
from receiver.contract.provider import Provider
from receiver.contract.settings import Settings
from receiver.contract.sink import SinkPorts
from receiver.orphans import PUT_BACK, open_jobs, ways_out
from receiver.registry import Registry
from receiver.store.disk import NETWORK
from receiver.store.jobs import JobState
from receiver.store.listing import MOST
from receiver.store.lists import COUNTED
from receiver.store.look import FileLook
from receiver.store.quarantine.records import QuarantinedRow

_OLDEST_SQLITE = (3, 38, 0)

Shape = Mapping[str, Any]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line: how it stands with something, and what to do about it."""

    level: Literal["ok", "warning", "problem"]
    about: str
    text: str
    way_out: str | None = None


def ok(about: str, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(level="ok", about=about, text=text)


def warning(about: str, text: str, way_out: str) -> Finding:
    """Say that something works and is probably not meant."""
    return Finding(level="warning", about=about, text=text, way_out=way_out)


def problem(about: str, text: str, way_out: str) -> Finding:
    """Say that something does not work, or soon will not."""
    return Finding(level="problem", about=about, text=text, way_out=way_out)


def of_unreadable_settings(error: ConfigError) -> list[Finding]:
    """Return the errors of settings that cannot be used, one each."""
    return [problem("settings", line, "mend it; docs/settings.md lists every key") for line in str(error).splitlines()]


def of_settings(config: Config) -> Iterator[Finding]:
    """Look at what only the whole file shows; sources without proof are told of with their source."""
    counts = f"{len(config.sources)} sources, {len(config.sinks)} sinks"
    yield ok("settings", f"{config.path} can be used: {counts}")
    own = tuple(f"[sources.{name}] verify" for name in config.sources)
    for line in config.warnings:
        if not line.startswith(own):
            yield warning("settings", line, "change it, or leave it if it is meant")


def of_addresses(config: Config) -> Iterator[Finding]:
    """Look at where providers and people reach us."""
    root = config.root
    if root.public_url is None and config.sources:
        text = "is not set: nobody can tell what address to give a provider, and events name no origin"
        yield warning("public_url", text, 'set it to where providers reach us, such as "https://calls.example.com"')
    for key, url in (("public_url", root.public_url), ("admin_url", root.admin_url)):
        if url is not None:
            yield _of_url(key, url)
    if root.admin_url is None and any(sink.kind == "slack" for sink in config.sinks.values()):
        yield warning(
            "admin_url", "is not set: messages in Slack hold no link", "set it to where people reach the page"
        )
    yield _of_admin(root)


def _of_url(key: str, url: str) -> Finding:
    parts = urlsplit(url)
    if parts.scheme == "https" or is_loopback(parts.hostname or ""):
        return ok(key, url)
    return warning(
        key, f"{url} is not https: tokens and calls can be read on the way", "put TLS in front, say https://"
    )


def _of_admin(root: RootSettings) -> Finding:
    where = root.listen.admin
    if where.startswith("/"):
        return ok("listen", f"page and API under {where} of the public port, behind the admin token")
    if is_loopback(address(where)[0]):
        return ok("listen", f"page and API on {where}, for this machine only")
    text = f"page and API on {where} are in reach of other machines, behind the admin token alone, without TLS"
    return warning("listen", text, '[listen] admin = "127.0.0.1:8081", and a proxy with TLS or an SSH tunnel to it')


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def of_source(provider: Provider[Any], heard: Shape | None) -> Iterator[Finding]:
    """Look at one source: how it is proven, what about it is inferred, and when it was heard (None: not known)."""
    about = f"source {provider.source}"
    settings = provider.settings
    if settings.verify == "none":
        way_out = 'give it a token or a secret, and take verify = "none" out'
        yield warning(about, "nothing proves who calls: anybody's callbacks are accepted", way_out)
    else:
        yield ok(about, f"proven by {' and '.join(provider.proofs())}")
    for line in inferred(settings):
        yield ok(about, line)
    if heard is not None:
        yield from _of_hearing(about, heard)


def inferred(settings: Settings, path: str = "") -> Iterator[str]:
    """Say which settings in force rest on a guess, because the vendor documents nothing."""
    unused = settings.unused()
    for key, field in fields_of(type(settings)).items():
        value = getattr(settings, field.name)
        if field.name in unused:
            continue
        if field.inferred and value:
            shown = "set" if is_secret(field.kind) else quoted(value)
            yield f"{path}{key} is {shown}: inferred, the vendor does not document it"
        elif isinstance(value, Settings):
            yield from inferred(value, f"{path}{key}.")


def _of_hearing(about: str, heard: Shape) -> Iterator[Finding]:
    if heard["last_receipt"] is None:
        yield ok(about, "was never heard yet; `hookscribe simulate` shows whether it could be")
    else:
        yield ok(about, f"was last heard {heard['last_receipt']}, {_count(heard['last_24h'])} callbacks in 24 hours")
    if heard["unreadable"]:
        text = f"{_count(heard['unreadable'])} receipts are unreadable: kept, and waiting for code that can read them"
        way_out = f"`hookscribe receipts --source {heard['name']} --state unreadable` shows why"
        yield warning(about, text, way_out)


def of_store(seen: FileLook, limits: LimitSettings) -> Iterator[Finding]:
    """Look at the store's file and its disk."""
    if not seen.folder_writable:
        where = seen.path.absolute().parent
        yield problem("store", f"{where} is not there or cannot be written to", "make it, or set store elsewhere")
        return
    yield _of_file(seen)
    if seen.folder_open:
        text = f"everybody may write to {seen.path.absolute().parent}, and put a file in place of the store"
        yield warning("store", text, "chmod o-w")
    for path in seen.readable_by_others:
        yield warning("store", f"{path} can be read or written by others", f"chmod 600 {path}")
    yield _of_disk(seen, limits)
    if seen.filesystem in NETWORK:
        yield _of_network(seen, limits)
    yield _of_sqlite(seen)
    yield ok("serve", "is at work on this store" if seen.worked_on else "does not run on this store now")


def _of_file(seen: FileLook) -> Finding:
    if not seen.exists:
        return ok("store", f"{seen.path} is not there yet; `hookscribe serve` makes it")
    if not seen.writable:
        return problem("store", f"{seen.path} cannot be written to", "give it to the user that runs hookscribe")
    if seen.schema is None:
        return problem("store", f"{seen.path} cannot be read: {seen.fault}", "restore a copy from before")
    if seen.schema > seen.newest:
        text = f"{seen.path} has schema {seen.schema}, and this release knows {seen.newest}"
        return problem("store", text, "install the release that wrote it")
    if seen.schema < seen.newest:
        text = f"{seen.path} has schema {seen.schema} of {seen.newest}"
        return warning("store", text, "`hookscribe migrate`; the next `serve` does it too")
    return ok("store", f"{seen.path} has schema {seen.schema}, this release's")


def _of_network(seen: FileLook, limits: LimitSettings) -> Finding:
    text = f"{seen.path} is on a network file system ({seen.filesystem}), where SQLite may lose what was acknowledged"
    if limits.network_disk:
        return warning("store", text, "a local disk; [limits] network_disk = true allows it for now")
    return problem("store", f"{text}; serve does not start", "put it on a local disk")


def _of_disk(seen: FileLook, limits: LimitSettings) -> Finding:
    free = f"{seen.free >> 20:,} MiB of disk are free"
    way_out = "make room, or move the store"
    if seen.free < limits.free_disk:
        text = f"{free}: soon callbacks are answered 503, and serve does not start with less than [limits] free_disk"
        return problem("store", text, way_out)
    if seen.free < limits.free_disk + limits.spool:
        return warning(
            "store", f"{free}, and large bodies alone may take {limits.spool >> 20:,} MiB ([limits] spool)", way_out
        )
    return ok("store", free)


def _of_sqlite(seen: FileLook) -> Finding:
    version = ".".join(map(str, seen.sqlite))
    if seen.sqlite < _OLDEST_SQLITE:
        oldest = ".".join(map(str, _OLDEST_SQLITE))
        return problem("store", f"SQLite {version} is too old", f"use a Python with SQLite {oldest} or newer")
    if seen.schema != seen.newest:
        return ok("store", f"SQLite {version}")
    if seen.journal != "wal":
        text = f"SQLite {version}, journal mode {seen.journal}: commits are slow, readers wait"
        return warning("store", text, "keep the store on a local disk; network drives cannot do WAL")
    return ok("store", f"SQLite {version}, journal mode wal")


def of_sink(sink: Shape) -> Iterator[Finding]:
    """Look at one sink: its state, and what waits for it."""
    name, waiting = sink["name"], sink["backlog"]
    about = f"sink {name}"
    if sink["kind"] is None:
        yield from _of_orphan(about, name, waiting)
        return
    if sink["state"] == SinkState.PAUSED:
        text = f"is paused, {_count(waiting[DeliveryState.PENDING])} deliveries wait"
        yield warning(about, text, f"`hookscribe sinks resume {name}`")
    elif sink["state"] == SinkState.TRIPPED:
        text = f"tripped after {sink['failures']} failures ({sink['reason']}); it is probed, and comes back by itself"
        yield problem(about, text, f"mend the other side; `hookscribe sinks show {name}` says more")
    else:
        yield ok(about, f"is running, {_count(waiting[DeliveryState.PENDING])} deliveries wait")
    if dead := waiting[DeliveryState.DEAD]:
        way_out = (
            f"`hookscribe replay --sink {name}` sends them again, `hookscribe discard --sink {name}` gives them up"
        )
        yield problem(about, f"{_count(dead)} deliveries are dead", way_out)


def _of_orphan(about: str, name: str, waiting: Mapping[str, int]) -> Iterator[Finding]:
    for state in (DeliveryState.PENDING, DeliveryState.IN_FLIGHT, DeliveryState.DEAD):
        if waiting[state]:
            text = f"is not in the settings, and {_count(waiting[state])} deliveries to it are {state}"
            way_out = "put it back, or " + " or ".join(f"`{one}`" for one in ways_out(name, state))
            yield problem(about, text, way_out)


def of_api(provider: Provider[Any]) -> Iterator[Finding]:
    """Look at whether a provider can be asked: to submit recordings, to fetch what never came."""
    about, names = f"source {provider.source}", provider.api_settings
    if not names or provider.api() is not None:
        return
    missing = [name for name in names if not getattr(provider.settings, name, None)]
    if len(missing) < len(names):
        text = f"cannot be asked, though some of what that needs is set: {', '.join(missing)} is missing"
        yield warning(about, text, "set it, or take the others out")
    else:
        yield ok(about, f"is not asked: {', '.join(names)} would let it be submitted to, and lost callbacks be fetched")


def of_scopes(source: str, missing: Sequence[str]) -> Iterator[Finding]:
    """Look at what the credentials may not do."""
    if missing:
        text = f"the credentials lack {', '.join(missing)}: what needs it is refused by the provider"
        yield warning(f"source {source}", text, "give the app these permissions in the provider's console")


def of_jobs(counts: Mapping[tuple[str, str], int]) -> Iterator[Finding]:
    """Look at jobs that nobody but an operator brings further; how many there are by source and state."""
    for (source, state), count in counts.items():
        about = f"jobs of {source}"
        if state == JobState.UNCERTAIN:
            text = f"{_count(count)} are uncertain: the provider may have them, and their results may never come"
            way_out = f"`hookscribe jobs --source {source} --state uncertain`, then `hookscribe sweep {source}` or `jobs settle`"
            yield warning(about, text, way_out)
        elif state == JobState.LOST:
            way_out = f"`hookscribe jobs --source {source} --state lost`; `hookscribe submit --again` asks once more"
            yield warning(about, f"{_count(count)} are lost", way_out)


def of_old_jobs(counts: Mapping[tuple[str, str], int], sources: Container[str]) -> Iterator[Finding]:
    """Look at open jobs of sources that are configured no more: nobody asks about them."""
    for source, left in open_jobs(counts, sources).items():
        states = ", ".join(f"{_count(count)} {state}" for state, count in left.items())
        text = f"their source is not in the settings, and some are open: {states}"
        yield problem(f"jobs of {source}", text, f"{PUT_BACK}; `hookscribe jobs --source {source}` lists them")


def of_old_sources(sources: Iterable[Shape]) -> Iterator[Finding]:
    """Look at receipts of sources that are configured no more: they wait for a provider that can read them."""
    for source in sources:
        waiting = source["received"] + source["confirming"] + source["unreadable"]
        if source["provider"] is None and waiting:
            text = f"is not in the settings, and {_count(waiting)} receipts of it are not normalized"
            way_out = "put it back under the same name, and they are read by themselves"
            yield problem(f"source {source['name']}", text, way_out)


def of_quarantine(rows: Sequence[QuarantinedRow], *, enabled: bool) -> Finding:
    """Look at what was refused, newest first."""
    if not enabled:
        return ok("quarantine", "is switched off: refused requests are only counted")
    if not rows:
        return ok("quarantine", "is empty")
    count = f"{len(rows):,} or more" if len(rows) >= MOST else f"{len(rows):,}"
    newest = rows[0]
    detail = f", {newest.checks[0].detail}" if newest.checks else ""
    text = f"{count} refused requests; the newest to {newest.source}: {newest.reason}{detail}"
    way_out = "`hookscribe quarantine list`; after a fix of the settings `hookscribe verify --admit --all`"
    return warning("quarantine", text, way_out)


def of_building(config: Config, registry: Registry, ports: SinkPorts) -> Iterator[Finding]:
    """Make every sink, and say which cannot be made, or cannot work here: an extra, a program or a folder is missing."""
    for name, settings in config.sinks.items():
        about = f"sink {name}"
        try:
            lacking = registry.sink(settings.kind)(name, settings, ports).lacking()
            if lacking is not None:
                yield problem(about, lacking, "put it where deliveries are made, or change the settings")
        except ConfigError as error:
            yield problem(about, str(error), "install what is missing, or change the settings")
        except Exception as error:  # noqa: BLE001 -- somebody else's code; its message may hold a secret
            yield problem(about, f"{settings.kind} fails: {type(error).__name__}", "ask who wrote this kind of sink")


def _count(number: int) -> str:
    return f"{number:,}" + (" or more" if number >= COUNTED else "")
