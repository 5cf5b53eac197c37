"""Shows long work on a terminal: each file and the total, with bytes, rate and time left; nothing in a pipe."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Progress:
    """Counts bytes by file; shows nothing unless it was given rich's display."""

    def __init__(self, display: Any = None, total: int = 0) -> None:
        self._display = display
        self._whole = display.add_task("all", total=total) if display is not None else None

    @contextlib.contextmanager
    def file(self, name: str, size: int | None) -> Iterator[Callable[[int], None]]:
        """Show one file as long as the block runs; yield what is told of bytes that went."""
        if self._display is None:
            yield lambda _: None
            return
        task = self._display.add_task(name, total=size)
        told = 0

        def went(count: int) -> None:
            nonlocal told
            told += count
            self._display.advance(task, count)
            self._display.advance(self._whole, count)

        try:
            yield went
        finally:
            if size is not None:
                self._display.advance(self._whole, size - told)
            self._display.remove_task(task)


@contextlib.contextmanager
def shown(total: int) -> Iterator[Progress]:
    """Show progress on stderr where that is a terminal; `total` in bytes."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    from rich import progress  # noqa: PLC0415 -- rich takes longer to import than most commands to run
    from rich.console import Console  # noqa: PLC0415

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as display:
        yield Progress(display, total)
