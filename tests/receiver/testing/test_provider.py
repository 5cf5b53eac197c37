"""The kit for providers catches providers that break the contract."""

from pathlib import Path
from typing import Any

import pytest

from handlers.providers.callcov import CallCov
from receiver.contract.model import Outcome, Receipt
from receiver.testing import provider as kit
from receiver.testing.provider import ProviderContract

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "callcov"


class Shows(CallCov):
    """Shows its settings' secrets to whoever prints it."""

    def __repr__(self) -> str:
        return f"Shows({[secret.value for secret in self.settings.secrets]})"


class Chokes(CallCov):
    """Fails on what it did not expect in a text."""

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Fail on a control character."""
        if rb"\u0007" in receipt.body:
            raise ValueError("bell")
        return super().normalize(receipt)


class Tires(CallCov):
    """Fails on what is large."""

    def normalize(self, receipt: Receipt) -> tuple[Outcome, ...]:
        """Fail on more than a megabyte."""
        if len(receipt.body) > 1_000_000:
            raise MemoryError
        return super().normalize(receipt)


def contract(broken: Any) -> ProviderContract:
    """Return the kit for a provider."""

    class Kit(ProviderContract):
        provider = broken
        fixtures = FIXTURES

    return Kit()


@pytest.mark.parametrize(
    ("broken", "error", "test"),
    [
        (Shows, AssertionError, "nothing_shows_a_secret"),
        (Chokes, ValueError, "hostile_text_is_read_or_refused"),
        (Tires, MemoryError, "a_large_body"),
    ],
)
def test_a_fault_is_caught(broken: Any, error: type[Exception], test: str) -> None:
    """Each planted fault fails the test that is meant for it, and no other way."""
    getattr(contract(CallCov), f"test_{test}")()
    with pytest.raises(error):
        getattr(contract(broken), f"test_{test}")()


def test_a_slow_provider_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too long for a large body holds up everybody's."""
    monkeypatch.setattr(kit, "PATIENCE", 0.0)
    with pytest.raises(AssertionError):
        contract(CallCov).test_a_large_body()
