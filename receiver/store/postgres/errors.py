"""The database's errors in our words: what can be tried again, what somebody else did first, what is wrong with us.

A message of the database may quote the row it is about; so only its code and its constraint are told.
"""

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import errors

from receiver.contract.errors import Conflict, StoreError, StoreUnavailable


class Lost(StoreUnavailable):
    """The connection ended; whether the last statement was done is not known."""


_AGAIN = (
    psycopg.OperationalError,  # connections, resources (disk, memory), timeouts, deadlocks, shutdown
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionRollback,
)


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise Lost, StoreUnavailable, Conflict or StoreError for an error of the database; `where` names it."""
    try:
        yield
    except _AGAIN as error:
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            raise Lost(f"{where}: {_told(error)}") from error
        raise StoreUnavailable(f"{where}: {_told(error)}") from error
    except psycopg.IntegrityError as error:
        raise Conflict(f"{where}: {_told(error)}") from error
    except (psycopg.Error, UnicodeError) as error:
        raise StoreError(f"{where}: {_told(error)}") from error


def _told(error: Exception) -> str:
    if not isinstance(error, psycopg.Error):
        return type(error).__name__
    if error.sqlstate is None:  # of the client itself: which host did not answer, and why
        lines = str(error).strip().splitlines()
        return lines[0][:300] if lines else "the connection failed"
    name = f"{type(error).__name__} {error.sqlstate}"
    constraint = error.diag.constraint_name
    return f"{name} ({constraint})" if constraint else name
