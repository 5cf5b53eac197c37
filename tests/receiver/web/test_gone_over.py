"""What a process does about its memory when it has started."""

import gc

from receiver.web.memory import pass_over_what_stays


def test_what_was_made_by_the_start_is_not_gone_over() -> None:
    """It is out of the collector's rounds; what came later and lost its last holder still goes."""
    before = gc.get_threshold()
    kept = {"stays": [1]}
    try:
        pass_over_what_stays()
        assert not any(one is kept for one in gc.get_objects())
        loop: list[object] = []
        loop.append(loop)
        del loop
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
