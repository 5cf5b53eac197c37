"""multipart/form-data as a form is sent in one piece (RFC 7578): read strictly, each part in its place in the body.

The whole body is in memory before anybody looks at it, so this needs no parser that is fed piece by piece. The boundary
is taken from the first line of the body and not from Content-Type: then everything that follows from a body follows from
bytes that are kept with it. What a sender has no reason to send is refused: text before or after the parts, parts of
one name, folded or unknown headers, transfer encodings.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from receiver.contract.errors import Unreadable

_BOUNDARY = re.compile(rb"--([0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-])\r\n")
_PARAMETER = re.compile(r';[ \t]*([A-Za-z*-]+)=(?:"([^"\r\n]*)"|([^\s";]+))[ \t]*')
_PARTS = 64
_HEAD = 4096
_TEXT = 65_536
_PLAIN = frozenset({"7bit", "8bit", "binary"})


class NotMultipart(Unreadable):
    """The bytes are no form as we take it: the only error that `parse` raises."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part: its headers and its content as they stand in the body, a file where it has a file's name."""

    name: str
    filename: str | None
    content_type: str | None
    head: bytes
    content: memoryview

    def text(self) -> str:
        """Return the content as text. Raises NotMultipart where it is no text, or too long for one."""
        if len(self.content) > _TEXT:
            raise NotMultipart(f"the part {_shown(self.name)} is longer than {_TEXT} bytes")
        try:
            return bytes(self.content).decode()
        except UnicodeDecodeError:
            raise NotMultipart(f"the part {_shown(self.name)} is not UTF-8 text") from None


def is_multipart(body: bytes) -> bool:
    """Say whether a body begins as a form does, which neither JSON nor any other text we know does."""
    return body.startswith(b"--")


def parse(body: bytes) -> list[Part]:
    """Return the parts in their order. Raises NotMultipart for anything but a whole form without repeated names."""
    parts = list(_parts(body, boundary(body)))
    names = {part.name for part in parts}
    if len(names) != len(parts):
        raise NotMultipart("a part of the same name appears twice")
    return parts


def boundary(body: bytes) -> bytes:
    """Return what stands between the parts. Raises NotMultipart."""
    start = _BOUNDARY.match(body)
    if start is None:
        raise NotMultipart("the body does not begin with a boundary")
    return start[1]


def written(mark: bytes, parts: Iterable[tuple[bytes, bytes | memoryview]]) -> bytes:
    """Return the form of these parts, each given by its headers and its content."""
    lines = [piece for head, content in parts for piece in (b"--%b\r\n%b\r\n\r\n" % (mark, head), content, b"\r\n")]
    return b"".join([*lines, b"--%b--\r\n" % mark])


def _parts(body: bytes, mark: bytes) -> Iterator[Part]:
    view, delimiter = memoryview(body), b"\r\n--" + mark
    place = len(delimiter) - 2
    for _ in range(_PARTS):
        if (after := body[place : place + 2]) == b"--":
            if body[place + 2 : place + 5] not in {b"", b"\r\n"}:
                raise NotMultipart("something follows the last part")
            return
        start = body.find(b"\r\n\r\n", place + 2, place + _HEAD)
        if after != b"\r\n" or start < 0:
            raise NotMultipart("a part has no headers, or the boundary stands inside of one")
        end = body.find(delimiter, start + 4)
        if end < 0:
            raise NotMultipart("the body ends in the middle of a part")
        yield _part(body[place + 2 : start], view[start + 4 : end])
        place = end + len(delimiter)
    raise NotMultipart(f"the form has more than {_PARTS} parts")


def _part(head: bytes, content: memoryview) -> Part:
    headers = _headers(head)
    if headers.get("content-transfer-encoding", "binary").lower() not in _PLAIN:
        raise NotMultipart("a part has a transfer encoding")
    parameters = _parameters(headers.get("content-disposition", ""))
    if not parameters.get("name"):
        raise NotMultipart("a part has no name")
    return Part(
        name=parameters["name"],
        filename=parameters.get("filename"),
        content_type=headers.get("content-type"),
        head=head,
        content=content,
    )


def _headers(head: bytes) -> dict[str, str]:
    try:
        lines = [line.partition(":") for line in head.decode().split("\r\n")]
    except UnicodeDecodeError:
        raise NotMultipart("the headers of a part are not UTF-8 text") from None
    headers = {name.lower(): value.strip() for name, colon, value in lines if colon}
    known = all(name.startswith("content-") for name in headers)
    if len(headers) != len(lines) or not known or any("\n" in value or "\r" in value for value in headers.values()):
        raise NotMultipart("the headers of a part are none that a form has, or one appears twice")
    return headers


def _parameters(disposition: str) -> dict[str, str]:
    """Return name and file name; quotes and line ends in them arrive as %22, %0D and %0A, and stay so."""
    kind, semicolon, rest = disposition.partition(";")
    found = _PARAMETER.findall(semicolon + rest)
    parameters = {name.lower(): quoted or bare for name, quoted, bare in found}
    whole = "".join(match[0] for match in _PARAMETER.finditer(semicolon + rest)) == semicolon + rest
    if kind.strip().lower() != "form-data" or not whole or len(parameters) != len(found):
        raise NotMultipart("the Content-Disposition of a part is not that of a form's part")
    return parameters


def _shown(name: str) -> str:
    return repr(name[:64])
