"""The settings of an sqs sink."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret, SinkSettings, about

_AWS = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")


class SqsSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of an sqs sink."""

    queue_url: Annotated[
        str, about("the queue's URL; one that ends in .fifo keeps each call in order and drops repeats")
    ]
    region: Annotated[str | None, about("AWS region; default: the one in queue_url, else boto's own configuration")] = (
        None
    )
    endpoint_url: Annotated[str | None, about("where SQS answers; default: AWS, by region")] = None
    access_key_id: Annotated[
        str | None, about("access key; default: boto's chain (environment, shared files, role of the machine)")
    ] = None
    secret_access_key: Annotated[Secret | None, about("the key's secret")] = None
    session_token: Annotated[Secret | None, about("session token of a temporary key")] = None
    max_event: Annotated[
        int, about("largest message the queue takes, bytes, attributes counted; older stand-ins: 262144", ge=4096)
    ] = 1024 * 1024

    def check(self) -> None:
        """Raise ConfigError where an address cannot be, or half a key is given."""
        for name, url in (("queue_url", self.queue_url), ("endpoint_url", self.endpoint_url)):
            if url is not None and not _is_address(url):
                raise ConfigError(
                    f"{name} must be like https://sqs.eu-central-1.amazonaws.com, and hold no credentials"
                )
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ConfigError("access_key_id and secret_access_key belong together; set both or none")
        if self.session_token is not None and self.access_key_id is None:
            raise ConfigError("session_token belongs to access_key_id and secret_access_key")

    @property
    def is_fifo(self) -> bool:
        """Say whether the queue keeps an order."""
        return self.queue_url.endswith(".fifo")

    @property
    def aws_region(self) -> str | None:
        """Return the region, as far as the settings say it."""
        found = _AWS.fullmatch(urlsplit(self.queue_url).hostname or "")
        return self.region or (found[1] if found else None)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        )
    except ValueError:
        return False
