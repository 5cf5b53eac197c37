"""One body in our words: what the expressions find, and everything else in metadata."""

from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import groupby
from typing import Any, Literal, TypeVar

import msgspec

from handlers.providers.generic import values
from handlers.providers.generic.leaves import Leaves, plain
from handlers.providers.generic.settings import Expressions, GenericSettings
from receiver.contract.errors import Unreadable
from receiver.contract.expressions import Expression
from receiver.contract.model import (
    Analysis,
    Call,
    Insight,
    Result,
    ResultError,
    Segment,
    Speaker,
    Word,
)
from receiver.contract.reading import (
    Role,
    Table,
    identifier,
    insights,
    joined,
    json_name,
    number,
    speakers,
    text,
)
from receiver.contract.times import to_rfc3339

T = TypeVar("T")
Ends = Literal["completed", "failed"]
Found = dict[str, Expression | None]

_NO_ANALYSIS = Analysis()
_NO_CALL = Call()


class Reading:
    """Reads one body."""

    def __init__(self, settings: GenericSettings, expressions: Expressions, document: Table) -> None:
        self._settings = settings
        self._of = expressions
        self._leaves = Leaves(document)
        self._document = self._leaves.document
        self._seconds = partial(values.seconds, unit=settings.time_unit)

    def event(self) -> str | None:
        """Return the word that tells events apart; it stays visible in metadata."""
        expression = self._of.top["event"]
        return None if expression is None else values.word_of(plain(expression.of(self._document)))

    def status(self) -> str | None:
        """Return what the body's status means: `completed`, `failed` or `progress`, or None where it says none.

        Raises Unreadable for a word that the settings do not know.
        """
        if self._of.top["status"] is None:
            return "failed" if self._error() is not None else "completed"
        said = self._top("status", values.word_of)
        if said is None:
            raise Unreadable("status: nothing is there, or no word")
        for means in ("completed", "failed", "progress"):
            if said.lower() in (word.lower() for word in getattr(self._settings, means)):
                return means
        raise Unreadable("status: the word that is there is none of completed, failed and progress in the settings")

    def status_word(self) -> str:
        """Return the status as the sender says it, for progress."""
        return self._top("status", values.word_of) or self.event() or "progress"

    def job_id(self) -> str:
        """Return the id of the job. Raises Unreadable where there is none."""
        found = self._top("job_id", identifier)
        if found is None:
            expression = self._of.top["job_id"]
            value = None if expression is None else plain(expression.of(self._document))
            raise Unreadable(f"job_id: the expression gives {json_name(value)}, and an id was expected")
        return found

    def call(self) -> Call | None:
        """Return what the body says of the call."""
        read: dict[str, Callable[[Any], Any]] = {"started_at": self._time, "direction": values.direction}
        found = Call(**{name: self._take(one, read.get(name, identifier)) for name, one in self._of.call.items()})
        return None if found == _NO_CALL else found

    def result(self, status: Ends) -> Result:
        """Return the body as a result that ended like this."""
        segments = self._segments()
        told = self._told_speakers()
        return Result(
            kind=self._settings.kind,
            operation=self._settings.operation,
            job_id=self.job_id(),
            status=status,
            call=self.call(),
            language=self._top("language", text),
            duration=self._top("duration", partial(values.seconds, unit=self._settings.duration_unit)),
            created_at=self._top("created_at", self._time),
            completed_at=self._top("completed_at", self._time),
            text=self._top("text", text) or joined(segments),
            speakers=with_talk_time(told, speakers(segments, self._settings.roles)),
            segments=segments,
            analysis=self._analysis(),
            error=self._error() if status == "failed" else None,
            **self._metadata(),
        )

    def _metadata(self) -> dict[str, Any]:
        """Return metadata and what of it is volatile; to be asked last, when all else was taken."""
        own = self._top("metadata", values.members) or {}
        kept = {key: value for key, value in own.items() if value is not None}
        for path, value in self._leaves.left(self._settings.leave_out).items():
            kept[f"body.{path}" if path in kept else path] = value
        globs = self._settings.volatile
        return {"metadata": kept, "volatile": frozenset(n for n in kept if any(fnmatchcase(n, glob) for glob in globs))}

    def _segments(self) -> tuple[Segment, ...]:
        if self._of.top["segments"] is not None:
            return tuple(self._segment(item) for item in self._items("segments"))
        said = [(self._word(item), item) for item in self._items("words")]
        words = [word for word, _ in said if word is not None]
        return tuple(_grouped(words, self._settings.join))

    def _segment(self, item: Table) -> Segment:
        of = self._of.segment
        channel: int | str | None = self._take(of["channel"], values.channel, item)
        inner = of["words"].of(item) if of["words"] is not None else None
        found = [self._word(one) for one in inner if isinstance(one, dict)] if isinstance(inner, list) else []
        words = tuple(word for word in found if word is not None)
        return Segment(
            start=self._take(of["start"], self._seconds, item),
            end=self._take(of["end"], self._seconds, item),
            speaker=self._take(of["speaker"], identifier, item),
            channel=channel,
            text=self._take(of["text"], text, item),
            confidence=self._take(of["confidence"], number, item),
            sentiment=self._take(of["sentiment"], text, item),
            words=words or None,
        )

    def _word(self, item: Table) -> Word | None:
        of = self._of.word
        said = self._take(of["text"], text, item)
        if said is None:
            return None
        return Word(
            start=self._take(of["start"], self._seconds, item),
            end=self._take(of["end"], self._seconds, item),
            text=said,
            confidence=self._take(of["confidence"], number, item),
            speaker=self._take(of["speaker"], identifier, item),
        )

    def _told_speakers(self) -> tuple[Speaker, ...]:
        of, told = self._of.speaker, []
        for item in self._items("speakers"):
            name = self._take(of["id"], identifier, item)
            if name is not None:
                role: Role | None = self._take(of["role"], values.role, item)
                told.append(
                    Speaker(
                        id=name,
                        label=self._take(of["label"], identifier, item),
                        role=self._settings.roles.get(name) or role,
                        talk_time=self._take(of["talk_time"], self._seconds, item),
                    )
                )
        return tuple({speaker.id: speaker for speaker in told}.values())

    def _analysis(self) -> Analysis | None:
        further: list[Insight] = []
        for name, expression in self._of.insights.items():
            value = expression.of(self._document)
            further += insights(name, plain(value))
            self._leaves.count(value)
        found = Analysis(
            summary=self._top("summary", text),
            sentiment=self._top("sentiment", values.sentiment),
            topics=self._top("topics", values.one_or_more) or (),
            action_items=self._top("action_items", values.one_or_more) or (),
            insights=tuple(further),
        )
        return None if found == _NO_ANALYSIS else found

    def _error(self) -> ResultError | None:
        code, message = (self._take(self._of.error[name], values.said) for name in ("code", "message"))
        return ResultError(code=code, message=message) if code or message else None

    def _items(self, name: str) -> list[Table]:
        """Return the objects of a list; anything else is left over."""
        expression = self._of.top[name]
        value = None if expression is None else expression.of(self._document)
        return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

    def _top(self, name: str, read: Callable[[Any], T | None]) -> T | None:
        return self._take(self._of.top[name], read)

    def _take(self, expression: Expression | None, read: Callable[[Any], T | None], scope: Any = None) -> T | None:
        return self._leaves.take(expression, self._document if scope is None else scope, read)

    def _time(self, value: Any) -> str | None:
        return to_rfc3339(value, self._settings.timezone)


def with_talk_time(told: Sequence[Speaker], heard: Sequence[Speaker]) -> tuple[Speaker, ...]:
    """Join the speakers that were told with those that segments name: seconds and roles where none were told."""
    known = {speaker.id: speaker for speaker in heard}
    both = (
        msgspec.structs.replace(
            one, talk_time=one.talk_time or known[one.id].talk_time, role=one.role or known[one.id].role
        )
        if one.id in known
        else one
        for one in told
    )
    names = {one.id for one in told}
    return (*both, *(one for one in heard if one.id not in names))


def _grouped(words: Sequence[Word], between: str) -> Iterator[Segment]:
    """Yield a segment for each run of words of one speaker."""
    for speaker, run in groupby(words, key=lambda word: word.speaker):
        said = tuple(run)
        starts = [word.start for word in said if word.start is not None]
        ends = [word.end for word in said if word.end is not None]
        yield Segment(
            start=min(starts, default=None),
            end=max(ends, default=None),
            speaker=speaker,
            text=between.join(word.text for word in said).strip() or None,
            words=said,
        )
