"""The `hookscribe` command: what there is, and how its failures end. Each command's module is imported when it is used.

A new command is one line in `COMMANDS` and a function in `receiver/cli/<topic>.py`.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from receiver.contract.errors import ConfigError, HookscribeError, UsageError

COMMANDS = {
    "serve": ("receiver.cli.serve:serve", "Receive, normalize and deliver until stopped."),
    "dev": ("receiver.cli.dev:dev", "Receive through a tunnel and tell of every callback."),
    "demo": ("receiver.cli.demo:demo", "Show everything at work, with recorded callbacks."),
    "migrate": ("receiver.cli.serve:migrate", "Bring the store to this release's schema."),
    "copy": ("receiver.cli.copy:copy", "Move an embedded store into PostgreSQL."),
    "doctor": ("receiver.cli.doctor:doctor", "Look for what is wrong, and say the way out."),
    "config": ("receiver.cli.settings:config", "Print every setting in force, secrets masked."),
    "verify": ("receiver.cli.verify:verify", "Say what proves a request, or what is wrong with it."),
    "quarantine": ("receiver.cli.quarantine:quarantine", "List, show or drop refused requests."),
    "simulate": ("receiver.cli.simulate:simulate", "Sign and send what a provider would."),
    "submit": ("receiver.cli.submit:submit", "Hand recordings to a provider."),
    "jobs": ("receiver.cli.jobs:jobs", "List what was submitted, show, adopt or settle one."),
    "sweep": ("receiver.cli.jobs:sweep", "Take what a provider has and never told."),
    "receipts": ("receiver.cli.receipts:receipts", "List proven callbacks, show, send or record one."),
    "transcripts": ("receiver.cli.lists:transcripts", "List results in our words, or show one whole."),
    "calls": ("receiver.cli.lists:calls", "List calls, or show one with its transcripts."),
    "events": ("receiver.cli.lists:events", "List events, or show one with its deliveries."),
    "search": ("receiver.cli.search:search", "Find what was said, by words, speaker, call and time."),
    "export": ("receiver.cli.export:export", "Write transcripts in other people's forms."),
    "deliveries": ("receiver.cli.deliveries:deliveries", "List what goes to sinks, or show one delivery."),
    "ask": ("receiver.cli.ask:ask", "Ask about a transcript; the answer is kept with it."),
    "subscriptions": (
        "receiver.cli.subscriptions:subscriptions",
        "List, make, renew, heal or move subscriptions at providers.",
    ),
    "redact": ("receiver.cli.redact:redact", "Show a text masked, or how well a labelled corpus is."),
    "sinks": ("receiver.cli.actions:sinks", "List sinks; show, pause, resume or test one."),
    "replay": ("receiver.cli.actions:replay", "Deliver events again."),
    "reprocess": ("receiver.cli.reprocess:reprocess", "Normalize stored receipts again."),
    "discard": ("receiver.cli.actions:discard", "Give up deliveries, dead or waiting."),
    "backup": ("receiver.cli.backup:backup", "Write one consistent copy of the store, also in use."),
    "erase": ("receiver.cli.erase:erase", "Remove a call, transcript or receipt, and all that it led to."),
    "restore": ("receiver.cli.backup:restore", "Put a backup in the place of the store."),
    "new-provider": (
        "receiver.cli.new:new_provider",
        "Write a package with a provider, to be changed.",
    ),
    "new-sink": ("receiver.cli.new:new_sink", "Write a package with a sink, to be changed."),
    "tokens": ("receiver.cli.tokens:tokens", "Make, list or revoke named tokens, each with a role."),
    "mcp": ("receiver.cli.mcp:mcp", "Serve what is kept to an assistant, over stdio (MCP)."),
    "audit": ("receiver.cli.trail:audit", "Show who read what was said, and who gave which order."),
    "keygen": ("receiver.cli.settings:keygen", "Print a new token or webhook key."),
}
"""Command: where it is, and the line that the help shows; the same as the first of its docstring."""

INTERRUPTED = 130


class Commands(click.Group):
    """Commands that are imported when they are run, and the one place where errors become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; for the list of all, a stand-in with its help line does."""
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), function)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run; an error of ours is one message and an exit code: 2 for wrong settings or use, else 1."""
        try:
            return super().invoke(ctx)
        except HookscribeError as error:
            failed = Misused if isinstance(error, ConfigError | UsageError) else Failed
            raise failed(str(error)) from error


class Failed(click.ClickException):
    """An error of ours on its way out: it was tried, and failed."""

    exit_code = 1


class Misused(Failed):
    """Wrong settings or wrong use: nothing was tried."""

    exit_code = 2


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HOOKSCRIBE_CONFIG",
    metavar="FILE",
    help="Settings; default: hookscribe.toml here.",
)
@click.version_option(package_name="hookscribe", message="%(version)s")
@click.pass_context
def hookscribe(ctx: click.Context, path: Path | None) -> None:
    """Receive call-transcription callbacks, prove them, keep them, and deliver one event stream."""
    ctx.obj = path


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    try:
        result = hookscribe.main(args=list(arguments), prog_name="hookscribe", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return result if isinstance(result, int) else 0


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))
