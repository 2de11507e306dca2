"""A batch system, described in a YAML file.

.. code-block:: yaml

    cluster: slurm               # or htcondor, pbs, lsf, sge
    workers: 40                  # or {minimum: 0, maximum: 200}: as many as there is work for
    options:                     # those of dask_jobqueue.SLURMCluster and so on
      cores: 1
      memory: 2GB
      walltime: "04:00:00"
      queue: short
"""

from __future__ import annotations

import shlex
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from infer.errors import InputError
from infer.strict_yaml import load_yaml

_CLASSES = {
    "htcondor": "HTCondorCluster",
    "lsf": "LSFCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}
_KEYS = ("cluster", "workers", "options")
_SCHEDULER = {"dashboard_address": ":0"}  # any free port, since the usual one may be taken
_LIMITS = ("minimum", "maximum")


def import_extra(module: str) -> Any:
    """A module that comes with the extra ``dask``.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise InputError(f"a cluster needs {name}, which is not installed: pip install 'infer-hep[dask]'.") from error


@dataclass(frozen=True)
class Jobqueue:
    """What such a file says.

    Args:
        system: name of the batch system.
        minimum: workers to keep at least.
        maximum: workers to have at most; equal to ``minimum`` for a fixed number.
        options: arguments of the class of dask_jobqueue.
        source: path of the file, for messages.
    """

    system: str
    minimum: int
    maximum: int
    options: Mapping[str, Any]
    source: str

    def start(self) -> Any:
        """A cluster of dask_jobqueue, its jobs submitted; the caller closes it.

        Raises:
            InputError: the options are refused, or the batch system is not installed here.
        """
        kind = getattr(import_extra("dask_jobqueue"), _CLASSES[self.system])
        command = shlex.split(kind.job_cls.submit_command)[0]
        if shutil.which(command) is None:
            raise InputError(
                f"{self.source}: {command} is not found on this machine; run where {self.system} jobs can be submitted."
            )
        cluster = _make(kind, self.options)
        if isinstance(cluster, str):
            raise InputError(f"{self.source}: dask_jobqueue.{kind.__name__} refuses the options: {cluster}")
        if self.minimum == self.maximum:
            cluster.scale(self.maximum)
        else:
            cluster.adapt(minimum=self.minimum, maximum=self.maximum)
        return cluster


def read_jobqueue(path: str | Path) -> Jobqueue:
    """Read a YAML file, strictly.

    Raises:
        InputError: the file cannot be read, or breaks its format; the message names the place.
    """
    source = str(path)
    given = _mapping(load_yaml(path), source, _KEYS)
    system = given.get("cluster")
    if not isinstance(system, str) or system not in _CLASSES:
        raise InputError(f"{source}: cluster must be one of {', '.join(_CLASSES)}, got {system!r}.")
    minimum, maximum = _workers(given.get("workers"), f"{source}: workers")
    options = _mapping(given.get("options", {}), f"{source}: options")
    return Jobqueue(system, minimum, maximum, options, source)


def _make(kind: Any, options: Mapping[str, Any]) -> Any:
    """A cluster, or the reason why there is none; what was half made then goes without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return kind(**{"scheduler_options": _SCHEDULER, **options})
        except (TypeError, ValueError) as error:
            return " ".join(str(error).split())


def _mapping(value: object, where: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """A mapping with text keys, all of them among ``keys``."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a mapping{_of(keys)}, got {value!r}.")
    for key in value:
        if not isinstance(key, str) or (keys is not None and key not in keys):
            raise InputError(f"{where}: unknown key {key!r}, expected a mapping{_of(keys)}.")
    return value


def _of(keys: tuple[str, ...] | None) -> str:
    return f" of {', '.join(keys)}" if keys else " with names as keys"


def _workers(value: object, where: str) -> tuple[int, int]:
    """Least and largest number of workers."""
    if isinstance(value, dict):
        limits = _mapping(value, where, _LIMITS)
        minimum, maximum = (_count(limits.get(name), f"{where}: {name}") for name in _LIMITS)
        if not 0 <= minimum <= maximum or maximum == 0:
            raise InputError(f"{where}: expected 0 <= minimum <= maximum and a maximum of 1 or more, got {value!r}.")
        return minimum, maximum
    number = _count(value, where)
    if number < 1:
        raise InputError(f"{where}: expected one worker or more, got {number}.")
    return number, number


def _count(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{where}: expected a whole number, got {value!r}.")
    return value
