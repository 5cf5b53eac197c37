"""Loading a configuration: what is read, what is filled in, what is warned about, what is shown."""

from pathlib import Path

import msgspec
import pytest
from config_fakes import ENVIRON, REGISTRY, VALID, AcmeSettings, HoseSettings, error, made, source

from receiver.config import address, load, masked, reference, reference_markdown
from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.registry import discover


def test_a_whole_file_is_read() -> None:
    """Tables, nested tables, lists of secrets and variables arrive as declared types."""
    config = made(VALID)
    one = config.sources["one"]
    assert isinstance(one, AcmeSettings)
    assert one.token == (Secret(ENVIRON["TOKEN"]),)
    assert one.secrets == (Secret(ENVIRON["SECRET"]), Secret("canary-old-0123456789"))
    assert one.api_keys == {"eu": Secret("canary-region-0123456789")}
    assert one.signature is not None
    assert one.signature.prefix == "sha256="
    assert one.roles == {"A": "agent"}
    team = config.sinks["team"]
    assert isinstance(team, HoseSettings)
    assert team.events == ("transcript.*",)
    assert config.root.public_url == "https://calls.example.com"
    assert config.root.listen.admin == "/admin"
    assert config.warnings == ()


def test_an_empty_file_has_defaults_and_two_warnings() -> None:
    """Without sources and sinks the defaults hold, and it is said that nothing will happen."""
    config = made({})
    assert config.root.store == "sqlite:hookscribe.db"
    assert (config.root.listen.public, config.root.listen.admin) == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert config.root.limits.memory == 64 * 1024 * 1024
    assert config.root.quarantine.max_count == 1000
    assert len(config.warnings) == 2


def test_the_platform_gives_port_and_store() -> None:
    """$PORT and $DATABASE_URL are defaults; what the file says goes before them."""
    root = made({}, PORT="5000", DATABASE_URL="postgres://u:p@h/db").root
    assert root.listen.public == "0.0.0.0:5000"
    assert root.store == "postgresql://u:p@h/db"
    said = {"store": "sqlite:x.db", "listen": {"public": "127.0.0.1:1"}}
    root = made(said, PORT="5000", DATABASE_URL="postgres://u:p@h/db").root
    assert (root.store, root.listen.public) == ("sqlite:x.db", "127.0.0.1:1")


def test_the_root_settings_do_not_print_the_stores_password() -> None:
    """The repr of settings masks user and password of the store."""
    assert "canary" not in repr(made(VALID))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a${NAME}b", "axb"),
        ("${NAME:-other}", "x"),
        ("${EMPTY:-other}", "other"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("$${NAME}", "${NAME}"),
        ("$NAME $ {NAME} 5$", "$NAME $ {NAME} 5$"),
        ("$$${NAME}", "$${NAME}"),
        ("${SELF}", "${NAME}"),
    ],
)
def test_variables_are_filled_in(text: str, value: str) -> None:
    """Name, default and escape; what a variable holds is not read again."""
    config = made(source(either=text), NAME="x", EMPTY="", SELF="${NAME}")
    assert isinstance(config.sources["one"], AcmeSettings)
    assert config.sources["one"].either == value


def test_a_variable_may_hold_a_number_or_truth() -> None:
    """What comes from the environment is text, and is read as the setting's type."""
    document = source(max_body="${SIZE}", ratio="${RATIO}", quarantine="${KEEP}", verify="${HOW}")
    config = made(document, SIZE="2048", RATIO="0.25", KEEP="False", HOW="none")
    one = config.sources["one"]
    assert isinstance(one, AcmeSettings)
    assert (one.max_body, one.ratio, one.quarantine, one.verify) == (2048, 0.25, False, "none")


def test_a_file_is_read_and_its_path_kept(tmp_path: Path) -> None:
    """`load` reads UTF-8 TOML from the path it is given."""
    file = tmp_path / "x.toml"
    file.write_text('event_prefix = "com.example"\n[sources.á]\n'.replace("[sources.á]\n", ""), "utf-8")
    config = load(file, {}, REGISTRY)
    assert (config.path, config.root.event_prefix) == (file, "com.example")


def test_a_missing_default_file_tells_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hookscribe.toml the message names the file, --config and `hookscribe dev`."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^hookscribe.toml: there is no such file.*--config.*hookscribe dev"):
        load(None, {}, REGISTRY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nb = [1,\n", "end of file: "),
        (b"a = 1\nb = ?\n", "line 2, column 5: Invalid value"),
        (b"[listen]\nadmin = '/a'\n[listen]\n", "line 3, column 8: Cannot declare"),
        (b"a = '\xff'", "not UTF-8 text (byte 5)"),
    ],
)
def test_what_is_no_toml_is_located(tmp_path: Path, content: bytes, message: str) -> None:
    """A syntax error names file, line and column."""
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, REGISTRY)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be read is an error of settings, with the system's reason."""
    with pytest.raises(ConfigError, match="cannot be read: "):
        load(tmp_path, {}, REGISTRY)


@pytest.mark.parametrize(
    ("document", "warning"),
    [
        (source(verify="none"), '[sources.one] verify = "none": anybody'),
        (
            VALID | {"sinks": {"s": {"kind": "hose", "url": "x", "sources": "two*"}}},
            "[sinks.s] sources: 'two*' matches no",
        ),
        (VALID | {"sinks": {"s": {"kind": "hose", "url": "x", "events": "transcripts.*"}}}, "did you mean transcript."),
        (VALID | {"sinks": {"s": {"kind": "hose", "url": "x", "events": "invox.*"}}}, "[sinks.s] events: 'invox.*'"),
    ],
)
def test_what_is_probably_not_meant_is_warned_about(document: dict[str, object], warning: str) -> None:
    """Globs without a match and sources without proof are warnings, not errors."""
    assert any(warning in line for line in made(document).warnings), made(document).warnings


@pytest.mark.parametrize("glob", ["*", "transcript.*", "acme.ping", "ac*.ping", "ops.*", "com.example.call.completed"])
def test_globs_that_match_are_not_warned_about(glob: str) -> None:
    """Types of ours, a configured provider's own, and types with the prefix are known."""
    sinks = {"s": {"kind": "hose", "url": "x", "events": [glob]}}
    assert made(VALID | {"sinks": sinks, "event_prefix": "com.example"}).warnings == ()


def test_masked_shows_everything_but_secrets() -> None:
    """Every setting in force is there; secrets and users in addresses are not."""
    sinks = {"s": {"kind": "hose", "url": "canary", "broker": "nats://canary:canary@host:4222"}}
    data = masked(made(VALID | {"sinks": sinks}))
    assert data["store"] == "postgresql://***@db/calls?password=***"
    assert data["sources"]["one"]["secrets"] == ["***", "***"]
    assert data["sources"]["one"]["api_keys"] == {"eu": "***"}
    assert data["sources"]["one"]["signature"]["header"] == "X-Signature"
    assert data["sinks"]["s"]["broker"] == "nats://***@host:4222"
    assert data["limits"]["body_timeout"] == 60.0
    assert "canary" not in msgspec.json.encode(data).decode()


def test_reference_has_every_setting_once() -> None:
    """Rows come from the declarations: type, default, help, secret and inferred."""
    rows = {(row.table, row.key): row for row in reference(REGISTRY)}
    assert len(rows) == len(reference(REGISTRY))
    assert rows["", "admin_token"].secret
    assert rows["listen", "admin"].default == '"127.0.0.1:8081"'
    assert rows["sources.NAME", "provider"].default is None
    assert rows['sources.NAME, provider = "acme"', "tries"].type == "a whole number of at least 1 and up to 9"
    assert rows['sources.NAME.signature, provider = "acme"', "algorithm"].default == '"hmac-sha256"'
    assert ('sources.NAME, provider = "acme"', "token") not in rows
    assert rows['sinks.NAME, kind = "hose"', "url"].secret
    assert all(row.help for row in rows.values())


def test_reference_as_markdown() -> None:
    """Each table of the file has a heading and each setting a line."""
    text = reference_markdown(REGISTRY)
    assert "### `[limits]`" in text
    assert "| `url` | text | required | where it goes (secret) |" in text
    assert len([line for line in text.splitlines() if line.startswith("| `")]) == len(reference(REGISTRY))


def test_reference_of_what_is_installed() -> None:
    """Every installed provider and sink can be described, every setting with help."""
    rows = reference(discover())
    assert all(row.help and row.type for row in rows)
    tables = {row.table for row in rows}
    assert tables >= {"", "listen", "limits", "sources.NAME", "sinks.NAME"}
    assert 'sources.NAME, provider = "callcov"' in tables


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:0", ("::1", 0)),
        ("host-1.internal:65535", ("host-1.internal", 65535)),
    ],
)
def test_addresses(text: str, parts: tuple[str, int]) -> None:
    """Host and port, version 6 in brackets."""
    assert address(text) == parts


@pytest.mark.parametrize(
    "text", ["", "8080", ":80", "h:", "h:65536", "h:-1", "h:٣", "::1:80", "http://h:80", "a b:1", "[]:1"]
)
def test_what_is_no_address(text: str) -> None:
    """Anything else is an error, in a configuration one that shows the form."""
    with pytest.raises(ValueError, match=r"no (host|port)"):
        address(text)
    assert error({"listen": {"public": text}}).startswith('[listen] public: expected an address such as "127.0.0.1')
