"""The recipes of docs/operating.md, run as they stand there."""

import asyncio
import re
import shlex

from system.harness import HERE, Site

PAGE = (HERE.parents[1] / "docs" / "operating.md").read_text("utf-8")


async def recipe(site: Site, heading: str, **names: str) -> list[str]:
    """Run the commands below a heading, with other names in place of the page's; return what each printed.

    Each must end with 0, but for `doctor`, which says that there is something to be done.
    """
    found = re.search(rf"^### {re.escape(heading)}\n.*?^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    printed = []
    for line in found[1].splitlines():
        words = [names.get(word, word) for word in shlex.split(line, comments=True)]
        assert words[0] == "hookscribe"
        process = await asyncio.create_subprocess_exec(
            *site.command(*words[1:]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=site.environment(),
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == int(words[1] == "doctor"), output
        printed.append(output)
    return printed
