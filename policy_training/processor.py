"""How torch uses this processor: threads, the precision of products, and the memory of freed tensors."""

import ctypes
import logging

import torch

ACCURACY = 1e-4  # largest relative error that is accepted of a float32 product
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_HEAP = 1 << 30  # [bytes]

logger = logging.getLogger(__name__)


def set_processor(matmul: str = "highest", threads: int = 1) -> str:
    """Set one thread (contended ones wait for each other) and keep the heap. Returns the precision in use."""
    torch.set_num_threads(threads)
    keep_heap()
    return set_matmul(matmul)


def keep_heap() -> None:
    """Reuse the memory of freed tensors of any size. By default the C library returns it to the system at
    once, which costs hundreds of page faults per update. Without glibc this does nothing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _HEAP)
    mallopt(_M_TRIM_THRESHOLD, _HEAP)


def set_matmul(wish: str) -> str:
    """Set the precision of float32 products and return it; `medium` only after a check of its error."""
    if wish == "medium":
        torch.set_float32_matmul_precision("medium")
        error = matmul_error()
        if error <= ACCURACY:
            return "medium"
        logger.warning("matmul 'medium' has a relative error of %.1e here; using 'highest'", error)
    torch.set_float32_matmul_precision("highest")
    return "highest"


def matmul_error() -> float:
    """Largest error of a 256-long float32 product against float64, relative to the largest entry."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn((2, 256, 256), generator=rng)
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).abs().max() / exact.abs().max())
