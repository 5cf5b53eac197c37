"""Answers: kept with their transcript, shown oldest first, gone with it."""

from pathlib import Path

import pytest
from kept import kept_in, normalized, result

from receiver.contract.errors import NotFound
from receiver.pipeline.operating.retention import Keep, Retention
from receiver.store.answers import Said, answers_of, put_answer
from receiver.store.lists import Lists
from receiver.testing.store import DAY_MS, Clock


async def test_answers_are_kept_with_a_transcript_and_go_with_it(tmp_path: Path) -> None:
    """What was asked of one is not shown of another; after retention nothing is left of the words."""
    clock = Clock()
    async with kept_in(tmp_path / "store.db", clock) as store:
        await normalized(store, [result("job-1"), result("job-2")], ())
        page = await Lists(store.engine).transcripts({}, whole=False)
        one, other = (row["id"] for row in page.items)
        put = await put_answer(store, one, 1, "acme", Said("Who called?", "The caller."))
        clock.ms += 1000
        await put_answer(store, one, 2, "acme", Said("Why?", "A ticket."))
        assert put == (await answers_of(store.engine, one))[0]
        assert [(row["version"], row["question"], row["answer"]) for row in await answers_of(store.engine, one)] == [
            (1, "Who called?", "The caller."),
            (2, "Why?", "A ticket."),
        ]
        assert await answers_of(store.engine, other) == []
        with pytest.raises(NotFound):
            await answers_of(store.engine, "nothing")
        clock.ms += 3 * DAY_MS
        await Retention(store, {"acme": Keep.read("1d", None)}).once()
        clock.ms += 3 * DAY_MS
        await Retention(store, {"acme": Keep.read("1d", None)}).once()
        assert await answers_of(store.engine, one) == []
