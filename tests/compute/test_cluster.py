"""Dask with real schedulers and workers, some of which are killed, and a batch system played by two shell scripts."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infer.compute import Checkpoint, Dask, DaskJobqueue, Manifest, cluster, current_versions, jobqueue, run
from infer.errors import ComputeError, DataError, InputError
from tests.compute.work import ROOT, Failing, Fits, Killing, Squares, Surroundings, same, search

distributed = pytest.importorskip("distributed")

N = 12
MANIFEST = Manifest("squares", "0", {}, current_versions(), N)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _dask(command: str, *arguments: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", f"distributed.cli.dask_{command}", *arguments, "--no-dashboard"]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _kill(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Scheduler of two workers, each a process that is started again when it is killed."""
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as local:
        yield local.scheduler_address


def test_tables_are_those_of_this_process(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Bit for bit, from processes elsewhere, in silence."""
    assert same(run(Squares(), N, executor=Dask(address)), run(Squares(), N))
    pids = {int(table["process"][0]) for table in run(Surroundings(), N, executor=Dask(address))}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_killed_workers_cost_nothing(address: str, tmp_path: Path) -> None:
    """Fits of toys, two workers killed on the way."""
    work = Fits(search(), 8)
    tables = run(Killing(work, (1, 4), tmp_path, delay=1.0), 6, executor=Dask(address))
    assert len(list(tmp_path.iterdir())) == 2
    assert same(tables, run(work, 6))


@pytest.mark.parametrize(
    ("work", "kind", "message"),
    [
        (Failing(2, "input"), DataError, "the counts are negative."),
        (Failing(2, "bug"), ComputeError, "chunk 2 failed with ZeroDivisionError: division by nothing; nothing was ke"),
        (Failing(2, "stubborn"), ComputeError, "pickle cannot (StubbornError, which cannot be pickled: "),
    ],
    ids=["input", "bug", "stubborn"],
)
def test_exceptions_come_back(address: str, work: Any, kind: type[Exception], message: str) -> None:
    """As they were raised, with the worker's traceback as a note."""
    with pytest.raises(kind) as caught:
        run(work, 6, executor=Dask(address))
    assert str(caught.value).startswith(message)


def test_a_worker_of_other_software_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It might change the last digits of some chunks."""
    here = current_versions()
    monkeypatch.setattr(cluster, "current_versions", lambda: {**here, "jax": "0.0.1"})
    with pytest.raises(InputError, match=r"a worker on .* has other software .* \(jax was .*, now \"0\.0\.1\"\)"):
        run(Squares(), N, executor=Dask(address))


@pytest.mark.slow
def test_a_chunk_that_kills_every_worker_is_given_up(address: str, tmp_path: Path) -> None:
    """After four, as Dask does; the others are safe."""
    folder, work = tmp_path / "cov", Killing(Squares(), (3,) * 9, tmp_path, delay=1.0)
    with pytest.raises(ComputeError, match=rf"^chunk 3 was given to 4 .* died; \d+ of 12 chunks are safe in {folder}/"):
        run(work, N, executor=Dask(address), checkpoint=Checkpoint.create(folder, MANIFEST))
    assert same(run(Squares(), N, checkpoint=Checkpoint.resume(folder, MANIFEST)), run(Squares(), N))


# ------------------------------------------------------------------------------------ schedulers that are not there


@pytest.mark.parametrize("listens", [False, True], ids=["nobody", "mute"])
def test_no_scheduler(monkeypatch: pytest.MonkeyPatch, listens: bool) -> None:
    """Nobody listens, or somebody who is no scheduler, such as a dashboard; seconds, not minutes."""
    monkeypatch.setattr(cluster, "_TIMEOUT", 1.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listens:
            other.listen()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(ComputeError, match=f"^no Dask scheduler answers at {address}; nothing was kept, .* --out"):
            run(Squares(), N, executor=Dask(address))
        assert time.monotonic() - start < 5.0


@pytest.mark.parametrize("address", ["tcp://", "tcp://host:x", "tcp://host", "foo://host:8786"])
def test_no_address(address: str) -> None:
    """Bad input is said to be bad input."""
    with pytest.raises(InputError, match=f"^'{address}' is no address of a Dask scheduler: write tcp://host:8786"):
        run(Squares(), N, executor=Dask(address))


@pytest.mark.slow
def test_no_workers_and_a_lost_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A scheduler without workers, then with one, then killed in the middle of a run."""
    monkeypatch.setattr(cluster, "_GLANCE", 0.2)
    monkeypatch.setattr(cluster, "_PATIENCE", 1.0)
    port, folder = _free_port(), tmp_path / "cov"
    address = f"tcp://127.0.0.1:{port}"
    scheduler = _dask("scheduler", "--host", "127.0.0.1", "--port", str(port))
    try:
        _wait_for(port)
        with pytest.raises(ComputeError, match=f"^the Dask scheduler at {address} has no workers; nothing was kept"):
            run(Squares(), N, executor=Dask(address))
        monkeypatch.setattr(cluster, "_PATIENCE", 60.0)
        worker = _dask("worker", address, "--nthreads", "1", "--no-nanny")
        try:
            with pytest.raises(ComputeError) as caught:
                run(
                    Squares(0.3),
                    N,
                    executor=Dask(address),
                    checkpoint=Checkpoint.create(folder, MANIFEST),
                    progress=lambda done, _: _kill(scheduler) if done == 2 else None,
                )
        finally:
            _kill(worker)
    finally:
        _kill(scheduler)
    done = len(Checkpoint.resume(folder, MANIFEST).finished())
    assert 2 <= done < N
    assert str(caught.value) == (
        f"the connection to the Dask scheduler at {address} was lost; {done} of 12 chunks are safe in {folder}/: "
        f"run the same command again with --resume {folder}/ to go on."
    )
    assert capfd.readouterr() == ("", "")


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, and the message says which."""
    for name in ("distributed", "distributed.utils"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"distributed, which is not installed: pip install 'infer-hep\[dask\]'"):
        run(Squares(), N, executor=Dask("tcp://127.0.0.1:8786"))


# ---------------------------------------------------------------------------------------------- batch systems

SLURM = """
cluster: slurm
workers: {minimum: 1, maximum: 2}
options:
  cores: 1
  memory: 1GB
  interface: lo
  log_directory: LOGS
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A description of a batch system, whose commands start and kill processes of this machine."""
    commands = {
        # a copy, as a batch system takes one: the script is deleted as soon as it is submitted
        "sbatch": 'cp "$1" "$1.job"; setsid bash "$1.job" > /dev/null 2>&1 & echo "Submitted batch job $!"',
        "scancel": 'kill -- "-$1" 2> /dev/null',
    }
    for name, body in commands.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = tmp_path / "slurm.yaml"
    path.write_text(SLURM.replace("LOGS", str(tmp_path / "logs")), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["{minimum: 1, maximum: 2}", "2"], ids=["adaptive", "fixed"])
def test_a_batch_system(slurm: Path, workers: str) -> None:
    """Jobs are submitted, compute, and are gone at the end."""
    slurm.write_text(slurm.read_text().replace("{minimum: 1, maximum: 2}", workers), encoding="utf-8")
    tables = run(Surroundings(), N, executor=DaskJobqueue(slurm))
    pids = {int(table["process"][0]) for table in tables}
    assert os.getpid() not in pids
    assert [int(table["chunk"]) for table in tables] == list(range(N))
    end = time.monotonic() + 30.0
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_batch_system_that_is_not_here(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs cannot be submitted from everywhere."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"slurm.yaml: sbatch is not found on this machine; run where slurm jobs"):
        run(Squares(), N, executor=DaskJobqueue(slurm))


def test_options_that_a_batch_system_refuses(slurm: Path) -> None:
    """They are those of dask_jobqueue, which says what is wrong."""
    slurm.write_text("{cluster: slurm, workers: 1, options: {cores: 1}}", encoding="utf-8")
    with pytest.raises(InputError, match=r"slurm.yaml: dask_jobqueue.SLURMCluster refuses the options: .*memory"):
        run(Squares(), N, executor=DaskJobqueue(slurm))


def test_what_a_description_says(slurm: Path) -> None:
    """A range of workers or a number of them."""
    described = jobqueue.read_jobqueue(slurm)
    assert (described.system, described.minimum, described.maximum) == ("slurm", 1, 2)
    assert described.options["memory"] == "1GB"
    slurm.write_text("{cluster: htcondor, workers: 40}", encoding="utf-8")
    described = jobqueue.read_jobqueue(slurm)
    assert (described.minimum, described.maximum, described.options) == (40, 40, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected a mapping of cluster, workers, options, got None"),
        ("[1]", r"expected a mapping of cluster, workers, options, got \[1\]"),
        (
            "{cluster: slurm, workers: 1, option: {}}",
            "unknown key 'option', expected a mapping of cluster",
        ),
        ("{workers: 1}", "cluster must be one of htcondor, lsf, pbs, sge, slurm, got None"),
        ("{cluster: [slurm], workers: 1}", r"cluster must be one of .*, got \['slurm'\]"),
        ("{cluster: slurm}", "workers: expected a whole number, got None"),
        ("{cluster: slurm, workers: 0}", "workers: expected one worker or more, got 0"),
        ("{cluster: slurm, workers: true}", "workers: expected a whole number, got True"),
        ("{cluster: slurm, workers: {minimum: 1}}", "workers: maximum: expected a whole number, got None"),
        ("{cluster: slurm, workers: {max: 1}}", "workers: unknown key 'max', expected a mapping of minimum, maximum"),
        ("{cluster: slurm, workers: {minimum: 3, maximum: 2}}", "workers: expected 0 <= minimum <= maximum"),
        ("{cluster: slurm, workers: 1, options: 7}", "options: expected a mapping with names as keys, got 7"),
        ("{cluster: slurm, workers: 1, options: {7: x}}", "options: unknown key 7"),
        ("{cluster: slurm, cluster: pbs, workers: 1}", "is not YAML: .*'cluster' occurs twice"),
        ("{cluster", "is not YAML: "),
    ],
)
def test_descriptions_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the place and what was expected."""
    path = tmp_path / "batch.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"batch.yaml.*{message}"):
        DaskJobqueue(path)
