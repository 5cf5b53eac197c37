"""Uploads a file to a Rythmex emulator and prints the most memory that it took, in KiB: `uploading.py BASE FILE TOKEN`."""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from called import called

from handlers.providers.rythmex import Rythmex
from receiver.contract.asking import Recording, Submission


async def main(base: str, path: Path, token: str) -> None:
    """Submit the file."""
    recording = Recording(name=path.name, size=path.stat().st_size, sha256=None, content_type="audio/wav")
    one = Submission(recording=recording, operation="call-analysis", callback_url=None, serial="00large")
    with tempfile.TemporaryDirectory() as folder:
        async with called(Rythmex, Path(folder), api_url=f"{base}/api/v3/", api_token=token) as ours:
            await ours.run(ours.api.submit(one, {}), path)
    print(
        re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))[0]
    )  # ru_maxrss counts the parent's


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
