"""How signatures are written as text, and what proxies and frameworks make of a signed body."""

import base64
import re
from collections.abc import Iterator
from typing import Any, Literal

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret

Encoding = Literal["hex", "base64", "base64url"]
KeyForm = Literal["text", "base64", "hex"]

_ENCODED = {
    "hex": re.compile(r"[0-9A-Fa-f]+"),
    "base64": re.compile(r"[A-Za-z0-9+/]+={0,2}"),
    "base64url": re.compile(r"[A-Za-z0-9_-]+={0,2}"),
}


def encode_mac(mac: bytes, encoding: Encoding) -> str:
    """Write a signature as text."""
    if encoding == "hex":
        return mac.hex()
    return (base64.b64encode if encoding == "base64" else base64.urlsafe_b64encode)(mac).decode()


def decode_mac(text: str, encoding: Encoding, size: int) -> bytes | None:
    """Decode a signature of `size` bytes, or return None for anything that is not exactly that.

    Hex may be in upper case and base64 without its padding; otherwise one signature has one way to be written.
    """
    if not text.isascii() or len(text) > 4 * size or not _ENCODED[encoding].fullmatch(text):
        return None
    bare = text.rstrip("=")
    try:
        if encoding == "hex":
            raw = bytes.fromhex(text)
        else:
            raw = base64.b64decode(bare + "=" * (-len(bare) % 4), b"-_" if encoding == "base64url" else None)
    except ValueError:
        return None
    if len(raw) != size or (encoding != "hex" and encode_mac(raw, encoding).rstrip("=") != bare):
        return None
    return raw


def changed_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what proxies and frameworks make of a body, undone: (what was done, the body before)."""
    if body.endswith(b"\n"):
        yield "without the trailing newline", body.rstrip(b"\r\n")
    yield "with a trailing newline", body + b"\n"
    if b"\r\n" in body:
        yield "with LF line ends", body.replace(b"\r\n", b"\n")
    elif b"\n" in body:
        yield "with CRLF line ends", body.replace(b"\n", b"\r\n")
    if body.startswith(b"\xef\xbb\xbf"):
        yield "without the byte order mark", body[3:]
    if len(body) <= 1 << 20:
        yield from _reserialised(body)


_LAYOUTS: dict[str, dict[str, Any]] = {
    "compact": {"separators": (",", ":")},
    "spaced": {},
    "indented": {"indent": 2},
    "sorted compact": {"separators": (",", ":"), "sort_keys": True},
}


def _reserialised(body: bytes) -> Iterator[tuple[str, bytes]]:
    import json  # noqa: PLC0415 -- only for what was refused

    try:
        value = json.loads(body)
        for how, ascii_only in (("unescaped", False), ("escaped", True)):
            for layout, style in _LAYOUTS.items():
                written = json.dumps(value, ensure_ascii=ascii_only, **style).encode("utf-8", "surrogatepass")
                yield f"as {layout} JSON, {how}", written
                if b"/" in written:
                    yield f"as {layout} JSON, {how}, with \\/", written.replace(b"/", b"\\/")
    except (ValueError, RecursionError):
        return


def key_bytes(secret: Secret, form: KeyForm) -> bytes:
    """Return the bytes of a secret. Raises ConfigError, which never shows it."""
    if form == "text":
        return secret.raw
    text = secret.value.strip()
    try:
        key = bytes.fromhex(text) if form == "hex" else _from_base64(text)
    except ValueError:
        raise ConfigError(f"secrets: one of them is not {form}, as key says; give it as the sender shows it") from None
    if not key:
        raise ConfigError(f"secrets: one of them holds no bytes as {form}")
    return key


def _from_base64(text: str) -> bytes:
    bare = (text.partition("_")[2] or text).rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
