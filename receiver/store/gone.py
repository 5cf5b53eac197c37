"""What an id names that is not there: something that never was, or something whose retention has passed."""

from receiver.contract.errors import Gone, NotFound, UsageError
from receiver.store.ids import CALL, DELIVERY, EVENT, JOB, TRANSCRIPT
from receiver.store.store import Engine


def gone(name: str) -> Gone:
    """Say that something was here."""
    return Gone(f"{name} is gone: it was here, and the time that its source's `keep` gives has passed")


async def missing(engine: Engine, prefix: str, number: int, name: str) -> UsageError:
    """Return the error for an id without a row: Gone or NotFound.

    Of events, deliveries, calls and jobs no row stays, only up to which id retention came; one below it is said to be gone.
    """
    if prefix == TRANSCRIPT:
        was_here = bool(await engine.rows("result_key", {"id": number}))
    elif prefix in (EVENT, DELIVERY, CALL, JOB):
        rows = await engine.rows("gone_until", {"thing": prefix})
        was_here = bool(rows) and number <= rows[0][0]
    else:
        was_here = False
    return gone(name) if was_here else NotFound(f"there is no {name}")
