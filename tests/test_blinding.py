"""Blinding: everything as without it, but for the offset; and nothing that gives it away."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

import infer
from infer.blinding import Blinded, blind, blind_data
from infer.certificate import Blinding
from infer.data import Data
from infer.errors import ParameterError
from infer.likelihood import Fixed, Likelihood, Product, Renamed
from infer.likelihoods.histfactory.spec import parse_workspace

FloatArray = npt.NDArray[np.float64]


def two_signals() -> tuple[infer.HistFactory, Data]:
    """Three bins with free signals mu and nu, a background with a shape and a norm uncertainty."""
    background = [
        {"name": "norm", "type": "normsys", "data": {"lo": 0.95, "hi": 1.06}},
        {"name": "shape", "type": "histosys", "data": {"lo_data": [95, 100, 104], "hi_data": [104, 101, 95]}},
    ]
    samples = [
        {"name": "s", "data": [5, 30, 60], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "t", "data": [60, 30, 5], "modifiers": [{"name": "nu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": [100, 100, 100], "modifiers": background},
    ]
    document: dict[str, Any] = {
        "version": "1.0.0",
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": [170, 168, 151]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }
    return infer.HistFactory.of(parse_workspace(document, source="two"))


@pytest.fixture(scope="module")
def seen() -> tuple[infer.HistFactory, Data]:
    """Likelihood and data."""
    return two_signals()


@pytest.fixture(scope="module")
def hidden(seen: tuple[infer.HistFactory, Data]) -> Blinded:
    """The likelihood with a secret offset of mu."""
    return blind(seen[0], phrase="open sesame", widths={"mu": 3.0})


def secret(likelihood: Blinded, name: str = "mu") -> float:
    """The offset, which nobody should ask for."""
    return float(likelihood.offset[likelihood.parameters.position(name)])


Numbers = dict[str, float]


def _fit(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    best = infer.fit(likelihood, data)
    others = {n: best.value(n) for n in best.parameters if n != "mu"}
    widths = {f"sigma {n}": best.uncertainty(n) or 0.0 for n in best.parameters}
    return {"mu": best.value("mu")}, {**others, **widths, "2nll": best.twice_nll, "rho": best.correlation[0, 1]}


def _measure(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    m = infer.measure(likelihood, data)
    parts = {"total": m.total, "stat": m.stat, "syst": m.syst, **m.groups}
    sides = {f"{n} {side}": getattr(u, side) for n, u in parts.items() for side in ("down", "up")}
    pulls = {n: p.pull for n, p in m.parameters.items() if p.pull is not None}
    return {"mu": m.value}, {**sides, **pulls}


def _interval(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    found = infer.interval(likelihood, data, cl=0.95)
    return {"low": found.low.value, "high": found.high.value}, {}


def _scan(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    found = infer.scan(likelihood, data)
    shifted = {f"x{i}": x for i, x in enumerate(found.values.tolist())}
    return shifted, {f"q{i}": q for i, q in enumerate(found.delta_twice_nll.tolist())}


def _impacts(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    found = infer.impacts(likelihood, data).to_json_dict()
    sides = ("impact_down", "impact_up", "linear", "correlation")
    return {"mu": found["value"]}, {f"{i['name']} {side}": i[side] for i in found["impacts"] for side in sides}


def _contour(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    best = infer.fit(likelihood, data)
    ranges = {n: (best.value(n) - 0.3, best.value(n) + 0.3) for n in ("mu", "nu")}
    found = infer.contour(likelihood, data, parameters=("mu", "nu"), points=(5, 5), ranges=ranges, fitted=best)
    shifted = {f"x{i}": x for i, x in enumerate(found.x.tolist())}
    return shifted, {f"q{i}": q for i, q in enumerate(found.delta_twice_nll.ravel().tolist())}


def _toys(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    found = infer.toys(likelihood, data, key=jax.random.key(3), n_toys=20).to_json_dict()
    return {"mean": found["mean"]}, {"std": found["std"], "pull_mean": found["pull_mean"]}


def _goodness(likelihood: Likelihood, data: Data) -> tuple[Numbers, Numbers]:
    (test,) = infer.goodness(likelihood, data).tests
    return {}, {"q": test.observed}


@pytest.mark.parametrize(
    "asked",
    [_fit, _measure, _interval, _scan, _impacts, _contour, _toys, _goodness],
    ids=lambda f: f.__name__.strip("_"),
)
def test_a_blinded_result_is_the_result_with_the_offset(
    seen: tuple[infer.HistFactory, Data],
    hidden: Blinded,
    asked: Callable[[Likelihood, Data], tuple[Numbers, Numbers]],
) -> None:
    """Values of mu are higher by the offset, to 1e-9; uncertainties and all else are what they are, to 1e-7 of them."""
    likelihood, data = seen
    values, rest = asked(likelihood, data)
    blinded_values, blinded_rest = asked(hidden, hidden.data(data))
    assert abs(secret(hidden)) > 0.1
    assert set(values) == set(blinded_values)
    for name, value in values.items():
        assert blinded_values[name] == pytest.approx(value + secret(hidden), abs=1e-9)
    assert blinded_rest == pytest.approx(rest, rel=1e-7, abs=1e-9)


def test_several_parameters_are_shifted_by_offsets_of_their_own(seen: tuple[infer.HistFactory, Data]) -> None:
    """Each within its width, and not the same share of it."""
    likelihood, data = seen
    both = blind(likelihood, phrase="open sesame", widths={"mu": 3.0, "nu": 0.5})
    open_fit, best = infer.fit(likelihood, data), infer.fit(both, data)
    shifts = {n: best.value(n) - open_fit.value(n) for n in ("mu", "nu")}
    assert shifts == pytest.approx({n: secret(both, n) for n in shifts}, abs=1e-9)
    assert abs(shifts["nu"]) < 0.5
    assert abs(shifts["mu"] / 3.0 - shifts["nu"] / 0.5) > 0.01


def test_the_offset_is_that_of_the_phrase(seen: tuple[infer.HistFactory, Data]) -> None:
    """Equal phrases make equal offsets, whatever the rest of the likelihood; others make others, uniform in the width.

    Kolmogorov's test of 500 phrases at 1e-3; the phrases are fixed, so that it fails always or never.
    """
    likelihood, _ = seen
    again = blind(Renamed(likelihood, {"nu": "other"}), phrase="open sesame", widths={"mu": 3.0})
    offsets = [secret(blind(likelihood, phrase=f"phrase {i}", widths={"mu": 3.0})) for i in range(500)]
    assert secret(again) == secret(blind(likelihood, phrase="open sesame", widths={"mu": 3.0}))
    assert secret(again) == pytest.approx(2.0 * secret(blind(likelihood, phrase="open sesame", widths={"mu": 1.5})))
    assert stats.kstest(offsets, "uniform", (-3.0, 6.0)).pvalue > 1e-3
    assert again.blinding == blind(likelihood, phrase="open sesame", widths={"mu": 3.0}).blinding
    assert again.blinding != blind(likelihood, phrase="another", widths={"mu": 3.0}).blinding


def test_records_say_how_they_are_blinded(seen: tuple[infer.HistFactory, Data], hidden: Blinded) -> None:
    """In JSON, in the table and in the one line; also after a way through text, and inside of other likelihoods."""
    _, data = seen
    said = {"how": "offset", "widths": {"mu": 3.0}, "phrase": hidden.how.phrase}
    best, m = infer.fit(hidden, data), infer.measure(hidden, data)
    text = "mu is shifted by a secret offset of at most 3"
    for record in (best, m):
        document = json.loads(json.dumps(record.to_json_dict()))
        assert document["blinded"] == said
        assert text in str(record)
        assert record.table().count(text) == 1
    assert best.to_json_dict()["status"]["blinded"] == said
    assert text in infer.scan(hidden, data, fitted=best).table() + infer.impacts(hidden, data).table()
    assert m.to_latex().endswith("(blinded)")
    assert infer.Measurement.from_json(m.to_json()) == dataclasses.replace(m)
    for outer in (Fixed(hidden, {"nu": 1.0}), Product(a=hidden)):
        assert outer.blinding == hidden.how
    assert "open sesame" not in m.to_json() + str(best)
    assert "blinded" not in infer.fit(*seen).to_json_dict()


def test_what_needs_true_values_refuses_an_offset(seen: tuple[infer.HistFactory, Data], hidden: Blinded) -> None:
    """Limits, significances, p-values, functions of parameters, yields and posteriors, also of a fit that is known."""
    _, data = seen
    key = jax.random.key(1)
    asked: dict[str, Callable[[Likelihood], object]] = {
        "limit": lambda model: infer.upper_limit(model, data),
        "CLs": lambda model: infer.cls(model, data, values=[1.0]),
        "significance": lambda model: infer.significance(model, data),
        "p-value": lambda model: infer.p_value(model, data, value=1.0, key=key, n_toys=10),
        "function": lambda model: infer.derived(model, data, function=lambda v: v["mu"] / v["nu"], name="r"),
        "yields": lambda model: infer.yields(model, data, fitted=infer.fit(model, data)),
        "coverage of cls": lambda model: infer.coverage(model, data, key=key, n_toys=2, methods=["cls"]),
        "posterior": lambda model: infer.posterior(model, data, key=key),
    }
    for what, ask in asked.items():
        for model in (hidden, Fixed(hidden, {"nu": 1.0})):
            with pytest.raises(ParameterError, match=f"{what}.*secret offset"):
                ask(model)
    with pytest.raises(ParameterError, match="secret offset"):
        hidden.counts(jax.numpy.asarray(hidden.parameters.init), data.main)


def test_bounds_do_not_give_the_offset_away() -> None:
    """A best fit at the bound of zero would: the blinded parameter has none, and goes on below."""
    likelihood, data = two_signals()
    few = Data(data.main.at[2].set(90.0), data.aux)
    best = infer.fit(likelihood, few)
    assert best.at_bound("mu")
    hidden = blind(likelihood, phrase="open sesame", widths={"mu": 3.0})
    shifted = infer.fit(hidden, few)
    assert shifted.certificate.trustworthy
    assert shifted.certificate.at_bound == ()
    assert shifted.value("mu") - secret(hidden) < -0.1


def test_blinding_refuses_what_cannot_be_hidden(seen: tuple[infer.HistFactory, Data]) -> None:
    """Parameters with a constraint, fixed or unknown ones; phrases and widths that are none."""
    likelihood, _ = seen
    with pytest.raises(ParameterError, match="has a constraint"):
        blind(likelihood, phrase="x", widths={"norm": 1.0})
    with pytest.raises(ParameterError, match="is fixed"):
        blind(Fixed(likelihood, {"mu": 1.0}), phrase="x", widths={"mu": 1.0})
    with pytest.raises(ParameterError, match="unknown parameter"):
        blind(likelihood, phrase="x", widths={"muu": 1.0})
    with pytest.raises(ParameterError, match="phrase"):
        blind(likelihood, phrase=" ", widths={"mu": 1.0})
    with pytest.raises(ParameterError, match="width"):
        blind(likelihood, phrase="x", widths={})
    for width in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ParameterError, match="positive"):
            blind(likelihood, phrase="x", widths={"mu": width})


def test_hidden_data_are_expected_ones(seen: tuple[infer.HistFactory, Data]) -> None:
    """The best fit is where they are expected, whatever was observed; the uncertainty is the expected one."""
    likelihood, data = seen
    other = Data(data.main.at[1].set(500.0), data.aux)
    results = []
    for observed in (data, other):
        hidden, expected = blind_data(likelihood, observed, values={"mu": 0.4})
        assert hidden.blinding == Blinding("asimov", (("mu", 0.4),))
        results.append(infer.measure(hidden, expected))
    assert results[0].value == pytest.approx(0.4, abs=1e-7)
    assert results[0].parameters["nu"].value == pytest.approx(1.0, abs=1e-7)
    assert results[0].to_json_dict()["fit"]["parameters"] == results[1].to_json_dict()["fit"]["parameters"]
    assert "those expected at mu = 0.4" in str(results[0])
    assert results[0].to_json_dict()["blinded"] == {"how": "asimov", "values": {"mu": 0.4}}
    record = infer.yields(*blind_data(likelihood, data))
    np.testing.assert_allclose(record.postfit.channels[0].counts, record.prefit.channels[0].total)
    assert "expected at mu = 1" in str(record.fit)


def test_hidden_data_refuse_values_out_of_bounds(seen: tuple[infer.HistFactory, Data]) -> None:
    """And unknown names."""
    likelihood, data = seen
    with pytest.raises(ParameterError, match="bounds"):
        blind_data(likelihood, data, values={"mu": -1.0})
    with pytest.raises(ParameterError, match="unknown parameter"):
        blind_data(likelihood, data, values={"muu": 1.0})
