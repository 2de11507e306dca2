"""Run a program with a time limit on given cores, and measure it from outside."""

import contextlib
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.002
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Completed:
    """What a process did."""

    stdout: str
    stderr: str
    seconds: float
    """Wall clock from start to exit, the interpreter's own start included."""
    cpu_seconds: float
    """Processor time of the process, the system's on its behalf included."""
    peak_rss_mb: float
    """Largest resident memory of this process."""
    code: int
    timed_out: bool

    @property
    def last_words(self) -> str:
        """The last line of stderr, for the note of a failed run."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def first_cores(count: int) -> set[int]:
    """The first `count` of the cores this process may use."""
    return set(sorted(os.sched_getaffinity(0))[:count])


@contextlib.contextmanager
def confined(cores: set[int]) -> Iterator[None]:
    """Processes started inside inherit these cores; afterwards this one has its own back."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(
    command: Sequence[str | Path],
    *,
    directory: Path,
    limit: float,
    cores: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Completed:
    """Run a command on the first `cores` cores with as many threads; kill it after `limit` seconds.

    OpenBLAS, OpenMP, MKL and rayon get their number of threads from the environment, XLA takes it from the cores the
    process is allowed to use: every tool has the same processors.
    """
    threads = dict.fromkeys(THREAD_VARIABLES, str(cores))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        with confined(first_cores(cores)):
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=out,
                stderr=err,
                cwd=directory,
                env={**os.environ, **threads, **(environment or {})},
            )
        status, usage, peak_kb, timed_out = _wait(process, start + limit)
        seconds = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        code = os.waitstatus_to_exitcode(status)
        process.returncode = code  # already waited for: Popen must not do it again
        cpu_seconds = usage.ru_utime + usage.ru_stime
        return Completed(out.read(), err.read(), seconds, cpu_seconds, peak_kb / 1024.0, code, timed_out)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> tuple[int, resource.struct_rusage, int, bool]:
    """Exit status, resources and peak memory in kB of this one child; whether it had to be killed.

    The peak is looked up while the child runs: what the kernel reports at its end also counts the moment before exec,
    when the child was still a copy of this process.
    """
    peak = 0
    while time.perf_counter() < deadline:
        peak = max(peak, _high_water_kb(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return status, usage, peak, False
        time.sleep(POLL_SECONDS)
    process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    return status, usage, peak, True


def _high_water_kb(pid: int) -> int:
    """Largest resident memory of a process so far, from its status; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
