"""SQL as text: every query has a name and a sentence, and is read, explained and tested as SQL.

    -- due_deliveries: The next deliveries of a sink whose time has come, oldest first.
    SELECT … WHERE sink = :sink

`{rows}` stands for as many parenthesised rows of parameters as there are, in the queries that take many.
Parameters are written `:name` for both engines; PostgreSQL's client is given them its own way. What only SQLite needs in a
condition stands in a comment that begins with `ON_SQLITE`.
"""

import re
from collections.abc import Sequence
from importlib import resources

ON_SQLITE = "/*sqlite"
_PARAMETER = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")
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


def load_all(package: str) -> dict[str, str]:
    """Read the queries of all files of a package, by name. Raises ValueError as `load`, also for a name in two files."""
    queries: dict[str, str] = {}
    for file in sorted(item.name for item in resources.files(package).iterdir() if item.name.endswith(".sql")):
        found = load(package, file)
        if twice := queries.keys() & found.keys():
            raise ValueError(f"{file}: {', '.join(sorted(twice))} stands in another file too")
        queries |= found
    return queries


def rows(count: int, width: int) -> str:
    """Return `(?,?),(?,?)` for `count` rows of `width` parameters."""
    row = "(" + ",".join("?" * width) + ")"
    return ",".join([row] * count)


def names(text: str) -> list[str]:
    """Return the parameters of a query, in the order in which they first stand there."""
    return list(dict.fromkeys(_PARAMETER.findall(text)))


def for_sqlite(conditions: Sequence[str]) -> str:
    """Return conditions as SQLite takes them: with what stands in comments for it."""
    return " AND ".join(conditions).replace(ON_SQLITE, "").replace("*/", "") or "1"


def for_psycopg(text: str) -> str:
    """Return a query as psycopg takes it: `%(name)b` for `:name`, every value sent in binary form."""
    return _PARAMETER.sub(r"%(\1)b", text.replace("%", "%%"))
