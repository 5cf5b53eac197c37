"""Failing asserts of the shipped kits show their values, as those of tests do; a busy machine fails no property."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest.register_assert_rewrite(
    "receiver.testing.provider", "receiver.testing.sink", "receiver.testing.store", "receiver.testing.peer"
)

from both_engines import ENGINES, address_on  # noqa: E402 -- it imports a kit, whose asserts are rewritten from here on

from receiver import logs  # noqa: E402


@pytest.fixture(autouse=True)
def logs_alike() -> Iterator[None]:
    """Have logs set up as in a service: a test that sets them up in its own way changes nothing for the next."""
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level, disabled = root.handlers[:], root.level, access.disabled
    logs.configure("json", "debug")
    yield
    root.handlers, access.disabled = handlers, disabled
    root.setLevel(level)


@pytest.fixture(params=ENGINES)
async def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Give the address of an empty store, on each engine in turn."""
    async with address_on(request.param, tmp_path) as url:
        yield url
