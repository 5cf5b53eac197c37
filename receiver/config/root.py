"""A whole configuration, and its settings that belong to no source and no sink."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.settings import KEEP, Secret, Settings, SinkSettings, SourceSettings, about

MIB = 1 << 20
SHORTEST_TOKEN = 16
"""Characters; `hookscribe keygen` makes 43."""

_TAKEN_PATHS = ("/hooks", "/media", "/payloads", "/healthz")
_ANY_HOST = ("0.0.0.0", "::", "")
_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_PASSWORD = re.compile(r"(?<=[?&])((?:ssl)?password|passwd|secret|token)=[^&#\s'\"]*", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")


class ListenSettings(Settings, frozen=True, kw_only=True):
    """Where the listeners listen."""

    public: Annotated[str, about("address for providers; default: 0.0.0.0:$PORT where PORT is set")] = "127.0.0.1:8080"
    admin: Annotated[
        str, about('address for people: page and API; or a path such as "/admin": the public port under that path')
    ] = "127.0.0.1:8081"
    metrics: Annotated[str | None, about("address that serves metrics and probes alone, without a token")] = None

    def check(self) -> None:
        taken = {"public": _parsed("public", self.public)}
        if self.admin.startswith("/"):
            _check_path(self.admin)
        else:
            taken["admin"] = _parsed("admin", self.admin)
        if self.metrics is not None:
            taken["metrics"] = _parsed("metrics", self.metrics)
        _check_distinct(taken)


class QuarantineSettings(Settings, frozen=True, kw_only=True):
    """What is kept of refused requests, to admit them after a fix."""

    enabled: Annotated[bool, about("keep refused requests for a while")] = True
    max_count: Annotated[int, about("most requests kept", ge=1)] = 1000
    max_bytes: Annotated[int, about("most bytes kept", ge=1024)] = 64 * MIB
    max_age: Annotated[float, about("seconds that one is kept", gt=0)] = 7 * 86_400


class LimitSettings(Settings, frozen=True, kw_only=True):
    """Bounds on memory, disk and time; what is over them is answered 503."""

    memory: Annotated[int, about("bytes of memory for bodies that are being read", ge=MIB)] = 64 * MIB
    spool: Annotated[int, about("bytes of disk for large bodies that are being read", ge=MIB)] = 1024 * MIB
    large_body: Annotated[int, about("bytes from which a body is streamed to disk", ge=1024)] = MIB
    body_timeout: Annotated[float, about("seconds that a sender has for a body", gt=0)] = 60.0
    normalize_timeout: Annotated[float, about("seconds that normalizing a large body may take", gt=0)] = 30.0
    free_disk: Annotated[int, about("bytes of disk that must be free at the store, or nothing starts", ge=0)] = (
        256 * MIB
    )
    network_disk: Annotated[
        bool, about("start with a store on a network file system too, where SQLite may lose what was acknowledged")
    ] = False

    def check(self) -> None:
        if self.large_body > self.memory:
            raise ConfigError(
                f"large_body: it must not be more than memory ({self.memory}): such bodies stay in memory"
            )


class RootSettings(Settings, frozen=True, kw_only=True):
    """The top of the file, and the tables [listen], [quarantine] and [limits]."""

    public_url: Annotated[
        str | None, about("where providers reach us; `hookscribe dev` finds its tunnel by itself")
    ] = None
    admin_url: Annotated[str | None, about("where people reach the page; links in Slack and in events use it")] = None
    store: Annotated[str, about("sqlite:PATH or postgresql://user@host/db; default: $DATABASE_URL where it is set")] = (
        "sqlite:hookscribe.db"
    )
    admin_token: Annotated[
        Secret | None, about("opens page and API; default: made at first start, kept beside the store")
    ] = None
    seal_key: Annotated[
        Secret | None,
        about(
            "encrypts the secrets that providers show once and Hookscribe keeps; "
            "default: made when first needed, kept beside the store"
        ),
    ] = None
    recordings: Annotated[
        str | None,
        about(
            "folder for the recordings that POST /api/v1/jobs is sent, kept as long as their jobs; default: beside the store; "
            "with PostgreSQL it has to be one that every process sees"
        ),
    ] = None
    event_prefix: Annotated[
        str,
        about('put before every event type with a dot, such as "com.example"', pattern=r"^$|^[\w-]+(\.[\w-]+)*$"),
    ] = ""
    listen: Annotated[ListenSettings, about("where the listeners listen")] = ListenSettings()
    grace: Annotated[float, about("seconds that work under way has to end at a stop", ge=0, le=3600)] = 20.0
    quarantine: Annotated[QuarantineSettings, about("what is kept of refused requests")] = QuarantineSettings()
    limits: Annotated[LimitSettings, about("bounds on memory, disk and time")] = LimitSettings()
    audit_keep: Annotated[
        str, about('how long the audit trail is kept: "365d", "4w" …, or "forever"', pattern=KEEP)
    ] = "365d"
    log: Annotated[
        Literal["auto", "text", "json"], about('how log lines look; "auto": text on a terminal, else JSON')
    ] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], about("log lines from this level on")] = "info"

    def __repr__(self) -> str:
        return without_userinfo(super().__repr__())

    def check(self) -> None:
        _check_store(self.store)
        for key, url in (("public_url", self.public_url), ("admin_url", self.admin_url)):
            if url is not None:
                _check_url(key, url)
        for key, token in (("admin_token", self.admin_token), ("seal_key", self.seal_key)):
            if token is not None:
                check_token(key, token)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is set, checked; `warnings` are one line each, to be shown at every start."""

    path: Path | None
    root: RootSettings
    sources: dict[str, SourceSettings]
    sinks: dict[str, SinkSettings]
    warnings: tuple[str, ...] = ()


def address(text: str) -> tuple[str, int]:
    """Read `host:port` or `[v6]:port`. Raises ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError("no port")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare and bare == host) or re.search(r"[\s/@\[\]]", bare):
        raise ValueError("no host")
    return bare, int(port)


def check_token(key: str, token: Secret) -> None:
    """Raise ConfigError for a token that could be guessed or that does not fit into a URL."""
    if len(token.value) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{key}: {len(token.value)} characters can be guessed, {SHORTEST_TOKEN} are the least; "
            "`hookscribe keygen` prints a good one"
        )
    if not _TOKEN.fullmatch(token.value):
        raise ConfigError(
            f"{key}: it stands in a URL and may hold letters, digits and . _ ~ - only; `hookscribe keygen` prints one"
        )


def without_userinfo(text: str) -> str:
    """Return a text with user and password of addresses in it masked."""
    return _PASSWORD.sub(r"\1=***", _USERINFO.sub("***@", text))


def normal_store(store: str) -> str:
    """Return the store's address with the scheme that platforms abbreviate written out."""
    return "postgresql://" + store[len("postgres://") :] if store.startswith("postgres://") else store


def _parsed(key: str, text: str) -> tuple[str, int]:
    try:
        return address(text)
    except ValueError:
        path = ' or a path such as "/admin"' if key == "admin" else ""
        raise ConfigError(f'{key}: expected an address such as "127.0.0.1:8080" or "[::1]:8080"{path}') from None


def _check_path(path: str) -> None:
    if not re.fullmatch(r"(/[A-Za-z0-9_-]+)+", path):
        raise ConfigError('admin: as a path it looks like "/admin": no slash at the end, letters, digits, - and _')
    if path.startswith(tuple(f"{taken}/" for taken in _TAKEN_PATHS)) or path in _TAKEN_PATHS:
        raise ConfigError(f'admin: {", ".join(_TAKEN_PATHS)} are the public listener\'s own; use "/admin"')


def _check_distinct(taken: dict[str, tuple[str, int]]) -> None:
    seen: dict[int, list[tuple[str, str]]] = {}
    for key, (host, port) in taken.items():
        for other, other_host in seen.get(port, []) if port else []:
            if host == other_host or host in _ANY_HOST or other_host in _ANY_HOST:
                way = ', or admin = "/admin" for one port' if key == "admin" else ""
                raise ConfigError(f"{key}: it is the same address as {other}; each needs its own port{way}")
        seen.setdefault(port, []).append((key, host))


def _check_store(store: str) -> None:
    scheme, colon, rest = store.partition(":")
    if scheme in ("postgresql", "postgres") and rest.startswith("//") and len(rest) > len("//"):
        return
    if scheme == "sqlite" and colon and rest and not rest.startswith(("//", ":")):
        return
    raise ConfigError("store: expected sqlite:PATH (one colon, then the path) or postgresql://user@host/db")


def _check_url(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
        parts = urlsplit("")
    if not whole or parts.query or parts.fragment or parts.username is not None or re.search(r"\s", url):
        raise ConfigError(f'{key}: expected "https://host", with a path at most: no user, no query, no fragment')
