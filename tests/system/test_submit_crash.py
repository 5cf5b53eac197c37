"""Two hundred recordings, and a crash at every await of their submission: none is submitted twice."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

from emulating import emulated
from recordings import a_wave
from studio import StudioEmulator

from system.studio_site import StudioSite

CRASHING = Path(__file__).with_name("crashing.py")
FILES = 200


async def test_no_crash_makes_a_second_submission(tmp_path: Path) -> None:
    """What was interrupted goes on, what is in doubt is shown and settled, and the studio got each file once."""
    studio = StudioEmulator()
    studio.calls_back = False
    files = [str(a_wave(tmp_path / f"{number:03d}.wav", number + 1, 0.02)) for number in range(FILES)]
    async with emulated(studio) as url:
        site = StudioSite(tmp_path, url, more="two_steps = true")
        assert (await site.run("migrate"))[0] == 0
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CRASHING), str(tmp_path / "hookscribe.toml"), "studio", *files),
            env=site.environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        died = int(output.splitlines()[-1])
        assert 20 < died < FILES
        assert max(sent(studio).values()) == 1
        doubtful = await site.json("jobs", "--state", "uncertain", "--limit", "1000")
        assert doubtful
        in_doubt_and_there = sum(sent(studio)[one["file"]] for one in doubtful)
        assert in_doubt_and_there > 0
        await site.run("submit", "studio", "--resume")
        await site.run("submit", "studio", *files)
        assert max(sent(studio).values()) == 1
        assert [one["id"] for one in await site.json("jobs", "--state", "uncertain", "--limit", "1000")] == [
            one["id"] for one in doubtful
        ]
        (swept,) = await site.json("sweep", "studio")
        assert swept["settled"] == in_doubt_and_there
        left = [one["id"] for one in await site.json("jobs", "--state", "uncertain", "--limit", "1000")]
        if left:
            assert (await site.run("jobs", "settle", *left, "--failed"))[0] == 0
        assert (await site.run("submit", "studio", *files))[0] == 0
    assert sent(studio) == {Path(file).name: 1 for file in files}


def sent(studio: StudioEmulator) -> Counter[str]:
    """Return how often the studio was given each file."""
    return Counter(job["file"] for job in studio.jobs)
