"""Failing asserts of the shipped kits show their values, as those of tests do; a busy machine fails no property."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest.register_assert_rewrite(
    "receiver.testing.provider", "receiver.testing.sink", "receiver.testing.store", "receiver.testing.peer"
)
