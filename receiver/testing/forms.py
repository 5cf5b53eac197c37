"""multipart/form-data bodies for the kit: read simply, for recorded cases are whole and hold no boundary in a part."""

import re

_NAME = re.compile(rb'[; ]name="([^"]+)"')


def read_form(body: bytes) -> dict[str, bytes] | None:
    """Return the contents of the parts by name, or None for a body that is no form."""
    found = _pieces(body)
    return None if found is None else {name: content for name, (_, content) in found.items()}


def with_part(body: bytes, name: str, content: bytes) -> bytes:
    """Return a form with another content of one part."""
    found = _pieces(body) or {}
    start, old = found[name]
    return body[:start] + content + body[start + len(old) :]


def _pieces(body: bytes) -> dict[str, tuple[int, bytes]] | None:
    """Return where the content of each part begins, and what it is."""
    mark = body.partition(b"\r\n")[0]
    if not mark.startswith(b"--") or not body.rstrip().endswith(b"\r\n" + mark + b"--"):
        return None
    found, place = {}, 0
    for piece in body.split(b"\r\n" + mark):
        head, blank, content = piece.partition(b"\r\n\r\n")
        if blank and (name := _NAME.search(head)):
            found[name[1].decode()] = (place + len(head) + 4, content)
        place += len(piece) + len(b"\r\n" + mark)
    return found
