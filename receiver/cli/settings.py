"""The commands about settings: `config` and `keygen`."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from receiver.cli.output import json_option, show_one

Kind = Literal["token", "webhook", "ed25519"]


@click.command()
@click.option(
    "--api", "as_api", is_flag=True, help="Print every endpoint of the admin API, or with --json its OpenAPI."
)
@click.option("--reference", "as_reference", is_flag=True, help="Print every setting there is, as Markdown tables.")
@json_option
@click.pass_obj
def config(path: Path | None, as_api: bool, as_reference: bool, as_json: bool) -> None:
    """Print every setting in force, secrets masked."""
    from receiver.cli.loading import loaded  # noqa: PLC0415 -- when it is used
    from receiver.config import masked, reference, reference_markdown  # noqa: PLC0415
    from receiver.registry import discover  # noqa: PLC0415

    if as_api:
        from receiver.web.described import declared  # noqa: PLC0415 -- it takes all of the web's modules
        from receiver.web.openapi import Description, table  # noqa: PLC0415

        click.echo(msgspec.json.encode(Description(declared()).document) if as_json else table(declared()), nl=as_json)
        return
    if as_reference and as_json:
        for row in reference(discover()):
            click.echo(msgspec.json.encode(row))
        return
    if as_reference:
        click.echo(reference_markdown(discover()), nl=False)
        return
    data = masked(loaded(path)[0])
    click.echo(msgspec.json.encode(data) if as_json else "\n".join(toml_lines(data)))


@click.command()
@click.argument("kind", type=click.Choice(["token", "webhook", "ed25519"]), default="token")
@json_option
def keygen(kind: Kind, as_json: bool) -> None:
    """Print a new token or webhook key.

    token: for callback URLs and admin_token. webhook: a shared key, whsec_, for Standard Webhooks. ed25519: a pair,
    whsk_ to sign with and keep, whpk_ to give away.
    """
    made = _made(kind)
    if as_json or len(made) > 1:
        show_one(made, as_json=as_json)
    else:
        click.echo(next(iter(made.values())))


def toml_lines(table: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """Yield a configuration as the lines of a file; what is not set is a comment."""
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if name and (values or not table):
        yield f"\n[{name}]"
    for key, value in values.items():
        yield f"# {key} is not set" if value is None else f"{key} = {_toml(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from toml_lines(value, f"{name}.{key}" if name else key)


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _made(kind: Kind) -> dict[str, str]:
    if kind == "token":
        return {"token": secrets.token_urlsafe(32)}
    from receiver.contract.webhooks import generate  # noqa: PLC0415 -- cryptography is slow to import

    key = generate("symmetric" if kind == "webhook" else "asymmetric")
    return {"secret": key.secret.value} | ({"public": key.public} if key.public else {})
