"""One thread: these networks are too small for more. And no search for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _no_garbage_collection() -> Iterator[None]:
    """It takes a third of the time of an export, whose many objects stay in use until its end."""
    gc.disable()
    yield
    gc.enable()
    gc.collect()
