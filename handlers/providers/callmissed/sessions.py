"""What has to be fetched after CallMissed has called: a session with its analysis, and its turns (S2)."""

from urllib.parse import quote

from receiver.contract.asking import Answer, Fetched
from receiver.contract.errors import ProviderBusy
from receiver.contract.model import Outcome, Result

_AGAIN = 30.0
"""Seconds after which an analysis that is announced and not there yet is asked for again."""


def announced(outcome: Outcome) -> str | None:
    """Return the session whose completed analysis an outcome announces, or None."""
    if not isinstance(outcome, Result) or (outcome.kind, outcome.operation) != ("analysis", "conversation"):
        return None
    return outcome.call.external_id if outcome.call else None


def paths(session: str) -> tuple[str, str]:
    """Return the paths of a session and of its turns."""
    own = f"/v1/voice/sessions/{quote(session, safe='')}"
    return own, f"{own}/transcript"


def with_analysis(answer: Answer) -> None:
    """Raise ProviderBusy where a session is there before its analysis."""
    if not isinstance(answer.members().get("analysis"), dict):
        raise ProviderBusy("CallMissed announced an analysis that its session does not have yet", _AGAIN)


def fetched(answer: Answer, path: str) -> Fetched:
    """Return an answer with the path that was read: turns do not say whose they are."""
    return Fetched(body=answer.body, headers=((b"content-location", path.encode()),))
