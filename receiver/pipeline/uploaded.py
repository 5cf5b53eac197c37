"""Uploaded: recordings that were sent to us are files under the ids of their jobs, and go when these are gone."""

import asyncio
import contextlib
import time
from pathlib import Path

import structlog

from receiver.contract.errors import NotFound
from receiver.store.ids import JOB, decode, encode
from receiver.store.jobs import Jobs
from receiver.store.store import Store

log = structlog.get_logger()

_UNDER_WAY = 86_400.0
"""Seconds in which a recording may still be on its way to become a job."""
_AT_ONCE = 500


def place(folder: Path, job: int) -> Path:
    """Return where the recording of a job is kept."""
    return folder / encode(JOB, job)


class Uploaded:
    """The recordings in a folder."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._jobs = Jobs(store)
        self._folder = folder

    async def sweep(self) -> int:
        """Remove the recordings whose jobs are gone, or were never made; return how many."""
        found = await asyncio.to_thread(self._old)
        ids, taken = sorted(found), 0
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            known = {job.id for job in await self._jobs.by_id(part)}
            for number in set(part) - known:
                taken += _removed(found[number])
        return taken

    def _old(self) -> dict[int, Path]:
        """Return the recordings that are old enough to have a job, by its id."""
        before, found = time.time() - _UNDER_WAY, {}
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                number = decode(JOB, path.name)
            except NotFound:
                continue  # no file of ours
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if path.lstat().st_mtime < before:
                    found[number] = path
        return found


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("recording.not_removed", path=str(path), why=error.strerror)
        return False
    return True
