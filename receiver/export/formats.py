"""The forms a transcript can be taken in: what each is called, what media type it has, and who writes it."""

from collections.abc import Callable, Mapping

import msgspec

from receiver.contract.errors import NotFound
from receiver.contract.model import Transcript
from receiver.export import plain, subtitles, table


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One form."""

    name: str
    """Also the end of its files' names."""
    media_type: str
    write: Callable[[Transcript], str] | None = None
    """None where more than the transcript is needed, or less."""
    head: str = ""
    """What stands once before all."""
    after: str | None = ""
    """What stands behind each where a file holds several; None where it never does."""


FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format(name="json", media_type="application/json", after="\n"),
        Format(name="txt", media_type="text/plain; charset=utf-8", write=plain.txt, after="\n"),
        Format(name="csv", media_type="text/csv; charset=utf-8; header=present", write=table.rows, head=table.head()),
        Format(name="vtt", media_type="text/vtt; charset=utf-8", write=subtitles.vtt, after=None),
        Format(name="srt", media_type="application/x-subrip; charset=utf-8", write=subtitles.srt, after=None),
        Format(name="vcon", media_type="application/vcon", after="\n"),
    )
}


def known(name: str) -> Format:
    """Return a form by its name. Raises NotFound, which lists those that there are."""
    if name not in FORMATS:
        raise NotFound(f"there is no form {name[:20]!r}; known are {', '.join(FORMATS)}")
    return FORMATS[name]
