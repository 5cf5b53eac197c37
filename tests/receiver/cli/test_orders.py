"""What `submit` is asked to submit: files, addresses, manifests; and what is wrong with them, by name."""

from pathlib import Path
from typing import Any

import pytest
from recordings import a_wave

from receiver.asking.recording import content_type, recording_of
from receiver.cli.orders import items
from receiver.contract.errors import UsageError


def given(**changes: Any) -> dict[str, Any]:
    """Return the options of a command line."""
    return {"operation": (), "call": None, "language": None, "meta": (), "option": (), **changes}


def test_a_recording_is_looked_at(tmp_path: Path) -> None:
    """Size, digest, type, sample rate and seconds, of the file and not of its name."""
    found = recording_of(a_wave(tmp_path / "odd.bin", seconds=0.5))
    assert (found.content_type, found.sample_rate, found.duration) == ("audio/wav", 8000, 0.5)
    assert found.size == (tmp_path / "odd.bin").stat().st_size
    assert len(found.sha256 or "") == 64


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"ID3\x04", "a", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "a", "audio/mpeg"),
        (b"fLaC", "a", "audio/flac"),
        (b"OggS", "a", "audio/ogg"),
        (b"\x00\x00\x00 ftypM4A ", "a", "audio/mp4"),
        (b"", "a.MP3", "audio/mpeg"),
        (b"words", "a.txt", "application/octet-stream"),
    ],
)
def test_types_are_known_by_their_first_bytes(head: bytes, name: str, kind: str) -> None:
    """Or by the name where these say nothing."""
    assert content_type(name, head) == kind


def test_files_that_cannot_be_sent_are_named(tmp_path: Path) -> None:
    """Missing, empty, a folder, unreadable."""
    (tmp_path / "empty.wav").touch()
    for name, said in (("none.wav", "no such file"), ("empty.wav", "is empty"), ("", "is a folder")):
        with pytest.raises(UsageError, match=said):
            recording_of(tmp_path / name)


def test_options_go_with_every_recording() -> None:
    """Options are JSON where they are some, else text; metadata is text."""
    options = given(call="C-1", meta=("a=1", "b=x=y"), option=("words=true", "name=north"), operation=("one", "two"))
    file, address = items(["a.wav", "https://example.com/b.wav?key=1"], None, options)
    assert file.metadata == {"a": "1", "b": "x=y"}
    assert file.options == {"words": True, "name": "north"}
    assert file.call is not None
    assert file.call.external_id == "C-1"
    assert (address.is_address, address.shown) == (True, "https://example.com/b.wav")
    orders = address.orders("studio", again=False)
    assert [order.operation for order in orders] == ["one", "two"]
    assert orders[0].recording.url == "https://example.com/b.wav?key=1"


def test_a_manifest_gives_each_file_its_values(tmp_path: Path) -> None:
    """Files lie beside it; empty cells leave what the command line says."""
    manifest = tmp_path / "calls.csv"
    manifest.write_text(
        "recording,call,from,direction,language,meta.team,option.words\n"
        "a.wav,C-1,+15550100,inbound,es,north,true\n"
        "https://example.com/b.wav,,,,,,\n"
    )
    first, second = items([], manifest, given(language="en", meta=("team=south",)))
    assert first.where == str(tmp_path / "a.wav")
    assert first.call is not None
    assert (first.call.external_id, first.call.from_, first.call.direction) == ("C-1", "+15550100", "inbound")
    assert (first.language, first.metadata, first.options) == ("es", {"team": "north"}, {"words": True})
    assert (second.call, second.language, second.metadata) == (None, "en", {"team": "south"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file\na.wav\n", "column"),
        ("recording,colour\na.wav,red\n", "'colour'"),
        ("recording,direction\na.wav,sideways\n", "row 2"),
        ("recording\na.wav,b.wav\n", "row 2"),
        ("recording,call\n,C-1\n", "row 2"),
    ],
)
def test_a_wrong_manifest_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Before anything is submitted."""
    manifest = tmp_path / "calls.csv"
    manifest.write_text(text)
    with pytest.raises(UsageError, match=said):
        items([], manifest, given())


def test_nothing_to_submit_is_wrong_use(tmp_path: Path) -> None:
    """A manifest that is not there, one that is no text, a value without a name."""
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"recording\n\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        items([], tmp_path / "none.csv", given())
    with pytest.raises(UsageError, match="UTF-8"):
        items([], binary, given())
    with pytest.raises(UsageError, match="--meta"):
        items(["a.wav"], None, given(meta=("north",)))
