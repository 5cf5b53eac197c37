"""Reread: what a token alone proved is asked for once more, with our own credentials."""

import msgspec

from receiver.asking.callers import Callers
from receiver.contract.asking import Fetched, Pending
from receiver.contract.errors import ProviderBusy, Unreadable, UsageError
from receiver.contract.model import Result
from receiver.pipeline.joining import KnownJobs
from receiver.pipeline.keeping import fetched_headers, receipt_of
from receiver.store.jobs import Jobs
from receiver.store.records import StoredReceipt
from receiver.store.store import Store


class Reread:
    """Asks for the result that a receipt says it has."""

    def __init__(self, store: Store, callers: Callers) -> None:
        self._jobs = Jobs(store)
        self._callers = callers

    async def ask(self, receipt: StoredReceipt) -> Fetched | None:
        """Return the provider's own answer, None where there is nothing to ask for. Raises ProviderError."""
        result = self._result(receipt)
        if result is None:
            return None
        try:
            caller = self._callers.of(receipt.source)
        except UsageError:
            return None  # the credentials were taken out of the settings: the token must do
        if not caller.api.rereads:
            return None
        named = await self._jobs.by_name([(receipt.source, result.job_id)])
        job = KnownJobs(named).of(receipt, result)
        found = await caller.run(caller.api.poll(result.job_id, job.operation if job else result.operation))
        if isinstance(found, Pending):
            raise ProviderBusy("the provider says that it is still at it")
        if not isinstance(found, Fetched):
            return None
        body = self._callers.sources[receipt.source].agreed(receipt.body, found.body)
        agreed = msgspec.structs.replace(found, body=body, job_id=found.job_id or result.job_id)
        return msgspec.structs.replace(agreed, headers=fetched_headers(agreed, None))

    def _result(self, receipt: StoredReceipt) -> Result | None:
        provider = self._callers.sources.get(receipt.source)
        if provider is None or provider.name != receipt.provider:
            return None
        try:
            said = provider.normalize(receipt_of(receipt))
        except Unreadable:
            return None
        return next((one for one in said if isinstance(one, Result)), None)
