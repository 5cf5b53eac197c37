"""Rythmex: recorded cases, and what each part of a Call Analytics result becomes."""

from pathlib import Path

from handlers.providers.rythmex import Rythmex
from receiver.testing.provider import ProviderContract

FIXTURES = Path(__file__).parents[3] / "fixtures" / "rythmex"


class TestRythmex(ProviderContract):
    """Rythmex holds what every provider must hold."""

    provider = Rythmex
    fixtures = FIXTURES
