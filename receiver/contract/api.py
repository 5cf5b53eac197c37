"""What a provider can be asked for: submit, poll, list, subscribe, as generators without I/O."""

from collections.abc import Mapping
from typing import Any, ClassVar

from receiver.contract.asking import (
    Answer,
    Ask,
    Fetched,
    Found,
    Limit,
    Polled,
    Steps,
    Submission,
    Submitted,
    Subscription,
    Swept,
    Token,
    at_once,
)
from receiver.contract.errors import UsageError
from receiver.contract.model import Outcome


class Api:
    """Base of what providers return from `Provider.api`: override what the provider has.

    Immutable after `__init__`; one serves one source. Every method but the first four returns a generator.
    """

    name: ClassVar[str]
    """The provider's."""
    operations: ClassVar[tuple[str, ...]] = ()
    """What can be submitted, the default first, by the names that results have."""
    limits: ClassVar[Mapping[str, Limit]] = {}
    """How often the provider may be asked, by bucket: documented limits only. Settings may give an instance its own."""
    subscribes: ClassVar[bool] = False
    """Whether the provider has subscriptions that can be listed and made."""
    calls_back: ClassVar[bool] = True
    """Whether the results of what is submitted are called back, so that asking for them can wait."""
    rereads: ClassVar[bool] = False
    """Whether `poll` gives a finished job's result once more, so that a callback can be confirmed by it."""

    def wait_after(self, answer: Answer) -> float | None:  # noqa: ARG002
        """Return the seconds that a 429 asks to wait, where it says so in other words than `Retry-After`."""
        return None

    def fetches(self, operation: str) -> bool:  # noqa: ARG002
        """Say whether the provider fetches the recording from a URL instead of being sent it."""
        return False

    def takes_text(self, operation: str) -> bool:  # noqa: ARG002
        """Say whether an operation is about what was said, so that `text` reads the file instead of sending it."""
        return False

    def text(self, operation: str, body: bytes) -> dict[str, Any]:  # noqa: ARG002
        """Return the options that a file of what was said stands for. Raises UsageError."""
        raise self._unknown(f"{operation} of texts")

    def recording(self, recording_id: str) -> Steps[Ask]:  # noqa: ARG002
        """Return the request whose answer is a recording that lies at the provider; the engine streams it on."""
        raise self._unknown("recordings of its own")

    def not_before(self, now: float) -> float:
        """Return the moment (Unix seconds) from which recordings may be submitted; `now`, or earlier: at once."""
        return now

    def found(self, recording_id: str) -> Steps[Found]:  # noqa: ARG002
        """Return what the provider knows of a recording of its own, as it is submitted."""
        raise self._unknown("recordings of its own")

    def entry(self, body: bytes) -> Steps[tuple[Found, ...]]:  # noqa: ARG002
        """Return the recordings that a record of the provider's call log, as JSON, is about. Raises UsageError."""
        raise self._unknown("call log")

    def recorded_since(self, since: float) -> Steps[tuple[Found, ...]]:  # noqa: ARG002
        """List the calls since a moment (Unix seconds) that were recorded."""
        raise self._unknown("call log")

    def check(self, submission: Submission) -> None:
        """Raise UsageError, naming file and way out, for what the provider is known to refuse."""

    def authorize(self) -> Steps[Token]:
        """Get what makes requests authorized: when there is none yet, when it runs out, and after a 401."""
        raise self._unknown("credentials that are exchanged")

    def submit(self, submission: Submission, state: Mapping[str, Any]) -> Steps[Submitted]:  # noqa: ARG002
        """Hand a recording over; `state` is the last Note's, where a crash came in between, else empty."""
        raise self._unknown("submissions")

    def poll(self, job_id: str, operation: str) -> Steps[Polled]:  # noqa: ARG002
        """Ask for a job's result."""
        raise self._unknown("results that can be asked for")

    def sweep(self, since: float) -> Swept:  # noqa: ARG002
        """List what the provider has since a moment (Unix seconds), and yield each result.

        Raises UsageError, saying why, where there is no such list.
        """
        raise self._unknown("a list of results")

    def follow(self, outcome: Outcome) -> Steps[tuple[Fetched, ...]]:  # noqa: ARG002
        """Fetch what a callback announced and does not hold; raises ProviderBusy while it is not there yet.

        Not for outcomes of what was fetched itself.
        """
        return at_once(())

    def ask(self, transcript: str, question: str) -> Steps[str]:  # noqa: ARG002
        """Ask a question about a transcript's text, and return the answer."""
        raise self._unknown("way to be asked about a transcript")

    def missing_scopes(self) -> Steps[tuple[str, ...]]:
        """Return the permissions that the credentials lack for what can be asked."""
        return at_once(())

    def subscriptions(self) -> Steps[tuple[Subscription, ...]]:
        """List the subscriptions, whatever address they send to."""
        raise self._unknown("subscriptions")

    def subscribe(self, address: str, events: tuple[str, ...]) -> Steps[Subscription]:  # noqa: ARG002
        """Make a subscription; without `events`, for those that the settings name."""
        raise self._unknown("subscriptions")

    def resubscribe(self, subscription: Subscription, address: str) -> Steps[Subscription]:  # noqa: ARG002
        """Renew a subscription, bring a dead one to life, or send it to another address; its id may change."""
        raise self._unknown("subscriptions")

    def unsubscribe(self, subscription: Subscription) -> Steps[None]:  # noqa: ARG002
        """End a subscription."""
        raise self._unknown("subscriptions")

    def _unknown(self, what: str) -> UsageError:
        return UsageError(f"{self.name} has no {what} that Hookscribe knows of")
