"""The style sheet, measured: small functions, no module that holds everything, a sentence for each name, no traces."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted(path for top in ("receiver", "handlers") for path in (ROOT / top).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
KEPT = sorted(
    path
    for top in (
        "*.md",
        "*.toml",
        "Makefile",
        "Procfile",
        ".ci/*",
        "docs/**/*",
        "receiver/**/*",
        "handlers/**/*",
        "tests/**/*",
    )
    for path in ROOT.glob(top)
    if path.suffix in {"", ".md", ".py", ".toml", ".sql", ".mjs", ".lua"} and path.is_file()
)
LONGEST_MODULE = 400
"""Lines; 300 is the goal."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
TRACES = {
    "a path of some machine": re.compile(r"(?<![\w.])/(?:home|root|Users|work|tmp)/\w"),
    "a host of a registry": re.compile(r"\b(?:pypi|pythonhosted|npmjs|debian|golang|crates)\.(?:org|com|io|dev)\b"),
}


def tree(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(path.read_text("utf-8"))


def functions(node: ast.AST) -> Iterator[Function]:
    """Yield every function below a node, those inside others too."""
    return (one for one in ast.walk(node) if isinstance(one, Function))


def lines(function: Function) -> int:
    """Return how many lines a function has, its head and docstring included."""
    return (function.end_lineno or 0) - function.lineno + 1


def public(node: ast.AST, owner: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Yield public classes and functions by name, as far as they are reached through public names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
            yield owner + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{child.name}.")


def speaks_for_itself(node: Function | ast.ClassDef) -> bool:
    """Say whether a name needs no sentence: a declaration without a body, a property, an override of `check`."""
    if isinstance(node, ast.ClassDef):
        return False
    bare = len(node.body) == 1 and ast.unparse(node.body[0]) == "..."
    return bare or node.name == "check" or any(ast.unparse(one) == "property" for one in node.decorator_list)


def test_functions_are_small() -> None:
    """Half of them have 8 lines at most, nineteen of twenty 50, none more than 80."""
    sizes = {f"{path.name} {one.name}": lines(one) for path in CODE for one in functions(tree(path))}
    assert statistics.median(sizes.values()) <= 8
    assert sum(size <= 50 for size in sizes.values()) / len(sizes) >= 0.95
    assert [name for name, size in sizes.items() if size > 80] == []


def test_modules_are_small() -> None:
    """No module holds everything."""
    sizes = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in CODE}
    assert {name: size for name, size in sizes.items() if size > LONGEST_MODULE} == {}


def test_modules_are_named_for_what_they_hold() -> None:
    """No drawer for odds and ends."""
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [path for path in CODE + TESTS if path.stem in drawers] == []
    assert [path for path in CODE if path.stem == "base" and "contract" not in path.parts] == []


def test_every_name_has_its_sentence() -> None:
    """Every module, public class and public function says what it is."""
    modules = [(str(path.relative_to(ROOT)), tree(path)) for path in CODE]
    assert [name for name, module in modules if not ast.get_docstring(module)] == []
    silent = [
        f"{where}: {name}"
        for where, module in modules
        for name, node in public(module)
        if not ast.get_docstring(node) and not speaks_for_itself(node)
    ]
    assert silent == []


def test_every_test_has_its_sentence() -> None:
    """Every test says what must hold."""
    tests = ((path, one) for path in TESTS for one in functions(tree(path)) if one.name.startswith("test_"))
    assert [f"{path.name}: {one.name}" for path, one in tests if not ast.get_docstring(one)] == []


@pytest.mark.parametrize("what", TRACES)
def test_nothing_points_at_a_machine(what: str) -> None:
    """No file holds a path of the machine it was written on, or the host of a package registry."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in KEPT
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if path != Path(__file__) and TRACES[what].search(line)
    ]
    assert found == []


def test_no_module_needs_itself() -> None:
    """Imports at the top of modules make no circle."""
    needs = {module_name(path): imported(path) for path in CODE}
    done: set[str] = set()
    for name in needs:
        visit(name, (), needs, done)


def module_name(path: Path) -> str:
    """Return the dotted name of a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Return the modules of ours that a module imports when it is imported itself."""
    names = {module_name(one) for one in CODE}
    found: set[str] = set()
    for node in tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names} & names
            found |= whole or ({node.module} & names)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & names
    return found - {module_name(path)}


def visit(name: str, above: tuple[str, ...], needs: dict[str, set[str]], done: set[str]) -> None:
    """Walk what a module needs; fail where that comes back to it."""
    assert name not in above, " -> ".join([*above, name])
    if name not in done:
        for other in needs[name]:
            visit(other, (*above, name), needs, done)
        done.add(name)
