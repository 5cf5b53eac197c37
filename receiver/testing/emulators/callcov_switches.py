"""What CallCov's pages leave open or contradict, as switches of its emulator; sources as in handlers/providers/callcov."""

from typing import Literal

import msgspec

from receiver.testing.emulators.posting import Sending


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is a behaviour; the default is the better documented one."""

    key_header: Literal["X-API-Key", "Authorization"] = "X-API-Key"
    """[X] S0, S2 to S5 and S9 say the first, S10, S11, S13 the second."""
    json_create: bool = False
    """[X] generation "analysis" takes JSON with `audio_url` (S13), or forms only (S3)."""
    errors: Literal["error", "detail"] = "error"
    """[X] one shape for all (S0, S9), or FastAPI's `detail` (S10)."""
    slash: Literal["redirect", "either"] = "redirect"
    """[I] a path without its last slash is redirected (307), as FastAPI does; S1 posts without."""
    calls_status: Literal[200, 201, 202] = 200
    """[U] the status of a submission to /calls/analyze."""
    submissions_per_minute: int = 5
    """[X] 5, 30, 150 by plan (S0), or 20 (S10)."""
    requests_per_minute: int = 100
    """[D S10] by default."""
    processed_at_once: int = 1
    """[D S0] 1, 5, 25 by plan."""
    beyond: Literal["queue", "refuse"] = "queue"
    """[U] what becomes of a submission while so many are processed: it waits, or is answered 429."""
    retry_after: bool = False
    """[U] a 429 carries `Retry-After` too; documented is the wait inside the text only (S0)."""
    echo: Literal["same", "other", "none"] = "same"
    """[D S0, S4] the answer names the `webhook_url`; [I] it may be another, such as one of the account."""
    failure: Literal["metadata", "top", "error"] = "metadata"
    """[X] where the words of a failure stand in generation "analysis": S4, S1, S0."""
    speakers: Literal["letters", "names"] = "letters"
    """[X] `A`, `B` (S7) or `Agent`, `Customer` (S8es)."""
    summary: bool = False
    """[X] `results.summary` is there (S2), or not (S8)."""
    completed_at: Literal["text", "number"] = "text"
    """[U] the type of `metadata.completed_at`."""
    delivered: Literal["own", "analysis"] = "own"
    """[U] the callback of generation "calls": its own object, or that of the other generation."""
    failures_called_back: bool = True
    """[I, strong] S1's handler branches on `failed`."""
    signature: Literal["none", "hex", "prefixed", "timestamp"] = "none"
    """[U] HMAC-SHA256 of the body in hex; with `sha256=`; or of `time.body` with the time in a header of its own."""
    polled_speakers: bool = True
    """[U] reading an analysis gives the speakers that the callback had."""
    listed: Literal["whole", "short"] = "whole"
    """[U] the list shows transcripts and results, or not."""
    newest_first: bool = True
    """[U] the order of the list."""
    list_keys: Literal["total", "has_more", "none"] = "total"
    """[U] the names of what tells of further pages."""
    outcome: Literal["completed", "failed"] = "completed"
    """[D S4] how analyses end."""
    processing: float = 0.0
    """Seconds until they do."""
    callbacks: Sending = Sending()
    """[U] retries, order, repetition."""
