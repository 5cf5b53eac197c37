"""Questions about transcripts and their answers: kept with the transcript, gone with it."""

from typing import Any

import msgspec

from receiver.contract.times import from_ms
from receiver.store.ids import TRANSCRIPT, decode
from receiver.store.store import Engine, Row, Store

MOST = 1000
"""Answers of one transcript that are shown."""


class Said(msgspec.Struct, frozen=True):
    """A question and what was answered."""

    question: str
    answer: str


async def put_answer(store: Store, transcript: str, version: int, source: str, said: Said) -> dict[str, Any]:
    """Keep an answer about a transcript (`trn_…`), and return it as it is shown. Raises NotFound for what is no id."""
    now = store.now_ms()
    row = {"transcript_id": decode(TRANSCRIPT, transcript), "version": version, "source": source, "asked_at": now}
    encoded = msgspec.json.encode(said)
    await store.engine.write("put_answer", {**row, "id": store.ids.next(), "said": encoded})
    return _shown((version, source, now, encoded))


async def answers_of(engine: Engine, transcript: str) -> list[dict[str, Any]]:
    """Return what was asked about a transcript (`trn_…`), oldest first. Raises NotFound for what is no id."""
    asked = {"transcript_id": decode(TRANSCRIPT, transcript), "limit": MOST}
    return [_shown(row) for row in await engine.rows("answers_of", asked)]


def _shown(row: Row) -> dict[str, Any]:
    said = msgspec.json.decode(bytes(row[3]), type=Said)
    head = {"version": row[0], "source": row[1], "asked_at": from_ms(row[2])}
    return {**head, "question": said.question, "answer": said.answer}
