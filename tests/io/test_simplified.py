"""The format infer-simplified: written and read back, and refused where it is broken."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, poisson

import infer
from infer.io.simplified import parse_simplified, write_simplified
from infer.likelihoods.simplified import Region
from infer.numerics.skewed import SkewedYields
from infer.parameters import Parameter
from tests.test_api import write

YIELDS = SkewedYields(
    np.array([20.0, 8.0, 30.0]),
    np.array([2.0, 1.5, 3.0]),
    np.array([0.2, 0.0, -0.3]),
    np.array([[1.0, 0.4, 0.1], [0.4, 1.0, 0.0], [0.1, 0.0, 1.0]]),
    0.0,
)
REGIONS = (Region("SR", 2), Region("CR", 1))
OBSERVED, SIGNAL = np.array([25.0, 10.0, 28.0]), np.array([4.0, 3.0, 0.5])


def document() -> dict[str, Any]:
    """A valid document."""
    return write_simplified(
        Parameter("mu", 1.0, (0.0, 10.0)), REGIONS, observed=OBSERVED, signal=SIGNAL, background=YIELDS
    )


def test_the_density_is_the_one_of_the_paper() -> None:
    """Poisson of mu s + a + b theta + c theta^2, and standard normal modes."""
    likelihood, data = parse_simplified(document())
    theta = np.array([0.7, 0.3, -1.1, 0.5])
    shift = np.asarray(likelihood.root) @ theta[1:]
    np.testing.assert_allclose(np.asarray(likelihood.root @ likelihood.root.T), YIELDS.rho, atol=1e-12)
    rate = 0.7 * SIGNAL + YIELDS.a + YIELDS.b * shift + YIELDS.c * shift**2
    wanted = float(np.sum(poisson.logpmf(OBSERVED, rate)) + np.sum(norm.logpdf(theta[1:])))
    assert float(likelihood.logpdf(jnp.asarray(theta), data)) == pytest.approx(wanted, abs=1e-10)


def test_every_command_reads_it(tmp_path: Path) -> None:
    """`read_workspace` knows the format, and a fit is a fit."""
    likelihood, data = infer.read_workspace(write(tmp_path / "small.json", document()))
    assert likelihood.parameters.poi == "mu"
    assert infer.fit(likelihood, data).certificate.trustworthy
    counts = likelihood.counts(jnp.asarray(likelihood.parameters.init), data.main)
    assert [c.channel for c in counts] == ["SR", "CR"]


def test_fully_correlated_bins_are_one_parameter() -> None:
    """A correlation may be singular."""
    made = document()
    made["correlation"] = np.ones((3, 3)).tolist()
    likelihood, _ = parse_simplified(made)
    assert likelihood.parameters.names == ("mu", "mode_0")


def _put(*path: Any) -> Callable[[Any], None]:
    *parents, last, value = path

    def edit(made: Any) -> None:
        for step in parents:
            made = made[step]
        made[last] = value

    return edit


BROKEN = {
    "version": (_put("version", 2), "version is the number 2, expected 1"),
    "key": (_put("channels", 0, "d", [1.0]), "unknown key 'd'"),
    "length": (_put("channels", 0, "b", [1.0]), "channel 'SR': b has 1 entries, expected 2"),
    "negative": (_put("channels", 0, "observed", [1.0, -1.0]), r"observed\[1\] is negative"),
    "nan": (_put("channels", 0, "c", [1.0, None]), r"channel 'SR': c\[1\] is null"),
    "twice": (_put("channels", 1, "name", "SR"), "stands twice"),
    "correlation-size": (_put("correlation", [[1.0]]), "correlation is not 3 by 3"),
    "correlation": (_put("correlation", [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "within"),
    "poi": (_put("poi", "init", 20.0), "start value must lie within its bounds"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_documents_are_refused(name: str) -> None:
    """One sentence that names the place."""
    made = copy.deepcopy(document())
    edit, says = BROKEN[name]
    edit(made)
    with pytest.raises(infer.WorkspaceError, match=says) as caught:
        parse_simplified(made)
    assert "\n" not in str(caught.value)
