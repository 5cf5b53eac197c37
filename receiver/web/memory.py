"""What Python does by itself, as it suits a process that runs for weeks: memory goes back, what stays is not gone over
again and again, and threads take short turns.
"""

import ctypes
import gc
import sys

_M_MMAP_THRESHOLD = -3
_LARGE = 64 * 1024
_ROUND = 10_000
"""Objects that may come, and not go, before the youngest are gone over."""
_TURN = 0.0005
"""Seconds that a thread may keep the interpreter while another wants it; Python's own are ten times as many."""


def return_large_blocks() -> None:
    """Let the C library map blocks from 64 KiB on by themselves, which is the only way it gives them back at once.

    glibc raises that bound to the largest block ever freed: after a few bodies of 5 MB the process kept 280 MB for
    good, with a fixed bound 115 MB. Other C libraries have no such switch, and do not need it.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE)


def pass_over_what_stays() -> None:
    """Take what was made by now, which mostly stays, out of the garbage collector's rounds, and make these fewer.

    With many sends under way its usual rounds take a tenth of the time. Once a process, when it has started.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ROUND, 10, 10)


def take_short_turns() -> None:
    """Let a thread that comes back from the disk go on soon: a claim, a send and an ending take turns several times."""
    sys.setswitchinterval(_TURN)
