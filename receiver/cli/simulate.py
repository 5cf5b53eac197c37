"""`hookscribe simulate`: sign and send what a provider would, and say whether the answer is the one to expect."""

import time
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import click
import httpx
import msgspec

from receiver.cli.emulating import PORT, emulate
from receiver.cli.loading import loaded, with_kept_secrets
from receiver.cli.output import cell, show
from receiver.config import Config, address
from receiver.contract.errors import HookscribeError, UsageError
from receiver.contract.provider import SignedRequest
from receiver.registry import Registry, fixtures
from receiver.simulate import Plan, Send, Simulator, fits
from receiver.testing.fixtures import load_cases

_SHOWN = 20
"""Answers that are shown one by one; of more, only those that were not expected."""
_ANSWER = 200
_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@click.command()
@click.argument("source", required=False)
@click.argument("case", default="completed")
@click.option("--to", "to", metavar="URL", help="Where to send; without a path, /hooks/SOURCE/TOKEN is added.")
@click.option(
    "--count", type=click.IntRange(min=1), default=1, metavar="N", help="Send the case N times, each another job's."
)
@click.option("--list", "as_list", is_flag=True, help="Show the cases of a source, or the sources.")
@click.option("--serve", "provider", metavar="PROVIDER", help="Run the provider itself, to submit recordings to it.")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Where --serve listens.")
@click.option(
    "--switch", "switches", multiple=True, metavar="NAME=VALUE", help="What --serve does where docs are silent."
)
@click.pass_context
def simulate(
    ctx: click.Context,
    *,
    source: str | None,
    case: str,
    to: str | None,
    count: int,
    as_list: bool,
    provider: str | None,
    port: int,
    switches: tuple[str, ...],
) -> None:
    """Sign and send what a provider would.

    CASE: completed, failed, duplicate, stale, wrong-signature, changed-body, large, or a recorded one (--list). It is
    sent to this configuration's public listener, and exits with 0 where every answer is the one to expect.

    --serve PROVIDER runs an emulator of a provider's API on this machine instead, and prints the settings for it.
    """
    if provider is not None:
        emulate(provider, port, switches)
        return
    config, registry = loaded(ctx.obj)
    if source is None:
        _no_source(config, as_list=as_list)
        return
    simulator = _simulator(with_kept_secrets(config, registry, source), registry, source)
    if as_list:
        show([{"case": name, "is": about} for name, about in simulator.cases().items()], ["case", "is"], as_json=False)
        return
    target = Target(config, source, to)
    plans = (simulator.plan(case) for _ in range(count))
    ctx.exit(0 if _run(plans, target, count) else 1)


class Target:
    """Where a source's callbacks go."""

    def __init__(self, config: Config, source: str, to: str | None) -> None:
        base = to or _listener(config)
        parts = urlsplit(base if "://" in base else f"http://{base}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--to: {base[:100]!r} is no http:// or https:// address")
        self.local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
        self._whole = parts.geturl() if parts.path.strip("/") else None
        self._base = f"{parts.scheme}://{parts.netloc}/hooks/{source}"
        self._tokens = [token.value for token in config.sources[source].token]

    def url(self, token: str | None) -> str:
        """Return the address for a request with a token; one given whole stays, but for a token of ours at its end."""
        if self._whole is None:
            return self._base if token is None else f"{self._base}/{token}"
        for known in self._tokens:
            if token not in (None, known) and self._whole.endswith(f"/{known}"):
                return self._whole.removesuffix(known) + str(token)
        return self._whole

    def __str__(self) -> str:
        shown = self._whole or (f"{self._base}/***" if self._tokens else self._base)
        for token in self._tokens:
            shown = shown.replace(token, "***")
        return shown


def _listener(config: Config) -> str:
    host, port = address(config.root.listen.public)
    if port == 0:
        raise UsageError("[listen] public has port 0, which is another one at every start; say --to URL")
    host = _ANY_HOST.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _no_source(config: Config, *, as_list: bool) -> None:
    rows = [{"source": name, "provider": settings.provider} for name, settings in config.sources.items()]
    if not as_list:
        raise UsageError(f"say which source; there are {', '.join(config.sources) or 'none in the settings'}")
    show(rows, ["source", "provider"], as_json=False)
    click.echo("\nhookscribe simulate SOURCE --list shows what can be sent to one.")


def _simulator(config: Config, registry: Registry, source: str) -> Simulator:
    if source not in config.sources:
        raise UsageError(f"no source is called {source[:60]!r}; there are {', '.join(config.sources) or 'none'}")
    settings = config.sources[source]
    provider: Any = registry.provider(settings.provider)
    folder = fixtures(provider)
    if folder is None:
        raise UsageError(f"provider {settings.provider} brings no recorded cases: there is nothing to send")
    ours = provider(source, settings)
    cases = [case for case in load_cases(folder) if fits(ours, case)]
    if not cases:
        raise UsageError(f"{source} has settings of its own, and no recorded case of {settings.provider} fits them")
    return Simulator(ours, cases, now=time.time, serial=lambda: f"simulated-{uuid.uuid4().hex}")


def _run(plans: Iterable[Plan], target: Target, count: int) -> bool:
    good = sent = 0
    times: list[float] = []
    with httpx.Client(timeout=60, trust_env=not target.local) as client:
        for number, plan in enumerate(plans):
            if number == 0:
                _introduce(plan, target, count)
            for send in plan.sends:
                answer, took = _posted(client, target, send.request)
                fits = _fits(answer, send)
                good, sent = good + fits, sent + 1
                times.append(took)
                if count <= _SHOWN or not fits:
                    _show(answer, send, took, fits=fits)
    if sent > 1:
        times.sort()
        click.echo(
            f"{good} of {sent} as expected; median {times[len(times) // 2] * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms"
        )
    return good == sent


def _introduce(plan: Plan, target: Target, count: int) -> None:
    times = f", {count} times" if count > 1 else ""
    size = len(plan.sends[0].request.body)
    recorded = "" if plan.recorded == plan.case else f" (made of the recorded case {plan.recorded})"
    click.echo(f"{plan.case}{recorded}, {size:,} bytes, to {cell(str(target))}{times}")
    if plan.note:
        click.echo(f"note: {plan.note}")


def _posted(client: httpx.Client, target: Target, request: SignedRequest) -> tuple[httpx.Response, float]:
    started = time.perf_counter()
    try:
        answer = client.post(target.url(request.token), content=request.body, headers=list(request.headers))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        hint = "; is `hookscribe serve` or `hookscribe dev` running?" if target.local else ""
        raise HookscribeError(f"{target} gave no answer ({type(error).__name__}){hint}") from None
    return answer, time.perf_counter() - started


def _fits(answer: httpx.Response, send: Send) -> bool:
    if answer.status_code != send.status:
        return False
    word = _word(answer)
    return word is None or not send.words or word in send.words


def _word(answer: httpx.Response) -> str | None:
    """Return the word in an answer of Hookscribe's form; others have none."""
    try:
        return msgspec.json.decode(answer.content, type=_Answer).status
    except msgspec.DecodeError:
        return None


class _Answer(msgspec.Struct):
    status: str


def _show(answer: httpx.Response, send: Send, took: float, *, fits: bool) -> None:
    said = cell(answer.content[:_ANSWER].decode("utf-8", "replace").strip())
    click.echo(f"  {answer.status_code} {said}  {took * 1000:.0f} ms")
    if fits:
        click.echo(f"  as expected: {send.expected}")
        return
    click.echo(f"  NOT as expected: {send.expected}")
    if send.status == 200 and answer.status_code in (401, 404):
        click.echo(
            "  The receiver has other secrets or tokens than these settings; its `hookscribe verify` says which."
        )
