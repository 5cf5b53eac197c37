"""Memory of large bodies goes back to the system when they are done with; what stays is not gone over again and again."""

import ctypes
import gc
import sys

_M_MMAP_THRESHOLD = -3
_LARGE = 64 * 1024
_ROUND = 10_000
"""Objects that may come, and not go, before the youngest are gone over."""


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
