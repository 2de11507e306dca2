"""What a stored result must say about where and when it was made."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def describe() -> dict[str, str | int | float]:
    """Processor, number of usable cores, how busy they are, Python and operating system."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def versions(*packages: str) -> dict[str, str | None]:
    """Installed version of each package, None where it is absent."""
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def today() -> str:
    """The date, ISO 8601."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()
