"""What is sealed is opened by its key alone."""

import pytest

from receiver.contract.errors import ConfigError
from receiver.contract.settings import Secret
from receiver.store.sealed import seal, unseal


def test_only_its_key_opens_what_was_sealed() -> None:
    """Another key is told so, and learns nothing."""
    sealed = seal(Secret("a key of this test"), b"https://storage.example/put?signature=s")
    assert b"signature" not in sealed
    assert unseal(Secret("a key of this test"), sealed) == b"https://storage.example/put?signature=s"
    with pytest.raises(ConfigError, match="sealed with another key"):
        unseal(Secret("another key"), sealed)
