"""The commands `new-provider` and `new-sink`: the packages of handlers/README.md under another name, ready to be changed.

The page is the skeleton: what people read there is what they get, and one test runs both.
"""

import ast
import keyword
import re
from importlib.resources import files
from pathlib import Path

import click

from receiver.contract.errors import UsageError
from receiver.registry import discover

_FILE = r"^<!-- {kind}: (\S+) -->\n```\w+\n(.*?)^```$"
_PAGE = "acme"
"""The name on the page."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@click.command("new-provider")
@click.argument("name")
def new_provider(name: str) -> None:
    """Write a package with a provider, to be changed."""
    _check(name, "provider", list(discover().providers))
    _write("provider", name)


@click.command("new-sink")
@click.argument("name")
def new_sink(name: str) -> None:
    """Write a package with a sink, to be changed."""
    _check(name, "sink", list(discover().sinks))
    _write("sink", name)


def skeleton(kind: str, name: str) -> dict[str, str]:
    """Return the files of a package of a kind, `provider` or `sink`: their paths, and what is in them."""
    page = files("handlers").joinpath("README.md").read_text("utf-8")
    found = re.findall(_FILE.format(kind=kind), page, re.MULTILINE | re.DOTALL)
    return {_named(path, name): _named(_ended(path, text), name) for path, text in found}


def _ended(path: str, text: str) -> str:
    """Return a file's text; a recorded body ends with its last byte, and not with a line end."""
    return text.removesuffix("\n") if path.endswith("/body") else text


def _named(text: str, name: str) -> str:
    """Return a text with the name of the page replaced: in distributions, in classes, and elsewhere."""
    camel = _class(name)
    dashed = name.replace("_", "-")
    text = text.replace("hookscribe-acme-", f"hookscribe-{dashed}-").replace("X-Acme-", f"X-{camel}-")
    return text.replace("acme.example", f"{dashed}.example").replace("Acme", camel).replace("acme", name)


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _used(kind: str) -> set[str]:
    """Return the names that the skeleton of a kind uses itself."""
    code = [text for path, text in skeleton(kind, _PAGE).items() if path.endswith(".py")]
    nodes = [node for text in code for node in ast.walk(ast.parse(text))]
    return {str(getattr(node, "id", getattr(node, "name", ""))) for node in nodes}


def _check(name: str, kind: str, taken: list[str]) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(f"{name[:60]!r}: a name is a Python word of lower-case letters, digits and _, 41 at most")
    if name in taken:
        raise UsageError(f"there is a {kind} {name!r} already; take another name")
    if name != _PAGE and _class(name) in _used(kind):
        raise UsageError(
            f"{name!r}: its class would be {_class(name)}, which what is written has already; take another name"
        )


def _write(kind: str, name: str) -> None:
    folder = Path(f"hookscribe-{name.replace('_', '-')}-{kind}")
    try:
        folder.mkdir()
    except FileExistsError:
        raise UsageError(f"{folder} is there already; nothing was written") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}") from None
    for path, text in skeleton(kind, name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8", newline="\n")
        click.echo(folder / path)
    click.echo(f"\nNow: cd {folder} && pip install -e '.[test]' && pytest", err=True)
