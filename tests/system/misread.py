"""The provider of calls in two releases: the first misreads how long a call was, the second does not."""

import msgspec

from receiver.contract.errors import Unreadable
from receiver.contract.model import Outcome, Receipt, Result
from system.provider import Body, Calls


class Timed(Body, frozen=True, kw_only=True):
    """A callback that says how long the call was, in seconds, or in milliseconds where `unit` says so."""

    took: float
    unit: str = "s"


class Fixed(Calls):
    """Reads the unit."""

    normalizer = "calls/2"

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Return one result, with the length of the call in seconds."""
        try:
            body = msgspec.json.decode(receipt.body, type=Timed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreadable("not a body of timed calls") from error
        (result,) = super().normalize(receipt)
        assert isinstance(result, Result)
        return (msgspec.structs.replace(result, duration=self.seconds(body)),)

    def seconds(self, body: Timed) -> float:
        """Return how long the call was."""
        return body.took / 1000 if body.unit == "ms" else body.took


class Misreading(Fixed):
    """Takes every number for seconds."""

    normalizer = "calls/1"

    def seconds(self, body: Timed) -> float:
        """Return the number as it stands."""
        return body.took
