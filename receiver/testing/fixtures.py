"""Recorded cases as files: `fixtures/<provider>/<case>/` holds request.json, body (exact bytes) and expected.json.

request.json:  {"about": one sentence, "token": "…"|null, "headers": {"Name": "value"}, "settings": {…the source's}, "now": Unix seconds}
               instead of or below "settings": "config": "acme.toml", a configuration file beside the cases with one source,
               and "environ": {"NAME": "value"}, what the variables in it hold
expected.json: {"verdict": …, "message_key": text, "outcomes": [{"result"|"notice"|"progress": {…}}]}
               or {"refused": reason} or {"verdict": …, "message_key": text, "unreadable": text}
               or {"handshake": {"status": 200, "headers": {"Name": "value"}, "body": text}}
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from receiver.config.convert import read_table
from receiver.config.interpolate import interpolate
from receiver.config.words import Problems
from receiver.contract.errors import Unreadable
from receiver.contract.model import InboundRequest, Notice, Outcome, Progress, Receipt, Result, Verdict
from receiver.contract.proof import Proven, Refused
from receiver.contract.provider import Provider, Reply


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded case."""

    name: str
    about: str
    token: str | None
    headers: Mapping[str, str]
    settings: Mapping[str, Any] = {}
    config: str | None = None
    """The file that the settings come from, where they are not written in the case."""
    now: float
    body: bytes
    expected: Mapping[str, Any]

    def request(self, source: str = "source") -> InboundRequest:
        """Return the request as the public listener would see it."""
        headers = tuple((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in self.headers.items())
        return InboundRequest(
            source=source, token=self.token, headers=headers, body=self.body, received_at=int(self.now * 1000)
        )


def load_case(folder: Path) -> Case:
    """Read one case folder. Raises FileNotFoundError or msgspec.ValidationError where it is not whole."""
    request = msgspec.json.decode((folder / "request.json").read_bytes())
    if "config" in request:
        known = _source(folder.parent / request["config"], request.pop("environ", {}))
        request["settings"] = {**known, **request.get("settings", {})}
    expected = msgspec.json.decode((folder / "expected.json").read_bytes())
    body = (folder / "body").read_bytes()
    return msgspec.convert({**request, "name": folder.name, "body": body, "expected": expected}, Case)


def _source(file: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the one source of a configuration file. Raises ValueError where it is not whole."""
    faults: list[str] = []
    tables = interpolate(tomllib.loads(file.read_text("utf-8")), environ, lambda _, message: faults.append(message))
    if faults or len(tables["sources"]) != 1:
        raise ValueError(f"{file}: {faults[0] if faults else 'it has not one source'}")
    (source,) = tables["sources"].values()
    return {key: value for key, value in _plain(source).items() if key != "provider"}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def load_cases(folder: Path) -> list[Case]:
    """Read every case of a provider, by name."""
    return [load_case(case) for case in sorted(folder.iterdir()) if (case / "request.json").is_file()]


def settings_of(provider: type[Provider[Any]], table: Mapping[str, Any]) -> Any:
    """Return the settings that a table holds, read as from a file. Raises ConfigError."""
    problems = Problems()
    settings = read_table(provider.Settings, {"provider": provider.name, **table}, ("sources", "source"), problems)
    problems.raise_any("settings")
    return settings


def receipt_of(proven: Proven, provider: str, receipt_id: str = "rcp_test") -> Receipt:
    """Make the receipt that storing `proven` would make."""
    request = proven.request
    return Receipt(
        id=receipt_id,
        source=request.source,
        provider=provider,
        verdict=Verdict(proven.verdict),
        received_at=request.received_at,
        headers=request.headers,
        body=request.body,
    )


def observed(provider: Provider[Any], case: Case) -> dict[str, Any]:
    """Run one case and return what happened, in the form of expected.json."""
    reply = provider.handshake(case.request())
    if reply is not None:
        return {"handshake": reply_as_expected(reply)}
    proof = provider.prove(case.request(), case.now)
    if isinstance(proof, Refused):
        return {"refused": str(proof.reason)}
    key = provider.message_key(proof)
    head = {"verdict": str(proof.verdict), "message_key": key.decode("utf-8", "backslashreplace")}
    try:
        outcomes = provider.normalize(receipt_of(proof, provider.name))
    except Unreadable as error:
        return {**head, "unreadable": str(error)}
    return {**head, "outcomes": as_expected(outcomes)}


def reply_as_expected(reply: Reply) -> dict[str, Any]:
    """Write the answer to a handshake the way expected.json holds it."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
    return {"status": reply.status, "headers": headers, "body": reply.body.decode("utf-8", "backslashreplace")}


_KINDS: dict[type[Any], str] = {Result: "result", Notice: "notice", Progress: "progress"}


def as_expected(outcomes: tuple[Outcome, ...]) -> list[dict[str, Any]]:
    """Write outcomes the way expected.json holds them: without what is null or empty, sets in order."""
    plain = [(_KINDS[type(outcome)], msgspec.to_builtins(outcome, order="deterministic")) for outcome in outcomes]
    return [{kind: bare(value)} for kind, value in plain]


def bare(value: Any) -> Any:
    """Return JSON without members that are null or empty, so that writing them in expected.json makes no difference."""
    if isinstance(value, Mapping):
        items = {key: bare(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, [], {})}
    if isinstance(value, list | tuple):
        return [bare(item) for item in value]
    return value
