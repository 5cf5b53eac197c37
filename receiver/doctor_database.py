"""What may be wrong with a shared store: plain functions of what was seen of the database."""

from collections.abc import Iterator
from typing import Protocol

from receiver.doctor import Finding, ok, problem, warning

_OLDEST = 130_000
_SKEW = 2.0
"""Seconds by which two clocks may differ before people wonder about times."""


class Seen(Protocol):
    """What there is to see of a database (receiver/store/postgres/look.py, which needs an extra)."""

    @property
    def where(self) -> str: ...
    @property
    def fault(self) -> str | None: ...
    @property
    def number(self) -> int: ...
    @property
    def version(self) -> str: ...
    @property
    def durable(self) -> bool: ...
    @property
    def read_only(self) -> bool: ...
    @property
    def ahead(self) -> float: ...
    @property
    def schema(self) -> int: ...
    @property
    def newest(self) -> int: ...
    @property
    def fits(self) -> bool: ...
    @property
    def processes(self) -> tuple[str, ...]: ...


def of_database(seen: Seen) -> Iterator[Finding]:
    """Look at the database: whether it can be reached, is of an age that we know, and keeps what it is given."""
    if seen.fault is not None:
        yield problem("store", seen.fault, "see whether it runs, and whether user, password and database exist")
        return
    if seen.number < _OLDEST:
        yield problem("store", f"PostgreSQL {seen.version} is too old", f"use PostgreSQL {_OLDEST // 10_000} or newer")
    else:
        yield ok("store", f"{seen.where}, PostgreSQL {seen.version}")
    yield _of_schema(seen)
    if not seen.durable:
        text = "the server runs without fsync or full_page_writes: what was acknowledged may be lost with its power"
        yield problem("store", text, "set both to on")
    if seen.read_only:
        text = "the server, or the user, may only read: callbacks are answered 503"
        yield problem(
            "store", text, "connect to the primary: target_session_attrs=read-write finds it among several hosts"
        )
    if abs(seen.ahead) > _SKEW:
        text = f"the server's clock is {abs(seen.ahead):.1f} s {'ahead of' if seen.ahead > 0 else 'behind'} ours"
        yield warning("store", text, "let NTP set the clocks of all hosts; order does not depend on them, times do")
    if seen.processes:
        yield ok("serve", f"{len(seen.processes)} processes are at work: {', '.join(seen.processes)}")
    else:
        yield ok("serve", "no process is at work on this store now")


def _of_schema(seen: Seen) -> Finding:
    if seen.fits:
        return ok("store", f"schema {seen.schema}; this release knows {seen.newest}")
    text = f"the database has schema {seen.schema}, and this release needs {seen.newest}"
    if seen.schema > seen.newest:
        return problem("store", text, "install the release that wrote it")
    return problem("store", text, "`hookscribe migrate`; serve does not start before")
