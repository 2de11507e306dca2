"""Fit toys with NextStat, in its own environment: ``python -m validation.bench.run_nextstat_toys ...``.

NextStat takes main data only (``fit_batch(model, datasets)``): its auxiliary data stay where they are. It is licensed
under the AGPL: an opponent in a process of its own, and nothing else here.
"""

import os
from pathlib import Path
from typing import Any

import nextstat
import numpy as np

from validation.bench.toy_runner import Estimates, IntArray, Pace, Sample, report


def load(path: Path, sample: Sample) -> Any:  # noqa: ARG001  # every program is given both
    """The model, built from the workspace's text."""
    return nextstat.from_pyhf(path.read_text())


def fit(model: Any, sample: Sample, index: IntArray) -> Estimates:
    """A batch of toys, in parallel over the cores that the process has."""
    channels = [channel["channel_name"] for channel in model.observed_main_by_channel()]
    names = model.parameter_names()
    by_channel = [sample.main_by_channel(toy) for toy in index.tolist()]
    counts = [[float(x) for name in channels for x in toy[name]] for toy in by_channel]
    found = nextstat.fit_batch(model, counts)
    return Estimates(
        np.array([sample.point(dict(zip(names, r.parameters, strict=True))) for r in found]),
        np.array([bool(r.converged) for r in found]),
        np.full(index.size, np.nan),
        np.array([int(r.n_iter) for r in found]),
        np.zeros(index.size, dtype=int),
    )


if __name__ == "__main__":
    report("NextStat", nextstat.__version__, load, fit, Pace(batch=4 * len(os.sched_getaffinity(0))))
