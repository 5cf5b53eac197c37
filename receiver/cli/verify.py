"""The command `verify`: what proves a request or what is wrong with it, and quarantined ones admitted after a fix."""

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from receiver.cli.admitting import NARROWING, admitted, print_admissions, source_named
from receiver.cli.lists import with_runtime
from receiver.cli.loading import loaded, with_kept_secrets
from receiver.cli.noting import noted
from receiver.cli.output import json_option
from receiver.cli.quarantine import narrowed_by, print_request
from receiver.cli.times import narrowing
from receiver.contract.errors import NotFound, UsageError
from receiver.contract.model import InboundRequest, ReceiptState
from receiver.contract.proof import Check, Proven, Reason
from receiver.contract.times import from_ms
from receiver.making import sources
from receiver.pipeline.verify import Admission, Explanation, explain_proof
from receiver.runtime import Runtime
from receiver.store.gone import gone
from receiver.store.ids import QUARANTINED, RECEIPT, decode, encode
from receiver.store.records import unpack_headers

_HINT = Check(scheme="token", ok=None, detail="tokens are not kept with receipts; give it with --token to check it too")


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--admit", "admitting", is_flag=True, help="Make receipts of quarantined requests that prove now.")
@click.option(
    "--all", "all_", is_flag=True, help="With --admit: all quarantined requests, or those that the next four mean."
)
@click.option("--source", metavar="NAME", help="Whose request is given by hand, or which ones --all means.")
@click.option("--reason", metavar="WORD", help="With --all: those refused for this reason.")
@narrowing
@click.option("--dry-run", is_flag=True, help="With --admit: only say what would prove now, and how many.")
@click.option("--body", type=click.File("rb"), help="Body of a request given by hand; - reads stdin.")
@click.option("--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Header of it; as often as needed.")
@click.option("--token", metavar="TOKEN", help="Last part of its URL; with an id, it is checked too.")
@json_option
@click.pass_context
def verify(ctx: click.Context, /, **given: Any) -> None:
    """Say what proves a request, or what is wrong with it.

    ID is a receipt or a quarantined request; or give a request by hand: --source, --body, --header, --token.
    With --admit, quarantined requests that prove after a fix become receipts, as of the time when they came.
    Done again, it admits what is left: nothing is kept twice.
    """
    _check_use(**given)
    as_json = given["as_json"]
    if given["admitting"]:
        numbers, narrowed = [decode(QUARANTINED, one) for one in given["ids"]], narrowed_by(given)
        dry = given["dry_run"]

        async def work(runtime: Runtime) -> list[Admission]:
            done = await admitted(runtime, numbers, narrowed, dry_run=dry)
            if kept := [encode(QUARANTINED, one.id) for one in done if one.why is None and not dry]:
                await noted(runtime, "quarantine.admit", kept)
            return done

        done = with_runtime(ctx.obj, work)
        ctx.exit(print_admissions(done, dry_run=dry, as_json=as_json))
    if given["ids"]:
        token, (text,) = given["token"], given["ids"]
        head, explanation = with_runtime(ctx.obj, lambda runtime: _checked(runtime, text, token))
    else:
        head, explanation = _by_hand(ctx.obj, given)
    ctx.exit(_print(head, explanation, as_json))


def _check_use(**given: Any) -> None:
    by_hand = given["body"] is not None
    if given["admitting"]:
        if given["all_"] == bool(given["ids"]) or by_hand or given["headers"] or given["token"]:
            raise UsageError("--admit takes ids of the quarantine, or --all, which --source and others narrow")
        if any(given[name] for name in NARROWING) and not given["all_"]:
            raise UsageError("--source, --reason, --since and --until go with --all here; an id says all by itself")
    elif given["dry_run"] or any(given[name] for name in NARROWING if name != "source"):
        raise UsageError("--reason, --since, --until and --dry-run go with --admit")
    elif given["all_"]:
        raise UsageError("--all goes with --admit; `hookscribe quarantine list` shows what is there")
    elif given["ids"]:
        if len(given["ids"]) > 1 or by_hand or given["headers"] or given["source"]:
            raise UsageError("verify takes one id alone, or a request by hand: --source, --body, --header, --token")
    elif not by_hand or not given["source"]:
        raise UsageError("give an id, or a request by hand: --source NAME --body FILE --header 'NAME: VALUE'")


def _by_hand(path: Path | None, given: dict[str, Any]) -> tuple[dict[str, Any], Explanation]:
    config, registry = loaded(path)
    made = sources(with_kept_secrets(config, registry, given["source"]), registry)
    provider = source_named(made, given["source"])
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


async def _checked(runtime: Runtime, text: str, token: str | None) -> tuple[dict[str, Any], Explanation]:
    found = await _kept(runtime, text, token)
    await noted(runtime, "quarantine.check" if text.startswith(QUARANTINED) else "receipts.check", [text])
    return found


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
    explanation = explain_proof(source_named(runtime.sources, request.source), request, request.received_at / 1000)
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


def _print(head: dict[str, Any], explanation: Explanation, as_json: bool) -> int:
    """Print, and return the exit code: 0 where it proves, or where only a token is missing that is kept nowhere."""
    proof = explanation.proof
    result = {"result": "proven", "verdict": proof.verdict} if isinstance(proof, Proven) else _refused(proof.reason)
    checks = [msgspec.to_builtins(check) for check in explanation.checks]
    print_request({**head, **result, **explanation.tried_on}, checks, as_json)
    return 0 if isinstance(proof, Proven) or _HINT in explanation.checks else 1


def _refused(reason: Reason) -> dict[str, Any]:
    return {"result": "refused", "reason": reason}
