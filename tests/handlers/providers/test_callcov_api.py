"""CallCov asked: both generations against recorded answers, and against its emulator under every switch."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec
import pytest
from asking_fakes import Asked, answered, asked, played, submission
from starlette.applications import Starlette
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from handlers.providers.callcov import CallCov, CallCovSettings
from handlers.providers.callcov.api import CallCovApi
from receiver.contract.asking import Ask, Fetched, Form, Missing, Pending, Submission, Submitted
from receiver.contract.errors import ConfigError, ProviderBusy, ProviderRefused, Unanswered, UsageError
from receiver.contract.model import Call, Receipt, Result, Verdict
from receiver.contract.proof import Proven, Refused, digest
from receiver.contract.settings import Secret
from receiver.doctor import inferred
from receiver.testing.emulators.callcov import CallCovEmulator
from receiver.testing.emulators.callcov_switches import Switches
from receiver.testing.emulators.posting import Sending
from receiver.testing.emulators.serving import serving
from receiver.testing.server import closes, listening, writes
from receiver.testing.store import Clock

PARTIES = {"agent": "agent_017", "contact": "contact_4821"}
KEY = "sk_test_emulator"
ADDRESS = "https://calls.example.com/hooks/callcov/t"
DEFAULT = Switches()
BEYOND: tuple[Literal["queue", "refuse"], ...] = ("queue", "refuse")


def provider(**changes: Any) -> CallCov:
    """Make a source; texts of secret settings become secrets."""
    table = {"provider": "callcov", "token": ["a-token-of-this-test"], "api_key": KEY, **changes}
    settings = msgspec.convert(table, CallCovSettings, dec_hook=lambda _, value: Secret(value))
    settings.check()
    return CallCov("source", settings)


def api(**changes: Any) -> CallCovApi:
    """Make the API of a source."""
    made = provider(**changes).api()
    assert made is not None
    return made


def wanted(**changes: Any) -> Submission:
    """Make a submission with both parties."""
    options = {**PARTIES, **changes.pop("options", {})}
    return submission(**{"operation": "call-analysis", "callback_url": ADDRESS, "options": options, **changes})


@contextlib.asynccontextmanager
async def running(
    folder: Path, switches: Switches = DEFAULT, **settings: Any
) -> AsyncIterator[tuple[CallCovEmulator, Asked, CallCov]]:
    """Run an emulator, with a caller of a source whose settings fit it."""
    clock = Clock()
    made = CallCovEmulator(switches, now=clock)
    fitting = {"api_key_header": switches.key_header, **settings}
    async with asked(folder, made.app, lambda base: provider(api_url=base, **fitting).api(), clock) as site:
        yield made, site, provider(**fitting)
        await made.callbacks.settled()


def result(source: CallCov, body: bytes, verdict: Verdict = Verdict.TOKEN) -> Result:
    """Normalize a body that was proven."""
    receipt = Receipt(
        id="rcp_1", source="source", provider="callcov", verdict=verdict, received_at=0, headers=(), body=body
    )
    (one,) = source.normalize(receipt)
    assert isinstance(one, Result)
    return one


def test_no_api_without_a_key() -> None:
    """The key is named where it is missing."""
    assert provider(api_key=None).api() is None
    assert CallCov.api_settings == ("api_key",)
    assert provider().agreed(b"callback", b"answer") == b"answer"
    assert list(inferred(provider(api_key=None).settings)) == []
    assert [line.partition(" is ")[0] for line in inferred(provider().settings)] == ["api_key_header", "generation"]


def test_speakers_that_reading_lacks_are_the_callbacks() -> None:
    """Only where the same was said at the same times; everything else is what was read."""
    turn = {"text": "Good morning.", "start": 0, "end": 1}

    def body(**segment: Any) -> dict[str, Any]:
        return {"id": "u", "transcript": {"segments": [{**turn, **segment}]}}

    came = {**body(speaker="A"), "status": "forged"}

    def agreed(came: Any, reread: Any) -> Any:
        return json.loads(provider().agreed(json.dumps(came).encode(), json.dumps(reread).encode()))

    assert agreed(came, body()) == body(speaker="A")
    other: Any
    for other in (body(speaker="B"), body(text="Another."), {"id": "u"}, [], {"transcript": {"segments": [1]}}):
        assert agreed(came, other) == other
    for other in ([], {"transcript": {"segments": [1]}}, body()):
        assert agreed(other, body()) == body()


@pytest.mark.parametrize(("header", "value"), [("X-API-Key", KEY), ("Authorization", f"Bearer {KEY}")])
def test_the_key_goes_in_one_header(header: str, value: str) -> None:
    """As X-API-Key, or as Bearer: never both, and nothing is asked for it."""
    seen, token = played(api(api_key_header=header).authorize())
    assert (seen, token.headers, token.expires_in) == ([], ((header, value),), None)


def test_a_file_of_generation_analysis() -> None:
    """A form with the parties, the address and the file; no member that the page does not list."""
    call = Call(direction="inbound", started_at="2026-01-15T10:30:00Z")
    made = {"id": "u-1", "status": "processing", "metadata": {"webhook_url": ADDRESS}}
    (ask,), done = played(api().submit(wanted(call=call, metadata={"a": "b"}), {}), answered(201, made))
    assert isinstance(ask, Ask)
    assert isinstance(ask.body, Form)
    assert (ask.method, ask.url) == ("POST", "https://api.callcov.com/api/v1/analysis/")
    assert dict(ask.body.fields) == {"agent_id": "agent_017", "contact_id": "contact_4821", "webhook_url": ADDRESS}
    assert ask.body.file
    assert (ask.body.file.field, ask.body.file.name, ask.body.file.content_type) == (
        "audio_file",
        "call.wav",
        "audio/wav",
    )
    assert (ask.creates, ask.bucket) == (True, "submissions")
    assert done == Submitted(job_id="u-1")


def test_a_file_of_generation_calls() -> None:
    """Direction and time go by options before the call; metadata is a JSON string."""
    made = {
        "analysis_id": "anl_1",
        "status": "processing",
        "created_at": "2026-01-12T12:00:00Z",
        "estimated_completion": "2026-01-12T12:02:00Z",
        "webhook_url": ADDRESS,
    }
    call = Call(direction="inbound", started_at="2026-01-15T10:30:00Z", agent_id="a", contact_id="c")
    given = wanted(call=call, metadata={"team": "Süd"}, options={"direction": "outbound", "contact": ""})
    (ask,), done = played(api(generation="calls").submit(given, {}), answered(200, made))
    assert isinstance(ask, Ask)
    assert isinstance(ask.body, Form)
    assert ask.url.endswith("/api/v1/calls/analyze")
    fields = dict(ask.body.fields)
    assert json.loads(fields.pop("metadata")) == {"team": "Süd"}
    assert fields == {
        "agent_id": "agent_017",
        "contact_id": "c",
        "webhook_url": ADDRESS,
        "call_direction": "outbound",
        "call_timestamp": "2026-01-15T10:30:00Z",
    }
    assert done == Submitted(job_id="anl_1", deadline_in=120.0)


def test_an_address_goes_as_json() -> None:
    """A recording that we never had is fetched by CallCov."""
    recording = {"url": "https://files.example.com/a.wav", "sha256": None, "size": None}
    (ask,), _ = played(
        api(generation="calls").submit(wanted(recording=recording), {}),
        answered(202, {"analysis_id": "anl_1", "status": "processing"}),
    )
    assert isinstance(ask, Ask)
    assert isinstance(ask.body, bytes)
    assert json.loads(ask.body)["audio_url"] == "https://files.example.com/a.wav"
    assert ask.headers == (("Content-Type", "application/json"),)
    assert api(upload="url").fetches("call-analysis")
    assert not api().fetches("call-analysis")


@pytest.mark.parametrize(
    ("headers", "made", "seconds"),
    [
        ({"date": "Mon, 12 Jan 2026 12:00:30 GMT"}, {"estimated_completion": "2026-01-12T12:02:00Z"}, 90.0),
        ({"date": "Mon, 12 Jan 2026 12:03:00 GMT"}, {"estimated_completion": "2026-01-12T12:02:00Z"}, 0.0),
        (
            {"date": "soon"},
            {"estimated_completion": "2026-01-12T12:02:00Z", "created_at": "2026-01-12T12:00:00Z"},
            120.0,
        ),
        ({}, {"estimated_completion": "2026-01-12T12:02:00Z"}, None),
        ({"date": "Mon, 12 Jan 2026 12:00:30 GMT"}, {"estimated_completion": None}, None),
        ({"date": "Mon, 12 Jan 2026 12:00:30 GMT"}, {"estimated_completion": "later"}, None),
    ],
)
def test_the_deadline(headers: dict[str, str], made: dict[str, Any], seconds: float | None) -> None:
    """It is counted from the answer's own time, whatever our clock says."""
    whole = {"analysis_id": "a", "status": "processing", "webhook_url": ADDRESS, **made}
    _, done = played(api(generation="calls").submit(wanted(), {}), answered(200, whole, headers))
    assert done.deadline_in == seconds


@pytest.mark.parametrize(("echoed", "said"), [(None, "names no webhook_url"), ("https://x.example/t", "names another")])
def test_a_callback_that_goes_elsewhere_is_said(echoed: str | None, said: str) -> None:
    """The warning shows neither address: ours holds a token."""
    made = {"analysis_id": "a", "status": "processing", "webhook_url": echoed}
    _, done = played(api(generation="calls").submit(wanted(), {}), answered(200, made))
    (warning,) = done.warnings
    assert said in warning
    assert "http" not in warning
    _, silent = played(api(generation="calls").submit(wanted(callback_url=None), {}), answered(200, made))
    assert silent.warnings == ()


def test_a_low_sample_rate_is_said() -> None:
    """CallCov advises 16 kHz, and takes telephone recordings all the same."""
    made = answered(201, {"id": "u", "status": "processing"})
    _, done = played(api().submit(wanted(callback_url=None, recording={"sample_rate": 8000}), {}), made)
    assert done.warnings == ("call.wav: 8000 Hz; CallCov advises 16000 Hz or more",)


def test_a_result_at_once() -> None:
    """An answer that is done already is the result."""
    _, done = played(api().submit(wanted(callback_url=None), {}), answered(201, {"id": "u", "status": "completed"}))
    assert isinstance(done.result, Fetched)


@pytest.mark.parametrize(
    ("settings", "changes", "said"),
    [
        ({}, {"options": {"agent": None}}, "call.wav: CallCov wants to know agent_id: give the option agent"),
        ({}, {"options": {"contact": ""}}, "call.wav: CallCov wants to know contact_id: give the option contact"),
        ({}, {"options": {"tone": 1}}, "call-analysis has no option tone; it has agent, contact, direction, timestamp"),
        ({}, {"options": {"direction": "inbound"}}, 'generation "analysis" has no direction'),
        ({"generation": "calls"}, {"options": {"direction": "up"}}, "direction is inbound or outbound"),
        ({"generation": "calls"}, {"options": {"timestamp": "noon"}}, "timestamp is a time of ISO 8601"),
        ({}, {"recording": {"content_type": "audio/amr"}}, "CallCov takes no audio/amr; it takes flac, m4a, mp3"),
        ({}, {"recording": {"content_type": "application/octet-stream", "name": "a.pdf"}}, "a.pdf: CallCov takes no"),
        ({"generation": "calls"}, {"recording": {"content_type": "audio/webm"}}, "it takes flac, m4a, mp3, ogg, wav"),
        ({}, {"recording": {"size": 0}}, "call.wav: it is empty"),
        ({}, {"recording": {"size": (500 << 20) + 1}}, "call.wav: 524,288,001 bytes are more than the 500 MB of wav"),
        (
            {"generation": "calls"},
            {"recording": {"size": 101 << 20}},
            "more than the 100 MB of wav that CallCov takes; compress",
        ),
        (
            {"generation": "calls"},
            {"recording": {"size": 51 << 20, "content_type": "audio/mpeg"}},
            "more than the 50 MB of mp3",
        ),
        ({}, {"recording": {"sha256": None}}, "call.wav: CallCov is to fetch it, and there is no address"),
        ({"upload": "url"}, {}, "give a URL, or set public_url"),
    ],
)
def test_what_is_refused_before_it_is_sent(settings: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    """The message names file and way out."""
    with pytest.raises(UsageError) as raised:
        api(**settings).check(wanted(**changes))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("generation", "name", "content_type"),
    [
        ("analysis", "a.wav", "audio/x-wav"),
        ("analysis", "a.mp4", "audio/mp4"),
        ("analysis", "a.mpga", "application/octet-stream"),
        ("analysis", "a.webm", "video/webm"),
        ("calls", "a.m4a", "audio/mp4"),
        ("calls", "a.mp3", "audio/mpeg"),
        ("calls", "a.oga", ""),
    ],
)
def test_formats_that_are_taken(generation: str, name: str, content_type: str) -> None:
    """By media type; by the file's name where that says nothing. What the call says of its parties is enough."""
    call = Call(agent_id="a", contact_id="c", started_at="2026-01-15T10:30:00Z", direction="inbound")
    api(generation=generation).check(
        submission(operation="call-analysis", call=call, recording={"name": name, "content_type": content_type})
    )


@pytest.mark.parametrize(
    ("now", "window", "zone", "opens"),
    [
        ("2026-01-15T23:00:00Z", "22:00-06:00", None, "2026-01-15T23:00:00Z"),
        ("2026-01-15T05:59:59Z", "22:00-06:00", None, "2026-01-15T05:59:59Z"),
        ("2026-01-15T12:00:00Z", "22:00-06:00", None, "2026-01-15T22:00:00Z"),
        ("2026-01-15T12:00:00Z", "01:00-05:00", None, "2026-01-16T01:00:00Z"),
        ("2026-01-15T12:00:00Z", "22:00-06:00", "Europe/Zurich", "2026-01-15T21:00:00Z"),
        ("2026-01-15T12:00:00Z", None, None, "2026-01-15T12:00:00Z"),
    ],
)
def test_off_peak_hours(now: str, window: str | None, zone: str | None, opens: str) -> None:
    """Recordings wait for the window, which may span midnight, in the source's time zone."""
    moment, until = (datetime.fromisoformat(one).timestamp() for one in (now, opens))
    assert api(off_peak=window, timezone=zone).not_before(moment) == until


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"off_peak": "22:00-22:00"}, "off_peak: it begins and ends at the same time"),
        ({"submissions_per_minute": 150}, "set requests_per_minute to what your plan allows"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], said: str) -> None:
    """Plans with more submissions than the usual limit of requests have another limit, which must be said."""
    with pytest.raises(ConfigError, match=said):
        provider(**settings)
    limits = api(submissions_per_minute=150, requests_per_minute=400, parallel=25).limits
    assert (limits["submissions"].count, limits["submissions"].parallel, limits["reads"].count) == (150, 25, 250)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (answered(401, {"error": {"code": "unauthorized", "message": "Invalid API key"}}), ProviderRefused,
         "call.wav was not taken: 401, unauthorized Invalid API key; check api_key and api_key_header"),
        (answered(403, {"detail": "No"}), ProviderRefused, "403, No; the key may not do this"),
        (answered(413, {"error": {"code": "file_too_large", "message": "m"}}), ProviderRefused, "compress the recording"),
        (answered(422, {"detail": [{"loc": ["body", "agent_id"], "msg": "Field required"}]}), ProviderRefused,
         "422, body.agent_id: Field required"),
        (answered(422, {"detail": [{"loc": None, "msg": "x"}]}), ProviderRefused, "422, ?: x"),
        (answered(400, {"error": "plain"}), ProviderRefused, "400, plain"),
        (answered(400, b"<html>"), ProviderRefused, "call.wav was not taken: 400"),
        (answered(400, []), ProviderRefused, "call.wav was not taken: 400"),
        (answered(307, b"", {"location": "/x"}), ProviderRefused, "CallCov redirects (307), which is not followed; check api_url"),
        (answered(503, b"down"), ProviderBusy, "call.wav was not taken: 503"),
        (answered(201, b"<html>"), ProviderRefused, "is not JSON"),
        (answered(201, [1]), ProviderRefused, "is not a JSON object"),
        (answered(201, {"object": "analysis"}), ProviderRefused, "holds neither id nor analysis_id"),
    ],
)  # fmt: skip
def test_answers_that_are_no_success(answer: Any, kind: type[Exception], said: str) -> None:
    """Both shapes of errors are read, and any other is survived."""
    with pytest.raises(kind) as raised:
        played(api().submit(wanted(), {}), answer)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Rate limit exceeded. Please try again in 32 seconds.", 32.0),
        ("Try again in 2 minutes", 120.0),
        ("retry after 5s", 5.0),
        ("Rate limit exceeded.", None),
    ],
)
def test_the_wait_stands_in_the_text(text: str, seconds: float | None) -> None:
    """In either shape; where it does not, nothing is made up."""
    assert api().wait_after(answered(429, {"error": {"code": "rate_limit_exceeded", "message": text}})) == seconds
    assert api().wait_after(answered(429, {"detail": text})) == seconds
    assert api().wait_after(answered(429, b"")) is None


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (answered(404, b""), Missing()),
        (answered(200, {"id": "a/b", "status": "processing"}), Pending(status="processing")),
        (answered(200, {"id": "a/b", "status": "queued"}), Pending(status="queued")),
        (answered(200, {"status": "failed"}), Fetched(body=b'{"status":"failed"}', job_id="a/b")),
    ],
)
def test_reading_one(answer: Any, outcome: Any) -> None:
    """Its name is one part of the path; words that nobody documents count as running."""
    (ask,), found = played(api().poll("a/b", "call-analysis"), answer)
    assert isinstance(ask, Ask)
    assert (ask.url, found) == ("https://api.callcov.com/api/v1/analysis/a%2Fb", outcome)
    with pytest.raises(ProviderRefused, match="analysis x was not given: 401"):
        played(api().poll("x", "call-analysis"), answered(401, b""))


@pytest.mark.parametrize("page", [{"object": "list"}, {"a": [], "b": []}, "text"])
def test_lists_without_a_list(page: Any) -> None:
    """They are refused in words."""
    with pytest.raises(ProviderRefused, match="holds no list of analyses"):
        played(api().sweep(0), answered(200, page))
    with pytest.raises(ProviderRefused, match="the analyses cannot be listed: 401"):
        played(api().sweep(0), answered(401, b""))


def test_a_list_that_does_not_page_ends() -> None:
    """Where `offset` is not heeded, the second page brings nothing new."""
    page = [{"analysis_id": f"anl_{n}", "status": "processing"} for n in range(100)]
    seen, _ = played(api(generation="calls").sweep(0), answered(200, page), answered(200, {"calls": page}))
    assert [one.query[1] for one in seen if isinstance(one, Ask)] == [("offset", "0"), ("offset", "100")]


def every_switch() -> list[Any]:
    """Return every value of every switch that has a few, beside the defaults, once."""
    found = [pytest.param({}, id="defaults")]
    for name, hint in get_type_hints(Switches).items():
        values = (False, True) if hint is bool else get_args(hint)
        found += [
            pytest.param({name: value}, id=f"{name}={value}") for value in values if value != getattr(Switches(), name)
        ]
    return [*found, *(pytest.param({"callbacks": how}, id=f"callbacks-{n}") for n, how in enumerate(SENDINGS))]


SENDINGS = (Sending(copies=2), Sending(late=0.05), Sending(lost=True), Sending(retries=2), Sending(early=True))


@pytest.mark.parametrize("generation", ["analysis", "calls"])
@pytest.mark.parametrize("switched", every_switch())
async def test_every_switch(tmp_path: Path, generation: str, switched: dict[str, Any]) -> None:
    """Submitted, called back unless that is lost, read, listed: each time the same result, whatever is switched."""
    switches = Switches(**switched)
    signed = switches.signature != "none"
    proof = {"secrets": ["emulator-secret"], "signature": SIGNATURES[switches.signature]} if signed else {}
    async with running(tmp_path, switches, generation=generation, **proof) as (made, site, source):
        order = wanted(callback_url=site.hooks)
        site.api.check(order)
        done = await site.caller.run(site.api.submit(order, {}), path=site.path)
        await made.callbacks.settled()
        assert bool(done.warnings) is (switches.echo != "same")
        assert done.deadline_in is None if generation == "analysis" else done.deadline_in is not None
        silent = switches.callbacks.lost or (switches.outcome == "failed" and not switches.failures_called_back)
        assert len(site.came) == (0 if silent else switches.callbacks.copies)
        polled = await site.caller.run(site.api.poll(done.job_id, "call-analysis"))
        assert isinstance(polled, Fetched)
        swept = [one async for one in site.caller.sweep(site.api.sweep(0))]
        assert [one.job_id for one in swept] == [done.job_id]
        token = digest(b"a-token-of-this-test").hex().encode()
        assert (swept[0].headers == ((b"hookscribe-callback", token),)) is (switches.echo == "same")
        proven = [source.prove(one, site.clock()) for one in site.came]
        assert all(isinstance(one, Proven) for one in proven)
        keys = {source.message_key(one) for one in proven if isinstance(one, Proven)}
        assert len(keys) == (0 if silent else 1)
        bodies = [*(one.body for one in site.came), polled.body, *(one.body for one in swept)]
        found = [result(source, body) for body in bodies]
        assert {(one.job_id, one.status) for one in found} == {(done.job_id, switches.outcome)}
        if switches.outcome == "failed":
            assert {one.error.message for one in found if one.error} == {"Audio could not be decoded"}
        else:
            assert all(one.text and one.text.startswith("Agent: Good morning") for one in found)


SIGNATURES = {
    "none": None,
    "hex": {"header": "X-Emulated-Signature"},
    "prefixed": {"header": "X-Emulated-Signature", "prefix": "sha256="},
    "timestamp": {
        "header": "X-Emulated-Signature",
        "signed": "{timestamp}.{body}",
        "timestamp_header": "X-Emulated-Timestamp",
    },
}


async def test_a_wrong_secret_is_noticed(tmp_path: Path) -> None:
    """The emulator's proofs are real."""
    settings = {"secrets": ["another"], "signature": SIGNATURES["hex"]}
    async with running(tmp_path, Switches(signature="hex"), **settings) as (made, site, source):
        await site.caller.run(site.api.submit(wanted(callback_url=site.hooks), {}), path=site.path)
        await made.callbacks.settled()
        assert isinstance(source.prove(site.came[0], site.clock()), Refused)


@pytest.mark.parametrize("generation", ["analysis", "calls"])
@pytest.mark.parametrize("json_create", [False, True])
async def test_addresses(tmp_path: Path, generation: str, json_create: bool) -> None:
    """They are fetched where JSON is taken; where it is not, the way out is said."""
    async with running(tmp_path, Switches(json_create=json_create), generation=generation) as (made, site, _):
        files = Starlette(routes=[
            Route("/call.wav", lambda _: FileResponse(site.path, media_type="audio/wav")),
            Route("/text", lambda _: Response("no audio")),
        ])  # fmt: skip
        async with serving(files) as base:
            recording = {"sha256": None, "size": None, "url": f"{base}/call.wav"}
            steps = site.api.submit(wanted(callback_url=site.hooks, recording=recording), {})
            if generation == "analysis" and not json_create:
                with pytest.raises(ProviderRefused, match='set generation = "calls", or submit the file itself'):
                    await site.caller.run(steps)
                return
            done = await site.caller.run(steps)
            assert made.analyses[done.job_id].size == site.path.stat().st_size
            for wrong in ("/text", "/none"):
                recording["url"] = base + wrong
                with pytest.raises(ProviderRefused, match="Missing required fields"):
                    await site.caller.run(site.api.submit(wanted(recording=recording), {}))


@pytest.mark.parametrize("per_minute", [5, 30])
async def test_the_limits_of_a_plan_are_kept(tmp_path: Path, per_minute: int) -> None:
    """Many at once never come faster than the plan allows: the emulator refuses none.

    One place, so that no request is under way while another lets the clock of this test jump.
    """
    switches = Switches(submissions_per_minute=per_minute)
    async with running(tmp_path, switches, submissions_per_minute=per_minute) as (made, site, _):
        steps = (site.api.submit(wanted(callback_url=site.hooks), {}) for _ in range(12))
        done = await asyncio.gather(*(site.caller.run(one, path=site.path) for one in steps))
        assert len({one.job_id for one in done}) == 12
        await asyncio.gather(*(site.caller.run(site.api.poll(one.job_id, "call-analysis")) for one in done))
        assert made.refused == 0


@pytest.mark.parametrize("retry_after", [False, True])
async def test_a_429_is_waited_out(tmp_path: Path, retry_after: bool) -> None:
    """A plan set too high is found out by the provider, and the wait is the one that it names."""
    switches = Switches(submissions_per_minute=1, retry_after=retry_after)
    async with running(tmp_path, switches) as (made, site, _):
        for _ in range(2):
            await site.caller.run(site.api.submit(wanted(callback_url=site.hooks), {}), path=site.path)
        assert made.refused == 1
        assert len(made.analyses) == 2
        assert any(59 < one <= 61 for one in site.sleeps)


async def test_one_is_processed_at_a_time(tmp_path: Path) -> None:
    """The emulator keeps the plan's number; what is beyond waits there, or is refused until there is a place."""
    for number, beyond in enumerate(BEYOND):
        folder = tmp_path / str(number)
        folder.mkdir()
        switches = Switches(beyond=beyond, processing=0.2)
        async with running(folder, switches) as (made, site, _):
            await site.caller.run(site.api.submit(wanted(), {}), path=site.path)
            steps = site.api.submit(wanted(), {})
            if beyond == "refuse":
                with pytest.raises(ProviderBusy, match="429"):
                    await site.caller.run(steps, path=site.path)
            else:
                await site.caller.run(steps, path=site.path)
            await made.callbacks.settled()
            assert made.most_at_once == 1


async def test_wrong_credentials(tmp_path: Path) -> None:
    """The key is tried once more, and then it is said."""
    async with running(tmp_path, api_key="sk_live_other") as (_, site, _):
        with pytest.raises(ProviderRefused, match="unauthorized Invalid or missing API key; check api_key"):
            await site.caller.run(site.api.submit(wanted(), {}), path=site.path)
        with pytest.raises(ProviderRefused, match="the analyses cannot be listed: 401"):
            _ = [one async for one in site.caller.sweep(site.api.sweep(0))]


async def test_sweeping_pages(tmp_path: Path) -> None:
    """Pages are read to their end; what is older, or still at it, is left."""
    async with running(tmp_path, Switches(requests_per_minute=10_000)) as (made, site, _):
        done = await site.caller.run(site.api.submit(wanted(), {}), path=site.path)
        await made.callbacks.settled()
        one = made.analyses[done.job_id]
        for number in range(249):
            name = f"{number:08}-0000-4000-8000-000000000000"
            status = "processing" if number % 10 == 0 else "failed" if number % 10 == 1 else "completed"
            created = one.created - (1000 if number % 2 else 0)
            made.analyses[name] = msgspec.structs.replace(one, id=name, status=status, created=created)
        swept = [found.job_id async for found in site.caller.sweep(site.api.sweep(one.created - 500))]
        expected = {
            key for key, kept in made.analyses.items() if kept.created == one.created and kept.status != "processing"
        }
        assert len(swept) == len(set(swept))
        assert set(swept) == expected


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", "redirects (307)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "is not JSON"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "the provider failed while it was at it: 500"),
    ],
)  # fmt: skip
async def test_servers_that_are_not_callcov(tmp_path: Path, raw: bytes, said: str) -> None:
    """Each is a sentence, and a submission is never sent twice by itself."""
    async with running(tmp_path) as (_, site, _), listening() as server:
        server.answer = writes(raw)
        other = api(api_url=server.url(rest=""))
        with pytest.raises(Exception, match=said.replace("(", r"\(").replace(")", r"\)")):
            await site.caller.run(other.submit(wanted(), {}), path=site.path)
        assert len(server.requests) == 1


async def test_an_upload_that_is_cut(tmp_path: Path) -> None:
    """Nobody knows whether it arrived: it ends in Unanswered, and is not sent again."""
    async with running(tmp_path) as (_, site, _), listening() as server:
        server.answer = closes
        other = api(api_url=server.url(rest=""))
        with pytest.raises(Unanswered, match="closed before the answer"):
            await site.caller.run(other.submit(wanted(), {}), path=site.path)
        assert len(server.requests) == 1
