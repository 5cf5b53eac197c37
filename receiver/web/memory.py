"""Memory of large bodies goes back to the system when they are done with."""

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_LARGE = 64 * 1024


def return_large_blocks() -> None:
    """Let the C library map blocks from 64 KiB on by themselves, which is the only way it gives them back at once.

    glibc raises that bound to the largest block ever freed: after a few bodies of 5 MB the process kept 280 MB for
    good, with a fixed bound 115 MB. Other C libraries have no such switch, and do not need it.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE)
