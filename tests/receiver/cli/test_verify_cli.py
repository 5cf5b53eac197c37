"""`hookscribe verify` and `hookscribe quarantine`: why something was refused, and a wrong secret on day one loses nothing."""

import asyncio
import json
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from receiver import cli
from receiver.cli import admitting as command
from receiver.cli.loading import loaded
from receiver.cli.quarantine import all_rows
from receiver.config import QuarantineSettings
from receiver.contract.model import InboundRequest
from receiver.contract.proof import HmacScheme, Proven, SignatureSettings
from receiver.contract.settings import Secret
from receiver.contract.times import from_ms
from receiver.making import sources
from receiver.pipeline import quarantine as writing
from receiver.pipeline.ingest import prove
from receiver.pipeline.keeping import receipt_for
from receiver.pipeline.quarantine import QuarantineWriter
from receiver.pipeline.verify import admit
from receiver.runtime import opened
from receiver.store.ids import RECEIPT, Ids, decode, encode
from receiver.store.quarantine.quarantine import beside
from receiver.store.quarantine.records import Narrowed

TOKEN = "canary-token-0123456789"
RIGHT, WRONG = "canary-right-secret", "canary-wrong-secret"
BODY = b'{"id":"job_1","object":"analysis","status":"completed","transcript":{"text":"canary words"}}'
SCHEME = SignatureSettings(
    header="X-Signature", prefix="sha256=", timestamp_header="X-Time", signed="{timestamp}.{body}"
)
DAYS_AGO = time.time() - 3 * 86_400

CONFIG = """
store = "sqlite:{folder}/store.db"

[sources.callcov]
provider = "callcov"
token = "{token}"
secrets = ["{secret}"]
signature = {{ header = "X-Signature", prefix = "sha256=", timestamp_header = "X-Time", signed = "{{timestamp}}.{{body}}" }}

[sources.ring]
provider = "ringcentral"
token = "canary-ring-token-0123456789"
"""


class Desk:
    """A folder with a configuration and a store, and the command line over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "hookscribe.toml"

    def configure(self, secret: str, token: str = TOKEN) -> None:
        """Write the settings, with the secret that is right or wrong."""
        self.file.write_text(CONFIG.format(folder=self.folder, secret=secret, token=token))

    def run(self, *arguments: str, stdin: bytes | None = None) -> Result:
        """Run a command."""
        environ = {"HOOKSCRIBE_CONFIG": str(self.file), "DYNO": None, "DATABASE_URL": None, "PORT": None}
        return CliRunner().invoke(cli.hookscribe, arguments, env=environ, input=stdin)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command with --json and return what it prints."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    def refuse(self, *requests: InboundRequest) -> None:
        """Let a receiver with today's settings refuse these requests."""

        async def receive() -> None:
            config, registry = loaded(self.file)
            made = sources(config, registry)
            kept = beside(config.root.store, time.time)
            writer = QuarantineWriter(made, kept, QuarantineSettings(), ids=Ids(time.time, 1))
            for request in requests:
                proof = prove(made[request.source], request, request.received_at / 1000)
                assert not isinstance(proof, Proven)
                writer.note(request, proof)
            await writer.close()
            await kept.close()

        asyncio.run(receive())

    def keep(self, request: InboundRequest) -> str:
        """Let a receiver accept a request; return the receipt's id."""

        async def receive() -> int:
            async with opened(*loaded(self.file)) as runtime:
                provider = runtime.sources[request.source]
                proof = prove(provider, request, request.received_at / 1000)
                assert isinstance(proof, Proven)
                return (await runtime.store.keep([receipt_for(provider, proof, runtime.store.ids.next())]))[0].id

        return encode(RECEIPT, asyncio.run(receive()))

    def receipts(self) -> list[tuple[Any, ...]]:
        """Return source, received_at and body of every receipt, oldest first."""

        async def read() -> list[tuple[Any, ...]]:
            async with opened(*loaded(self.file)) as runtime:
                found = await runtime.store.engine.rows("list_receipts", {"limit": 999})
                ids = sorted(row[0] for row in found)
                known = {row[0]: row for row in found}
                bodies = [(await runtime.store.engine.rows("receipt_body", {"id": one}))[0][0] for one in ids]
                return [(known[one][1], known[one][6], body) for one, body in zip(ids, bodies, strict=True)]

        return asyncio.run(read())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Give a configured and migrated store whose secret is wrong."""
    monkeypatch.setattr(writing, "log", _Silent())
    made = Desk(tmp_path)
    made.configure(WRONG)
    assert made.run("migrate").exit_code == 0
    return made


class _Silent:
    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


def signed(
    body: bytes = BODY, *, secret: str = RIGHT, at: float = DAYS_AGO, token: str | None = TOKEN
) -> InboundRequest:
    """Return a callback as the vendor sends it."""
    stamp = str(int(at))
    signature = HmacScheme(SCHEME, (Secret(secret),)).sign(body, stamp)
    headers = ((b"x-signature", signature.encode()), (b"x-time", stamp.encode()), (b"user-agent", b"CallCov/1"))
    return InboundRequest(source="callcov", token=token, headers=headers, body=body, received_at=int(at * 1000))


def bodies(count: int) -> list[bytes]:
    """Return callbacks of different jobs."""
    return [BODY.replace(b"job_1", b"job_%d" % number) for number in range(count)]


def assert_no_canary(texts: Sequence[str]) -> None:
    """Nothing that was secret, and nothing that was said, stands in these."""
    for text in texts:
        assert "canary" not in text


def test_a_wrong_secret_on_day_one_loses_nothing(desk: Desk) -> None:
    """Refused callbacks, the setting fixed, `verify --admit --all`: receipts as of the time when they came."""
    desk.refuse(*(signed(body, at=DAYS_AGO + number) for number, body in enumerate(bodies(150))))
    assert len(desk.rows("quarantine", "list", "--limit", "999")) == 150
    failed = desk.run("verify", "--admit", "--all")
    assert failed.exit_code == 1
    assert "signature_mismatch" in failed.stdout
    assert desk.receipts() == []

    desk.configure(RIGHT)
    done = desk.run("verify", "--admit", "--all", "--source", "callcov", "--json")
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["result"] for line in done.stdout.splitlines()] == ["accepted"] * 150
    expected = [("callcov", int((DAYS_AGO + number) * 1000), body) for number, body in enumerate(bodies(150))]
    assert desk.receipts() == expected
    assert desk.rows("quarantine", "list") == []


def test_all_is_narrowed_and_counted_first(desk: Desk) -> None:
    """By source, reason and time; --dry-run says what would prove, and does nothing."""
    ring = InboundRequest(source="ring", token=None, headers=(), body=b"{}", received_at=1)
    times = [DAYS_AGO + 3600 * number for number in range(4)]
    desk.refuse(*(signed(body, at=at) for body, at in zip(bodies(4), times, strict=True)), ring)
    desk.configure(RIGHT)
    counted = desk.run("verify", "--admit", "--all", "--dry-run")
    assert counted.exit_code == 1
    assert counted.stdout.endswith("5 found: 4 proven, 1 refused; nothing was done\n")
    assert desk.receipts() == []
    since, until = (from_ms(int(times[number] * 1000)) for number in (1, 3))
    between = ["--source", "callcov", "--reason", "signature_mismatch", "--since", since, "--until", until]
    assert [row["result"] for row in desk.rows("verify", "--admit", "--all", *between, "--dry-run")] == ["proven"] * 2
    assert len(desk.rows("quarantine", "list", *between)) == 2
    done = desk.run("verify", "--admit", "--all", *between)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "2 found: 2 accepted")
    assert [row[1] for row in desk.receipts()] == [int(at * 1000) for at in times[1:3]]
    assert desk.run("quarantine", "drop", "--all", "--since", "4d").stdout == "2 dropped\n"
    assert [row["source"] for row in desk.rows("quarantine", "list")] == ["ring"]
    assert desk.run("verify", "--admit", "--all", "--reason", "none").stdout.splitlines()[-1] == "0 found"


def test_what_had_come_again_is_told_as_a_redelivery(desk: Desk) -> None:
    """The vendor retried after the fix: the quarantined copy makes no second receipt, though it is older."""
    desk.refuse(signed(), signed(at=DAYS_AGO + 60))
    desk.configure(RIGHT)
    receipt = desk.keep(signed(at=time.time()))
    rows = desk.rows("verify", "--admit", "--all")
    assert [(row["result"], row["receipt"]) for row in rows] == [("duplicate", receipt)] * 2
    assert len(desk.receipts()) == 1
    assert desk.rows("quarantine", "list") == []


def test_copies_in_the_quarantine_become_one_receipt(desk: Desk) -> None:
    """The first copy is accepted, the second is its redelivery."""
    desk.refuse(signed(), signed(at=DAYS_AGO + 60))
    desk.configure(RIGHT)
    rows = desk.rows("verify", "--admit", "--all")
    assert [row["result"] for row in rows] == ["accepted", "duplicate"]
    assert rows[0]["receipt"] == rows[1]["receipt"]


def test_a_wrong_token_is_fixed_without_keeping_it(desk: Desk) -> None:
    """The digest of the presented token is compared with the setting of today."""
    desk.configure(RIGHT, token="another-token-0123456789")
    desk.refuse(signed())
    (row,) = desk.rows("quarantine", "list")
    assert row["reason"] == "token_unknown"
    (refused,) = desk.rows("verify", row["id"])
    assert refused["result"] == "refused"
    assert refused["url_token"].startswith(f"{len(TOKEN)} characters, SHA-256 ")
    desk.configure(RIGHT)
    (proven,) = desk.rows("verify", row["id"])
    assert (proven["result"], proven["verdict"]) == ("proven", "signature")
    assert desk.run("verify", "--admit", row["id"]).exit_code == 0
    assert len(desk.receipts()) == 1


def test_a_mixed_quarantine_admits_what_proves(desk: Desk) -> None:
    """By id too: what does not prove stays, and the exit code says that something did."""
    desk.refuse(signed(), signed(bodies(2)[0], secret="canary-third-secret"))
    desk.configure(RIGHT)
    ids = [row["id"] for row in desk.rows("quarantine", "list")]
    done = desk.run("verify", "--admit", *ids, ids[0], "--json")
    assert done.exit_code == 1
    assert {json.loads(line)["result"] for line in done.stdout.splitlines()} == {"accepted", "refused"}
    assert len(desk.receipts()) == len(desk.rows("quarantine", "list")) == 1


def test_a_source_that_is_gone_is_said_and_its_requests_stay(desk: Desk) -> None:
    """A request whose source is configured no more is not admitted and holds up no other."""
    desk.refuse(signed())
    desk.file.write_text(desk.file.read_text().replace("[sources.callcov]", "[sources.other]"))
    done = desk.run("verify", "--admit", "--all")
    assert done.exit_code == 1
    assert "no source is called 'callcov' any more" in done.stdout
    (row,) = desk.rows("quarantine", "list")
    assert "no source is called 'callcov'" in desk.run("verify", row["id"]).stderr


def test_verify_explains_a_refused_request(desk: Desk) -> None:
    """Scheme, header, secret, skew, what was tried on; the exit code is 1; no secret and no word of the call."""
    desk.refuse(signed())
    (row,) = desk.rows("quarantine", "list")
    shown = desk.run("verify", row["id"])
    assert shown.exit_code == 1
    assert "signature_mismatch" in shown.stdout
    assert "no match with any of 1 secrets" in shown.stdout
    assert f"{len(BODY)} bytes, SHA-256 " in shown.stdout
    assert "the token is right" in shown.stdout
    signed_string = b"%d.%b" % (int(DAYS_AGO), BODY)
    what = f"signed is {{timestamp}}.{{body}}: {len(signed_string)} bytes, SHA-256 {sha256(signed_string).hexdigest()}"
    assert what in shown.stdout
    assert "makes another signature" in shown.stdout
    assert "makes the token that came" in shown.stdout
    assert_no_canary([shown.output, json.dumps(desk.rows("verify", row["id"]))])


def test_verify_takes_the_exact_request_by_hand(desk: Desk, tmp_path: Path) -> None:
    """Source, body, headers and token from the operator; a file or stdin."""
    desk.configure(RIGHT)
    request = signed(at=time.time())
    body = tmp_path / "body"
    body.write_bytes(request.body)
    headers = [part for name, value in request.headers for part in ("--header", f"{name.decode()}: {value.decode()}")]
    given = ["verify", "--source", "callcov", "--token", TOKEN, *headers]
    proven = desk.run(*given, "--body", str(body))
    assert proven.exit_code == 0, proven.output
    assert "proven" in proven.stdout
    assert desk.run(*given, "--body", "-", stdin=request.body).exit_code == 0
    changed = desk.run(*given, "--body", "-", stdin=request.body + b"\n")
    assert changed.exit_code == 1
    assert "without the trailing newline, it matches" in changed.stdout
    late = signed()
    headers = [part for name, value in late.headers for part in ("--header", f"{name.decode()}: {value.decode()}")]
    stale = desk.run("verify", "--source", "callcov", "--body", "-", *headers, stdin=late.body)
    assert "timestamp_stale" in stale.stdout
    assert_no_canary([proven.output, changed.output, stale.output])


def test_verify_checks_a_receipt_again(desk: Desk) -> None:
    """Its signature as at the time when it came; a token is kept nowhere, and is checked where it is given."""
    desk.configure(RIGHT)
    receipt = desk.keep(signed())
    without = desk.run("verify", receipt)
    assert without.exit_code == 0, without.output
    assert "tokens are not kept with receipts" in without.stdout
    assert "the signature is right" in without.stdout
    assert "makes the signature that came" in without.stdout
    (proven,) = desk.rows("verify", receipt, "--token", TOKEN)
    assert (proven["result"], proven["proven_as"]) == ("proven", "signature")
    desk.configure(WRONG)
    assert desk.run("verify", receipt).exit_code == 1
    missing = desk.run("verify", encode(RECEIPT, decode(RECEIPT, receipt) + 1))
    assert missing.exit_code == 2
    assert "is no receipt of this store" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give an id, or a request by hand"),
        (["--source", "callcov"], "give an id, or a request by hand"),
        (["--all"], "--all goes with --admit"),
        (["--admit"], "ids of the quarantine, or --all"),
        (["--admit", "--all", "qrn_0000000000000"], "ids of the quarantine, or --all"),
        (
            ["--admit", "qrn_0000000000000", "--source", "callcov"],
            "--source, --reason, --since and --until go with --all",
        ),
        (["--admit", "qrn_0000000000000", "--since", "1h"], "--source, --reason, --since and --until go with --all"),
        (["--admit", "--all", "--since", "soon"], "--since: expected a time"),
        (["--dry-run", "--source", "callcov", "--body", "-"], "--dry-run go with --admit"),
        (["qrn_0000000000000", "--reason", "token_missing"], "--dry-run go with --admit"),
        (["rcp_0000000000000", "rcp_0000000000001"], "one id alone"),
        (["job_1"], "is no id of the form rcp_"),
        (["--admit", "rcp_0000000000000"], "is no id of the form qrn_"),
        (["--admit", "qrn_0000000000000"], "is not in the quarantine"),
        (["--admit", "--all", "--source", "calcov"], "did you mean callcov?"),
        (["--source", "calcov", "--body", "-"], "did you mean callcov?"),
        (["--source", "callcov", "--body", "-", "--header", "no colon"], "NAME: VALUE"),
    ],
)
def test_wrong_use_is_said(desk: Desk, arguments: list[str], said: str) -> None:
    """Contradictions are exit code 2 and one message."""
    done = desk.run("verify", *arguments, stdin=b"")
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_list_is_narrowed_and_paged(desk: Desk) -> None:
    """Newest first; by source and reason; a page goes on after the last id of the one before."""
    ring = InboundRequest(source="ring", token=None, headers=(), body=b"{}", received_at=1)
    desk.refuse(*(signed(body) for body in bodies(3)), ring)
    assert [row["source"] for row in desk.rows("quarantine", "list")] == ["ring", "callcov", "callcov", "callcov"]
    page = desk.rows("quarantine", "list", "--source", "callcov", "--limit", "2")
    rest = desk.rows("quarantine", "list", "--source", "callcov", "--before", page[-1]["id"])
    assert len({row["id"] for row in page + rest}) == 3
    assert len(desk.rows("quarantine", "list", "--reason", "token_missing")) == 1
    table = desk.run("quarantine", "list").stdout
    assert "token_missing" in table
    assert "no match with any of 1 secrets" in table


def test_show_masks_what_proves_and_gives_the_body_where_asked(desk: Desk) -> None:
    """Headers that are secret or sign are measured, others shown; --body is the exact bytes."""
    one = signed()
    hidden = ((b"authorization", b"Bearer canary"), (b"verification-token", b"canary"), (b"x-odd", b"canary0123456789"))
    body = b"\x00canary\xff\r\n"
    desk.refuse(msgspec.structs.replace(one, headers=(*one.headers, *hidden), body=body))
    (row,) = desk.rows("quarantine", "list")
    shown = desk.run("quarantine", "show", row["id"])
    assert shown.exit_code == 0, shown.output
    assert "CallCov/1" in shown.stdout
    assert "*** (13 characters)" in shown.stdout
    assert_no_canary([shown.output, json.dumps(desk.rows("quarantine", "show", row["id"]))])
    assert desk.run("quarantine", "show", row["id"], "--body").stdout_bytes == body


def test_drop_takes_out_what_is_named_or_all(desk: Desk) -> None:
    """By id, or all of a source; one of both has to be said."""
    ring = InboundRequest(source="ring", token=None, headers=(), body=b"{}", received_at=1)
    desk.refuse(*(signed(body) for body in bodies(4)), ring)
    first, second, *_ = desk.rows("quarantine", "list", "--source", "callcov")
    assert desk.run("quarantine", "drop", first["id"], second["id"]).stdout == "2 dropped\n"
    assert desk.run("quarantine", "drop", "--all", "--source", "callcov").stdout == "2 dropped\n"
    assert [row["source"] for row in desk.rows("quarantine", "list")] == ["ring"]
    for wrong in ([], ["--source", "ring"], ["--all", first["id"]]):
        assert desk.run("quarantine", "drop", *wrong).exit_code == 2
    assert desk.run("quarantine", "drop", "--all").stdout == "1 dropped\n"
    assert desk.run("quarantine", "drop", "--all").stdout == "0 dropped\n"
    assert desk.run("quarantine", "show", first["id"]).exit_code == 2


def test_admitting_survives_what_the_receiver_trims_meanwhile(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --all, a request that is gone when its turn comes is passed over."""
    desk.refuse(*(signed(body) for body in bodies(3)))
    desk.configure(RIGHT)

    async def and_one_goes(kept: Any, narrowed: Narrowed) -> Any:
        rows = await all_rows(kept, narrowed)
        await kept.drop([rows[1].id])
        return rows

    monkeypatch.setattr(command, "all_rows", and_one_goes)
    assert [row["result"] for row in desk.rows("verify", "--admit", "--all")] == ["accepted"] * 2


def test_groups_are_bounded_in_bytes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large requests are admitted a few at a time."""
    sizes: list[int] = []

    async def counted(found: Any, *rest: Any) -> Any:
        sizes.append(len(found))
        return await admit(found, *rest)

    monkeypatch.setattr(command, "admit", counted)
    monkeypatch.setattr(command, "_TOGETHER_BYTES", 2 * len(BODY))
    desk.refuse(*(signed(body) for body in bodies(5)))
    desk.configure(RIGHT)
    assert len(desk.rows("verify", "--admit", "--all")) == 5
    assert sizes == [2, 2, 1]


def test_the_id_in_the_log_line_is_the_one_to_verify(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`receipt.refused` names the quarantined request."""
    told: list[dict[str, Any]] = []

    class Log(_Silent):
        def warning(self, _: str, **fields: Any) -> None:
            told.append(fields)

    monkeypatch.setattr(writing, "log", Log())
    desk.refuse(signed())
    assert desk.run("verify", told[0]["quarantined"]).exit_code == 1
