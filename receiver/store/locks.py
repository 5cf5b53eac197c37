"""The lock beside a store: who has it open shares it, who puts another file in its place has it alone."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from receiver.contract.errors import StoreUnavailable, UsageError


def share(path: Path) -> int:
    """Keep a store from being replaced; return a descriptor, and closing it lets go. Raises StoreUnavailable."""
    descriptor = _opened(path)
    if not _locked(descriptor, fcntl.LOCK_SH):
        os.close(descriptor)
        raise StoreUnavailable(f"{path}: `hookscribe restore` is at work on it; start again once it has ended")
    return descriptor


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep everybody from opening a store as long as the block runs. Raises UsageError while somebody has it open."""
    descriptor = _opened(path)
    try:
        if not _locked(descriptor, fcntl.LOCK_EX):
            raise UsageError(f"{path} is in use: stop `hookscribe serve`, and every other command on it, then restore")
        yield
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(f"{path}-open", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
