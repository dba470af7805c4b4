"""Memory that is kept, threads that spin little: told once, and never against what the user has chosen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

IS_GLIBC = "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
KEPT = "glibc, memory is kept"
FAULTS = """
import resource
from xvision.train.allocator import keep_memory
if {kept}:
    keep_memory()
b"x" * (1 << 26)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    b"x" * (1 << 26)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def python(code: str, **environment: str) -> str:
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MALLOC_", "GOMP_", "OMP_", "GLIBC_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def allocator(**environment: str) -> str:
    return python("from xvision.train.allocator import keep_memory; print(keep_memory())", **environment)


def spinning(before: str = "", **environment: str) -> str:
    code = f"{before}\nimport xvision, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    return python(code, **environment)


@pytest.mark.skipif(not IS_GLIBC, reason="another C library")
def test_glibc_is_told_unless_the_user_has_chosen() -> None:
    assert allocator() == KEPT
    assert allocator(MALLOC_ARENA_MAX="2") == "glibc, MALLOC_ARENA_MAX=2"
    tuned = "glibc.malloc.hugetlb=1"
    assert allocator(GLIBC_TUNABLES=tuned) == f"glibc, GLIBC_TUNABLES={tuned}"
    assert allocator(GLIBC_TUNABLES="glibc.pthread.rseq=1") == KEPT


@pytest.mark.skipif(not IS_GLIBC, reason="another C library")
def test_freed_memory_comes_back_without_the_kernel() -> None:
    """Page faults of blocks of 64 MB, taken and freed 20 times; pages may be large."""
    given_back, kept = (int(python(FAULTS.format(kept=kept))) for kept in (False, True))
    assert kept < given_back / 10


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from xvision.train import allocator as module

    loaded = tmp_path / "maps"
    loaded.write_text("7f00-7f01 r-xp 00000000 fe:00 1  /usr/lib/libjemalloc.so.2\n")
    monkeypatch.setattr(module, "LOADED", loaded)
    assert module.keep_memory() == "jemalloc"


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    from xvision.train import allocator as module

    monkeypatch.setattr(module, "LOADED", tmp_path / "no such file")
    for wrong in (ValueError("unrecognized configuration name"), None):
        monkeypatch.setattr(os, "confstr", lambda name, wrong=wrong: raises(wrong) if wrong else "")
        assert module.keep_memory() == ""
    monkeypatch.delattr(os, "confstr")
    assert module.keep_memory() == ""


def raises(error: Exception) -> str:
    raise error


def test_threads_spin_little_unless_the_user_has_chosen() -> None:
    assert spinning() == "1000"
    assert spinning(GOMP_SPINCOUNT="7") == "7"
    assert spinning(OMP_WAIT_POLICY="active") == "None"
    assert spinning(before="import sys; sys.modules['torch'] = None") == "None", "libgomp has read it already"
