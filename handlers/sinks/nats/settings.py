"""The settings of a nats sink."""

from typing import Annotated
from urllib.parse import urlsplit

from handlers.sinks.nats.message import check_subject
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SinkSettings, about


class NatsSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of a nats sink."""

    servers: Annotated[tuple[str, ...], about("addresses of the cluster, nats://host:port or tls://host:port")] = (
        "nats://127.0.0.1:4222",
    )
    subject: Annotated[
        str, about("where each event is published; {type}, {source} and {provider} are filled in, sanitized")
    ] = "hookscribe.{type}"
    stream: Annotated[str, about("the stream that must take the events", pattern=r"^[^\s.*>/\\]{1,255}$")] = (
        "HOOKSCRIBE"
    )
    create_stream: Annotated[
        bool, about("create the stream where it is missing, on files and without limits; an existing one is left alone")
    ] = True
    token: Annotated[Secret | None, about("token to sign in with")] = None
    user: Annotated[str | None, about("user to sign in as, with password")] = None
    password: Annotated[Secret | None, about("the user's password")] = None
    creds_file: Annotated[str | None, about("path of a .creds file to sign in with (needs nats-py[nkeys])")] = None
    nkey_seed: Annotated[Secret | None, about("seed of an nkey to sign in with (needs nats-py[nkeys])")] = None
    tls: Annotated[bool, about("sign in and publish over TLS only; tls:// in servers means the same")] = False
    tls_ca: Annotated[str | None, about("path of a CA file; default: the system's")] = None

    def check(self) -> None:
        """Raise ConfigError where an address, the subject or the ways to sign in cannot be."""
        self._check_servers()
        self._check_sign_in()
        check_subject(self.subject)

    def _check_servers(self) -> None:
        if not self.servers:
            raise ConfigError("servers must name at least one server")
        for server in self.servers:
            if not _is_server(server):
                raise ConfigError("servers must be like nats://host:4222 or tls://host:4222")
            if "@" in server:
                raise ConfigError("servers must not hold credentials; use token, or user and password")

    def _check_sign_in(self) -> None:
        if (self.user is None) != (self.password is None):
            raise ConfigError("user and password belong together; set both or none")
        ways = {"token": self.token, "user": self.user, "creds_file": self.creds_file, "nkey_seed": self.nkey_seed}
        used = [name for name, value in ways.items() if value is not None]
        if len(used) > 1:
            raise ConfigError(f"{' and '.join(used)} exclude each other; keep one way to sign in")


def _is_server(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
