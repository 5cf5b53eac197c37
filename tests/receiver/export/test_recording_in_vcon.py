"""The recording goes along in a vCon, where it is a file of ours, and the one that was submitted."""

import base64
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flows import Flow, flowing
from recordings import a_wave

from receiver import exporting

SCHEMA = json.loads(Path(__file__).with_name("vcon.schema.json").read_text("utf-8"))


async def dialog(flow: Flow) -> dict[str, Any]:
    """Return the dialog of the one transcript's container, after the schema had its say."""
    (made,) = await flow.exported("vcon")
    document = json.loads(made)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    (found,) = document["dialog"]
    assert found["type"] == "recording"
    return dict(found)


async def test_the_recording_is_in_the_dialog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, with its name and type; not another file of that name, nor one that is too large, nor one that is gone."""
    async with flowing(tmp_path, "callcov") as flow:
        job = await flow.one()
        await flow.quiet()
        path = Path(str(job.doc.path))
        whole, found = path.read_bytes(), await dialog(flow)
        assert base64.urlsafe_b64decode(found["body"] + "==") == whole
        assert (found["filename"], found["mediatype"], found["encoding"]) == ("call.wav", "audio/wav", "base64url")
        monkeypatch.setattr(exporting, "MOST_BYTES", len(whole) - 1)
        assert "body" not in await dialog(flow)
        monkeypatch.undo()
        a_wave(path, 2)
        assert "body" not in await dialog(flow)
        path.unlink()
        assert "body" not in await dialog(flow)
