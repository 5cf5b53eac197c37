"""The settings of a redis sink."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SinkSettings, about


class RedisSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of a redis sink."""

    url: Annotated[
        Secret, about("redis://[user:password@]host:6379[/db], rediss:// for TLS, or unix:///path of a socket")
    ]
    stream: Annotated[str, about("key of the stream", min_length=1)] = "hookscribe"
    maxlen: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        about("about how many entries the stream keeps: the oldest go, read or not; default: all stay"),
    ] = None
    wait_replicas: Annotated[
        int, about("how many replicas must have an event before it counts as delivered (WAIT)", ge=0)
    ] = 0
    wait_aof: Annotated[
        bool,
        about(
            "count an event as delivered only when it is synced to the append-only file here and on wait_replicas "
            "replicas (WAITAOF, Redis 7.2 or newer)"
        ),
    ] = False
    tls_ca: Annotated[str | None, about("path of a CA file; default: the system's")] = None

    def check(self) -> None:
        """Raise ConfigError where the address cannot be one; it may hold a password, and is not shown."""
        try:
            parts = urlsplit(self.url.value)
            usable = bool(parts.path if parts.scheme == "unix" else parts.hostname) and parts.port != 0
            usable = usable and parts.scheme in ("redis", "rediss", "unix")
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError("url must be like redis://host:6379, rediss://host:6379 or unix:///path")
        if self.tls_ca and not self.url.value.startswith("rediss:"):
            raise ConfigError("tls_ca is for rediss:// addresses; write url so, or leave tls_ca away")
