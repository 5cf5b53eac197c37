"""The settings of any other sender: proof, handshakes, and JMESPath expressions for what its callbacks say."""

from typing import Annotated, Literal

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.expressions import Expression
from receiver.contract.proof import SignatureSettings
from receiver.contract.schemes import BasicSettings, Ed25519Settings, HeaderSecretSettings
from receiver.contract.settings import Secret, Settings, SourceSettings, about
from receiver.contract.template import HEADER_NAME
from receiver.contract.webhooks import StandardWebhooksSettings

Means = Literal["result", "completed", "failed", "progress", "notice"]


class HandshakeSettings(Settings, frozen=True, kw_only=True):
    """A set-up request of the sender, and the answer to it."""

    challenge: Annotated[
        str, about("where the challenge stands: query:NAME, header:NAME, or body: and a JMESPath expression")
    ]
    method: Annotated[Literal["GET", "POST", "OPTIONS"], about("how the sender asks")] = "POST"
    when: Annotated[
        str | None, about("JMESPath expression that is true for the body of a set-up request and for no other")
    ] = None
    expect: Annotated[
        dict[str, Secret], about('what must come along, by place: { "query:hub.verify_token" = "${VERIFY_TOKEN}" }')
    ] = msgspec.field(default_factory=dict)
    reply: Annotated[
        str, about("body of the answer: text with {challenge}, and {hmac}, its HMAC-SHA256 in hex by the first secret")
    ] = "{challenge}"
    reply_type: Annotated[Literal["text/plain", "application/json"], about("content type of the answer")] = "text/plain"
    reply_headers: Annotated[dict[str, str], about("headers of the answer, with {challenge}")] = msgspec.field(
        default_factory=dict
    )
    status: Annotated[int, about("status of the answer", ge=200, le=299)] = 200

    def check(self) -> None:
        for place in (self.challenge, *self.expect):
            kind, colon, name = place.partition(":")
            if kind not in {"query", "header", "body"} or not colon or not name:
                raise ConfigError(f"challenge: {place!r} is no place; query:NAME, header:NAME and body:EXPRESSION are")
            if kind == "body":
                Expression("challenge", name)
        if self.when is not None:
            Expression("when", self.when)
        if self.challenge.startswith("body:") and self.when is None:
            raise ConfigError("when: say which bodies are set-up requests, as in when = \"type == 'url_verification'\"")
        if self.method != "POST" and (self.when is not None or self.challenge.startswith("body:")):
            raise ConfigError(f"method: a {self.method} comes without a body; take query: or header:, and no `when`")
        for name, value in self.reply_headers.items():
            if not value.isascii() or not value.isprintable():
                raise ConfigError(f"reply_headers: what {name!r} holds does not fit into a header")
            if not HEADER_NAME.fullmatch(name) or name.lower() in {"content-length", "transfer-encoding", "connection"}:
                raise ConfigError(f"reply_headers: {name!r} is no header that an answer can be given")


class SegmentSettings(Settings, frozen=True, kw_only=True):
    """Where things stand inside a segment."""

    start: Annotated[str | None, about("JMESPath, in a segment: when it begins")] = "start"
    end: Annotated[str | None, about("JMESPath, in a segment: when it ends")] = "end"
    speaker: Annotated[str | None, about("JMESPath, in a segment: who speaks")] = "speaker"
    channel: Annotated[str | None, about("JMESPath, in a segment: in which channel")] = "channel"
    text: Annotated[str | None, about("JMESPath, in a segment: what is said")] = "text"
    confidence: Annotated[str | None, about("JMESPath, in a segment: how sure the sender is")] = "confidence"
    sentiment: Annotated[str | None, about("JMESPath, in a segment: its sentiment")] = "sentiment"
    words: Annotated[str | None, about("JMESPath, in a segment: its words, a list of objects")] = "words"


class WordSettings(Settings, frozen=True, kw_only=True):
    """Where things stand inside a word."""

    start: Annotated[str | None, about("JMESPath, in a word: when it begins")] = "start"
    end: Annotated[str | None, about("JMESPath, in a word: when it ends")] = "end"
    text: Annotated[str | None, about("JMESPath, in a word: the word")] = "text"
    confidence: Annotated[str | None, about("JMESPath, in a word: how sure the sender is")] = "confidence"
    speaker: Annotated[str | None, about("JMESPath, in a word: who speaks")] = "speaker"


class SpeakerSettings(Settings, frozen=True, kw_only=True):
    """Where things stand inside a speaker."""

    id: Annotated[str | None, about("JMESPath, in a speaker: as segments name it")] = "id"
    label: Annotated[str | None, about("JMESPath, in a speaker: name or number")] = "label"
    role: Annotated[str | None, about("JMESPath, in a speaker: the word agent or customer")] = "role"
    talk_time: Annotated[str | None, about("JMESPath, in a speaker: how long it speaks, in `time_unit`")] = None


class CallSettings(Settings, frozen=True, kw_only=True):
    """Where the facts of the call stand."""

    external_id: Annotated[str | None, about("JMESPath: the sender's own id of the call; joins its results")] = None
    started_at: Annotated[str | None, about("JMESPath: when it began")] = None
    direction: Annotated[str | None, about("JMESPath: inbound or outbound, or in, out, incoming, outgoing")] = None
    from_: Annotated[str | None, about("JMESPath: who called")] = msgspec.field(default=None, name="from")
    to: Annotated[str | None, about("JMESPath: who was called")] = None
    agent_id: Annotated[str | None, about("JMESPath: the agent's id")] = None
    contact_id: Annotated[str | None, about("JMESPath: the contact's id")] = None
    recording_id: Annotated[str | None, about("JMESPath: the recording's id")] = None


class ErrorSettings(Settings, frozen=True, kw_only=True):
    """Where it says why a job failed."""

    code: Annotated[str | None, about("JMESPath: a code")] = None
    message: Annotated[str | None, about("JMESPath: words")] = None


class GenericSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of any other sender."""

    secrets: Annotated[tuple[Secret, ...], about("secrets of `signature`; several for rotation without a gap")] = ()
    signature: Annotated[SignatureSettings | None, about("an HMAC in a header")] = None
    standard_webhooks: Annotated[StandardWebhooksSettings | None, about("signed by Standard Webhooks, or Svix")] = None
    ed25519: Annotated[Ed25519Settings | None, about("an Ed25519 signature in a header")] = None
    header: Annotated[HeaderSecretSettings | None, about("a header that holds a secret")] = None
    basic: Annotated[BasicSettings | None, about("HTTP basic")] = None
    require: Annotated[
        Literal["all", "any"], about('where several proofs are set, token too: "all" of them, or "any" one proves')
    ] = "all"
    handshake: Annotated[tuple[HandshakeSettings, ...], about("set-up requests and their answers; one or several")] = ()
    content: Annotated[Literal["json", "form"], about("what bodies are: JSON, or a form, read as an object")] = "json"
    kind: Annotated[Literal["transcript", "analysis"], about("what a result is: transcript.* or analysis.* events")] = (
        "transcript"
    )
    operation: Annotated[str, about("what the sender does", min_length=1)] = "transcription"
    event: Annotated[str | None, about("JMESPath: the word that tells the sender's events apart")] = None
    events: Annotated[
        dict[str, Means],
        about(
            "what events mean, by globs of their words, the first that fits: result (its status says which), completed, "
            "failed, progress, notice; default: notice"
        ),
    ] = msgspec.field(default_factory=dict)
    job_id: Annotated[str | None, about("JMESPath: the id of the job; needed for results")] = None
    status: Annotated[str | None, about("JMESPath: how the job stands; without it, an `error` means failed")] = None
    completed: Annotated[tuple[str, ...], about("words of `status` that mean completed, in any case")] = (
        *("completed", "complete", "done", "success", "succeeded", "finished"),
    )
    failed: Annotated[tuple[str, ...], about("words of `status` that mean failed")] = (
        *("failed", "failure", "error", "rejected", "canceled", "cancelled"),
    )
    progress: Annotated[tuple[str, ...], about("words of `status` that mean that it is still at it: no event")] = (
        *("queued", "pending", "submitted", "started", "running", "processing", "in_progress"),
    )
    text: Annotated[str | None, about("JMESPath: the whole text; default: that of the segments")] = None
    language: Annotated[str | None, about("JMESPath: the language")] = None
    duration: Annotated[str | None, about("JMESPath: how long the recording is")] = None
    duration_unit: Annotated[Literal["s", "ms"], about("unit of `duration`")] = "s"
    created_at: Annotated[str | None, about("JMESPath: when the job was made")] = None
    completed_at: Annotated[str | None, about("JMESPath: when it ended")] = None
    segments: Annotated[str | None, about("JMESPath: a list of objects, each what one speaker says")] = None
    segment: Annotated[SegmentSettings, about("inside a segment")] = SegmentSettings()
    words: Annotated[
        str | None, about("JMESPath: a list of words, where there are no segments: a speaker's words make one")
    ] = None
    word: Annotated[WordSettings, about("inside a word")] = WordSettings()
    join: Annotated[str, about("what stands between words that make a segment")] = " "
    time_unit: Annotated[Literal["s", "ms"], about("unit of the times in segments, words and speakers")] = "s"
    speakers: Annotated[str | None, about("JMESPath: a list of speakers; default: those that the segments name")] = None
    speaker: Annotated[SpeakerSettings, about("inside a speaker")] = SpeakerSettings()
    summary: Annotated[str | None, about("JMESPath: the summary")] = None
    sentiment: Annotated[str | None, about("JMESPath: positive, negative, neutral or mixed")] = None
    topics: Annotated[str | None, about("JMESPath: a list of texts, or a text")] = None
    action_items: Annotated[str | None, about("JMESPath: a list of texts, or a text")] = None
    insights: Annotated[dict[str, str], about('further findings by name: { intents = "results.intents.segments" }')] = (
        msgspec.field(default_factory=dict)
    )
    call: Annotated[CallSettings, about("the call")] = CallSettings()
    error: Annotated[ErrorSettings, about("why it failed")] = ErrorSettings()
    metadata: Annotated[
        str | None, about("JMESPath: an object that the submitter attached; its members become metadata")
    ] = None
    message_key: Annotated[
        str | None,
        about("JMESPath: what a redelivery has in common with the first, as in [id, status]; default: the whole body"),
    ] = None
    leave_out: Annotated[
        dict[str, str],
        about(
            'leaves that are not kept in metadata, each with your reason: { "results.words[].id" = "numbers them only" }'
        ),
    ] = msgspec.field(default_factory=dict)
    volatile: Annotated[
        tuple[str, ...],
        about("globs of metadata that may differ between copies of one result, such as signed addresses"),
    ] = ()

    def check(self) -> None:
        self._check_proofs()
        self._check_meaning()
        for path, reason in self.leave_out.items():
            if not reason.strip():
                raise ConfigError(f"leave_out: say why {path!r} is left out")
        Expressions(self)

    def _check_proofs(self) -> None:
        if bool(self.secrets) != (self.signature is not None):
            raise ConfigError(
                'secrets and signature go together: secrets = ["…"], signature = { header = "X-…" }; '
                "other proofs have their secrets in their own tables"
            )
        for proof in (self.signature, self.standard_webhooks, self.ed25519, self.header, self.basic):
            if proof is not None:
                proof.check()
        for one in self.handshake:
            one.check()
            if "{hmac}" in one.reply and not self.secrets:
                raise ConfigError("handshake: {hmac} needs the first of secrets, and the signature that they make")

    def _check_meaning(self) -> None:
        if self.events and self.event is None:
            raise ConfigError('events is set and event is not: say where the word stands, as in event = "type"')
        if self.job_id is None and (self.event is None or any(means != "notice" for means in self.events.values())):
            raise ConfigError('job_id: say where the id of the job stands, as in job_id = "data.id"')
        if self.segments is not None and self.words is not None:
            raise ConfigError("words: segments have their words in segment.words; set one of segments and words")


class Expressions:
    """Every expression of the settings, compiled; a table of them by the names of its settings."""

    def __init__(self, settings: GenericSettings) -> None:
        """Raise ConfigError for the first that is none, naming its key."""
        names = (
            "event job_id status text language duration created_at completed_at segments words speakers summary "
            "sentiment topics action_items metadata message_key"
        )
        self.top = {name: _compiled(name, getattr(settings, name)) for name in names.split()}
        self.segment = _table("segment", settings.segment)
        self.word = _table("word", settings.word)
        self.speaker = _table("speaker", settings.speaker)
        self.call = _table("call", settings.call)
        self.error = _table("error", settings.error)
        self.insights = {name: Expression(f"insights.{name}", text) for name, text in settings.insights.items()}


def _table(key: str, settings: Settings) -> dict[str, Expression | None]:
    keys = zip(settings.__struct_fields__, settings.__struct_encode_fields__, strict=True)
    return {name: _compiled(f"{key}.{written}", getattr(settings, name)) for name, written in keys}


def _compiled(key: str, text: str | None) -> Expression | None:
    return None if text is None else Expression(key, text)
