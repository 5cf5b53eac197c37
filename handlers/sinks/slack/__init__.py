"""Sink slack: one message an event, over an incoming webhook, or by a bot with one thread a call."""

from collections.abc import Sequence
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import msgspec

from handlers.sinks.slack.api import Api
from handlers.sinks.slack.message import message
from handlers.sinks.slack.threads import Threads
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

    url: Annotated[Secret | None, about("an incoming webhook's URL; whoever has it can post")] = None
    token: Annotated[
        Secret | None,
        about(
            "instead of url, a bot's token (xoxb-…): one thread a call, later results as replies, long texts as files"
        ),
    ] = None
    channel: Annotated[str | None, about("with token: the channel's id (C…), where the bot is a member")] = None
    api: Annotated[str, about("with token: where Slack's methods are; a GovSlack or a stand-in has another")] = (
        "https://slack.com/api"
    )
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
        """Raise ConfigError where it is not one of webhook and bot, or an address cannot be one."""
        if (self.url is None) == (self.token is None):
            raise ConfigError("url, token: set one of them: an incoming webhook's URL, or a bot's token with a channel")
        if self.url is not None:
            self._check_address("url", self.url.value, "as Slack shows it for the webhook")
            if self.channel is not None:
                raise ConfigError("channel: an incoming webhook has its channel already; it goes with token only")
            return
        self._check_address("api", self.api, "such as https://slack.com/api")
        if self.token is not None and not self.token.value.isprintable():
            raise ConfigError("token: it holds characters that no token has")
        if not self.channel:
            raise ConfigError("channel: with token, name the channel by its id, as at the end of its address (C…)")

    def _check_address(self, key: str, text: str, told: str) -> None:
        schemes = ("https", "http") if self.allow_private else ("https",)
        try:
            parts = urlsplit(text)
            usable = parts.scheme in schemes and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigError(f"{key} must be an {' or '.join(schemes)} address, {told}")


class Slack(Sink[SlackSettings]):
    """Posts events to a Slack channel, for people."""

    Settings = SlackSettings
    rate: ClassVar[float | None] = 1.0
    """Slack's own limit for an incoming webhook: one message a second."""

    def __init__(self, name: str, settings: SlackSettings, ports: SinkPorts) -> None:
        super().__init__(name, settings, ports)
        self._url = settings.url.value if settings.url else ""
        self._threads = self._as_bot(settings.token, settings.channel) if settings.token and settings.channel else None

    def _as_bot(self, token: Secret, channel: str) -> Threads:
        settings, ports = self.settings, self.ports
        api = Api(ports.http, settings.api, token, timeout=settings.timeout, allow_private=settings.allow_private)
        return Threads(api, ports.memory, channel, links=ports.links, include_text=settings.include_text, now=ports.now)

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SendOutcome]:
        """Post each delivery's message."""
        if self._threads is not None:
            return [await self._threads.post(delivery.event) for delivery in deliveries]
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
