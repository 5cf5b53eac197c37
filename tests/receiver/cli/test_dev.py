"""`hookscribe dev`: its own settings, the tunnel, and a line for every callback."""

import signal
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ngrok_fake import FakeAgent, agent, install, path_with, tunnel
from programs import run, running

from handlers.providers.ringcentral import RingCentral
from receiver.contract.errors import ConfigError
from receiver.dev.settings import FILE, made
from receiver.registry import Registry, discover
from receiver.testing.server import free_port

OWN = ("--config", str(FILE))


class Ports:
    """The ports of a receiver under test."""

    def __init__(self) -> None:
        self.public, self.admin, self.nobody = free_port(), free_port(), free_port()


@pytest.fixture
def ports() -> Ports:
    """Give ports on which nobody listens."""
    return Ports()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: Ports) -> Path:
    """Give a folder with the settings that `dev` makes, on ports of the test's own."""
    monkeypatch.chdir(tmp_path)
    file = made(discover())
    file.write_text(file.read_text().replace(":8080", f":{ports.public}").replace(":8081", f":{ports.admin}"))
    return tmp_path


@pytest.fixture
def ngrok() -> Iterator[FakeAgent]:
    """Give an ngrok agent that runs."""
    with agent() as fake:
        yield fake


def by_token() -> list[str]:
    """Return the providers that a token alone is enough for; `generic` needs settings that nobody can make up."""
    return [name for name in discover().providers if name != "generic"]


def token(folder: Path, source: str) -> str:
    """Return a source's token."""
    return str(tomllib.loads((folder / FILE).read_text())["sources"][source]["token"])


def dev(folder: Path, fake: FakeAgent, **environ: str) -> Any:
    """Run `hookscribe dev` with a fake agent."""
    return running("dev", "--agent", fake.url, cwd=folder, **environ)


def send(folder: Path, *arguments: str) -> None:
    """Send something with `hookscribe simulate`, as the page says."""
    done = run(*OWN, "simulate", *arguments, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_addresses_are_printed_ready_to_paste(folder: Path, ngrok: FakeAgent, ports: Ports) -> None:
    """With a tunnel, every provider has its address outside, with what to do there; both work; Ctrl-C ends with 0."""
    ngrok.lead("https://one.ngrok.example", f"http://localhost:{ports.public}")
    with dev(folder, ngrok) as program:
        program.until("Callbacks, a line each")
        for name in by_token():
            assert f"https://one.ngrok.example/hooks/{name}/{token(folder, name)}" in program.output
            assert discover().provider(name).setup in program.output
        assert httpx.get(f"http://127.0.0.1:{ports.public}/healthz", trust_env=False).status_code == 200
        link = next(line.split()[1] for line in program.said if line.startswith("Page "))
        assert httpx.get(link, follow_redirects=True, trust_env=False).status_code == 200
        assert program.stop() == 0
    assert "Traceback" not in program.output


def test_every_callback_has_its_line(folder: Path, ngrok: FakeAgent) -> None:
    """How it was answered and why, what came of it, where that went; no words of the call, no token."""
    with dev(folder, ngrok) as program:
        program.until("Callbacks, a line each")
        said_before = len(program.said)
        send(folder, "callcov", "completed")
        assert "by token → transcript.completed trn_" in program.until("callcov       accepted   rcp_")
        send(folder, "callcov", "failed")
        assert "→ file" in program.until("transcript.failed trn_")
        send(folder, "callcov", "duplicate")
        program.until("accepted")
        program.until("duplicate  rcp_")
        send(folder, "ringcentral", "wrong-signature")
        program.until("ringcentral   refused    404 token_unknown: the token in the URL")
        send(folder, "ringcentral", "in-progress")
        program.until("→ no event: the job is InProgress")
        send(folder, "invox", "trailing-commas")
        program.until("→ unreadable: not JSON")
        send(folder, "ringcentral", "large")
        program.until("accepted")
        program.stop(signal.SIGTERM)
    lines = "\n".join(program.said[said_before:])
    assert "ferry" in (folder / ".hookscribe" / "events.jsonl").read_text()
    assert "ferry" not in lines
    assert not any(token(folder, name) in lines for name in by_token())


def test_a_sink_that_fails_is_told(folder: Path, ngrok: FakeAgent) -> None:
    """The line does not wait for ever, and says where the event waits and why."""
    file = folder / FILE
    hook = f'\n[sinks.team]\nkind = "webhook"\nurl = "http://127.0.0.1:{free_port()}/"\nallow_private = true\n'
    file.write_text(file.read_text() + hook)
    with dev(folder, ngrok) as program:
        program.until("Callbacks, a line each")
        send(folder, "ringcentral")
        line = program.until("accepted")
        assert "→ file, team waits (" in line or "→ team waits (" in line
        program.stop()


def test_an_address_of_nobody_is_told(folder: Path, ngrok: FakeAgent, ports: Ports) -> None:
    """A mistyped source is the commonest mistake: it is said, though no source is concerned."""
    with dev(folder, ngrok) as program:
        program.until("Callbacks, a line each")
        assert httpx.post(f"http://127.0.0.1:{ports.public}/hooks/calcov/x", trust_env=False).status_code == 404
        program.until("Refused 404, 1 times: no source has that address")
        program.stop()


def test_the_tunnel_is_watched(folder: Path, ngrok: FakeAgent, ports: Ports) -> None:
    """Another address, and none at all, are said; so are the addresses to paste then."""
    target = f"localhost:{ports.public}"
    ngrok.lead("https://one.ngrok.example", target)
    with dev(folder, ngrok) as program:
        program.until("Callbacks, a line each")
        ngrok.lead("https://two.ngrok.example", target)
        program.until("The tunnel has a new address")
        program.until(f"https://two.ngrok.example/hooks/ringcentral/{token(folder, 'ringcentral')}")
        ngrok.tunnels = []
        program.until("The tunnel is gone")
        program.stop()


def test_a_tunnel_to_the_admin_listener_stops_it(folder: Path, ngrok: FakeAgent, ports: Ports) -> None:
    """At the start, and also when one appears later: 2, and which tunnel it is."""
    ngrok.lead("https://bad.ngrok.example", f"http://localhost:{ports.admin}")
    done = run("dev", "--agent", ngrok.url, cwd=folder)
    assert done.returncode == 2
    assert "https://bad.ngrok.example, leads to the admin listener" in done.stderr
    assert "Traceback" not in done.stderr
    ngrok.lead("https://one.ngrok.example", f"http://localhost:{ports.public}")
    with dev(folder, ngrok) as program:
        program.until("Callbacks, a line each")
        ngrok.tunnels.append(tunnel("https://bad.ngrok.example", f"http://127.0.0.1:{ports.admin}"))
        program.until("leads to the admin listener")
        assert program.process.wait(20) == 2


def test_ngrok_is_started_where_it_is_installed(folder: Path, tmp_path: Path, ports: Ports) -> None:
    """Without an agent, and with the program, there is a tunnel; it ends with the command."""
    programs = tmp_path / "bin"
    programs.mkdir()
    marker = install(programs, ports.nobody)
    address = f"http://127.0.0.1:{ports.nobody}"
    with running("dev", "--agent", address, cwd=folder, PATH=path_with(programs)) as program:
        program.until("Providers reach it as https://fake.ngrok.example")
        program.until("Callbacks, a line each")
        assert program.stop() == 0
    assert marker.read_text() == "ended"


def test_without_any_tunnel_it_goes_on_locally(folder: Path, tmp_path: Path, ports: Ports) -> None:
    """No agent and no program: it is said how to get one, and what is here works."""
    address = f"http://127.0.0.1:{ports.nobody}"
    with running("dev", "--agent", address, cwd=folder, PATH="/usr/bin:/bin") as program:
        assert "ngrok is not installed" in program.until("Not reachable from outside")
        program.until(f"http://127.0.0.1:{ports.public}/hooks/ringcentral/{token(folder, 'ringcentral')}")
        program.until("Callbacks, a line each")
        send(folder, "ringcentral")
        program.until("accepted")
        program.stop()


def test_an_address_can_be_given(folder: Path, ngrok: FakeAgent, ports: Ports) -> None:
    """`--public-url` is believed, whatever ngrok says; events name it as their source."""
    ngrok.lead("https://one.ngrok.example", f"localhost:{ports.public}")
    arguments = ("dev", "--agent", ngrok.url, "--public-url", "https://mine.example/")
    with running(*arguments, cwd=folder) as program:
        program.until("https://mine.example/hooks/callcov/")
        program.until("Callbacks, a line each")
        send(folder, "callcov")
        program.until("→ file")
        program.stop()
    assert '"source":"https://mine.example/sources/callcov"' in (folder / ".hookscribe" / "events.jsonl").read_text()


def test_settings_of_ones_own_are_used(tmp_path: Path, ngrok: FakeAgent, ports: Ports) -> None:
    """With a hookscribe.toml nothing is made; a source that is proven by signature has an address without a token."""
    (tmp_path / "hookscribe.toml").write_text(f"""
[listen]
public = "127.0.0.1:{ports.public}"
admin = "127.0.0.1:{ports.admin}"
metrics = "127.0.0.1:{ports.nobody}"

[sources.sales]
provider = "callcov"
secrets = ["canary-secret-0123456789"]
signature = {{ header = "X-Sig" }}

[sinks.print]
kind = "console"
""")
    with dev(tmp_path, ngrok) as program:
        program.until("Callbacks, a line each")
        assert f"    http://127.0.0.1:{ports.public}/hooks/sales" in program.said
        assert "print (console)" in program.output
        assert "hookscribe simulate sales " in program.output
        assert run("simulate", "sales", cwd=tmp_path).returncode == 0
        assert "by signature → transcript.completed" in program.until("accepted")
        program.stop()
    assert not (tmp_path / ".hookscribe").exists()
    assert "canary" not in program.output


@pytest.mark.parametrize(
    ("settings", "arguments", "said"),
    [
        ('[listen]\npublic = "127.0.0.1:0"\n', (), "port 0: a tunnel needs to know the port"),
        ("", ("--public-url", "mine.example"), "is no https:// address"),
    ],
)
def test_wrong_use(tmp_path: Path, settings: str, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be is said before anything starts."""
    (tmp_path / "hookscribe.toml").write_text(settings)
    done = run("dev", *arguments, cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_one_port_for_all_is_no_tunnel_to_the_admin_listener(tmp_path: Path, ngrok: FakeAgent, ports: Ports) -> None:
    """Where the page is a path of the public listener, it is behind its token, and the tunnel is taken."""
    listen = f'[listen]\npublic = "127.0.0.1:{ports.public}"\nadmin = "/admin"\n'
    (tmp_path / "hookscribe.toml").write_text(listen)
    ngrok.lead("https://one.ngrok.example", str(ports.public))
    with dev(tmp_path, ngrok) as program:
        program.until("https://one.ngrok.example")
        program.until("No sources.")
        program.until("Callbacks, a line each")
        program.stop()


class NeedsKey(RingCentral):
    """A provider that no token alone proves."""

    name = "needs-key"

    def proofs(self) -> tuple[str, ...]:
        return ()


def test_tokens_are_kept_and_new_providers_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once, for nobody else to read, out of git's sight; a provider installed later gets its source."""
    monkeypatch.chdir(tmp_path)
    few = Registry({"ringcentral": RingCentral, "needs-key": NeedsKey}, discover().sinks)
    file = made(few)
    first = file.read_text()
    assert "needs-key" not in first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert (file.parent / ".gitignore").read_text() == "*\n"
    file.chmod(0o644)
    assert made(few).read_text() == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    later = made(discover()).read_text()
    assert later.startswith(first)
    assert set(tomllib.loads(later)["sources"]) == {"ringcentral", "callcov", "invox", "callmissed", "rythmex"}


@pytest.mark.parametrize("broken", ["[sources", "sources = 1", "[sources.a]\nprovider_ = 1"])
def test_settings_that_were_spoilt_are_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The way out is named instead."""
    monkeypatch.chdir(tmp_path)
    made(discover()).write_text(broken)
    with pytest.raises(ConfigError, match="delete it"):
        made(discover())


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback where something is in the way."""
    monkeypatch.chdir(tmp_path)
    Path(".hookscribe").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        made(discover())
