"""Memory that is kept: glibc returns every large tensor to the kernel and gets it back page by page, at each step.

Told to keep it, a training step on a CPU has hardly a page fault; no result changes (`benchmarks/side_by_side.py`).
Source: mallopt(3) of the Linux manual pages.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
OPTIONS = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 256 << 20}
"""No mapping of its own for a large block, nothing given back at the end of the heap, growth by 256 MB."""
OTHERS = ("jemalloc", "tcmalloc", "mimalloc")
LOADED = Path("/proc/self/maps")


def keep_memory() -> str:
    """Tell this process's allocator to keep freed memory, and say what the allocator does (empty: unknown).

    Only glibc is told, and not where the user has chosen: by MALLOC_… or GLIBC_TUNABLES, or another allocator.
    """
    loaded = LOADED.read_text(errors="replace") if LOADED.exists() else ""
    if other := [name for name in OTHERS if name in loaded]:
        return other[0]
    if not _is_glibc():
        return ""
    chosen = sorted(name for name in os.environ if name.startswith("MALLOC_"))
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        chosen.append("GLIBC_TUNABLES")
    if chosen:
        return f"glibc, {', '.join(f'{name}={os.environ[name]}' for name in chosen)}"
    mallopt = ctypes.CDLL(None).mallopt
    return "glibc, memory is kept" if all(mallopt(*one) for one in OPTIONS.items()) else "glibc"


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, OSError, ValueError):  # Windows, macOS, musl
        return False
