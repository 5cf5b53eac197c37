"""The command `ask`: a question about a transcript, whose answer is kept with it."""

import time
from pathlib import Path
from typing import Any

import click

from receiver.asking.callers import Callers
from receiver.cli.lists import with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import json_option, show_one
from receiver.pipeline.jobs.question import Question
from receiver.runtime import Runtime


@click.command()
@click.argument("transcript")
@click.argument("question")
@click.option(
    "--source", metavar="NAME", help="Who is asked; default: the transcript's own source, or the only one that can."
)
@json_option
@click.pass_obj
def ask(path: Path | None, transcript: str, question: str, source: str | None, as_json: bool) -> None:
    """Ask about a transcript; the answer is kept with it."""

    async def work(runtime: Runtime) -> dict[str, Any]:
        callers = Callers(runtime.sources, runtime.store, now=time.time)
        try:
            answer = await Question(runtime.store, callers).ask(transcript, question, source)
            await noted(runtime, "transcripts.ask", [transcript], source=answer["source"])
            return answer
        finally:
            await callers.close()

    answer = with_runtime(path, work)
    if as_json:
        show_one(answer, as_json=True)
    else:
        click.echo(answer["answer"])
