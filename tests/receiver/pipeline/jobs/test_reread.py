"""What a token alone proved is read again from the provider, where there is something to read."""

from pathlib import Path

import msgspec
import pytest
from studio_running import StudioWorld, studio_world

from receiver.contract.errors import ProviderBusy
from receiver.contract.model import Headers, Outcome, Receipt, Verdict
from receiver.pipeline.keeping import JOB_ID_HEADER
from receiver.store.records import StoredReceipt, pack_headers

JOB = {"id": "j1", "operation": "transcription", "file": "a.wav", "serial": ""}


def came(one: StudioWorld, body: bytes | None = None, provider: str = "studio") -> StoredReceipt:
    """Return a receipt that came by token."""
    said = one.studio.body(JOB) if body is None else body
    return StoredReceipt(1, "studio", provider, Verdict.TOKEN, 0, 0, b"x:y", said)


async def test_the_providers_own_words_come_with_the_jobs_name(tmp_path: Path, store_url: str) -> None:
    """For bodies that do not say it."""
    async with studio_world(tmp_path, store=store_url, confirms=True) as one:
        one.studio.jobs.append(JOB)
        found = await one.run.asks.reread.ask(came(one))
        assert found is not None
        assert (JOB_ID_HEADER, b"j1") in found.headers


async def test_a_sender_cannot_say_what_is_read_again_by_a_header_of_ours(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing proves headers: one with a name that we give to answers is not read, whatever is in it."""
    headers = pack_headers(((b"x", b"y"), (JOB_ID_HEADER, b"\xff")))
    async with studio_world(tmp_path, store=store_url, confirms=True) as one:
        seen: list[Headers] = []

        def normalize(receipt: Receipt) -> tuple[Outcome, ...]:
            seen.append(receipt.headers)
            return ()

        monkeypatch.setattr(one.run.asks.callers.sources["studio"], "normalize", normalize)
        await one.run.asks.reread.ask(msgspec.structs.replace(came(one), headers=headers))
        assert seen == [((b"x", b"y"),)]


async def test_a_provider_that_is_still_at_it_is_asked_again(tmp_path: Path, store_url: str) -> None:
    """Who says that it is done, while the provider says that it is not, waits."""
    async with studio_world(tmp_path, store=store_url, confirms=True) as one:
        one.studio.jobs.append(JOB)
        one.studio.done = False
        with pytest.raises(ProviderBusy):
            await one.run.asks.reread.ask(came(one))


@pytest.mark.parametrize(
    ("body", "provider"), [(b"no result", "studio"), (b'{"id":"j1","status":"working"}', "studio"), (None, "other")]
)
async def test_what_names_no_result_cannot_be_read_again(
    tmp_path: Path, store_url: str, body: bytes | None, provider: str
) -> None:
    """Unreadable bytes, progress, a receipt of another provider that had the source's name."""
    async with studio_world(tmp_path, store=store_url, confirms=True) as one:
        one.studio.jobs.append(JOB)
        assert await one.run.asks.reread.ask(came(one, body, provider)) is None
        assert one.studio.polls == 0


async def test_what_the_provider_does_not_know_or_give_again_is_none(tmp_path: Path, store_url: str) -> None:
    """The token must do; a provider that gives results once is not asked."""
    async with studio_world(tmp_path, store=store_url, confirms=True) as one:
        assert await one.run.asks.reread.ask(came(one)) is None
    (tmp_path / "other").mkdir()
    async with studio_world(tmp_path / "other") as one:
        assert await one.run.asks.reread.ask(came(one)) is None
        assert one.studio.polls == 0
