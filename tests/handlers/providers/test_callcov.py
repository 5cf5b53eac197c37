"""CallCov: recorded cases, proof by others' signatures, settings, and what each member of the analysis becomes."""

from pathlib import Path

from handlers.providers.callcov import CallCov
from receiver.testing.provider import ProviderContract

FIXTURES = Path(__file__).parents[3] / "fixtures" / "callcov"


class TestCallCov(ProviderContract):
    """CallCov holds what every provider must hold."""

    provider = CallCov
    fixtures = FIXTURES
