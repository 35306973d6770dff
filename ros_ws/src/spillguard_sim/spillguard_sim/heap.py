"""Memory of a process that makes and drops large models for hours."""

import ctypes
import sys

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LARGE_BLOCK = 1 << 17  # [B]; glibc's initial value; setting it explicitly keeps it from growing


def keep_heap_small() -> None:
    """Return a cup's model and data to the system when the next one replaces them.

    glibc maps large blocks individually, but once one was freed it takes blocks of that size from the heap,
    where each cup leaves different gaps: a process that pours for hours would slowly grow.
    """
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
