"""The machine that this runs on, and how a process of our own starts TensorFlow."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from tf4dvar.errors import InputError


def load_tensorflow() -> None:
    """Import TensorFlow in silence: its start-up messages would bury one clear line.

    It writes them from C++ before its own log level counts, hence the file descriptor. Half of
    the cores work within operations and all of them on several operations at once: of the
    solver's small ones that is faster than all within one; see docs/performance.md.

    On a CPU the same seed gives the same numbers bit for bit, which costs nothing there. On a GPU
    not every operation has a deterministic kernel: TF_DETERMINISTIC_OPS=1 asks for them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    stderr = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            tf.config.experimental.enable_op_determinism()
        tf.constant(0.0)  # looks for GPUs, and says so
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def machine() -> dict[str, Any]:
    """The processor, and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
    }


def check_memory(needed: float, what: str, advice: str) -> None:
    """Refuse what the memory cannot hold.

    Args:
        needed: bytes.
        what: was received.
        advice: what to do.

    Raises:
        InputError: the machine has less.
    """
    available = psutil.virtual_memory().total
    if needed > available:
        raise InputError(
            f"{what}: some {needed / 1e9:.0f} GB are needed; there are {available / 1e9:.0f}. "
            f"{advice}"
        )


def versions() -> dict[str, str]:
    """Those of the packages on which a model's numbers depend."""
    return {name: version(name) for name in ("tf4dvar", "tensorflow", "keras", "numpy")}
