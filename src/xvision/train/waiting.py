"""Threads that let others work while they wait: PyTorch's OpenMP threads spin, and two trainings on the same cores
nearly stand still.

A thousand turns are about as fast alone and leave the cores to others (`benchmarks/side_by_side.py`). Source:
GOMP_SPINCOUNT and OMP_WAIT_POLICY in the manual of GNU libgomp, section 4.
"""

from __future__ import annotations

import os
import sys

SPIN_COUNT = "GOMP_SPINCOUNT"
CHOICES = (SPIN_COUNT, "OMP_WAIT_POLICY")


def spin_little() -> None:
    """Set the turns that this process's OpenMP threads spin, and its children's, before libgomp reads them.

    Nothing happens where the user has chosen, or torch has brought libgomp already.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in CHOICES):
        os.environ[SPIN_COUNT] = "1000"


def spinning() -> str:
    """How long threads spin, as the environment says."""
    return ", ".join(f"{name}={os.environ[name]}" for name in CHOICES if name in os.environ)
