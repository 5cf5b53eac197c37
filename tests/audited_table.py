"""What every command, page and endpoint leaves in the audit trail: whoever adds one has to say it here."""

from collections.abc import Iterator

import click

from receiver.cli import hookscribe

NOTHING = ""
"""It shows nothing of what was said, and changes nothing that is kept."""

COMMANDS = {
    "serve": NOTHING, "dev": NOTHING, "demo": NOTHING, "doctor": NOTHING, "config": NOTHING, "simulate": NOTHING,
    "redact": NOTHING, "new-provider": NOTHING, "new-sink": NOTHING, "keygen": NOTHING, "audit": NOTHING,
    "mcp": NOTHING,  # each of its tools does: TOOLS
    "copy": NOTHING,  # a new database in which every row is the embedded store's
    "migrate": "migrate",
    "verify": "receipts.check",
    "quarantine list": NOTHING,
    "quarantine show": "read",
    "quarantine drop": "quarantine.drop",
    "submit": "jobs.submit",
    "jobs list": NOTHING,
    "jobs adopt": "jobs.adopt",
    "jobs settle": "jobs.settle",
    "sweep": "sweep",
    "receipts list": "read",
    "receipts send": "receipts.send",
    "receipts admit": "receipts.admit",
    "receipts fixture": "receipts.fixture",
    "transcripts": "read",
    "calls": NOTHING,
    "events": "read",
    "search": "read",
    "export": "read",
    "deliveries": NOTHING,
    "deliveries move": "deliveries.move",
    "ask": "transcripts.ask",
    "subscriptions list": NOTHING,
    "subscriptions create": "subscriptions.create",
    "subscriptions renew": "subscriptions.renew",
    "subscriptions heal": "subscriptions.heal",
    "subscriptions move": "subscriptions.move",
    "sinks": NOTHING,
    "sinks show": NOTHING,
    "sinks pause": "sinks.pause",
    "sinks resume": "sinks.resume",
    "sinks test": "sinks.test",
    "replay": "deliveries.replay",
    "reprocess": "receipts.reprocess",
    "discard": "deliveries.discard",
    "backup": "backup",
    "erase": "erase",
    "restore": "restore",
    "tokens create": "tokens.create",
    "tokens list": NOTHING,
    "tokens revoke": "tokens.revoke",
}  # fmt: skip

SHOWING_PAGES = {
    "/receipts/{id}": True,
    "/receipts/{id}/reprocess": True,
    "/quarantine/{id}": True,
    "/calls/{id}": True,
    "/transcripts/{id}": True,
    "/deliveries/{id}": True,
    "/jobs/{id}": True,
    "/search": True,
    "/recordings/{id}": True,
    **dict.fromkeys(
        (
            "/", "/receipts", "/quarantine", "/calls", "/transcripts", "/deliveries", "/deliveries/change", "/jobs",
            "/sinks/{name}", "/healthz", "/readyz", "/metrics",
        ),
        False,
    ),
}  # fmt: skip
"""Pages that are looked at, and whether what is looked at is written down; what is sent to a page always is."""

SHOWING_ENDPOINTS = {
    "receipts/{id}/body", "search", "transcripts", "transcripts/{id}", "transcripts/{id}/answers", "transcripts/{id}.{form}",
    "transcripts.{form}",
    "calls/{id}.vcon", "events", "events/{id}", "events/{id}/payload", "quarantine/{id}/body",
}  # fmt: skip
SILENT_ENDPOINTS = {
    "receipts", "receipts/{id}", "transcripts/{id}/versions", "calls", "calls/{id}", "deliveries", "deliveries/{id}",
    "sources", "sources/{name}", "sinks", "sinks/{name}", "jobs", "jobs/{id}", "stream", "audit", "quarantine",
    "quarantine/{id}",
}  # fmt: skip
"""They show no words: what is kept, where it came from, how it stands."""

TOOLS = {
    "search": "read",
    "read_transcript": "read",
    "read_call": "read",
    "export": "read",
    "job_status": NOTHING,
    "list_jobs": NOTHING,
    "replay": "deliveries.replay",
}
"""What assistants have."""


def commands(group: click.Group = hookscribe, before: str = "") -> Iterator[str]:
    """Yield every command that does something, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        words = f"{before}{name}"
        if not isinstance(found, click.Group):
            yield words
            continue
        if found.invoke_without_command and not {"list"} & {*found.commands}:
            yield words
        yield from commands(found, f"{words} ")
