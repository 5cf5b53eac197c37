"""Looks at a database from outside: nothing is made, migrated or changed."""

import time

import msgspec

from receiver.contract.errors import StoreError
from receiver.store.postgres.engine import TIMEOUT, PostgresEngine
from receiver.store.postgres.link import Link
from receiver.store.postgres.migrations import Schema, newest
from receiver.store.postgres.pool import CONNECT

_SETTINGS = """SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
    current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
    current_setting('default_transaction_read_only') = 'on' OR pg_is_in_recovery(),
    extract(epoch FROM clock_timestamp())::float8"""
_PROCESSES = "SELECT name FROM workers WHERE until > clock_timestamp() ORDER BY name"


class DatabaseLook(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to see of a database; of one that cannot be reached, only `where` and `fault`."""

    where: str
    fault: str | None = None
    number: int = 0
    """Its release, as in 150004."""
    version: str = ""
    durable: bool = True
    """It waits for the disk, and survives a torn page."""
    read_only: bool = False
    ahead: float = 0.0
    """Seconds by which its clock is ahead of ours."""
    schema: int = 0
    newest: int = 0
    fits: bool = False
    processes: tuple[str, ...] = ()
    """Those that are at work on it now."""


async def look_at(engine: PostgresEngine) -> DatabaseLook:
    """Look at the database of an engine."""
    try:
        link = await Link.to(engine.address, engine.where, CONNECT)
        try:
            return await _look(engine.where, link)
        finally:
            await link.close()
    except StoreError as error:
        return DatabaseLook(where=engine.where, fault=str(error))


async def _look(where: str, link: Link) -> DatabaseLook:
    begun = time.time()
    ((number, version, durable, read_only, clock),) = await (await link.run(_SETTINGS, {}, timeout=TIMEOUT)).fetchall()
    middle = (begun + time.time()) / 2
    schema = Schema(link, where)
    fits = await schema.fits()
    found = await (await link.run(_PROCESSES, {}, timeout=TIMEOUT)).fetchall() if fits else []
    return DatabaseLook(
        where=where,
        number=number,
        version=version,
        durable=durable,
        read_only=read_only,
        ahead=clock - middle,
        schema=(await schema.state())[0],
        newest=newest(),
        fits=fits,
        processes=tuple(row[0] for row in found),
    )
