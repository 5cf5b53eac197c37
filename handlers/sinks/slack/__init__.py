"""Sink slack: one message an event, over an incoming webhook."""

from collections.abc import Sequence
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import msgspec

from handlers.sinks.slack.message import message
from receiver.contract.errors import ConfigError
from receiver.contract.model import Delivery
from receiver.contract.settings import Secret, SinkSettings, about
from receiver.contract.sink import (
    Delivered,
    HttpAnswer,
    HttpFailed,
    Rejected,
    SendOutcome,
    Sink,
    SinkPorts,
    TryLater,
    retry_after,
)

# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors, 2026-11
_PAYLOAD = frozenset(
    {
        "invalid_payload",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_attachments",
        "missing_text_or_fallback_or_attachments",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "too_many_attachments",
    }
)
"""This message will never be taken."""
_SETUP = frozenset(
    {
        "action_prohibited",
        "channel_is_archived",
        "channel_not_found",
        "invalid_token",
        "no_active_hooks",
        "no_service",
        "no_service_id",
        "no_team",
        "posting_to_general_channel_denied",
        "team_disabled",
        "user_not_found",
    }
)
"""The webhook or its channel is at fault: the backlog waits until somebody has put it right."""
_PASSING = frozenset({"internal_error", "rate_limited", "ratelimited", "rollup_error", "service_unavailable"})


class SlackSettings(SinkSettings, frozen=True, kw_only=True):
    """The settings of a slack sink."""

    url: Annotated[Secret, about("the incoming webhook's URL; whoever has it can post")]
    include_text: Annotated[
        bool,
        about(
            "let words of the call into the chat: text, quotes, details of checks, topics, action items, insights; "
            "without it a message holds who, when, how long, status, sentiment, summary, names of checks and errors"
        ),
    ] = False
    allow_private: Annotated[
        bool, about("accept a plain-HTTP or private address: a proxy, or a stand-in on this machine")
    ] = False

    def check(self) -> None:
        """Raise ConfigError where the URL cannot be one."""
        schemes = ("https", "http") if self.allow_private else ("https",)
        try:
            parts = urlsplit(self.url.value)
            usable = parts.scheme in schemes and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(f"url must be an {' or '.join(schemes)} address, as Slack shows it for the webhook")


class Slack(Sink[SlackSettings]):
    """Posts events to a Slack channel, for people."""

    Settings = SlackSettings
    rate: ClassVar[float | None] = 1.0
    """Slack's own limit for an incoming webhook: one message a second."""

    def __init__(self, name: str, settings: SlackSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        self._url = settings.url.value

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Post each delivery's message."""
        return [await self._post(delivery) for delivery in deliveries]

    async def _post(self, delivery: Delivery) -> SendOutcome:
        content = message(delivery.event, links=self.ports.links, include_text=self.settings.include_text)
        try:
            answer = await self.ports.http.post(
                self._url,
                body=msgspec.json.encode(content),
                headers={"content-type": "application/json; charset=utf-8"},
                timeout=self.settings.timeout,
                allow_private=self.settings.allow_private,
            )
        except HttpFailed as error:
            return TryLater(reason=self._without_url(str(error)))
        return outcome(answer, self.ports.now())

    def _without_url(self, reason: str) -> str:
        parts = urlsplit(self._url)
        for secret in filter(None, (self._url, parts.path.strip("/"), parts.query)):
            reason = reason.replace(secret, "***")
        return reason


def outcome(answer: HttpAnswer, now: float) -> SendOutcome:
    """Say what Slack's answer means for the delivery; its body is shown only where it is one of Slack's own words."""
    word = answer.body[:64].decode("ascii", "replace").strip()
    known = word in _PAYLOAD | _SETUP | _PASSING
    said = f"Slack answered {answer.status}" + (f" {word}" if known else "")
    if answer.status == 200:
        return Delivered(detail="200 ok") if word == "ok" else TryLater(reason=f"{said}, without ok")
    if answer.status in (410, 413) or word in _PAYLOAD or (answer.status == 400 and not known):
        return Rejected(reason=said)
    return TryLater(reason=said, after=retry_after(answer.headers, now))
