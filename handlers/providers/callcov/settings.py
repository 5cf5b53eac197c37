"""The settings of a CallCov source."""

from datetime import time
from typing import Annotated, Literal

import msgspec

from receiver.contract.errors import ConfigError
from receiver.contract.proof import SignatureSettings
from receiver.contract.settings import Secret, SourceSettings, about

_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"


class CallCovSettings(SourceSettings, frozen=True, kw_only=True):
    """Settings of a CallCov source; S0 and the other sources are those of the package."""

    secrets: Annotated[tuple[Secret, ...], about("secrets of the signature; several for rotation without a gap")] = ()
    signature: Annotated[
        SignatureSettings | None,
        about("how CallCov signs; no readable page of the vendor says it, so nothing is assumed"),
    ] = None
    require: Annotated[
        Literal["all", "any"], about('where token and signature are both set: "all" of them, or "any" one proves')
    ] = "all"
    api_key: Annotated[Secret | None, about("API key (`sk_…`): with it recordings are submitted and results read")] = (
        None
    )
    api_url: Annotated[str, about("CallCov's API server")] = "https://api.callcov.com"
    api_key_header: Annotated[
        Literal["X-API-Key", "Authorization"],
        about(
            'how the key is sent: as X-API-Key, or as "Authorization: Bearer"; the vendor\'s pages contradict each other',
            inferred=True,
        ),
    ] = "X-API-Key"
    generation: Annotated[
        Literal["analysis", "calls"],
        about(
            'which of the two documented APIs: "analysis" (/api/v1/analysis/) or "calls" (/api/v1/calls/analyze, which '
            "also takes direction, time and metadata of the call); the vendor calls neither deprecated",
            inferred=True,
        ),
    ] = "analysis"
    upload: Annotated[
        Literal["file", "url"],
        about(
            'whether a local recording is sent ("file"), or CallCov is given an address to fetch it from ("url"); '
            'the pages disagree whether generation "analysis" takes addresses'
        ),
    ] = "file"
    submissions_per_minute: Annotated[
        int,
        about(
            "submissions a minute of your plan: 5 Free, 30 Starter, 150 Business (another page says 20 for all)", ge=1
        ),
    ] = 5
    parallel: Annotated[int, about("submissions under way at once: 1 Free, 5 Starter, 25 Business", ge=1)] = 1
    requests_per_minute: Annotated[int, about("requests of every kind a minute", ge=2)] = 100
    off_peak: Annotated[
        Annotated[str, msgspec.Meta(pattern=f"^{_CLOCK}-{_CLOCK}$")] | None,
        about(
            'submit only between these times of day, such as "22:00-06:00", in `timezone` or else UTC; CallCov advises '
            "off-peak hours for large volumes without saying which they are"
        ),
    ] = None

    def window(self) -> tuple[time, time] | None:
        """Return the times of day between which recordings are submitted; None: at any."""
        if self.off_peak is None:
            return None
        start, end = (time.fromisoformat(part) for part in self.off_peak.split("-"))
        return start, end

    def unused(self) -> frozenset[str]:
        """Without a key CallCov is not asked."""
        return frozenset() if self.api_key else frozenset({"api_key_header", "generation"})

    def check(self) -> None:
        if self.secrets and self.signature is None:
            raise ConfigError(
                "secrets is set and signature is not: CallCov documents no scheme that could be assumed. "
                'Say how it signs, as in signature = { header = "X-…" }, or remove secrets'
            )
        if self.signature is not None and not self.secrets:
            raise ConfigError('signature is set and secrets is not: add secrets = ["…"], or remove signature')
        if self.signature is not None:
            self.signature.check()
        if self.submissions_per_minute >= self.requests_per_minute:
            raise ConfigError(
                f"submissions_per_minute is {self.submissions_per_minute}, and requests_per_minute leaves nothing for "
                f"reading with {self.requests_per_minute}: set requests_per_minute to what your plan allows"
            )
        window = self.window()
        if window and window[0] == window[1]:
            raise ConfigError("off_peak: it begins and ends at the same time; leave it out to submit at any")
