"""Lets failed checks outside of test modules show what they compared."""

import pytest

pytest.register_assert_rewrite("system.holds", "system.harness")
