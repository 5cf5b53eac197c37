"""What INVOX's pages leave open or contradict, as switches of its emulator.

Numbers are those of the pages under developer.invoxmedical.com: [1] transcribe-pre-recorded-audio/generate-presign-url,
[2] …/api-guide, [3] …/async-transcription, [4] …/get-transcription-status, [5] webhooks/introduction, [11] credentials.
"""

from typing import Literal

import msgspec

from receiver.testing.emulators.posting import Sending


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is a behaviour; the default is the better documented one."""

    grant: Literal["oauth", "get", "json"] = "oauth"
    """[U] Basic and a form as OAuth 2 has it [I from 11]; Basic and GET; or the credentials in a JSON body."""
    grant_member: Literal["accessToken", "access_token", "inner"] = "accessToken"
    """[U] the token's member: [1] writes `<accessToken>`, OAuth 2 `access_token`; or inside `data`."""
    grant_expiry: Literal["number", "text", "none"] = "number"
    """[U] the member with its lifetime."""
    grant_seconds: int = 7200
    """[D 1, 11] two hours."""
    permitted: bool = True
    """[D 1, 4] the credentials have BATCH-TRANSCRIBE; 403 without."""
    version: Literal["optional", "required"] = "optional"
    """[U] whether calls without X-Invox-Medical-Api-Version are taken; [D 4] polling exists since 2025-10-01."""
    error_member: Literal["messsage", "message"] = "messsage"
    """[C 1, 4] three s on most pages, two on others."""
    status_member: Literal["processingStatus", "transcriptionStatus", "both"] = "processingStatus"
    """[C 4] the declared type and the printed example differ."""
    created_at: Literal["number", "text"] = "number"
    """[C 1] a number in the example, a string in the type."""
    signature: Literal["none", "organization", "api-key"] = "organization"
    """[U] [I 5] the webhooks' scheme, with the organization's keys or the application's API Key; or a placeholder."""
    upload_status: Literal[200, 201, 204] = 200
    """[D 2] success is any 2xx."""
    upload_seconds: float = 3600.0
    """[U] how long the address for the upload is good."""
    outcome: Literal["COMPLETED", "ERROR"] = "COMPLETED"
    """[D 4] how transcriptions end."""
    failures_called_back: bool = False
    """[U] a callback has no status and no error [D 1], so a failed job may never call back."""
    polled_after_callback: bool = True
    """[U] a request that called back can still be asked about."""
    polled_speakers: bool = False
    """[D 4] polling shows no speakers; the callback does [D 1]."""
    polled_vtt: bool = True
    """[D 4] `vttTranscription` is optional."""
    before_upload: Literal["pending", "unknown"] = "pending"
    """[U] what polling says before the recording is there."""
    requests_per_minute: int | None = None
    """[U] no limit is documented."""
    retry_after: bool = True
    """[U] a 429 says how long to wait."""
    processing: float = 0.0
    """Seconds from the upload to the result."""
    callbacks: Sending = Sending()
    """[U] retries, order, repetition."""
