"""Defects known of other tools of the field, by their numbers in a survey of them: here is the right behaviour.

Most are tested where the right behaviour lives, and name the number there; those that concern the package as a
whole are tested here.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infer
from infer import plots
from infer.data import Data
from infer.inference.finite_mc import finite_mc
from infer.parameters import Parameter, Parameters
from tests.inference.problems import Surface
from tests.test_api import write

ROOT = Path(__file__).parent.parent
NUMBERS = [f"B{number:02d}" for number in range(1, 35)]


def test_every_defect_has_a_test() -> None:
    """Each number from the first to the last stands in the docstring of a test."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    docs = [doc for text in texts for doc in re.findall(r'"""(.*?)"""', text, re.S)]
    named = {number for doc in docs for number in re.findall(r"\bB\d\d\b", doc)}
    assert [number for number in NUMBERS if number not in named] == []


def near_degenerate(n_mc: float) -> dict[str, Any]:
    """Two free templates that differ by a slope, each made of ``n_mc`` simulated events in a bin."""
    slope = 0.03 * np.linspace(-1.0, 1.0, 20)
    samples = [
        _sample("signal", 1000.0 * (1.0 + slope), n_mc, "mu"),
        _sample("background", 1000.0 * (1.0 - slope), n_mc, "k"),
    ]
    rates = [sum(pair) for pair in zip(*(sample["data"] for sample in samples), strict=True)]
    config = {"poi": "mu", "parameters": [{"name": name, "bounds": [[-50.0, 50.0]]} for name in ("mu", "k")]}
    return {
        "version": "1.0.0",
        "channels": [{"name": "region", "samples": samples}],
        "observations": [{"name": "region", "data": rates}],
        "measurements": [{"name": "slope", "config": config}],
    }


def _sample(name: str, rates: np.ndarray, n_mc: float, factor: str) -> dict[str, Any]:
    errors = {"name": "mc", "type": "staterror", "data": (rates / np.sqrt(n_mc)).tolist()}
    return {
        "name": name,
        "data": rates.tolist(),
        "modifiers": [{"name": factor, "type": "normfactor", "data": None}, errors],
    }


@pytest.mark.slow
def test_finite_simulation_is_seen(tmp_path: Path) -> None:
    """Templates of few simulated events make intervals too short, and a hundred times as many mend it (B31).

    300 toys each; a verdict calls a method that covers something else once in 370 times.
    """
    likelihood, data = infer.read_workspace(write(tmp_path / "ws.json", near_degenerate(300.0)))
    found = finite_mc(likelihood, data, key=jax.random.key(31), scales=(1.0, 100.0), n_toys=300, values=[1.6])
    few, many = (result.results[0] for result in found.results)
    assert few.verdict == "under-covers"
    assert many.verdict != "under-covers"
    assert few.coverage < 0.6
    assert "and no longer from 100 x on" in found.statements[0]


MEMORY = """
import resource, sys
import jax, infer
likelihood, data = infer.read_workspace(sys.argv[1])
for n in (500, 5000):
    infer.toys(likelihood, data, key=jax.random.key(1), n_toys=n, run=infer.Run(chunk=250))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_toys() -> None:
    """The peak after ten times as many toys is at most 40 MB above that of the first 500 (B32)."""
    command = [sys.executable, "-c", MEMORY, "workspaces/search.json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    few, many = map(int, done.stdout.split())
    assert many - few < 40


COMMAND = "from infer.cli import main; main()"


@pytest.mark.slow
def test_compiled_once(tmp_path: Path) -> None:
    """The second start finds every program of the first one in the cache, and adds none (B33)."""
    environment = {"PATH": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    contents = []
    for _ in range(2):
        command = [
            sys.executable,
            "-c",
            "from infer.cli import main; main()",
            "fit",
            "workspaces/search.json",
            "--json",
        ]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment)
        assert json.loads(done.stdout)["status"]["converged"]
        contents.append({path.name for path in (tmp_path / "infer" / "jax").glob("*-cache")})
    assert contents[0]
    assert contents[1] == contents[0]


def _bent(theta: jax.Array, main: jax.Array) -> jax.Array:
    """Somebody's own likelihood: one measurement of mu exp(nu / 10), another of nu."""
    return 0.5 * ((theta[0] * jnp.exp(0.1 * theta[1]) - main[0]) / 0.4) ** 2 + 0.5 * (theta[1] - main[1]) ** 2


@pytest.mark.slow
def test_any_likelihood_has_everything() -> None:
    """Fit, scan, contour, limit, function and figures of a likelihood that no reader of files built (B34)."""
    likelihood = Surface(_bent, Parameters((Parameter("mu", 1.0, (0.0, 9.0)), Parameter("nu", 0.0)), poi="mu"))
    data = Data(jnp.asarray([2.0, 0.3]), jnp.zeros(0))
    value, sigma = 2.0 * np.exp(-0.03), np.hypot(0.4, 0.2) * np.exp(-0.03)
    fitted = infer.fit(likelihood, data)
    assert fitted.value("mu") == pytest.approx(value, abs=1e-5)
    assert fitted.uncertainty("mu") == pytest.approx(sigma, rel=1e-5)
    scan = infer.scan(likelihood, data)
    assert scan.converged.all()
    assert plots.profile_figure(scan).axes
    contour = infer.contour(likelihood, data, parameters=("mu", "nu"), points=(12, 12))
    assert plots.contours.contour_figure(contour).axes
    limit = infer.upper_limit(likelihood, data)
    assert limit.observed is not None
    assert value + 1.2 * sigma < limit.observed < value + 2.5 * sigma
    half = infer.derived(likelihood, data, function=lambda theta: theta["mu"] / 2.0)
    assert half.uncertainty == pytest.approx(sigma / 2.0, rel=1e-5)
