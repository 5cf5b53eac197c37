"""How a setting is declared: once, with its default, its help and whether it is secret."""

from typing import Annotated, Any, Literal

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


_KEEP = r"^(forever|[1-9][0-9]{0,4}[hdw])$"


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
            pattern=_KEEP,
        ),
    ] = "90d"
    keep_failed: Annotated[
        Annotated[str, msgspec.Meta(pattern=_KEEP)] | None,
        about("the same for what failed: unreadable receipts, failed results, dead letters; default: as `keep`"),
    ] = None
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


class SinkSettings(Settings, frozen=True, kw_only=True):
    """What every sink has; a sink's own settings derive from it."""

    kind: Annotated[str, about("which sink this is")]
    events: Annotated[tuple[str, ...], about("globs of event types that go here")] = ("*",)
    sources: Annotated[tuple[str, ...], about("globs of sources whose events go here")] = ("*",)
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
        tuple[float, ...],
        about("seconds to wait before each try, the first included; after the last a delivery is dead, ±20 % jitter"),
    ] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
