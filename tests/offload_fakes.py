"""A provider that the normalizing child can import: the first word of a body says what it does with it."""

import os
import time
from pathlib import Path
from typing import Any

from receiver.contract.errors import Unreadable
from receiver.contract.model import Progress, Receipt
from receiver.contract.provider import Provider
from receiver.contract.settings import SourceSettings


class Child(Provider[SourceSettings]):
    """Does in another process what a test asks for, and writes down that it was asked."""

    name = "child"
    Settings = SourceSettings
    normalizer = "child/1"

    def __init__(self, folder: Path, held: Any = None) -> None:
        super().__init__("acme", SourceSettings(provider="child"))
        self.folder = folder
        self.held = held

    def asked(self) -> list[int]:
        """Return the ids of the processes that were asked, in order."""
        file = self.folder / "asked"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def normalize(self, receipt: Receipt) -> Any:
        with (self.folder / "asked").open("a") as asked:
            asked.write(f"{os.getpid()}\n")
        word = receipt.body.split(b" ")[0].decode()
        return getattr(self, word)()

    def fine(self) -> Any:
        """Be done."""
        return (Progress(job_id=str(os.getpid()), status="done"),)

    def prints(self) -> Any:
        """Print, as people do who look for a fault."""
        print("words on stdout" * 1000, flush=True)
        return self.fine()

    def unreadable(self) -> Any:
        """Say that it cannot be read."""
        raise Unreadable("member is missing")

    def raises(self) -> Any:
        """Fail in a way that nobody thought of, with content."""
        raise KeyError("words of a call")

    def loops(self) -> Any:
        """Never end."""
        while True:
            time.sleep(0.01)

    def dies(self) -> Any:
        """Take the whole process down."""
        os.kill(os.getpid(), 9)

    def dies_once(self) -> Any:
        """Take the process down the first time."""
        return self.dies() if len(self.asked()) == 1 else self.fine()

    def strange(self) -> Any:
        """Return what cannot be sent back."""
        return (Progress(job_id="1", status=lambda: 0),)  # type: ignore[arg-type]

    def wrong(self) -> Any:
        """Return no outcome."""
        return ["text"]
