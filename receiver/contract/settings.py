"""How a setting is declared: once, with its default, its help and whether it is secret."""

from typing import Annotated, Any, Literal, Self, get_args

import msgspec


def about(text: str, *, inferred: bool = False, **constraints: Any) -> msgspec.Meta:
    """Describe a setting inside `Annotated`: its help, and `inferred` where the vendor documents no default.

    `constraints` are those of `msgspec.Meta` (`ge`, `le`, `pattern`, `min_length` …).
    """
    return msgspec.Meta(description=text, extra={"inferred": inferred}, **constraints)


class Secret:
    """A string that no log line, error or repr shows: `value` is the text, `raw` its UTF-8 bytes."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    @property
    def raw(self) -> bytes:
        return self.value.encode("utf-8", "surrogatepass")

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of settings; a field is `name: Annotated[type, about("help")] = default`.

    Types: str, int, float, bool, Literal, Secret, `X | None`, `tuple[X, ...]` (one value is taken for a list of one),
    `dict[str, X]` and other Settings.
    """

    def check(self) -> None:
        """Raise ConfigError where settings contradict each other, naming the keys and the way out."""

    def unused(self) -> frozenset[str]:
        """Return the names of settings that have no effect as the others are."""
        return frozenset()


_LONGEST_WAIT = 30 * 86_400
KEEP = r"^(forever|[1-9][0-9]{0,4}[hdw])$"
"""How a time is written for which something is kept."""


class SourceSettings(Settings, frozen=True, kw_only=True):
    """What every source has; a provider's own settings derive from it."""

    provider: Annotated[str, about("which provider calls here")]
    token: Annotated[
        tuple[Secret, ...], about("unguessable last part of the callback URL, /hooks/<source>/<token>; one or several")
    ] = ()
    verify: Annotated[
        Literal["provider", "none"],
        about('"none" accepts anybody\'s callbacks without proof; every start announces it'),
    ] = "provider"
    confirm: Annotated[
        Literal["auto", "off"],
        about(
            "re-read a result from the provider before any event goes out, where only a token proves the sender "
            "and credentials for reading exist"
        ),
    ] = "auto"
    max_body: Annotated[int, about("largest body accepted, bytes", ge=1024, le=256 * 1024 * 1024)] = 32 * 1024 * 1024
    timezone: Annotated[
        str | None, about("IANA zone of the provider's times that carry none; without it such times become null")
    ] = None
    keep: Annotated[
        str,
        about(
            'how long everything of this source is kept: hours, days or weeks ("12h", "90d", "8w"), or "forever"',
            pattern=KEEP,
        ),
    ] = "90d"
    keep_failed: Annotated[
        Annotated[str, msgspec.Meta(pattern=KEEP)] | None,
        about("the same for what failed: unreadable receipts, failed results, dead letters; default: as `keep`"),
    ] = None
    api_private: Annotated[bool, about("let the provider's API be at an address that is not public")] = False
    poll_after: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        about("seconds after which a job is asked about for the first time; default: learned from the jobs before"),
    ] = None
    lost_after: Annotated[float, about("seconds after which a job without a result is given up", gt=0)] = 7 * 86_400.0
    quarantine: Annotated[bool, about("keep refused requests for a while, to admit them after a fix")] = True
    silent_after: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        about("seconds without a new proven callback after which ops.source_silent is raised; default: never"),
    ] = None
    roles: Annotated[
        dict[str, Literal["agent", "customer"]], about('which speaker is who: { A = "agent", B = "customer" }')
    ] = {}
    channels: Annotated[
        tuple[Literal["agent", "customer"], ...],
        about('who speaks in which channel, in their order: ["agent", "customer"]'),
    ] = ()
    own_numbers: Annotated[
        tuple[str, ...],
        about(
            "telephone numbers of ours: a speaker who is one of them is the agent, the call's other side the customer"
        ),
    ] = ()
    include: Annotated[tuple[str, ...], about("globs of event types that are made of callbacks; others are not")] = (
        "*",
    )
    ignore: Annotated[
        tuple[str, ...],
        about('globs of event types that are not made, such as "callmissed.*" or "analysis.*"; the receipt is kept'),
    ] = ()

    def seals(self) -> bool:
        """Say whether callbacks are proven by a secret that the provider shows once, when it is subscribed to."""
        return False

    def has_secret(self) -> bool:
        """Say whether such a secret is among the settings."""
        return False

    def with_secrets(self, secrets: tuple[Secret, ...]) -> Self:  # noqa: ARG002
        """Return the same settings with such secrets added."""
        return self


RedactedKind = Literal["card", "phone", "email"]
REDACTED_KINDS: tuple[RedactedKind, ...] = get_args(RedactedKind)


class RedactSettings(Settings, frozen=True, kw_only=True):
    """Which values are masked before events go to a sink, each as its kind in brackets: `[card]`."""

    kinds: Annotated[tuple[RedactedKind, ...], about("kinds of values that are masked, written or said")] = (
        REDACTED_KINDS
    )
    regions: Annotated[
        tuple[str, ...],
        about("countries (ISO 3166, two letters) whose telephone numbers are known without a country code"),
    ] = ("US",)
    patterns: Annotated[
        dict[str, str], about("own kinds by name, each a regular expression: { order = 'AB-[0-9]{6}' }")
    ] = {}
    words: Annotated[
        dict[str, tuple[str, ...]],
        about('own kinds by name, each a list of words or phrases, in any case: { product = ["Blue Whale"] }'),
    ] = {}

    def check(self) -> None:
        from receiver.contract.redaction import check_redaction  # noqa: PLC0415 -- only who redacts pays its import

        check_redaction(self)


class SinkSettings(Settings, frozen=True, kw_only=True):
    """What every sink has; a sink's own settings derive from it."""

    kind: Annotated[str, about("which sink this is")]
    events: Annotated[tuple[str, ...], about("globs of event types that go here")] = ("*",)
    sources: Annotated[tuple[str, ...], about("globs of sources whose events go here")] = ("*",)
    where: Annotated[
        str | None,
        about(
            "JMESPath condition on the event, such as \"data.status == 'failed' || data.duration > `600`\"; "
            "only events for which it holds go here"
        ),
    ] = None
    shape: Annotated[
        Literal["full", "thin"],
        about(
            '"thin": what the event is about, the summary and a link; an event too large for the sink goes so anyway'
        ),
    ] = "full"
    payload_links: Annotated[
        bool,
        about(
            "links in thin events are signed: whoever has one fetches the whole event from the public listener for a "
            "week; else they lead to the admin API, which asks for the token"
        ),
    ] = False
    max_event: Annotated[
        Annotated[int, msgspec.Meta(ge=1024)] | None,
        about("bytes of an event that the other side takes at most; default: what the kind knows of it"),
    ] = None
    order: Annotated[
        Literal["call", "none"] | None,
        about(
            '"call": a call\'s events arrive in order; default: call for files and queues, none for chat and webhooks'
        ),
    ] = None
    concurrency: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1024)] | None, about("sends under way at once; default: the kind's own")
    ] = None
    rate: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None, about("sends a second at most; default: the kind's own")
    ] = None
    timeout: Annotated[float, about("seconds that one send may take", gt=0, le=600)] = 30.0
    retry: Annotated[
        tuple[Annotated[float, msgspec.Meta(ge=0, le=_LONGEST_WAIT)], ...],
        about("seconds to wait before each try, the first included; after the last a delivery is dead, ±20 % jitter"),
    ] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    redact: Annotated[
        RedactSettings | None,
        about("what is masked before events go here; without this table they go as they are"),
    ] = None
