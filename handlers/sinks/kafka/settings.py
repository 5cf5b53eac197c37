"""The settings of a kafka sink."""

import re
from typing import Annotated, Literal

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SinkSettings, about

_SERVER = re.compile(r"[^\s/@:\[\]]+:[1-9][0-9]{0,4}|\[[0-9A-Fa-f:.]+\]:[1-9][0-9]{0,4}")


class KafkaSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of a kafka sink."""

    servers: Annotated[tuple[str, ...], about("brokers to ask for the cluster first, host:port")] = ("127.0.0.1:9092",)
    topic: Annotated[
        str, about("topic of the events; it must be there, or the brokers make it", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    ] = "hookscribe"
    mode: Annotated[
        Literal["structured", "binary"],
        about(
            'CloudEvents as one JSON value ("structured"), or the data as the value and the rest in ce_ headers ("binary")'
        ),
    ] = "structured"
    max_request_size: Annotated[
        int, about("bytes that one request may have, and so one event; at most the topic's max.message.bytes", ge=16384)
    ] = 1_000_000
    user: Annotated[str | None, about("user to sign in as (SASL), with password")] = None
    password: Annotated[Secret | None, about("the user's password")] = None
    mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], about("how user and password are sent")
    ] = "SCRAM-SHA-512"
    tls: Annotated[bool, about("connect over TLS")] = False
    tls_ca: Annotated[str | None, about("path of a CA file; default: the system's")] = None

    def check(self) -> None:
        """Raise ConfigError where an address cannot be one, or the ways to sign in contradict each other."""
        if not self.servers or not all(map(_SERVER.fullmatch, self.servers)):
            raise ConfigError("servers must name at least one broker, each like host:9092")
        if (self.user is None) != (self.password is None):
            raise ConfigError("user and password belong together; set both or none")
        if self.mechanism == "PLAIN" and self.user and not self.tls:
            raise ConfigError("mechanism PLAIN sends the password as it is: set tls = true, or take SCRAM-SHA-512")
        if self.tls_ca and not self.tls:
            raise ConfigError("tls_ca is of use with tls = true only")
