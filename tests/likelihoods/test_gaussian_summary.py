"""The table of published measurements of one observable."""

from __future__ import annotations

import pytest

from infer.errors import ParameterError
from infer.likelihoods.gaussian import Measured, Source, combine_measurements
from infer.likelihoods.gaussian.summary import measured_values
from infer.parameters import Parameter


def test_stat_and_all_sources_in_quadrature() -> None:
    """Also where a source is partly correlated, or moves a measurement down."""
    likelihood, data = combine_measurements(
        [Measured("A", 91.3, 0.4, "m", {"scale": 0.3}), Measured("B", -2.0, 0.5, "m", {"scale": -1.2})],
        observables=[Parameter("m", 91.0)],
        sources={"scale": Source(0.5)},
    )
    first, second = measured_values(likelihood, data)
    assert (first.name, second.name) == ("A", "B")
    assert [first.value, first.stat, first.total] == pytest.approx([91.3, 0.4, 0.5])
    assert [second.value, second.stat, second.total] == pytest.approx([-2.0, 0.5, 1.3])


def test_only_measurements_of_the_observable_alone() -> None:
    """A difference of two observables is left out, a multiple is divided by its coefficient, signs included."""
    likelihood, data = combine_measurements(
        [
            Measured("e", 10.5, 1.0, "e"),
            Measured("difference", -1.2, 0.7, {"e": 1.0, "tau": -1.0}),
            Measured("minus two tau", -20.0, 4.0, {"tau": -2.0}, {"veto": 3.0}),
        ],
        observables=[Parameter("e", 10.0), Parameter("tau", 10.0)],
        sources={"veto": Source()},
        poi="tau",
    )
    (only,) = measured_values(likelihood, data)
    assert [only.value, only.stat, only.total] == pytest.approx([10.0, 2.0, 2.5])
    assert [m.name for m in measured_values(likelihood, data, observable="e")] == ["e"]


def test_refuses_an_unknown_observable() -> None:
    """The message offers the closest one."""
    likelihood, data = combine_measurements([Measured("A", 91.3, 0.4, "mass")], observables=[Parameter("mass", 91.0)])
    with pytest.raises(ParameterError, match="did you mean 'mass'"):
        measured_values(likelihood, data, observable="mas")
