"""The likelihood against ROOT's HistFactory, whose values are stored with the scripts that produced them.

Both pyhf and this package are held against them: pyhf shows that the stored values are right.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyhf
import pytest

import infer
from validation.models import Point, Reference, infer_logpdf, pyhf_reference
from validation.root_reference import make_workspaces, reference

STORED = reference.load()
NAMES = sorted(STORED)
TOLERANCE = 1e-6

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyhf's use of jsonschema

PUBLISHED_EXPECTED = {
    "one_bin_shapesys": [0.0637179940, 0.1509650340, 0.3279606951, 0.6046087303, 0.8662627605],
    "one_bin_lumi": [0.01060338, 0.04022273, 0.13614217, 0.37078321, 0.71104119],
    "two_channel_shapesys": [0.0004349135, 0.0034223001, 0.0233742327, 0.1218654226, 0.4038207425],
    "two_channel_shapefactor": [0.0137532999, 0.0488874001, 0.1555529625, 0.4007561343, 0.7357169631],
    "two_bin_shapesys_masked": [2.702197938e-05, 0.0003709991761, 0.0043606344, 0.0381503151, 0.2020302756],
}
"""Expected CLs of older ROOT releases, as pyhf's tests/test_validation.py records them for the same configurations.

The other configurations of that list use another interpolation there.
"""

MASKED_CONSTRAINT = {"two_bin_shapesys_masked": 1.0}
"""pyhf keeps the Poisson(1 | 1) of a bin whose shapesys is masked, ROOT drops it: a constant."""

TWO_MINIMA = {"two_channel_histosys"}
"""Up and down variations on the same side of the nominal: the likelihood has a second, higher minimum."""

PYHF_STOPS_EARLY = {"many_events"}
"""With a million events per bin, SLSQP stops 1e-3 above the minimum in -2 ln L."""


def pyhf_logpdf(path: Path) -> Callable[[Point], float]:
    """Log f of a workspace file as pyhf gives it."""
    return pyhf_reference(path).logpdf


ENGINES = {"pyhf": pyhf_logpdf, "infer": infer_logpdf}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_differences_of_the_log_likelihood_are_those_of_root(name: str, engine: str) -> None:
    """At five points and at ROOT's best fit, relative to the nominal point."""
    stored = STORED[name]
    differences = reference.relative_differences(stored, ENGINES[engine](stored.path))
    assert max(differences.values()) < TOLERANCE, differences


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_the_constants_of_the_log_likelihood_are_those_of_root(name: str, engine: str) -> None:
    """The absolute value at the nominal point."""
    stored = STORED[name]
    offset = reference.offset(stored, ENGINES[engine](stored.path))
    assert offset == pytest.approx(MASKED_CONSTRAINT.get(name, 0.0), abs=1e-7)


def test_the_stored_workspaces_are_what_the_script_makes() -> None:
    """So that the script, the files and the values belong together."""
    made = make_workspaces.workspaces()
    assert made == {name: json.loads(stored.path.read_text()) for name, stored in STORED.items()}


@pytest.mark.parametrize("name", PUBLISHED_EXPECTED)
def test_the_stored_cls_are_those_of_older_root_releases(name: str) -> None:
    """To 2e-5, which is what the coarsest of the published digits allow."""
    assert STORED[name].cls.expected == pytest.approx(PUBLISHED_EXPECTED[name], rel=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_best_fit_is_that_of_root(name: str) -> None:
    """The minimum to 1e-7 in -2 ln L, judged by the likelihood itself at both points."""
    stored = STORED[name]
    likelihood, data = infer.read_workspace(stored.path)
    start = infer.Settings(start={"shape": 1.0} if name in TWO_MINIMA else {})
    found = infer.fit(likelihood, data, settings=start)
    at_root = -2.0 * infer_logpdf(stored.path)(stored.fit.parameters)
    assert found.status.converged
    assert found.twice_nll == pytest.approx(at_root, abs=1e-7)
    assert found.value("mu") == pytest.approx(stored.fit.parameters["mu"], abs=1e-3 * stored.fit.uncertainties["mu"])


@pytest.mark.parametrize("name", sorted(set(NAMES) - TWO_MINIMA - PYHF_STOPS_EARLY))
def test_the_stored_cls_are_those_of_pyhf(name: str) -> None:
    """With pyhf's SLSQP at a tight tolerance."""
    stored = STORED[name]
    found: Reference = pyhf_reference(stored.path)
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-13))
    observed, expected = pyhf.infer.hypotest(stored.cls.mu, found.data, found.model, return_expected_set=True)
    assert float(observed) == pytest.approx(stored.cls.observed, rel=1e-5)
    assert np.asarray(expected, dtype=float) == pytest.approx(stored.cls.expected, rel=1e-5)
