"""How long finding takes: 100,000 transcripts of ten segments of twelve words, Zipf over a vocabulary of 20,000.

Words are drawn as they occur, so most queries hold common ones. The mix, in equal parts: a word; two words; a phrase that was
said; the beginning of a word, two to four letters; either of two without a third; a word by a speaker; a word before a moment; a word
with a source that there is not; the best of a word; transcripts with a word. The 95th percentile of all is to be under 50 ms.

    python tests/bench/search.py [--quick] [--keep STORE]

--quick: 5,000 transcripts; --keep: build once, ask again. STORE is sqlite:FILE, or postgresql://... of an empty database.
The processor's time is that of this process, and of the server's where there is one.
"""

import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from receiver.contract.times import from_ms
from receiver.pipeline.indexing import Indexing
from receiver.store.lists import Lists
from receiver.store.opening import is_shared, open_store
from receiver.store.store import Store

SEGMENTS, WORDS, VOCABULARY = 10, 12, 20_000
SPAN_MS = 100 * 86_400_000
LETTERS = "etaoinshrdlcumwfgypbvkjxqz"
EACH = 60
WANTED_MS = 50.0
Given = dict[str, str]


class Language:
    """Words, of which the n-th is said 1/n as often as the first."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        made: dict[str, None] = {}
        while len(made) < VOCABULARY:
            made["".join(dice.choices(LETTERS, k=2 + len(made) % 8))] = None
            if len(made) < VOCABULARY:
                made["".join(dice.choices(LETTERS, k=7))] = None
        self._words = list(made)
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))

    def say(self, count: int) -> list[str]:
        """Return words as they occur."""
        return self._dice.choices(self._words, cum_weights=self._weights, k=count)


async def build(store: Store, count: int, language: Language) -> None:
    """Write transcripts as the normalizer does, spread over a hundred days."""
    start = store.now_ms() - SPAN_MS
    for first in range(0, count, 1000):
        rows, versions = [], []
        for number in range(first, min(first + 1000, count)):
            at = start + SPAN_MS * number // count
            source = f"source-{number % 4}"
            rows.append(
                (number + 1, source, "acme", "transcription", f"job-{number}", "transcript", number + 1,
                 "completed", 1, b"", None, at)
            )  # fmt: skip
            versions.append((number + 1, 1, 0, at, "bench/1", document(number, language)))
        async with store.engine.transaction() as tx:
            await tx.insert("add_transcripts", rows)
            await tx.insert("add_versions", versions)
            await tx.insert("add_unindexed", [(row[0], 1) for row in rows])


def document(number: int, language: Language) -> bytes:
    """Return a transcript of two speakers as JSON."""
    speakers = [{"id": "A", "label": f"agent-{number % 200}", "role": "agent"}, {"id": "B", "role": "customer"}]
    segments = [
        {
            "start": place * 5.0,
            "end": place * 5.0 + 4,
            "speaker": "AB"[place % 2],
            "text": " ".join(language.say(WORDS)),
        }
        for place in range(SEGMENTS)
    ]
    return msgspec.json.encode({"text": None, "speakers": speakers, "segments": segments})


def questions(language: Language, dice: random.Random, now_ms: int) -> Mapping[str, Callable[[], Given]]:
    """Return what is asked, by kind."""

    def word() -> str:
        return language.say(1)[0]

    return {
        "word": lambda: {"q": word()},
        "two words": lambda: {"q": " ".join(language.say(2))},
        "phrase": lambda: {"q": '"{} {}"'.format(*language.say(2))},
        "prefix": lambda: {"q": word()[: dice.randint(2, 4)] + "*"},
        "either, without": lambda: {"q": "{} OR {} -{}".format(*language.say(3))},
        "by a speaker": lambda: {"q": word(), "speaker": f"agent-{dice.randrange(200)}"},
        "before a moment": lambda: {"q": word(), "until": from_ms(now_ms - dice.randrange(SPAN_MS))},
        "no such source": lambda: {"q": word(), "source": "nobody"},
        "best": lambda: {"q": word(), "order": "best"},
        "transcripts": lambda: {"q": word()},
    }


async def ask(store: Store, url: str, language: Language, dice: random.Random) -> dict[str, list[tuple[float, float]]]:
    """Ask everything in turns; return milliseconds by kind, of the clock and of the processor."""
    lists = Lists(store.engine)
    await lists.search.segments({"q": "warm"})
    server = servers(url)
    kinds = questions(language, dice, store.now_ms())
    took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _, (kind, make) in itertools.product(range(EACH), kinds.items()):
        given: Any = make()
        began, worked = time.perf_counter(), worked_by(server)
        await (lists.transcripts(given) if kind == "transcripts" else lists.search.segments(given))
        took[kind].append(((time.perf_counter() - began) * 1000, (worked_by(server) - worked) * 1000))
    return took


def servers(url: str) -> list[Path]:
    """Return where the system accounts for the processes that a server on this machine has for us."""
    if not is_shared(url):
        return []
    with psycopg.connect(url) as link:
        found = link.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return [path for (pid,) in found if (path := Path(f"/proc/{pid}/schedstat")).exists()]


def worked_by(server: list[Path]) -> float:
    """Return the seconds that this process worked, and those of a server for us."""
    theirs = sum(int(path.read_text().split()[0]) for path in server if path.exists())
    return time.process_time() + theirs / 1e9


async def main(count: int, url: str) -> None:
    """Build, index, ask, and print."""
    dice = random.Random(7)
    language = Language(dice)
    store = await open_store(url, time.time, checkpoint=True)
    try:
        await store.engine.migrate()
        if not await store.engine.rows("list_transcripts", {"limit": 1}):
            await build(store, count, language)
            began = time.perf_counter()
            while await Indexing(store, rest=0).step():
                pass
            took = time.perf_counter() - began
            if is_shared(url):  # as the server's own autovacuum does, sooner or later
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as server:
                    await server.execute("VACUUM ANALYZE")
            print(f"indexed {count:,} transcripts in {took:.1f} s: {took / count / SEGMENTS * 1e6:.1f} us a segment")
        report(await ask(store, url, language, dice))
    finally:
        await store.engine.close()


def report(took: Mapping[str, list[tuple[float, float]]]) -> None:
    """Print percentiles by kind, and of all; the processor's own time too, which other work on the machine changes less."""
    print(f"{'kind':<18}{'median ms':>10}{'95th':>8}{'worst':>8}{'95th, processor':>18}")
    everything = [*itertools.chain.from_iterable(took.values())]
    for kind, pairs in {**took, "all": everything}.items():
        times, worked = (sorted(column) for column in zip(*pairs, strict=True))
        median, late = len(times) // 2, int(len(times) * 0.95)
        print(f"{kind:<18}{times[median]:>10.1f}{times[late]:>8.1f}{times[-1]:>8.1f}{worked[late]:>18.1f}")
    p95 = sorted(pair[0] for pair in everything)[int(len(everything) * 0.95)]
    print(f"95th percentile {p95:.1f} ms, wanted under {WANTED_MS:.0f}: {'yes' if p95 < WANTED_MS else 'NO'}")


if __name__ == "__main__":
    size = 5_000 if "--quick" in sys.argv else 100_000
    if "--keep" in sys.argv:
        asyncio.run(main(size, sys.argv[sys.argv.index("--keep") + 1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(size, f"sqlite:{folder}/store.db"))
