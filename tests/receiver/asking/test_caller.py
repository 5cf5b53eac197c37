"""The driver of a provider's generators, against a server on this machine: tokens, limits, repeats, notes, files."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from both_engines import ENGINES, kept_on
from kept import kept_in
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.asking.caller import Caller
from receiver.asking.callers import StoredBuckets
from receiver.asking.client import ProviderClient
from receiver.contract.api import Api
from receiver.contract.asking import (
    Ask,
    Fetched,
    Form,
    FormFile,
    Limit,
    Note,
    Part,
    Steps,
    Swept,
    Token,
    ask,
)
from receiver.contract.errors import NoAccess, ProviderBusy, ProviderRefused, Unanswered, UsageError
from receiver.store import buckets
from receiver.testing.emulators.serving import serving
from receiver.testing.server import closes, listening
from receiver.testing.store import Clock


class Acme(Api):
    """An API with a token that lasts ten minutes."""

    name = "acme"
    limits = {"slow": Limit(count=3, seconds=60, parallel=2)}  # noqa: RUF012

    def __init__(self, base: str) -> None:
        self.base = base

    def authorize(self) -> Steps[Token]:
        answer = yield from ask(Ask(method="POST", url=f"{self.base}/token", authorized=False))
        return Token(headers=(("Authorization", answer.body.decode()),), expires_in=600)


class Site(msgspec.Struct, kw_only=True):
    """A caller, and what it asked."""

    api: Acme
    caller: Caller
    clock: Clock
    seen: list[tuple[str, str, bytes, str | None]]
    sleeps: list[float]
    answers: list[Response]


@contextlib.asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[Site]:
    """Run a server that answers what `answers` holds, else 200 with what it got."""
    clock = Clock()
    seen: list[tuple[str, str, bytes, str | None]] = []
    sleeps: list[float] = []
    answers: list[Response] = []

    async def token(_: Request) -> Response:
        seen.append(("POST", "/token", b"", None))
        return Response(f"Bearer {len(seen)}")

    async def anything(request: Request) -> Response:
        body = await request.body()
        seen.append((request.method, str(request.url.path), body, request.headers.get("authorization")))
        return answers.pop(0) if answers else JSONResponse({"bytes": len(body)})

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        clock.ms += int(seconds * 1000)

    methods = ["GET", "POST", "PUT"]
    app = Starlette(routes=[Route("/token", token, methods=["POST"]), Route("/{rest:path}", anything, methods=methods)])
    async with (
        serving(app) as base,
        kept_in(folder / "store.db", clock) as store,
        ProviderClient(private=True) as client,
    ):
        api = Acme(base)
        caller = Caller(api, client, StoredBuckets(store, "acme"), now=clock, sleep=sleep)
        yield Site(api=api, caller=caller, clock=clock, seen=seen, sleeps=sleeps, answers=answers)


def one(site: Site, **changes: Any) -> Steps[int]:
    """Ask once and return the answer's status."""
    asked = {"url": f"{site.api.base}/jobs", "body": b"{}", **changes}
    answer = yield from ask(Ask(method="POST", **asked))
    return answer.status


async def test_a_token_is_shared_until_it_runs_out(tmp_path: Path) -> None:
    """Many at once fetch one; a minute before its end another is fetched."""
    async with asking(tmp_path) as site:
        await asyncio.gather(*(site.caller.run(one(site)) for _ in range(5)))
        assert [path for _, path, _, _ in site.seen].count("/token") == 1
        assert {proof for _, path, _, proof in site.seen if path == "/jobs"} == {"Bearer 1"}
        site.clock.ms += 541_000
        await site.caller.run(one(site))
        assert [path for _, path, _, _ in site.seen].count("/token") == 2


async def test_a_401_is_answered_with_a_fresh_token_once(tmp_path: Path) -> None:
    """The second 401 is the provider's word."""
    async with asking(tmp_path) as site:
        site.answers += [Response(status_code=401)]
        assert await site.caller.run(one(site)) == 200
        assert [path for _, path, _, _ in site.seen] == ["/token", "/jobs", "/token", "/jobs"]
        site.answers += [Response(status_code=401), Response(status_code=401)]
        assert await site.caller.run(one(site)) == 401


async def test_a_token_that_is_not_given_leaves_no_doubt(tmp_path: Path) -> None:
    """What needed it was not sent: refused for good, or to be tried again where the answer about the token was lost."""
    async with asking(tmp_path) as site, listening() as server:

        def refuses() -> Steps[Token]:
            yield from ()
            raise ProviderRefused("wrong credentials")

        site.api.authorize = refuses  # type: ignore[method-assign]
        with pytest.raises(NoAccess, match="wrong credentials"):
            await site.caller.run(one(site, creates=True))

        def unheard() -> Steps[Token]:
            yield from ask(Ask(method="POST", url=server.url(), authorized=False))
            raise AssertionError

        server.answer = closes
        site.api.authorize = unheard  # type: ignore[method-assign]
        with pytest.raises(ProviderBusy):
            await site.caller.run(one(site, creates=True))
        assert site.seen == []


async def test_a_429_freezes_the_bucket_for_everybody(tmp_path: Path) -> None:
    """It waits as long as it was told, and then goes on; what creates is repeated too, because it was not taken."""
    async with asking(tmp_path) as site:
        site.answers += [Response(status_code=429, headers={"retry-after": "40"})]
        assert await site.caller.run(one(site, bucket="slow", creates=True)) == 200
        assert site.sleeps == [40]
        site.answers += [Response(status_code=429)]
        site.clock.ms += 60_000
        assert await site.caller.run(one(site, bucket="slow")) == 200
        assert site.sleeps == [40, 30]


async def test_who_is_told_to_wait_long_comes_back_by_himself(tmp_path: Path) -> None:
    """Nobody sleeps for an hour inside a command; the error says how long."""
    async with asking(tmp_path) as site:
        site.answers += [Response(status_code=429, headers={"retry-after": "3600"})]
        with pytest.raises(ProviderBusy) as raised:
            await site.caller.run(one(site, bucket="slow"))
        assert (raised.value.after, site.sleeps) == (3600, [])


async def test_limits_are_kept_in_any_stretch_of_time(tmp_path: Path) -> None:
    """Three a minute: the fourth waits until the first is a minute old."""
    async with asking(tmp_path) as site:
        for _ in range(3):
            await site.caller.run(one(site, bucket="slow"))
            site.clock.ms += 10_000
        await site.caller.run(one(site, bucket="slow"))
        assert site.sleeps == [30]


@pytest.mark.parametrize("engine", ENGINES)
async def test_many_at_once_keep_a_limit_together(engine: str, tmp_path: Path) -> None:
    """Of a hundred who ask in the same moment, as many go on as the limit says, and a pause holds for all."""
    async with kept_on(engine, tmp_path, Clock()) as store:
        limit = Limit(count=7, seconds=60)
        waits = await asyncio.gather(*(buckets.take(store, "acme", "jobs", limit) for _ in range(100)))
        assert sorted(waits) == [0] * 7 + [60] * 93
        await buckets.freeze(store, "acme", "other", 90)
        await buckets.freeze(store, "acme", "other", 30)
        assert await buckets.take(store, "acme", "other", limit) == 90


async def test_what_fails_is_repeated_where_it_is_safe(tmp_path: Path) -> None:
    """Reading is repeated after 5xx, up to four times; what creates is not, because it may have been done."""
    async with asking(tmp_path) as site:
        site.answers += [Response(status_code=502), Response(status_code=500)]
        assert await site.caller.run(one(site)) == 200
        site.answers += [Response(status_code=502)] * 4
        with pytest.raises(ProviderBusy, match="502"):
            await site.caller.run(one(site))
        site.answers += [Response(status_code=502)]
        with pytest.raises(Unanswered):
            await site.caller.run(one(site, creates=True))
        assert site.sleeps == [2, 4, 2, 4, 8]


async def test_a_closed_connection_leaves_it_open_what_happened(tmp_path: Path) -> None:
    """Sent and not answered is one thing, never sent another."""
    async with asking(tmp_path) as site, listening() as server:
        server.answer = closes
        with pytest.raises(Unanswered, match="the connection was closed before the answer"):
            await site.caller.run(one(site, url=server.url(), authorized=False, creates=True))
        assert len(server.requests) == 1
    async with asking(tmp_path) as site:
        with pytest.raises(ProviderBusy, match="connect"):
            await site.caller.run(one(site, url=server.url(), authorized=False, creates=True))


async def test_parts_of_a_file_are_streamed(tmp_path: Path) -> None:
    """A stretch with its length, a form around another, each from the file's own bytes; progress counts them."""
    recording = tmp_path / "call.wav"
    recording.write_bytes(bytes(range(256)) * 4096)
    handed: list[int] = []
    async with asking(tmp_path) as site:
        part = Part(start=10, length=700_000)
        await site.caller.run(one(site, body=part), path=recording, progress=handed.append)
        assert site.seen[-1][2] == recording.read_bytes()[10:700_010]
        assert sum(handed) == 700_000
        form = Form(
            fields=(("agent_id", "a"),),
            file=FormFile(field="audio", name="call.wav", content_type="audio/wav", part=Part(start=1_048_570)),
        )
        await site.caller.run(one(site, body=form), path=recording)
        sent = site.seen[-1][2]
        assert b'name="agent_id"\r\n\r\na\r\n' in sent
        assert b'filename="call.wav"\r\nContent-Type: audio/wav\r\n\r\n\xfa\xfb\xfc\xfd\xfe\xff\r\n' in sent


async def test_notes_are_kept_before_it_goes_on(tmp_path: Path) -> None:
    """What they hold outlives a crash in the next request."""
    order: list[tuple[str | None, dict[str, Any], list[Any]]] = []

    def steps(site: Site) -> Steps[int]:
        yield Note(state={"chunk": 1}, job_id="j-1")
        return (yield from one(site))

    async def remember(note: Note) -> None:
        order.append((note.job_id, note.state, [*site.seen]))

    async with asking(tmp_path) as site:
        site.answers += [Response(status_code=404)]
        assert await site.caller.run(steps(site), remember=remember) == 404
        assert order == [("j-1", {"chunk": 1}, [])]


async def test_a_sweep_yields_as_it_finds(tmp_path: Path) -> None:
    """Results come between requests."""

    def steps(site: Site) -> Swept:
        for page in range(2):
            answer = yield from ask(Ask(method="GET", url=f"{site.api.base}/list", query=(("page", str(page)),)))
            yield Fetched(body=answer.body)

    async with asking(tmp_path) as site:
        found = [(result.body, len(site.seen)) async for result in site.caller.sweep(steps(site))]
        assert found == [(b'{"bytes":0}', 2), (b'{"bytes":0}', 3)]


async def test_answers_have_a_bound(tmp_path: Path) -> None:
    """A provider that sends without an end is not read without one."""
    async with asking(tmp_path) as site:
        site.answers += [Response(b"x" * 5000)]
        with pytest.raises(ProviderRefused, match="more than 4096 bytes"):
            await site.caller.run(one(site, bound=4096))


async def test_private_addresses_are_refused(tmp_path: Path) -> None:
    """Unless the source says otherwise; names and odd spellings are resolved first."""
    async with asking(tmp_path) as site, ProviderClient(private=False) as client:
        for host in ("127.0.0.1", "localhost", "127.1"):
            url = site.api.base.replace("127.0.0.1", host)
            with pytest.raises(ProviderBusy, match="not a public address"):
                await client.send(Ask(method="GET", url=url))
        assert site.seen == []


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    """They could take the credentials with them."""
    async with asking(tmp_path) as site:
        site.answers += [Response(status_code=307, headers={"location": "/elsewhere"})]
        assert await site.caller.run(one(site)) == 307
        assert [path for _, path, _, _ in site.seen] == ["/token", "/jobs"]


async def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    """Requests, answers and tokens may stand in a traceback."""
    secret = "canary-4711"
    values = (
        Ask(method="GET", url=f"https://api.example.com/x?key={secret}", headers=(("X-API-Key", secret),)),
        Token(headers=(("Authorization", secret),)),
        Fetched(body=secret.encode()),
    )
    assert secret not in repr(values)


@pytest.mark.parametrize("verb", ["authorize", "subscriptions"])
def test_what_a_provider_has_not_is_said(verb: str) -> None:
    """An Api that overrides nothing refuses everything by name."""
    with pytest.raises(UsageError, match="acme has no "):
        getattr(type("Bare", (Api,), {"name": "acme"})(), verb)()
