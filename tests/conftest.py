"""Failing asserts of the shipped kits show their values, as those of tests do."""

import pytest

pytest.register_assert_rewrite(
    "receiver.testing.provider", "receiver.testing.sink", "receiver.testing.store", "receiver.testing.peer"
)
