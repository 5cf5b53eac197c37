"""Subscriptions against emulators over HTTP, with a real receiver behind them: made, renewed, moved, healed, told of."""

import asyncio
import contextlib
import hmac
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from audited_table import COMMANDS
from starlette.applications import Starlette

from receiver.config import Config, load
from receiver.contract.errors import ProviderRefused, UsageError
from receiver.pipeline.jobs.subscriptions import DEAD, Subscriptions, Upkeep
from receiver.pipeline.outbox import Outbox, Route
from receiver.registry import discover
from receiver.runtime import Running, subscribing
from receiver.store.audit import Trail
from receiver.store.lists import Lists
from receiver.store.opening import is_shared
from receiver.testing.emulators.callmissed_webhooks import Webhooks
from receiver.testing.emulators.ringcentral_subscriptions import Subscriptions as Emulated
from receiver.testing.emulators.serving import serving as emulating
from receiver.testing.store import Clock
from receiver.web.reloading import Hangup
from receiver.web.serve import serving

CLIENT = ("app-id", "app-secret", "user-jwt")
KEY = "cm_live_canary"
FILTER = "/ai/ringsense/v1/public/accounts/~/domains/pbx/insights"
SETTINGS = """
store = "{store}"
admin_token = "canary-admin-0123456789"
{seal_key}[listen]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[sources.ace]
provider = "ringcentral"
api_url = "{api}"
api_private = true
client_id = "app-id"
client_secret = "app-secret"
jwt = "user-jwt"
verification_token = "a-verification-token-0123456789"
subscribe = ["{filter}"]
[sources.voice]
provider = "callmissed"
api_url = "{api}"
api_private = true
api_key = "cm_live_canary"
[sinks.archive]
kind = "jsonl"
path = "{folder}/events.jsonl"
"""


_VERBS = ("list", "create", "renew", "heal", "move")


class Site(msgspec.Struct, kw_only=True):
    """A running receiver, where providers reach it, and the emulated providers."""

    run: Running
    door: str
    ringcentral: Emulated
    callmissed: Webhooks
    clock: Clock
    config: Config
    path: Path

    @contextlib.asynccontextmanager
    async def verbs(self, public_url: str | None = None) -> AsyncIterator[Subscriptions]:
        """Give the verbs of a command that runs beside."""
        async with subscribing(self.run.runtime, public_url or self.door) as one:
            yield one

    async def look(self, one: Subscriptions) -> list[dict[str, Any]]:
        """Look after the subscriptions once; return the events about them so far."""
        store = self.run.runtime.store
        await Upkeep(one, store, Outbox([Route(sink="a", events=("*",), sources=("*",))], store.ids)).step()
        return [event for event in (await Lists(store.engine).events({})).items if event["type"] == DEAD]

    def only(self) -> dict[str, Any]:
        """Return RingCentral's one subscription."""
        (record,) = self.ringcentral.records.values()
        return record


@pytest.fixture
async def site(tmp_path: Path, store_url: str) -> AsyncIterator[Site]:
    """Run a receiver beside emulators of RingCentral and CallMissed."""
    clock = Clock()
    ringcentral, callmissed = Emulated(now=clock, client=CLIENT), Webhooks(key=KEY)
    async with emulating(Starlette(routes=[*ringcentral.routes, *callmissed.routes])) as api:
        path = tmp_path / "hookscribe.toml"
        seal_key = 'seal_key = "canary-seal-key-0123456789"\n' if is_shared(store_url) else ""
        path.write_text(SETTINGS.format(store=store_url, seal_key=seal_key, folder=tmp_path, api=api, filter=FILTER))
        config = load(path, {}, discover())
        async with serving(config, discover()) as (run, addresses):
            assert addresses.public
            yield Site(
                run=run,
                door=addresses.public,
                ringcentral=ringcentral,
                callmissed=callmissed,
                clock=clock,
                config=config,
                path=path,
            )


async def command(site: Site, *arguments: str) -> tuple[int, str, str]:
    """Run a command beside the receiver; return its exit code, output and complaints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from receiver.cli import main; main()",
        *("--config", str(site.path), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def taking_up(site: Site) -> AsyncIterator[None]:
    """Let the receiver take up new secrets and settings, as `serve` does."""
    hangup = Hangup(lambda: site.config, lambda: None)
    watching = [asyncio.create_task(hangup.watch(site.run)), asyncio.create_task(hangup.run(site.run))]
    try:
        await asyncio.sleep(0)
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def test_a_command_subscribes_and_lists(site: Site) -> None:
    """RingCentral shakes hands with the running receiver; the list shows the place, and never the token or the proof."""
    code, out, err = await command(site, "subscriptions", "create", "ace", "--to", site.door, "--json")
    assert (code, err) == (0, "")
    assert msgspec.json.decode(out)["at"] == site.door
    assert site.only()["deliveryMode"]["address"] == f"{site.door}/hooks/ace"
    assert site.only()["eventFilters"] == [FILTER]
    code, out, err = await command(site, "subscriptions", "list", "--to", site.door, "--json")
    assert (code, err) == (0, "")
    shown = msgspec.json.decode(out)
    assert (shown["source"], shown["alive"], shown["here"]) == ("ace", True, True)
    assert "verification" not in out


async def test_what_changes_subscriptions_is_written_down(site: Site) -> None:
    """Each verb, and the source that it was about; RingCentral's five logins a minute are not waited for."""
    engine = site.run.runtime.store.engine
    verbs = [words for words in COMMANDS if words.startswith("subscriptions ")]
    for words in sorted(verbs, key=lambda one: _VERBS.index(one.split()[1])):
        code, _, err = await command(site, *words.split(), "ace", "--to", site.door)
        assert (code, err) == (0, ""), words
        await engine.write("put_bucket", {"source": "ace", "bucket": "auth", "taken": "[]"})
    page = await Trail(site.run.runtime.store).listed({})
    assert [one["what"] for one in reversed(page.items)] == [COMMANDS[words] for words in verbs if COMMANDS[words]]
    assert {one["thing"] for one in page.items} == {"ace"}


async def test_one_provider_that_refuses_hides_no_other(site: Site) -> None:
    """What can be listed is shown; the source that cannot is named, and the command fails."""
    async with site.verbs() as one:
        await one.create("ace")
    site.path.write_text(site.path.read_text().replace(KEY, "cm_live_revoked"))
    code, out, err = await command(site, "subscriptions", "list", "--to", site.door, "--json")
    assert (code, msgspec.json.decode(out)["source"]) == (1, "ace")
    assert "voice: the subscriptions cannot be listed" in err


async def test_simulate_signs_with_the_secret_that_the_store_keeps(site: Site) -> None:
    """It stands nowhere in the settings; before there is one, nothing is sent and the way out is said."""
    code, out, err = await command(site, "simulate", "voice", "--to", f"{site.door}/hooks/voice")
    assert (code, out) == (2, "")
    assert "subscriptions create" in err
    async with taking_up(site), site.verbs() as one:
        made = await one.create("voice")
        async with asyncio.timeout(20):
            while await site.callmissed.deliver(made.id, b'{"event":"test","data":{}}') != 200:
                await asyncio.sleep(0.05)
        code, out, err = await command(site, "simulate", "voice", "--to", f"{site.door}/hooks/voice")
    assert (code, err) == (0, "")
    assert "as expected: 200 accepted" in out


async def test_a_request_by_hand_is_proven_by_the_secret_that_the_store_keeps(site: Site, tmp_path: Path) -> None:
    """As it is when it comes in."""
    async with site.verbs() as one:
        made = await one.create("voice")
    body = tmp_path / "body"
    body.write_bytes(b"{}")
    secret = site.callmissed.records[made.id]["secret"]
    signature = f"X-CallMissed-Signature: sha256={hmac.new(secret.encode(), b'{}', 'sha256').hexdigest()}"
    code, out, _ = await command(site, "verify", "--source", "voice", "--body", str(body), "--header", signature)
    assert (code, "proven" in out) == (0, True)


async def test_a_second_one_is_not_made(site: Site) -> None:
    """Everything would come twice."""
    async with site.verbs() as one:
        await one.create("ace")
        with pytest.raises(UsageError, match="has a live subscription"):
            await one.create("ace")


async def test_a_secret_that_is_shown_once_proves_from_then_on(site: Site) -> None:
    """The running receiver takes it up by itself, from the store, where it is sealed; a start has it too."""
    store, event = site.run.runtime.store, b'{"event":"test","data":{}}'
    async with taking_up(site):
        async with httpx.AsyncClient() as http:
            assert (await http.post(f"{site.door}/hooks/voice", content=event)).status_code == 401
        code, out, _ = await command(site, "subscriptions", "create", "voice", "--to", site.door)
        assert code == 0
        (record,) = site.callmissed.records.values()
        assert record["secret"] not in out
        async with asyncio.timeout(20):
            while await site.callmissed.deliver(record["id"], event) != 200:
                await asyncio.sleep(0.05)
    ((sealed,),) = [row[1:2] for row in await store.engine.rows("sealed_secrets", {"source": "voice"})]
    assert record["secret"].encode() not in sealed
    if not is_shared(site.config.root.store):
        assert (site.path.parent / "store.db-seal-key").stat().st_mode & 0o777 == 0o600


async def test_it_is_renewed_before_it_ends(site: Site) -> None:
    """With a third of its life left, and not before."""
    async with site.verbs() as one:
        await one.create("ace")
        site.ringcentral.age(4 * 86_400)
        await site.look(one)
        assert site.only()["expires"] - site.clock() == pytest.approx(3 * 86_400)
        site.ringcentral.age(86_400)
        await site.look(one)
    assert site.only()["expires"] - site.clock() == pytest.approx(7 * 86_400)


async def test_a_dead_one_is_told_of_once_and_healed(site: Site) -> None:
    """`ops.source_silent` says which and why; healing makes it anew, and its next death is told again."""
    async with site.verbs() as one:
        first = await one.create("ace")
        assert await site.look(one) == []
        site.ringcentral.blacklist(first.id)
        assert len(await site.look(one)) == 1
        assert len(await site.look(one)) == 1
        (healed,) = await one.heal("ace")
        assert healed.id != first.id
        assert site.only()["id"] == healed.id
        assert len(await site.look(one)) == 1
        site.ringcentral.records.clear()
        assert len(await site.look(one)) == 2
        (made,) = await one.heal("ace")
        assert site.only()["id"] == made.id


async def test_it_moves_to_a_new_tunnel(site: Site) -> None:
    """What sent to yesterday's address sends to today's; other hosts' are named before they are touched."""
    async with site.verbs() as one:
        await one.create("ace")
        await one.create("voice")
    (secret,) = [record["secret"] for record in site.callmissed.records.values()]
    moved = site.door.replace("127.0.0.1", "localhost")
    async with site.verbs(moved) as one:
        assert [mine.here for mine in await one.listed("ace")] == [False]
        await one.move("ace")
        await one.move("voice")
    assert site.only()["deliveryMode"]["address"] == f"{moved}/hooks/ace"
    (record,) = site.callmissed.records.values()
    assert (record["url"], record["secret"]) == (f"{moved}/hooks/voice", secret)
    site.callmissed.records["other"] = {**record, "id": "other", "url": "https://staging.example.com/hooks/voice"}
    async with site.verbs("https://new.example.com") as one:
        with pytest.raises(UsageError, match=r"localhost:.*staging\.example\.com: name the one to move"):
            await one.move("voice")
        assert len(await one.move("voice", former=moved)) == 1
    assert record["url"] == "https://new.example.com/hooks/voice"


async def test_a_lost_secret_is_healed_by_another_subscription(site: Site) -> None:
    """Nobody shows the first one's again."""
    async with site.verbs() as one:
        first = await one.create("voice")
        await site.run.runtime.store.engine.write("drop_secret", {"source": "voice", "name": first.id})
        (second,) = await one.heal("voice")
        assert [*site.callmissed.records] == [second.id]
        assert await one.heal("voice") == []


async def test_a_token_that_was_ended_is_fetched_anew(site: Site) -> None:
    """A 401 costs one more token, not the command."""
    async with site.verbs() as one:
        await one.listed("ace")
        async with asyncio.timeout(20):
            while (
                before := site.ringcentral.issued
            ) < 2 or site.ringcentral.lists < 2:  # the receiver's own, at its start
                await asyncio.sleep(0.01)
        await one.listed("ace")
        assert site.ringcentral.issued == before
        site.ringcentral.expire_tokens()
        await one.listed("ace")
        assert site.ringcentral.issued == before + 1


async def test_refusals_say_what_the_provider_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code and words of the provider, and no secret."""
    async with site.verbs("http://127.0.0.1:9") as one:
        with pytest.raises(ProviderRefused, match="SUB-525 WebHook response is invalid"):
            await one.create("ace")
    monkeypatch.setattr(site.ringcentral, "_client", ("another", "app", "jwt"))
    async with site.verbs() as one:
        with pytest.raises(ProviderRefused, match="check client_id, client_secret and jwt: 401, invalid_client"):
            await one.listed("ace")


async def test_without_an_address_nothing_is_made(site: Site) -> None:
    """The way out is named."""
    async with subscribing(site.run.runtime) as one:
        with pytest.raises(UsageError, match="public_url is not set"):
            await one.create("ace")
    code, _, err = await command(site, "subscriptions", "create", "nobody", "--to", site.door)
    assert (code, "there is no source nobody; the settings have ace, voice" in err) == (2, True)
