"""Memory and loader processes that the operating system takes away, each told in one sentence."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
from collections.abc import Iterator

_NO_MEMORY = (
    "out of memory", "not enough memory", "insufficient memory", "can't allocate memory", "cannot allocate memory",
    "failed to allocate memory", "bad_alloc",
)  # fmt: skip
"""What torch (GPU, Windows, Linux), OpenCV, ONNX Runtime and C++ say: plain errors without a class of their own."""
_LOST_WORKER = "DataLoader worker (pid"
CURE = "use a smaller train.batch_size, data.size or train.workers, and run the same command again"


class ResourceError(ValueError):
    """Memory ran out, or a loader process was killed. In a stage of a run the exit code is the stage's."""

    exit_code = 4


@contextlib.contextmanager
def explaining_resources(what: str = "memory ran out", cure: str = CURE) -> Iterator[None]:
    """Turn a failed allocation, of whichever library, and the loss of a loader process into ResourceError.

    torch notices a lost process in a signal handler: any line may raise the error, not only of the loader's.
    """
    try:
        yield
    except Exception as e:
        if out_of_memory(e):
            raise ResourceError(
                f"{what} ({' '.join(str(e).split())[:200] or type(e).__name__}); {cure}"
            ) from e
        if isinstance(e, RuntimeError) and _LOST_WORKER in str(e):
            raise lost_worker() from e
        raise


def lost_worker() -> ResourceError:
    """What to raise; torch's handler, which would raise again in whichever line is next, is quiet now."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, lambda *_: None)
    return ResourceError(
        f"a loader process (worker) was killed, as the system does when memory runs out; {CURE}"
    )


def out_of_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, ValueError):  # ours, or of a value
        return False
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in _NO_MEMORY)
