"""The machine that this runs on: for figures that depend on it, and for what would not fit."""

import os
import platform
from pathlib import Path
from typing import Any


def memory() -> int:
    """Bytes of memory that it has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
