"""The command `verify`: what proves a request or what is wrong with it, and quarantined ones admitted after a fix."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from receiver.cli.loading import loaded
from receiver.cli.output import json_option, show
from receiver.cli.quarantine import all_rows, print_request
from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import InboundRequest, ReceiptState
from receiver.contract.proof import Check, Proven, Reason
from receiver.contract.provider import Provider
from receiver.contract.times import from_ms
from receiver.pipeline.verify import Admission, Explanation, admit, explain_proof
from receiver.registry import close_match
from receiver.runtime import Runtime, opened, sources
from receiver.store.gone import gone
from receiver.store.ids import QUARANTINED, RECEIPT, decode, encode
from receiver.store.quarantine.records import Quarantined
from receiver.store.records import unpack_headers

ResultT = TypeVar("ResultT")

_TOGETHER = 64
_TOGETHER_BYTES = 4 * 1024 * 1024
_HINT = Check(scheme="token", ok=None, detail="tokens are not kept with receipts; give it with --token to check it too")


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--admit", "admitting", is_flag=True, help="Make receipts of quarantined requests that prove now.")
@click.option("--all", "all_", is_flag=True, help="With --admit: every quarantined request, or every one of --source.")
@click.option("--source", metavar="NAME", help="Whose request is given by hand, or which ones --all means.")
@click.option("--body", type=click.File("rb"), help="Body of a request given by hand; - reads stdin.")
@click.option("--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Header of it; as often as needed.")
@click.option("--token", metavar="TOKEN", help="Last part of its URL; with an id, it is checked too.")
@json_option
@click.pass_context
def verify(ctx: click.Context, /, **given: Any) -> None:
    """Say what proves a request, or what is wrong with it.

    ID is a receipt or a quarantined request; or give a request by hand: --source, --body, --header, --token.
    With --admit, quarantined requests that prove after a fix become receipts, as of the time when they came.
    """
    _check_use(**given)
    as_json = given["as_json"]
    if given["admitting"]:
        numbers = [decode(QUARANTINED, one) for one in given["ids"]]
        done = _with_runtime(ctx.obj, lambda runtime: _admitted(runtime, numbers, given["source"]))
        show((_admission(one) for one in done), ("id", "result", "receipt", "detail"), as_json=as_json)
        ctx.exit(1 if any(one.why for one in done) else 0)
    if given["ids"]:
        token, (text,) = given["token"], given["ids"]
        head, explanation = _with_runtime(ctx.obj, lambda runtime: _kept(runtime, text, token))
    else:
        head, explanation = _by_hand(ctx.obj, given)
    ctx.exit(_print(head, explanation, as_json))


def _check_use(**given: Any) -> None:
    by_hand = given["body"] is not None
    if given["admitting"]:
        if given["all_"] == bool(given["ids"]) or by_hand or given["headers"] or given["token"]:
            raise UsageError("--admit takes ids of the quarantine, or --all, which --source narrows")
        if given["source"] and not given["all_"]:
            raise UsageError("--source goes with --all here; an id says by itself whose it is")
    elif given["all_"]:
        raise UsageError("--all goes with --admit; `hookscribe quarantine list` shows what is there")
    elif given["ids"]:
        if len(given["ids"]) > 1 or by_hand or given["headers"] or given["source"]:
            raise UsageError("verify takes one id alone, or a request by hand: --source, --body, --header, --token")
    elif not by_hand or not given["source"]:
        raise UsageError("give an id, or a request by hand: --source NAME --body FILE --header 'NAME: VALUE'")


def _with_runtime(path: Path | None, ask: Callable[[Runtime], Awaitable[ResultT]]) -> ResultT:
    config, registry = loaded(path)

    async def asked() -> ResultT:
        async with opened(config, registry) as runtime:
            return await ask(runtime)

    return asyncio.run(asked())


def _by_hand(path: Path | None, given: dict[str, Any]) -> tuple[dict[str, Any], Explanation]:
    made = sources(*loaded(path))
    provider = _provider(made, given["source"])
    now = time.time()
    request = InboundRequest(
        source=given["source"],
        token=given["token"],
        headers=tuple(_header(one) for one in given["headers"]),
        body=given["body"].read(),
        received_at=int(now * 1000),
    )
    return {"source": request.source}, explain_proof(provider, request, now)


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError("--header: write it as 'NAME: VALUE'")
    return name.strip().lower().encode(), value.strip().encode()


async def _kept(runtime: Runtime, text: str, token: str | None) -> tuple[dict[str, Any], Explanation]:
    if text.startswith(QUARANTINED):
        found = await runtime.quarantine.get(decode(QUARANTINED, text))
        request, then = found.request, {"refused_as": found.reason}
    else:
        request, verdict = await _receipt(runtime, decode(RECEIPT, text))
        then = {"proven_as": verdict}
    if token is not None:
        request = msgspec.structs.replace(request, token=token)
    head = {"id": text, "received_at": from_ms(request.received_at), "source": request.source, **then}
    explanation = explain_proof(_provider(runtime.sources, request.source), request, request.received_at / 1000)
    if "proven_as" in then and token is None and getattr(explanation.proof, "reason", None) is Reason.TOKEN_MISSING:
        explanation = msgspec.structs.replace(explanation, checks=(*explanation.checks, _HINT))
    return head, explanation


async def _receipt(runtime: Runtime, number: int) -> tuple[InboundRequest, str]:
    rows = await runtime.store.engine.rows("list_receipts", {"id": number, "limit": 1}, ["id = :id"])
    if not rows:
        raise NotFound(f"{encode(RECEIPT, number)} is no receipt of this store")
    _, source, _, verdict, _, _, received_at, *_, headers = rows[0]
    ((body, state),) = await runtime.store.engine.rows("receipt_body", {"id": number})
    if state == ReceiptState.GONE:
        raise gone(encode(RECEIPT, number))
    request = InboundRequest(
        source=source, token=None, headers=unpack_headers(headers), body=body, received_at=received_at
    )
    return request, verdict


def _provider(made: dict[str, Provider[Any]], name: str) -> Provider[Any]:
    if name not in made:
        raise UsageError(
            f"no source is called {name!r}; {close_match(name, made)}there are {', '.join(made) or 'none'}"
        )
    return made[name]


def _print(head: dict[str, Any], explanation: Explanation, as_json: bool) -> int:
    """Print, and return the exit code: 0 where it proves, or where only a token is missing that is kept nowhere."""
    proof = explanation.proof
    result = {"result": "proven", "verdict": proof.verdict} if isinstance(proof, Proven) else _refused(proof.reason)
    checks = [msgspec.to_builtins(check) for check in explanation.checks]
    print_request({**head, **result, **explanation.tried_on}, checks, as_json)
    return 0 if isinstance(proof, Proven) or _HINT in explanation.checks else 1


def _refused(reason: Reason) -> dict[str, Any]:
    return {"result": "refused", "reason": reason}


async def _admitted(runtime: Runtime, numbers: Sequence[int], source: str | None) -> list[Admission]:
    """Admit by id, or all there are, the oldest first, in groups that memory holds."""
    if source:
        _provider(runtime.sources, source)
    done: list[Admission] = []
    group: list[Quarantined] = []
    for number in dict.fromkeys(numbers) or [row.id for row in await all_rows(runtime.quarantine, source)]:
        with contextlib.nullcontext() if numbers else contextlib.suppress(NotFound):
            group.append(await runtime.quarantine.get(number))
        if len(group) >= _TOGETHER or sum(len(one.request.body) for one in group) >= _TOGETHER_BYTES:
            done += await admit(group, runtime.sources, runtime.store, runtime.quarantine)
            group = []
    return done + await admit(group, runtime.sources, runtime.store, runtime.quarantine)


def _admission(one: Admission) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": encode(QUARANTINED, one.id)}
    if one.kept is None:
        return {**shown, "result": "refused", "receipt": None, "detail": one.why}
    receipt = encode(RECEIPT, one.kept.id)
    if one.kept.duplicate:
        again = "this receipt is the same message, come before"
        return {**shown, "result": "duplicate", "receipt": receipt, "detail": again}
    return {**shown, "result": "accepted", "receipt": receipt, "detail": None}
