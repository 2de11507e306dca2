"""A measurement as a function of a correlation, against the formulae of two correlated measurements."""

from __future__ import annotations

import numpy as np
import pytest

from infer.combination import Partial, Scheme, combine
from infer.data import Data
from infer.errors import ParameterError
from infer.inference import correlations
from infer.inference.correlations import LIMIT, correlation_scan
from infer.inference.fits import Settings, fit
from infer.likelihood import Likelihood
from infer.likelihoods.gaussian import Measured, Source, combine_measurements
from infer.numerics.blue import blue
from infer.parameters import Parameter

VALUES, STAT, SYST = np.array([10.0, 12.0]), np.array([1.0, 1.5]), np.array([2.0, 1.0])
RHOS = [-1.0, 0.5, 0.0, 1.0, -0.4]


@pytest.fixture(scope="module")
def two() -> tuple[Likelihood, Data]:
    """Two measurements, each with a systematic uncertainty of its own."""
    return combine_measurements(
        [Measured("A", 10.0, 1.0, "m", {"s": 2.0}), Measured("B", 12.0, 1.5, "m", {"t": 1.0})],
        observables=[Parameter("m", 10.0, unit="GeV", latex="m_X")],
        sources={"s": Source(), "t": Source()},
        poi="m",
    )


def wanted(rho: float) -> tuple[float, float]:
    """Value and uncertainty of the best linear unbiased estimate (Lyons et al., NIM A270 (1988) 110)."""
    off = rho * SYST[0] * SYST[1]
    solved = blue(VALUES, np.diag(STAT**2 + SYST**2) + off * (1.0 - np.eye(2)))
    return float(solved.estimates[0]), float(np.sqrt(solved.covariance[0, 0]))


def test_scan_equals_the_formulae(two: tuple[Likelihood, Data]) -> None:
    """Value and both sides at every correlation, in the order asked; 1 and -1 are computed close by."""
    scan = correlation_scan(*two, names=["s", "t"], rhos=RHOS)
    assert scan.trustworthy
    assert [point.rho for point in scan.points] == [-LIMIT, 0.5, 0.0, LIMIT, -0.4]
    for point in scan.points:
        value, sigma = wanted(point.rho)
        assert point.value == pytest.approx(value, abs=1e-6)
        assert point.down == pytest.approx(sigma, rel=1e-4)
        assert point.up == pytest.approx(sigma, rel=1e-4)
    spread = [wanted(rho)[0] for rho in (-1.0, 1.0)]
    assert abs(spread[1] - spread[0]) > 0.1  # the correlation matters here
    for end, rho in ((scan.points[0], -1.0), (scan.points[3], 1.0)):
        assert end.value == pytest.approx(wanted(rho)[0], abs=1e-3)


def test_scan_equals_a_fit_of_the_combination(two: tuple[Likelihood, Data]) -> None:
    """The program whose constraint terms were exchanged gives what a likelihood declared so gives, 2NLL included."""
    scan = correlation_scan(*two, names=["t", "s"], rhos=[0.8], cl=0.95)
    declared = combine({"x": two}, Scheme(partial=(Partial(("s", "t"), 0.8),)))
    best = fit(*declared)
    assert scan.points[0].value == pytest.approx(best.value("m"), abs=1e-7)
    assert scan.points[0].twice_nll == pytest.approx(best.twice_nll, abs=1e-7)
    assert scan.points[0].up == pytest.approx(1.959964 * wanted(0.8)[1], rel=1e-4)


def test_scan_compiles_once(two: tuple[Likelihood, Data], monkeypatch: pytest.MonkeyPatch) -> None:
    """Likelihoods at all correlations have one structure, so that one program serves them; each starts nearby."""
    seen = []

    def watched(likelihood: Likelihood, data: Data, **options: object) -> object:
        seen.append((likelihood, options["settings"]))
        return fit(likelihood, data, **options)

    monkeypatch.setattr(correlations, "fit", watched)
    correlation_scan(*two, names=["s", "t"], rhos=[0.9, 0.0, 0.3, -0.5])
    assert len({hash(likelihood.parameters) for likelihood, _ in seen}) == 1
    shapes = {tuple(block.covariance.shape for block in likelihood.constraints.blocks) for likelihood, _ in seen}
    assert shapes == {((2, 2),)}
    starts = [settings.start.get("m") for _, settings in seen if isinstance(settings, Settings)]
    expected = [None, wanted(0.0)[0], wanted(0.0)[0], wanted(0.3)[0]]  # 0, 0.3, -0.5, 0.9
    assert starts[0] is None
    assert starts[1:] == pytest.approx(expected[1:], abs=1e-6)


def test_record(two: tuple[Likelihood, Data]) -> None:
    """The JSON object, the table and the line; a fit without a certificate has no value."""
    scan = correlation_scan(*two, names=["s", "t"], rhos=[0.0], settings=Settings(fixed={"s": 0.0, "t": 0.0}))
    record = scan.to_json_dict()
    assert set(record) == {"poi", "parameters", "cl", "points", "seconds"}
    assert set(record["points"][0]) == {"rho", "value", "total", "twice_nll", "certificate"}
    assert record["points"][0]["value"] == pytest.approx(np.average(VALUES, weights=STAT**-2.0), abs=1e-6)
    assert "m as a function of the correlation of s, t: 10.6154 to 10.6154 GeV" in str(scan)
    assert scan.table().count("\n") == 3


@pytest.mark.parametrize(
    ("names", "rhos", "complaint"),
    [
        (["s", "q"], [0.0], "unknown parameter 'q'"),
        (["s", "m"], [0.3], "rho = 0.3: partial correlation needs Gaussian"),
        (["s", "t"], [0.0, 1.2], "between -1 and 1, got 1.2"),
        (["s", "t"], [np.nan], "between -1 and 1, got nan"),
        (["s", "t"], [], "got 0 values"),
    ],
)
def test_impossible_scans(two: tuple[Likelihood, Data], names: list[str], rhos: list[float], complaint: str) -> None:
    """One sentence each."""
    with pytest.raises(ParameterError, match=complaint):
        correlation_scan(*two, names=names, rhos=rhos)


def test_a_scan_needs_a_parameter_of_interest(two: tuple[Likelihood, Data]) -> None:
    """Declared or named."""
    likelihood, data = combine({"a": two, "b": two}, Scheme(by_name=False))
    with pytest.raises(ParameterError, match="name a parameter of interest"):
        correlation_scan(likelihood, data, names=["a.s", "b.s"], rhos=[0.0])
