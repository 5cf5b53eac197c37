"""Questions: ask a provider about a transcript's text, and keep what it answers with the transcript."""

from collections.abc import Iterator
from typing import Any

import msgspec

from receiver.asking.callers import Callers
from receiver.contract.api import Api
from receiver.contract.errors import UsageError
from receiver.store.answers import Said, put_answer
from receiver.store.lists import Lists
from receiver.store.store import Store


class Question:
    """Asks about transcripts, of whatever provider they are."""

    def __init__(self, store: Store, callers: Callers) -> None:
        self._lists = Lists(store.engine)
        self._store = store
        self._callers = callers

    async def ask(self, transcript: str, question: str, source: str | None = None) -> dict[str, Any]:
        """Ask about a transcript (`trn_…`) at `source`, else at its own, else at the only one that answers questions.

        Raises UsageError where there is none or one has to be named, and ProviderError.
        """
        document = msgspec.json.decode(await self._lists.transcript(transcript))
        chosen = source or self._chosen(document["source"])
        caller = self._callers.of(chosen)
        answer = await caller.run(caller.api.ask(told(document), question))
        return await put_answer(self._store, transcript, document["version"], chosen, Said(question, answer))

    def _chosen(self, own: str) -> str:
        known = [name for name in self._callers.askable() if answers_questions(self._callers.of(name).api)]
        if own in known or len(known) == 1:
            return own if own in known else known[0]
        if known:
            raise UsageError(f"{', '.join(known)} can be asked; say which with --source")
        raise UsageError('no source can be asked questions: a source with provider = "callmissed" and an api_key can')


def answers_questions(api: Api) -> bool:
    """Say whether a provider can be asked about transcripts."""
    return type(api).ask is not Api.ask


def told(document: dict[str, Any]) -> str:
    """Return a transcript as the text that a question is about: who said what, one turn a line, else the whole text."""
    return "\n".join(_turns(document)) or str(document.get("text") or "")


def _turns(document: dict[str, Any]) -> Iterator[str]:
    segments = document.get("segments") or ()
    if all(one.get("speaker") for one in segments):
        roles = {one["id"]: one.get("role") or one.get("label") for one in document.get("speakers") or ()}
        yield from (
            f"{roles.get(one['speaker']) or one['speaker']}: {one['text']}" for one in segments if one.get("text")
        )
