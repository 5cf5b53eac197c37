"""Anonymous: a stored request as a fixture folder whose words, names, numbers and addresses are nobody's.

What is kept: member names, the shape of every value, numbers, booleans, words of closed lists (a status, a kind, a
role), and the distances between times. What is replaced is replaced the same way wherever it stands, so that what
belonged together still does. The replacing is keyed by chance: nobody can try out what gave a replacement.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from receiver.contract.errors import HookscribeError, Unreadable, UsageError
from receiver.contract.model import InboundRequest, Verdict
from receiver.contract.proof import Proven
from receiver.contract.provider import Provider
from receiver.contract.settings import Secret, Settings
from receiver.testing.fixtures import Case, as_expected, load_case, observed, receipt_of

_KEPT_MEMBERS = frozenset({
    "api", "channel", "codec", "currency", "direction", "domain", "encoding", "event", "event_name", "event_type", "eventname",
    "eventtype", "format", "generation", "kind", "lang", "language", "language_code", "locale", "mode", "model",
    "object", "operation", "phase", "processingstatus", "result", "role", "sentiment", "severity", "state", "status",
    "timezone", "topic_type", "transcriptionstatus", "type", "version", "creationstatus", "sourcetype",
})  # fmt: skip
"""Members whose values providers branch on; kept where they are one word."""
_KEPT_ENDS = ("direction", "kind", "state", "status", "type")
_KEPT_WORDS = frozenset(
    [
        "agent",
        "agent_speech",
        "bot",
        "caller",
        "callee",
        "completed",
        "customer",
        "error",
        "fail",
        "failed",
        "false",
        "finished",
        "high",
        "inbound",
        "in_progress",
        "low",
        "medium",
        "mixed",
        "negative",
        "neutral",
        "no",
        "none",
        "null",
        "ok",
        "outbound",
        "pending",
        "positive",
        "processing",
        "running",
        "speaker",
        "success",
        "true",
        "unknown",
        "user",
        "yes",
    ]
)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]{0,48}")
_PART = re.compile(r"[A-Za-z_~-]*|v[0-9]{1,3}")
"""A part of an API's path that is nobody's id."""
_LABEL = re.compile(r"(?:(?:speaker|spk|channel|ch)[ _-]?)?(?:[0-9]{1,2}|[A-Z])", re.IGNORECASE)
_SMALL = re.compile(r"-?[0-9]{1,3}(?:\.[0-9]{1,6})?%?|[0-9]{1,2}(?::[0-9]{2}){1,2}(?:[.,][0-9]{1,3})?")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9:]{4,6})?)?"
)
_CUE = re.compile(r"WEBVTT|.* --> .*|[0-9]{1,4}|")
_ADDRESS = re.compile(r"(?:https?|wss?|s3|gs)://\S+")
_MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_HEX = re.compile(r"(?=.*[0-9])[0-9a-fA-F-]{8,}")
_RUN = re.compile(r"[^\W\d_]+|[0-9]+")
_NAME = re.compile(r"[A-Za-z_$@][A-Za-z0-9_.$-]*")
_ABOUT_TIME = re.compile(r"time|date|stamp|expir|start|end|_at$|At$|duration|millis", re.IGNORECASE)
_INERT = [
    "a",
    "to",
    "cup",
    "tree",
    "stone",
    "window",
    "garden",
    "blanket",
    "lantern",
    "sandwich",
    "wheelhouse",
    "butterflies",
    "peppermints",
    "candlesticks",
    "rollercoaster",
]
_BY_LENGTH = {len(word): word for word in _INERT}
_LONG_NUMBER = 10**6
_SOMEBODYS = ("roles", "own_numbers", "api_url", "client_id", "basic")
"""Settings that name people, their numbers, or an account."""
_DAY_S = 86_400
_NEW_DAY = 20_500
"""Days since 1970 of every fixture: its times are moved so that it came then."""
_LEAK = 8
"""A secret, or a text that was replaced, of so many characters may stand nowhere."""


class Anonymous:
    """Replaces what is somebody's, the same value always by the same."""

    def __init__(self, key: bytes, days: int) -> None:
        """`days`: how far times are moved."""
        self._key = key
        self._days = days
        self.gone: set[str] = set()

    def document(self, value: Any, member: str = "") -> Any:
        """Replace the leaves of a JSON value, and members' names that are no names of members."""
        if isinstance(value, dict):
            return {self._member(key): self.document(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.document(item, member) for item in value]
        if isinstance(value, str):
            return self.text(value, member)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LONG_NUMBER:
            return value if _ABOUT_TIME.search(member) else self._number(value)
        return value

    def text(self, value: str, member: str = "") -> str:
        """Replace a text by one of the same shape, or keep it where it is nobody's."""
        if _is_kept(value, member):
            return value
        if value.startswith("/") and member.lower() in _KEPT_MEMBERS:
            path, mark, query = value.partition("?")
            parts = [one if _PART.fullmatch(one) else self.text(one) for one in path.split("/")]
            return "/".join(parts) + mark + self._shaped(query)
        if (inner := _json(value)) is not None:
            return _written(self.document(inner))
        if (moment := _MOMENT.fullmatch(value)) is not None:
            return self._moved(moment)
        if "-->" in value:
            return "\n".join(one if _CUE.fullmatch(one) else self.text(one) for one in value.split("\n"))
        made = self._replaced(value)
        if made != value:
            self.gone.add(value)
        return made

    def _replaced(self, value: str) -> str:
        if _ADDRESS.fullmatch(value):
            scheme, _, rest = value.partition("://")
            _, slash, path = rest.partition("/")
            return f"{scheme}://example.com{slash}{self._shaped(path)}"
        if _MAIL.fullmatch(value):
            return f"{self._shaped(value.partition('@')[0])}@example.com"
        if _HEX.fullmatch(value):
            return self._drawn(value, value)
        return self._shaped(value)

    def _shaped(self, value: str) -> str:
        return _RUN.sub(lambda run: self._run(run[0], value), value)

    def _run(self, run: str, whole: str) -> str:
        """Replace letters by an inert word of their length and case, digits by others; ids keep to single characters."""
        if run.isdigit():
            drawn = self._drawn(run, run if len(run) > 3 else whole)
            return "1" + drawn[1:] if drawn[0] == "0" != run[0] else drawn
        if not any(one.isspace() for one in whole) and any(one.isdigit() for one in whole):
            return self._drawn(run, whole + run)
        longest = max(_BY_LENGTH)
        words, rest = divmod(len(run), longest)
        made = _BY_LENGTH[longest] * words + (_BY_LENGTH.get(rest) or ("x" * rest))
        if run.isupper():
            return made.upper()
        return made[:1].upper() + made[1:] if run[:1].isupper() else made

    def _drawn(self, run: str, seed: str) -> str:
        """Draw another character of its kind for each letter and digit."""
        stream = _stream(self._key, seed)
        kinds = ("0123456789", "abcdef", "ABCDEF") if _HEX.fullmatch(seed) else ("0123456789", _LOWER, _LOWER.upper())
        return "".join(_other(one, next(stream), kinds) for one in run)

    def _number(self, value: int) -> int:
        digits = str(abs(value))
        self.gone.add(digits)
        drawn = int("1" + self._drawn(digits[1:], digits))
        return drawn if value > 0 else -drawn

    def _member(self, name: str) -> str:
        kept = _NAME.fullmatch(name) and name not in self.gone
        return name if kept or not name else self.text(name)

    def _moved(self, moment: re.Match[str]) -> str:
        try:
            day = datetime.fromisoformat(moment[1]) + timedelta(days=self._days)
        except (ValueError, OverflowError):
            return self._shaped(moment[0])
        return f"{day:%Y-%m-%d}{moment[2] or ''}"


_LOWER = "abcdefghijkmnopqrstuvwxyz"


def written_fixture(folder: Path, provider: Provider[Any], request: InboundRequest, private: frozenset[str]) -> Case:
    """Write a request to a folder as an anonymised case, and return it as it loads; `private` may stand nowhere in it.

    Raises UsageError for a body that is no JSON, or that says something else once its words are gone, and
    HookscribeError where something is left of what should be gone; nothing is written then.
    """
    days = _NEW_DAY - request.received_at // (_DAY_S * 1000)
    mine = Anonymous(secrets.token_bytes(16), days)
    document = _json(request.body.decode("utf-8", "replace"))
    if document is None:
        raise UsageError("the body is no JSON object or list: it is not known what in it is content")
    mine.document(document)  # once, so that names of members which are also values are known
    body = _written(mine.document(document)).encode()
    plain = _settings(provider.settings, mine)
    own = type(provider)(provider.source, _convert(provider, plain))
    now = request.received_at / 1000 + days * _DAY_S
    signed = own.sign(body, now)
    asked = {
        "about": "An anonymised receipt: what it shows stands here once somebody has looked.",
        "token": signed.token,
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in signed.headers},
        "settings": plain,
        "now": now,
    }
    case = msgspec.convert({**asked, "name": folder.name, "body": signed.body, "expected": {}}, Case)
    expected = observed(own, case)
    if _outline(expected) != _outline(_said(provider, request)):
        raise UsageError("what this receipt is depends on its words: without them it becomes something else")
    files = {"request.json": _pretty(asked), "body": signed.body, "expected.json": _pretty(expected)}
    _check(files.values(), private | {one for one in mine.gone if re.search(r"[\s@0-9]", one)})
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return load_case(folder)


def _said(provider: Provider[Any], request: InboundRequest) -> dict[str, Any]:
    """Return what a request says, whoever sent it."""
    receipt = receipt_of(Proven(request=request, verdict=Verdict.UNVERIFIED), provider.name)
    try:
        return {"outcomes": as_expected(provider.normalize(receipt))}
    except Unreadable:
        return {}


def _outline(seen: Mapping[str, Any]) -> list[Any]:
    """Return what was seen without what it says: kinds, operations, statuses, how many segments."""
    return [
        (kind, one.get("kind"), one.get("operation"), one.get("status"), len(one.get("segments", ())))
        for outcome in seen.get("outcomes", ())
        for kind, one in outcome.items()
    ]


def secrets_of(settings: Any) -> frozenset[str]:
    """Return every secret of a configuration, or of a part of it."""
    return frozenset(_secrets(settings))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets(one)
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _secrets(one)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _secrets(getattr(value, name))


def _settings(settings: Settings, mine: Anonymous, path: str = "") -> dict[str, Any]:
    """Return the settings that are not the default, secrets replaced by those of the fixture, one of each kind."""
    found = {}
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        default = None if field.default is msgspec.NODEFAULT else field.default
        if field.name != "provider" and value != default:
            found[field.encode_name] = _setting(value, f"{path}{field.name}", mine)
    return found


def _setting(value: Any, path: str, mine: Anonymous) -> Any:
    if isinstance(value, Secret):
        return _secret(value.value, path)
    if isinstance(value, Settings):
        return _settings(value, mine, f"{path}.")
    if isinstance(value, tuple | list):
        made = [_setting(one, path, mine) for one in value]
        return made[:1] if isinstance(value[0], Secret) else made
    if isinstance(value, Mapping):
        return {_own(key, path, mine): _setting(one, path, mine) for key, one in value.items()}
    return _own(value, path, mine) if isinstance(value, str) else value


def _own(value: str, path: str, mine: Anonymous) -> str:
    """Keep what says how callbacks are read (expressions, globs, templates), replace who and where."""
    somebodys = path.partition(".")[0] in _SOMEBODYS or "@" in value or "://" in value
    return mine.text(value) if somebodys or value in mine.gone else value


def _secret(value: str, path: str) -> str:
    """Return a secret of the fixture, of the form of a Standard Webhooks key where that is one."""
    if value.startswith("whsec_"):
        return "whsec_" + "Zml4dHVyZS1maXh0dXJlLWZpeHR1cmU="
    return f"fixture-{path.replace('.', '-')}-0123456789abcdef"


def _convert(provider: Provider[Any], plain: Mapping[str, Any]) -> Any:
    made = msgspec.convert(
        {"provider": provider.name, **plain}, provider.Settings, dec_hook=lambda _, value: Secret(value)
    )
    made.check()
    return made


def _is_kept(value: str, member: str) -> bool:
    lower, name = value.lower(), member.lower()
    one_word = (
        (name in _KEPT_MEMBERS or name.endswith(_KEPT_ENDS))
        and _WORD.fullmatch(value)
        and not any(map(str.isdigit, value[12:]))
    )
    counted = value.isdigit() and _ABOUT_TIME.search(member)
    return bool(
        not value or lower in _KEPT_WORDS or one_word or counted or _LABEL.fullmatch(value) or _SMALL.fullmatch(value)
    )


def _json(text: str) -> Any:
    """Read an object or a list, also where it is sloppy, as senders are; None for anything else."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _written(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _stream(key: bytes, seed: str) -> Iterator[int]:
    block = 0
    while True:
        yield from hashlib.blake2b(b"%d\0%s" % (block, seed.encode("utf-8", "replace")), key=key).digest()
        block += 1


def _other(char: str, drawn: int, kinds: tuple[str, str, str]) -> str:
    digits, lower, upper = kinds
    if char.isdigit():
        return digits[drawn % 10]
    if not char.isalpha():
        return char
    letters = upper if char.isupper() else lower
    return letters[drawn % len(letters)]


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _check(files: Any, private: frozenset[str] | set[str]) -> None:
    whole = b"\n".join(files).decode("utf-8", "replace")
    left = sum(len(one) >= _LEAK and one in whole for one in private)
    if left:
        raise HookscribeError(f"{left} of the values that should be gone are still there: nothing was written")
