"""The command `receipts`: the list, one of them sent somewhere else again, or made into an anonymised fixture."""

from pathlib import Path
from typing import Any

import click
import httpx

from receiver.cli import lists
from receiver.cli.lists import with_runtime
from receiver.cli.noting import noted
from receiver.cli.output import cell
from receiver.contract.errors import HookscribeError, NotFound, UsageError
from receiver.contract.model import InboundRequest
from receiver.runtime import Runtime
from receiver.store.ids import RECEIPT, decode, encode
from receiver.store.lists import Lists
from receiver.store.records import unpack_headers
from receiver.testing.anonymous import secrets_of, written_fixture

_LIST = "list"
_HELP = ("-h", "--help")
_ANSWER = 500
"""Characters of an answer that are shown."""
_OF_THE_HOP = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that belong to one connection; everything else is sent as it came, proofs included."""


class Receipts(click.Group):
    """A group whose `list` may be left out; its help shows the options of the list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what names no command for the list's arguments."""
        if not args or args[0] not in {*self.commands, *_HELP}:
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


@click.group(cls=Receipts, subcommand_metavar="[ID] | COMMAND [ARGS]...")
def receipts(**_: Any) -> None:
    """List proven callbacks, show, send or record one."""


receipts.add_command(lists.receipts, _LIST)
receipts.params = [one for one in lists.receipts.params if isinstance(one, click.Option)]


@receipts.command()
@click.argument("id_", metavar="ID")
@click.option("--to", required=True, metavar="URL", help="Where to: the whole address of the callback.")
@click.option("--token", metavar="TOKEN", help="Put behind the address as its last part; tokens are not kept here.")
@click.pass_obj
def send(path: Path | None, id_: str, *, to: str, token: str | None) -> None:
    """Send the exact bytes of a receipt again.

    With the headers it came with, those that prove it included, so that another receiver can prove it. It goes where you
    say: mind who listens there. Redirects are not followed.
    """
    target = _target(to, token)

    async def work(runtime: Runtime) -> InboundRequest:
        request, _ = await stored_request(runtime, id_)
        await noted(runtime, "receipts.send", [id_], to=f"{target.scheme}://{target.netloc.decode()}")
        return request

    request = with_runtime(path, work)
    headers = [
        pair
        for pair in request.headers
        if pair[0].decode("latin-1").lower() not in _OF_THE_HOP and not pair[0].startswith(b"@")
    ]
    local = target.host in ("localhost", "127.0.0.1", "::1")
    with httpx.Client(timeout=60, trust_env=not local) as client:
        try:
            answer = client.send(httpx.Request("POST", target, headers=headers, content=request.body))
        except httpx.HTTPError as error:
            raise HookscribeError(
                f"{target.scheme}://{target.netloc.decode()} gave no answer ({type(error).__name__})"
            ) from None
    said = cell(answer.content[:_ANSWER].decode("utf-8", "replace").strip())
    click.echo(f"{answer.status_code} {said}")
    if not answer.is_success:
        raise click.exceptions.Exit(1)


@receipts.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def admit(path: Path | None, ids: tuple[str, ...]) -> None:
    """Let receipts go on that wait for a confirmation.

    Such as those that came by the token of a job that had its result already. Look at the body first.
    """
    numbers = [decode(RECEIPT, one) for one in ids]

    async def work(runtime: Runtime) -> int:
        count = await runtime.store.unconfirmed(numbers)
        await noted(runtime, "receipts.admit", ids)
        return count

    count = with_runtime(path, work)
    click.echo(f"{count:,} of {len(numbers):,} go on")


@receipts.command()
@click.argument("id_", metavar="ID")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the case; default: fixtures/PROVIDER/ID here.",
)
@click.pass_obj
def fixture(path: Path | None, id_: str, *, to: Path | None) -> None:
    """Write a receipt as an anonymised fixture folder.

    Names, words, numbers and addresses are replaced by inert ones of the same shape, the signature is made anew with a
    secret of the fixture. Read it before you give it away.
    """

    async def work(runtime: Runtime) -> tuple[Path, InboundRequest, str]:
        request, provider = await stored_request(runtime, id_, reread=True)
        if request.source not in runtime.sources:
            raise UsageError(f"no source is called {request.source!r} now: its settings are needed")
        folder = to or Path("fixtures") / provider / id_
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty")
        written_fixture(folder, runtime.sources[request.source], request, secrets_of(runtime.config))
        await noted(runtime, "receipts.fixture", [id_])
        return folder, request, provider

    folder, request, _ = with_runtime(path, work)
    click.echo(f"{folder}: request.json, body ({len(request.body):,} bytes came), expected.json")


async def stored_request(runtime: Runtime, id_: str, *, reread: bool = False) -> tuple[InboundRequest, str]:
    """Return a receipt as it came, and its provider; `reread`: with the provider's own answer. Raises NotFound or Gone."""
    number = decode(RECEIPT, id_)
    rows = await runtime.store.engine.rows("whole_receipt", {"id": number})
    if not rows:
        raise NotFound(f"there is no {encode(RECEIPT, number)}")
    came = await Lists(runtime.store.engine).body(id_)
    _, source, provider, _, received_at, _, headers, body = rows[0]
    request = InboundRequest(
        source=source,
        token=None,
        headers=unpack_headers(headers),
        body=body if reread else came,
        received_at=received_at,
    )
    return request, provider


def _target(to: str, token: str | None) -> httpx.URL:
    try:
        target = httpx.URL(to)
    except httpx.InvalidURL:
        target = httpx.URL("")
    if target.scheme not in ("http", "https") or not target.host:
        raise UsageError("--to: expected a whole address, such as http://127.0.0.1:8080/hooks/acme")
    if token is None:
        return target
    return target.copy_with(path=f"{target.path.rstrip('/')}/{token}")
