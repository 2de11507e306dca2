"""The generator of synthetic workspaces: sizes, seeds, and pyhf's log-probability of what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import infer
from validation.bench.synthetic import LADDER, Size, timing, workspace
from validation.models import infer_logpdf, pyhf_reference

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyhf's use of jsonschema

SMALL = Size(channels=3, bins=4, samples=4, normsys=5, histosys=6)


def written(folder: Path, size: Size, seed: int = 1) -> Path:
    """A workspace as a file."""
    path = folder / "synthetic.json"
    path.write_text(json.dumps(workspace(size, seed=seed)))
    return path


def test_the_ladder_has_the_announced_numbers_of_parameters() -> None:
    """As in its docstring."""
    assert [size.parameters for size in LADDER] == [10, 50, 150, 300, 654, 2000]


@pytest.mark.parametrize("size", [SMALL, *LADDER[:3]], ids=lambda size: str(size.parameters))
def test_workspaces_have_the_size_that_was_asked_for(size: Size, tmp_path: Path) -> None:
    """Parameters, bins, samples, and a constraint on all but the factors."""
    likelihood, data = infer.read_workspace(written(tmp_path, size))
    assert len(likelihood.parameters) == size.parameters
    assert data.main.shape == (size.channels * size.bins,)
    assert data.aux.shape == (size.parameters - 1 - size.normfactors,)
    assert likelihood.parameters.poi == "mu"


def test_the_seed_alone_decides() -> None:
    """The same workspace for the same seed, another for another."""
    assert workspace(SMALL, seed=4) == workspace(SMALL, seed=4)
    assert workspace(SMALL, seed=4) != workspace(SMALL, seed=5)


@pytest.mark.parametrize("size", [SMALL, LADDER[1]], ids=lambda size: str(size.parameters))
def test_logpdf_is_that_of_pyhf(size: Size, tmp_path: Path) -> None:
    """To 1e-9, at the start and at random points a standard deviation about it."""
    path = written(tmp_path, size, seed=7)
    reference, ours = pyhf_reference(path), infer_logpdf(path)
    likelihood, _ = infer.read_workspace(path)
    width = np.asarray([p.prefit_uncertainty() or 0.2 for p in likelihood.parameters.values()])
    random = np.random.default_rng(8)
    for reach in (0.0, 1.0, 1.0, 1.0):
        theta = likelihood.parameters.init + reach * np.minimum(width, 1.0) * random.uniform(-1.0, 1.0, width.size)
        point = dict(zip(likelihood.parameters.names, theta.tolist(), strict=True))
        assert ours(point) == pytest.approx(reference.logpdf(point), rel=1e-9)


def test_a_workspace_is_fitted(tmp_path: Path) -> None:
    """The measuring process reports a fit that converged."""
    found = timing(written(tmp_path, SMALL), repeats=1)
    assert found.converged
    assert found.parameters == SMALL.parameters
    assert found.later > 0.0
