"""The dashboard and the page about metrics know every metric, and no other."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from receiver.metrics import DECLARED, PROCESS

ROOT = Path(__file__).parents[1]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana.json").read_text("utf-8"))
OPERATING = (ROOT / "docs" / "operating.md").read_text("utf-8")
NOT_SHOWN = {"process_virtual_memory_bytes", "process_start_time_seconds"}
"""What no panel shows: memory that is only mapped, and a start that hookscribe_started_seconds tells as well."""


def kind(name: str) -> str:
    """Return whether a metric is a counter, a gauge or a histogram."""
    return DECLARED[name].kind.__name__.removesuffix("MetricFamily").lower() if name in DECLARED else "process"


def samples() -> dict[str, str]:
    """Return the names that a query may hold, each with its metric."""
    found = {name: name for name in (*DECLARED, *PROCESS) if kind(name) != "histogram"}
    ends = ("_bucket", "_sum", "_count")
    return found | {name + end: name for name in DECLARED if kind(name) == "histogram" for end in ends}


def expressions() -> list[str]:
    """Return every query of the dashboard."""
    variables = [one["query"] for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())] + variables


def named(expression: str) -> set[str]:
    """Return the metrics that a query names."""
    return set(re.findall(r"\b(?:hookscribe|process)_\w+", expression))


@pytest.mark.parametrize("expression", expressions())
def test_every_query_names_metrics_that_there_are(expression: str) -> None:
    """By the names of samples, with labels that they have; counters as rates."""
    assert named(expression)
    assert named(expression) <= set(samples())
    of_metrics = {name: samples()[name] for name in named(expression)}
    for name, metric in of_metrics.items():
        known = {*DECLARED[metric].labels, "instance", "job", "le"} if metric in DECLARED else {"instance", "job"}
        inside = re.findall(re.escape(name) + r"\{([^}]*)\}", expression)
        used = {label for part in inside for label in re.findall(r"(\w+)\s*[!=]", part)}
        grouped = {word for part in re.findall(r"by \(([^)]*)\)", expression) for word in part.split(", ")}
        assert used | grouped <= known
        if kind(metric) == "counter" or name.endswith("_bucket"):
            assert f"rate({name}" in expression


def test_every_metric_is_shown() -> None:
    """A metric that no panel shows is one that nobody sees, or stands in the list of those with its reason."""
    shown = {samples()[name] for expression in expressions() for name in named(expression)}
    assert shown == {*DECLARED, *PROCESS} - NOT_SHOWN


def test_panels_stand_beside_each_other() -> None:
    """Each has an id and a place of its own, and its queries letters of their own."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    for panel in panels:
        letters = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(letters)) == len(letters)


@pytest.mark.parametrize("name", DECLARED)
def test_every_metric_is_explained(name: str) -> None:
    """docs/operating.md has a row for it: its labels, and what it says."""
    declared = DECLARED[name]
    labels = ", ".join(f"`{label}`" for label in declared.labels)
    assert f"| `{name}` | {kind(name)} | {labels} | {declared.help} |".replace("|  |", "| |") in OPERATING
