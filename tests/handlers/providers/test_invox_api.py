"""INVOX Medical asked: recorded answers, and its emulator under every switch."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from asking_fakes import WAV, Asked, answered, asked, played, submission

from handlers.providers.invox import Invox, InvoxSettings
from handlers.providers.invox.api import InvoxApi
from receiver.contract.asking import Answer, Ask, Fetched, Missing, Note, Part, Pending, Submitted
from receiver.contract.errors import ConfigError, ProviderBusy, ProviderRefused, Unanswered, Unreadable, UsageError
from receiver.contract.model import Headers, InboundRequest, Progress, Receipt, Result, Verdict
from receiver.contract.proof import Proven
from receiver.contract.settings import Secret
from receiver.doctor import inferred
from receiver.testing.emulators.invox import TOKEN_PATH, InvoxEmulator
from receiver.testing.emulators.invox_switches import Switches
from receiver.testing.emulators.posting import Sending
from receiver.testing.server import RawServer, closes, listening, never, writes
from receiver.testing.store import Clock

ADDRESS = "https://calls.example.com/hooks/invox/t"
SERVER = {
    "app_id": "emulated-app",
    "api_key": ["emulated-api-key"],
    "api_url": "https://invox.example",
    "token_url": "t",
}
DEFAULT = Switches()
GIVEN = {"requestId": "r-1", "presignedUrl": "https://s3.example/r-1?X-Amz-Signature=s"}
JSON_GRANT = {"authorization": "", "body": '{"credentials":"{credentials}"}', "content_type": "application/json"}
GRANTS: dict[str, dict[str, Any]] = {"oauth": {}, "get": {"method": "GET", "body": ""}, "json": JSON_GRANT}
SENDINGS = (Sending(copies=2), Sending(late=0.05), Sending(lost=True), Sending(retries=2), Sending(early=True))


def provider(**changes: Any) -> Invox:
    """Make a source with credentials, checked as at a start."""
    table = {"provider": "invox", "token": ["a-token-of-this-test"], **SERVER, **changes}
    settings = msgspec.convert(table, InvoxSettings, dec_hook=lambda _, value: Secret(value))
    settings.check()
    return Invox("source", settings)


def api(**changes: Any) -> InvoxApi:
    """Make the API of a source."""
    made = provider(**changes).api()
    assert made is not None
    return made


@contextlib.asynccontextmanager
async def running(
    folder: Path, switches: Switches = DEFAULT, **settings: Any
) -> AsyncIterator[tuple[InvoxEmulator, Asked, Invox]]:
    """Run an emulator, with a caller of a source whose settings fit it."""
    clock = Clock()
    made = InvoxEmulator(switches, now=clock)
    inner = {"member": ["data.accessToken"], "expiry_member": ["data.expiresIn"]}
    form = GRANTS[switches.grant] | (inner if switches.grant_member == "inner" else {})
    fitting = {"token_url": TOKEN_PATH, "token_request": form, **settings}
    async with asked(folder, made.app, lambda base: provider(api_url=base, **fitting).api(), clock) as site:
        yield made, site, provider(**fitting)
        await made.callbacks.settled()


def normalized(source: Invox, body: bytes, headers: Headers = (), verdict: Verdict = Verdict.TOKEN) -> Any:
    """Normalize a body that was proven."""
    receipt = Receipt(
        id="rcp_1", source="source", provider="invox", verdict=verdict, received_at=0, headers=headers, body=body
    )
    (one,) = source.normalize(receipt)
    return one


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"api_url": None}, "app_id, token_url: app_id, api_key, api_url and token_url are needed together"),
        ({"token_url": None}, "app_id, api_url: "),
        ({"api_key": []}, "app_id, api_url, token_url: "),
    ],
)
def test_what_asking_needs(changes: dict[str, Any], said: str) -> None:
    """Base URL and token endpoint are on no readable page: nothing is assumed."""
    with pytest.raises(ConfigError, match=said):
        provider(**changes)
    assert provider(app_id=None, api_url=None, token_url=None).api() is None
    assert Invox.api_settings == ("app_id", "api_key", "api_url", "token_url")


def test_what_is_inferred_is_said_where_it_counts() -> None:
    """`doctor` names the guesses about asking once INVOX is asked, those of the token request too."""

    def named(source: Invox) -> set[str]:
        return {line.partition(" is ")[0] for line in inferred(source.settings)}

    asked_for = {"api_version", "token_request.method", "token_request.member"}
    assert asked_for <= named(provider())
    assert not asked_for & named(provider(app_id=None, api_url=None, token_url=None))


@pytest.mark.parametrize(
    ("answer", "token", "seconds"),
    [
        ({"accessToken": "T", "expiresIn": 7000}, "T", 7000.0),
        ({"access_token": "T", "expires_in": "600"}, "T", 600.0),
        ({"token": "T"}, "T", 7200.0),
        ({"token": "T", "expiresIn": "soon"}, "T", 7200.0),
        ({"token": "T", "expiresIn": {}}, "T", 7200.0),
    ],
)
def test_a_token(answer: dict[str, Any], token: str, seconds: float) -> None:
    """Basic with the Base64 of `APP Id:API Key`; two hours unless the answer says so itself."""
    (ask,), got = played(api().authorize(), answered(200, answer))
    assert isinstance(ask, Ask)
    assert (ask.method, ask.url, ask.body) == ("POST", "https://invox.example/t", b"grant_type=client_credentials")
    assert dict(ask.headers) == {
        "Authorization": "Basic ZW11bGF0ZWQtYXBwOmVtdWxhdGVkLWFwaS1rZXk=",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    assert not ask.authorized
    assert (got.headers, got.expires_in) == ((("Authorization", f"Bearer {token}"),), seconds)


def test_a_token_as_the_settings_say() -> None:
    """Any other form of request and answer can be spelled out."""
    form = {**JSON_GRANT, "member": ["data.jwt"], "expiry_member": ["data.ttl"]}
    made = api(token_url="https://login.example/v2", token_request=form)
    (ask,), got = played(made.authorize(), answered(200, {"data": {"jwt": "J", "ttl": 60}}))
    assert isinstance(ask, Ask)
    assert (ask.url, ask.body) == (
        "https://login.example/v2",
        b'{"credentials":"ZW11bGF0ZWQtYXBwOmVtdWxhdGVkLWFwaS1rZXk="}',
    )
    assert ask.headers == (("Content-Type", "application/json"),)
    assert (got.headers[0][1], got.expires_in) == ("Bearer J", 60.0)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (answered(401, {"messsage": "No"}), ProviderRefused,
         "INVOX gives no token: check app_id, api_key, token_url and token_request: 401, No"),
        (answered(400, {"error": "invalid_client", "error_description": "bad"}), ProviderRefused, "invalid_client bad"),
        (answered(503, b""), ProviderBusy, "INVOX gives no token"),
        (answered(302, b""), ProviderRefused, "INVOX redirects (302), which is not followed; check api_url"),
        (answered(200, {"jwt": "SECRET"}), ProviderRefused, "set token_request.member to one of its members, jwt"),
        (answered(200, {}), ProviderRefused, "of which there are none"),
        (answered(200, b"<html>"), ProviderRefused, "is not JSON"),
    ],
)  # fmt: skip
def test_no_token(answer: Answer, kind: type[Exception], said: str) -> None:
    """The settings to look at are named; no value of an answer is shown."""
    with pytest.raises(kind) as raised:
        played(api().authorize(), answer)
    assert said in str(raised.value)
    assert "SECRET" not in str(raised.value)


def test_a_submission() -> None:
    """An address for the upload, a note, the upload with the same content type and without our token, a note."""
    steps = api().submit(submission(callback_url=ADDRESS, recording={"content_type": "audio/mpeg"}), {})
    seen, done = played(steps, answered(200, GIVEN), answered(204))
    first, before, upload, after = seen
    assert isinstance(first, Ask)
    assert isinstance(upload, Ask)
    assert first.url == "https://invox.example/api/v1/generate-presigned-url"
    assert first.body == b'{"mimeType":"audio/mp3","callbackUrl":"https://calls.example.com/hooks/invox/t"}'
    assert dict(first.headers)["X-Invox-Medical-Api-Version"] == "2025-10-01"
    assert before == Note(state={"requestId": "r-1", "upload": GIVEN["presignedUrl"]}, job_id="r-1")
    assert (upload.method, upload.url, upload.body) == ("PUT", GIVEN["presignedUrl"], Part())
    assert (upload.headers, upload.authorized) == ((("Content-Type", "audio/mp3"),), False)
    assert after == Note(state={"requestId": "r-1", "uploaded": True}, job_id="r-1")
    assert done == Submitted(job_id="r-1")


def test_resuming() -> None:
    """An upload that is through is not made again; one that may not be goes to the same address."""
    assert played(api().submit(submission(), {"requestId": "r-1", "uploaded": True})) == ([], Submitted(job_id="r-1"))
    noted = {"requestId": "r-1", "upload": GIVEN["presignedUrl"]}
    pending = answered(200, {"processingStatus": "PENDING"})
    (_, upload, _), done = played(api().submit(submission(), noted), pending, answered(200))
    assert isinstance(upload, Ask)
    assert (upload.url, done.job_id) == (GIVEN["presignedUrl"], "r-1")
    with pytest.raises(ProviderRefused, match=r"good no more \(403\), and whether .* submit it --again"):
        played(api().submit(submission(), noted), answered(404), answered(403))


@pytest.mark.parametrize(
    ("answers", "kind", "said"),
    [
        ([answered(400, {"messsage": "bad type", "errorType": "inconsistentInput"})], ProviderRefused,
         "call.wav: INVOX gives no address for the upload: 400, inconsistentInput bad type"),
        ([answered(401, {"message": "no"})], ProviderRefused, "401, no"),
        ([answered(403, {"messsage": "no"})], ProviderRefused,
         "403, no; the application's credentials need the permission BATCH-TRANSCRIBE"),
        ([answered(403, b"")], ProviderRefused, "need the permission BATCH-TRANSCRIBE"),
        ([answered(400, [])], ProviderRefused, "for the upload: 400"),
        ([answered(200, {"requestId": "r"})], ProviderRefused, "lacks presignedUrl or requestId"),
        ([answered(200, b"<html>")], ProviderRefused, "is not JSON"),
        ([answered(307, b"")], ProviderRefused, "INVOX redirects (307), which is not followed"),
        ([answered(200, GIVEN), answered(403, b"<Error/>")], ProviderRefused, "call.wav: the storage did not take it: 403"),
        ([answered(200, GIVEN), answered(503, b"")], ProviderBusy, "call.wav: the storage did not take it: 503"),
    ],
)  # fmt: skip
def test_submissions_that_are_refused(answers: list[Answer], kind: type[Exception], said: str) -> None:
    """Both spellings of `message` are read; nothing shows the address for the upload."""
    with pytest.raises(kind) as raised:
        played(api().submit(submission(), {}), *answers)
    assert said in str(raised.value)
    assert "X-Amz" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"options": {"speakers": 2}}, "call.wav: INVOX takes no options, such as speakers"),
        ({"language": "es"}, "call.wav: INVOX cannot be told a language"),
        ({"recording": {"sha256": None, "url": "https://x.example/a.wav"}}, "download it and submit the file"),
        ({"recording": {"size": 0}}, "call.wav: it is empty"),
        (
            {"recording": {"content_type": "audio/amr"}},
            "INVOX takes no audio/amr; it takes audio/flac, audio/m4a, audio/mp3",
        ),
    ],
)
def test_what_is_refused_before_it_is_sent(changes: dict[str, Any], said: str) -> None:
    """The message names file and way out."""
    with pytest.raises(UsageError) as raised:
        api().check(submission(**changes))
    assert said in str(raised.value)
    api().check(submission(recording={"content_type": "audio/mpeg"}))
    assert api().not_before(5.0) == 5.0


HEADER: Headers = ((b"hookscribe-job-id", b"r-1"),)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answered(404, {"message": "?"}), Missing()),
        (answered(200, {"processingStatus": "PENDING"}), Pending(status="PENDING")),
        (answered(200, {"transcriptionStatus": "QUEUED"}), Pending(status="QUEUED")),
        (answered(200, b'{"transcriptionStatus":"ERROR"}'),
         Fetched(body=b'{"transcriptionStatus":"ERROR"}', headers=HEADER, job_id="r-1")),
        (answered(200, b'{"processingStatus":"COMPLETED"}'),
         Fetched(body=b'{"processingStatus":"COMPLETED"}', headers=HEADER, job_id="r-1")),
    ],
)  # fmt: skip
def test_polling(answer: Answer, outcome: Any) -> None:
    """Either member holds the status; a header says what the body does not."""
    (ask,), found = played(api(api_version=None).poll("r-1", "transcription"), answer)
    assert isinstance(ask, Ask)
    assert (ask.url, ask.body) == ("https://invox.example/api/v1/get-transcription", b'{"requestId":"r-1"}')
    assert ask.headers == (("Content-Type", "application/json"),)
    assert found == outcome
    with pytest.raises(ProviderRefused, match=r"the transcription of r-1 was not given: 403.*BATCH-TRANSCRIBE"):
        played(api().poll("r-1", "transcription"), answered(403))


def test_a_polled_body_is_of_the_request_that_was_asked_about() -> None:
    """Only where we asked: the same header on a callback is anybody's."""
    body = b'{"processingStatus":"COMPLETED","transcription":[]}'
    found = normalized(provider(), body, HEADER, Verdict.FETCHED)
    assert isinstance(found, Result)
    assert (found.job_id, found.status) == ("r-1", "completed")
    pending = normalized(provider(), b'{"processingStatus":"PENDING"}', HEADER, Verdict.FETCHED)
    assert isinstance(pending, Progress)
    for headers, verdict in ((HEADER, Verdict.TOKEN), ((), Verdict.FETCHED)):
        with pytest.raises(Unreadable, match="requestId is missing"):
            normalized(provider(), body, headers, verdict)


def test_a_confirmed_callback_keeps_its_speakers() -> None:
    """Where polling says the same but for them; where it says anything else, that counts."""
    said = {"text": "Hm.", "start": 1, "end": 2}
    came = msgspec.json.encode({"requestId": "r-1", "transcription": [{**said, "speaker": "0"}], "createdAt": 1})

    def agreed(came: bytes, **polled: Any) -> bool:
        body = msgspec.json.encode({"processingStatus": "COMPLETED", "transcription": [said], **polled})
        found = provider().agreed(came, body)
        assert found in {came, body}
        return found == came

    assert agreed(came)
    assert agreed(came, vttTranscription="WEBVTT")
    assert not agreed(came, transcription=[{**said, "text": "Hm?"}])
    assert not agreed(came, transcription=[said, said])
    assert not agreed(came, processingStatus="ERROR")
    assert not agreed(came, transcription=7)
    assert not agreed(b"{", transcription=[said])
    confirmed = normalized(provider(), b'{"transcription":[]}', HEADER, Verdict.CONFIRMED)
    assert confirmed.job_id == "r-1"


def test_keys_of_polled_bodies() -> None:
    """They go by the request that was asked about; those of two requests differ although they say the same."""

    def key(job_id: str, verdict: Verdict = Verdict.FETCHED) -> bytes:
        headers = ((b"hookscribe-job-id", job_id.encode()),)
        body = b'{"processingStatus":"ERROR"}'
        request = InboundRequest(source="source", token=None, headers=headers, body=body, received_at=0)
        return provider().message_key(Proven(request=request, verdict=verdict))

    assert key("r-1") == key("r-1")
    assert key("r-1") != key("r-2")
    assert key("r-1").startswith(b"r-1:")
    assert key("r-1", Verdict.TOKEN) == key("r-2", Verdict.TOKEN)


def test_there_is_nothing_to_sweep() -> None:
    """It is said why, and what can be done."""
    with pytest.raises(UsageError, match="INVOX has no list of its transcriptions"):
        api().sweep(0)


def every_switch() -> list[Any]:
    """Return the defaults, and every other value of every switch that has a few."""
    found = [pytest.param({}, id="defaults")]
    for name, hint in get_type_hints(Switches).items():
        values = (False, True) if hint is bool else get_args(hint)
        choices = (value for value in values if value not in {getattr(DEFAULT, name), int, type(None)})
        found += [pytest.param({name: value}, id=f"{name}={value}") for value in choices if name != "permitted"]
    more = [{"requests_per_minute": 1}, {"requests_per_minute": 1, "retry_after": False}, {"grant_seconds": 61}]
    found += [pytest.param(one, id="-".join(one)) for one in more]
    return [*found, *(pytest.param({"callbacks": how}, id=f"callbacks-{n}") for n, how in enumerate(SENDINGS))]


@pytest.mark.parametrize("switched", every_switch())
async def test_every_switch(tmp_path: Path, switched: dict[str, Any]) -> None:
    """Submitted, called back unless that is lost, polled: the same result, whatever is switched."""
    switches = Switches(**switched)
    pair = {"webhook_api_key": ["emulated-public"], "webhook_secret_key": ["emulated-private"]}
    async with running(tmp_path, switches, **pair) as (made, site, source):
        done = await site.caller.run(site.api.submit(submission(callback_url=site.hooks), {}), path=site.path)
        await made.callbacks.settled()
        assert (made.requests[done.job_id].size, made.requests[done.job_id].uploads) == (len(WAV), 1)
        silent = switches.callbacks.lost or (switches.outcome == "ERROR" and not switches.failures_called_back)
        assert len(site.came) == (0 if silent else switches.callbacks.copies)
        proven = [source.prove(one, site.clock()) for one in site.came]
        for one in proven:
            assert isinstance(one, Proven)
            assert one.checks[0].ok is (switches.signature != "none")
        assert len({source.message_key(one) for one in proven if isinstance(one, Proven)}) == (0 if silent else 1)
        polled = await site.caller.run(site.api.poll(done.job_id, "transcription"))
        if not silent and not switches.polled_after_callback:
            assert polled == Missing()
            return
        assert isinstance(polled, Fetched)
        found = [normalized(source, polled.body, polled.headers, Verdict.FETCHED)]
        assert bool(found[0].speakers) is switches.polled_speakers
        found += [normalized(source, one.body) for one in site.came]
        assert {one.job_id for one in found} == {done.job_id}
        if switches.outcome == "ERROR":
            assert (found[0].status, found[0].error.message) == ("failed", "The audio could not be decoded")
            return
        assert {(one.status, one.text) for one in found} == {("completed", found[0].text)}
        assert "Buenas tardes" in found[0].text
        assert all(len(one.speakers) == 2 for one in found[1:])


async def test_a_callback_of_a_failed_job(tmp_path: Path) -> None:
    """It has no status: should INVOX send one, it reads as an empty transcription, and polling tells the truth."""
    async with running(tmp_path, Switches(outcome="ERROR", failures_called_back=True)) as (made, site, source):
        done = await site.caller.run(site.api.submit(submission(callback_url=site.hooks), {}), path=site.path)
        await made.callbacks.settled()
        assert normalized(source, site.came[0].body).status == "completed"
        polled = await site.caller.run(site.api.poll(done.job_id, "transcription"))
        assert isinstance(polled, Fetched)
        assert normalized(source, polled.body, polled.headers, Verdict.FETCHED).status == "failed"


@pytest.mark.parametrize("early", ["pending", "unknown"])
async def test_polling_before_the_upload(tmp_path: Path, early: Any) -> None:
    """Either answer is one of a job that is not done."""
    async with running(tmp_path, Switches(before_upload=early)) as (made, site, _):
        steps = site.api.submit(submission(), {})
        with pytest.raises(FileNotFoundError):
            await site.caller.run(steps)
        (request,) = made.requests
        found = await site.caller.run(site.api.poll(request, "transcription"))
        assert isinstance(found, Pending if early == "pending" else Missing)


async def test_one_token_for_many_and_another_after_two_hours(tmp_path: Path) -> None:
    """It is shared, used until shortly before its end, and made anew when INVOX knows it no more."""
    async with running(tmp_path) as (made, site, _):
        steps = (site.api.poll(f"r-{number}", "transcription") for number in range(8))
        assert await asyncio.gather(*(site.caller.run(one) for one in steps)) == [Missing()] * 8
        assert len(made.tokens) == 1
        site.clock.ms += 7_150_000
        await site.caller.run(site.api.poll("r", "transcription"))
        assert len(made.tokens) == 2
        made.tokens.clear()
        await site.caller.run(site.api.poll("r", "transcription"))
        assert len(made.tokens) == 1


async def test_a_missing_permission(tmp_path: Path) -> None:
    """It is named, whatever is asked for."""
    async with running(tmp_path, Switches(permitted=False)) as (_, site, _):
        for steps in (site.api.submit(submission(), {}), site.api.poll("r", "transcription")):
            with pytest.raises(ProviderRefused, match="BATCH-TRANSCRIBE"):
                await site.caller.run(steps, path=site.path)


async def test_wrong_credentials(tmp_path: Path) -> None:
    """INVOX's own words, and the settings to look at."""
    async with running(tmp_path, api_key=["another"]) as (_, site, _):
        with pytest.raises(ProviderRefused, match=r"check app_id, api_key.*401, The credentials are not valid"):
            await site.caller.run(site.api.poll("r", "transcription"))


async def test_an_upload_that_came_too_late(tmp_path: Path) -> None:
    """The storage says no; a resumed job says that nobody knows whether the first try arrived."""
    async with running(tmp_path, Switches(upload_seconds=10)) as (made, site, _):
        noted: list[Note] = []

        async def remember(note: Note) -> None:
            noted.append(note)
            site.clock.ms += 60_000

        with pytest.raises(ProviderRefused, match=r"call\.wav: the storage did not take it: 403"):
            await site.caller.run(site.api.submit(submission(), {}), path=site.path, remember=remember)
        with pytest.raises(ProviderRefused, match="good no more"):
            await site.caller.run(site.api.submit(submission(), noted[0].state), path=site.path)
        assert [one.uploads for one in made.requests.values()] == [0]


async def test_a_crash_at_each_note_makes_one_request(tmp_path: Path) -> None:
    """Resumed with what was noted, a submission ends with one upload of one request that has a result.

    So it does where the last note was lost and the result is there: that is asked for first.
    """
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with running(folder) as (made, site, _):
            noted: list[Note] = []

            async def crash(note: Note, notes: list[Note] = noted, at: int = number) -> None:
                notes.append(note)
                if len(notes) == at:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                await site.caller.run(site.api.submit(submission(), {}), path=site.path, remember=crash)
            done = await site.caller.run(site.api.submit(submission(), noted[-1].state), path=site.path)
            await made.callbacks.settled()
            assert [(one.id, one.uploads) for one in made.requests.values()] == [(done.job_id, 1)]
            assert noted[0].job_id == done.job_id
            again = await site.caller.run(site.api.submit(submission(), noted[0].state), path=site.path)
            assert (again.job_id, again.result is not None) == (done.job_id, True)
            assert [one.uploads for one in made.requests.values()] == [1]


async def test_an_upload_that_is_cut_is_made_again(tmp_path: Path) -> None:
    """The same bytes to the same address: it is safe, and ends in words when it does not help."""
    async with running(tmp_path) as (_, site, _), listening() as server:
        server.answer = closes
        noted = {"requestId": "unknown", "upload": server.url(rest="/r-1?X-Amz-Signature=canary")}
        with pytest.raises(Unanswered, match="closed before the answer") as raised:
            await site.caller.run(site.api.submit(submission(), noted), path=site.path)
        assert "canary" not in str(raised.value)
        assert [body for _, _, body in server.requests] == [WAV] * 4
        assert {headers.get("authorization") for _, headers, _ in server.requests} == {None}


@pytest.mark.parametrize(
    ("raw", "kind", "said"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", ProviderRefused, "redirects"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", ProviderRefused, "is not JSON"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", ProviderBusy, "cannot do it now: 500"),
        (b"HTTP/1.1 429 No\r\nRetry-After: 900\r\nContent-Length: 0\r\n\r\n", ProviderBusy, "cannot do it now: 429"),
        (b"not http\r\n\r\n", Unanswered, "closed before the answer"),
    ],
)  # fmt: skip
async def test_servers_that_are_not_invox(tmp_path: Path, raw: bytes, kind: type[Exception], said: str) -> None:
    """Each is a sentence."""
    async with running(tmp_path) as (_, site, _), listening() as server:
        server.answer = writes(raw)
        with pytest.raises(kind, match=said):
            await site.caller.run(api(api_url=server.url(rest="")).authorize())


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    """The wait has an end."""

    def impatient(server: RawServer) -> Any:
        for wanted in api(api_url=server.url(rest="")).authorize():
            assert isinstance(wanted, Ask)
            yield msgspec.structs.replace(wanted, timeout=0.05)

    async with running(tmp_path) as (_, site, _), listening() as server:
        server.answer = never
        with pytest.raises(Unanswered, match="no answer in time"):
            await site.caller.run(impatient(server))
