"""Exporting: reads transcripts from the store and hands them over in the form that was asked for, one by one."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from receiver.contract.errors import Gone, NotFound, UsageError
from receiver.contract.model import Transcript
from receiver.export.formats import Format, known
from receiver.export.vcon import MOST_BYTES, Callback, Recorded, vcon
from receiver.store.ids import CALL, JOB, TRANSCRIPT, decode, moment
from receiver.store.lists import Lists

_decode = msgspec.json.Decoder(Transcript).decode
_PAGE = "100"
"""Transcripts read at a time; a page of large ones is shorter by itself."""


NOBODY = "hookscribe.invalid"
"""A host name that nobody has: ours where no public address is set."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in its form."""

    id: str
    format: Format
    data: bytes

    @property
    def filename(self) -> str:
        """The name of a file for it."""
        return f"{self.id}.{self.format.name}"


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A transcript that has no such form, and why."""

    id: str
    why: str


class Exporter:
    """Takes what is kept along, in one form or another."""

    def __init__(self, lists: Lists, host: str) -> None:
        """`host` is our name in the outside world: vCon's ids are made of it."""
        self._lists = lists
        self._host = host

    async def one(self, public_id: str, form: str, version: int | None = None) -> Exported:
        """Return a transcript, the newest version where none is named, as a file. Raises NotFound, Gone or UsageError."""
        chosen = known(form)
        made = await self._made(await self._lists.transcript(public_id, version), public_id, chosen)
        return msgspec.structs.replace(made, data=chosen.head.encode() + made.data)

    async def call(self, public_id: str) -> Exported:
        """Return everything said about a call as one vCon. Raises NotFound or Gone."""
        call = await self._lists.call(public_id)
        transcripts = [_decode(await self._lists.transcript(one["id"])) for one in call["transcripts"]]
        if not transcripts:
            raise NotFound(f"nothing was said yet about {public_id}")
        return await self._container(transcripts, public_id, moment(decode(CALL, public_id)))

    async def many(self, given: Mapping[str, str], form: str) -> AsyncIterator[Exported | LeftOut]:
        """Yield all transcripts that a filter finds, newest first, page by page; what follows `head` of their form.

        Raises UsageError for a filter that there is not.
        """
        chosen = known(form)
        cursor: str | None = ""
        while cursor is not None:
            page = await self._lists.transcripts({**given, "limit": _PAGE, **({"cursor": cursor} if cursor else {})})
            for raw in page.items:
                yield await self._each(raw, chosen)
            cursor = page.next

    async def _each(self, raw: msgspec.Raw, form: Format) -> Exported | LeftOut:
        try:
            return await self._made(raw, "", form)
        except UsageError as error:
            return LeftOut(id=_decode(raw).id, why=str(error))

    async def _made(self, raw: msgspec.Raw, public_id: str, form: Format) -> Exported:
        if form.name == "json" and public_id:
            return Exported(id=public_id, format=form, data=bytes(raw))
        transcript = _decode(raw)
        if form.name == "vcon":
            return await self._container([transcript], transcript.id, moment(decode(TRANSCRIPT, transcript.id)))
        if form.write is None:
            return Exported(id=transcript.id, format=form, data=bytes(raw))
        text = await asyncio.to_thread(form.write, transcript)
        return Exported(id=transcript.id, format=form, data=text.encode())

    async def _container(self, transcripts: Sequence[Transcript], about: str, made_at: int) -> Exported:
        callbacks = await self._callbacks(dict.fromkeys(one.provenance.receipt_id for one in transcripts))
        recorded = await self._recorded(transcripts)
        made = await asyncio.to_thread(
            lambda: msgspec.json.encode(
                vcon(transcripts, callbacks, recorded, host=self._host, about=about, made_at=made_at)
            )
        )
        return Exported(id=about, format=known("vcon"), data=made)

    async def _recorded(self, transcripts: Sequence[Transcript]) -> Recorded | None:
        """Return the recording that the transcripts are of, where it is a file of ours that one container can carry."""
        jobs = dict.fromkeys(decode(JOB, one.job.id) for one in transcripts if one.job)
        for job in await self._lists.job_rows([*jobs]):
            if job.doc.path is None or job.sha256 is None or (job.doc.size or 0) > MOST_BYTES:
                continue
            body = await asyncio.to_thread(_same_file, Path(job.doc.path), job.sha256)
            if body is not None:
                return Recorded(name=job.doc.name, media_type=job.doc.content_type, body=body)
        return None

    async def _callbacks(self, receipt_ids: Mapping[str, None]) -> dict[str, Callback]:
        found, left = {}, MOST_BYTES
        for receipt_id in receipt_ids:
            try:
                receipt = await self._lists.receipt(receipt_id)
                if receipt["size"] > left:
                    continue
                body = await self._lists.body(receipt_id)
            except (NotFound, Gone):
                continue
            left -= len(body)
            media_type = next((value for name, value in receipt["headers"] if name == "content-type"), None)
            found[receipt_id] = Callback(
                receipt_id=receipt_id, received_at=receipt["received_at"], media_type=media_type, body=body
            )
        return found


def _same_file(path: Path, sha256: str) -> bytes | None:
    """Return what a file holds; None where it is gone, or another one than was looked at."""
    try:
        with path.open("rb") as file:
            body = file.read(MOST_BYTES + 1)
    except OSError:
        return None
    return body if hashlib.sha256(body).hexdigest() == sha256 else None


def host_of(public_url: str | None) -> str:
    """Return the host of our public address."""
    return urlsplit(public_url or "").hostname or NOBODY
