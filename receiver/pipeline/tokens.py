"""Tokens of jobs: each callback URL that we make carries its own, known again whatever became of the job."""

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from receiver.contract.model import JOB_HEADER, LATE_HEADER, InboundRequest, JobToken, Verdict, kept_token
from receiver.contract.proof import Proven, Reason, Refused, digest
from receiver.contract.provider import Provider
from receiver.store.ids import JOB, encode
from receiver.store.jobs import OPEN, Jobs, JobState

log = structlog.get_logger()

_ONLY_TOKEN = frozenset({Reason.TOKEN_MISSING, Reason.TOKEN_UNKNOWN})


class JobTokens:
    """Looks up tokens that are none of the configured ones, for sources that can be asked.

    One whose job is gone is a late one, as one that was spent: what comes by it must be confirmed.
    """

    def __init__(self, jobs: Jobs, sources: Mapping[str, Provider[Any]]) -> None:
        self._jobs = jobs
        self.change(sources)

    def change(self, sources: Mapping[str, Provider[Any]]) -> None:
        """Go by other settings."""
        self._configured = {
            name: {digest(token.raw) for token in one.settings.token}
            for name, one in sources.items()
            if one.api_settings and _askable(one)
        }

    def may_know(self, request: InboundRequest) -> bool:
        """Say, without asking the store, whether a request's token may be a job's."""
        configured = self._configured.get(request.source)
        token = kept_token(request) if configured is not None else None
        return configured is not None and token is not None and token.digest not in configured

    async def known(self, request: InboundRequest) -> InboundRequest | None:
        """Return the request with what its token stands for, None where it is no job's. Raises StoreError."""
        kept = kept_token(request)
        found = await self._jobs.of_token(request.source, kept.digest) if kept is not None else None
        if found is None:
            return None
        spent = found[1] not in OPEN and bool(found[2])
        token = JobToken(encode(JOB, found[0]), late=spent or found[1] == JobState.LOST)
        more = [(JOB_HEADER, token.job.encode())]
        if token.late:
            more.append((LATE_HEADER, str(found[1]).encode()))
        return msgspec.structs.replace(request, token=token, headers=(*request.headers, *more))

    async def looked_up(self, request: InboundRequest) -> InboundRequest:
        """Return a request with what its token stands for, where it is a job's. Raises StoreError."""
        return (await self.known(request) or request) if self.may_know(request) else request


def by_token(request: InboundRequest, proof: Proven | Refused) -> Proven | Refused:
    """Return what a provider's proof is worth for a request whose token is a job's: the token alone proves it where
    the settings ask for nothing else.
    """
    if isinstance(proof, Refused) and isinstance(request.token, JobToken) and proof.reason in _ONLY_TOKEN:
        return Proven(request=request, verdict=Verdict.TOKEN, checks=proof.checks)
    return proof


def _askable(provider: Provider[Any]) -> bool:
    try:
        return provider.api() is not None
    except Exception as error:  # noqa: BLE001 -- a plugin's code; callbacks come in all the same
        log.error("api.raised", source=provider.source, error=type(error).__name__)
        return False
