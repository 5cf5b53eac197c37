"""SQL as text: every query has a name and a sentence, and is read, explained and tested as SQL.

    -- due_deliveries: The next deliveries of a sink whose time has come, oldest first.
    SELECT … WHERE sink = :sink

`{rows}` stands for as many parenthesised rows of parameters as there are, in the queries that take many.
"""

import re
from importlib import resources

_HEAD = re.compile(r"^-- (?P<name>[a-z_0-9]+): (?P<about>.+)$")


def load(package: str, file: str) -> dict[str, str]:
    """Read the queries of a file, by name. Raises ValueError for a query without a name or a name used twice."""
    queries: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in resources.files(package).joinpath(file).read_text("utf-8").splitlines():
        head = _HEAD.match(line)
        if head:
            if head["name"] in queries:
                raise ValueError(f"{file}: {head['name']} stands twice")
            current = queries[head["name"]] = []
        elif line.strip() and not line.startswith("--"):
            if current is None:
                raise ValueError(f"{file}: SQL before the first name: {line}")
            current.append(line)
    return {name: "\n".join(lines).rstrip(";") for name, lines in queries.items()}


def rows(count: int, width: int) -> str:
    """Return `(?,?),(?,?)` for `count` rows of `width` parameters."""
    row = "(" + ",".join("?" * width) + ")"
    return ",".join([row] * count)
