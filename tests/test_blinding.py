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
from infer.blinding import Blinded, blind
from infer.certificate import Blinding
from infer.data import Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.hiding import Controls, blind_data
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


def regions(observed: float, *, alone: bool = False) -> tuple[infer.HistFactory, Data]:
    """A signal region, whose norm k and shape a control region measures; or the control region alone."""

    def background(nominal: list[float]) -> dict[str, Any]:
        shift = {"lo_data": [0.9 * x for x in nominal], "hi_data": [1.1 * x for x in nominal]}
        norm = {"name": "k", "type": "normfactor", "data": None}
        return {"name": "b", "data": nominal, "modifiers": [norm, {"name": "a", "type": "histosys", "data": shift}]}

    signal = {"name": "s", "data": [20.0, 5.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    channels = [
        {"name": "CR", "samples": [background([100.0, 300.0]), {"name": "other", "data": [5.0, 5.0], "modifiers": []}]},
        {"name": "SR", "samples": [signal, background([50.0, 40.0])]},
    ]
    observations = [{"name": "CR", "data": [131.0, 372.0]}, {"name": "SR", "data": [observed, 60.0]}]
    document: dict[str, Any] = {
        "version": "1.0.0",
        "channels": channels[:1] if alone else channels,
        "observations": observations[:1] if alone else observations,
        "measurements": [{"name": "m", "config": {"poi": "" if alone else "mu", "parameters": []}}],
    }
    return infer.HistFactory.of(parse_workspace(document, source="regions"))


def test_the_likelihood_of_the_other_channels_is_that_of_a_workspace_without() -> None:
    """Value, gradient and Hessian; with the counts of the hidden channel at zero, which then do not enter."""
    likelihood, data = regions(90.0)
    less, control = regions(90.0, alone=True)
    controls = Controls(likelihood, ("SR",))
    main = data.main.at[2:].set(0.0)
    theta = likelihood.parameters.vector({"k": 1.1, "a": 0.3, "mu": 2.0})
    ours = controls.curvature_main(jax.numpy.asarray(theta), main)
    theirs = less.curvature_main(jax.numpy.asarray(less.parameters.vector({"k": 1.1, "a": 0.3})), control.main)
    at = likelihood.parameters.positions(less.parameters.names)
    np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-12)
    np.testing.assert_allclose(ours.gradient[at], theirs.gradient, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(ours.hessian)[np.ix_(at, at)], theirs.hessian, rtol=1e-9)
    mu = likelihood.parameters.position("mu")
    assert np.max(np.abs(np.asarray(ours.hessian)[mu])) < 1e-9
    assert abs(float(ours.gradient[mu])) < 1e-9


def test_hidden_channels_are_expected_after_a_fit_to_the_others() -> None:
    """Whatever was observed there, parameters are where the control region puts them, to 1e-4 of their uncertainty.

    A converged fit is within 1e-5 of it (EDM), and three fits take part.
    """
    less, control = regions(90.0, alone=True)
    apart = infer.fit(less, control)
    found = []
    for observed in (90.0, 30.0):
        likelihood, data = regions(observed)
        hidden, mixed = blind_data(likelihood, data, values={"mu": 0.5}, channels=["SR"])
        np.testing.assert_array_equal(mixed.main[:2], data.main[:2])
        np.testing.assert_array_equal(mixed.aux, data.aux)
        best = infer.fit(hidden, mixed)
        for name in ("k", "a"):
            assert best.value(name) == pytest.approx(apart.value(name), abs=1e-4 * (apart.uncertainty(name) or 0.0))
        assert best.value("mu") == pytest.approx(0.5, abs=1e-4 * (best.uncertainty("mu") or 0.0))
        found.append(np.asarray(mixed.main[2:]))
        said = {"how": "asimov", "values": {"mu": 0.5}, "channels": ["SR"]}
        assert best.to_json_dict()["blinded"] == said
        assert Blinding.from_json_dict(said) == hidden.how
        assert "not the observed data of SR" in str(best)
    np.testing.assert_array_equal(*found)
    k, a = apart.value("k"), apart.value("a")
    np.testing.assert_allclose(found[0], [10.0 + 50.0 * k * (1 + 0.1 * a), 2.5 + 40.0 * k * (1 + 0.1 * a)], rtol=1e-5)


def test_channels_of_a_combination_can_be_hidden() -> None:
    """By their names there; the data of the other component stay."""
    likelihood, data = regions(90.0)
    both = Product(x=likelihood, y=Renamed(likelihood, {"k": "k2", "a": "a2"}))
    joint = both.data(x=data, y=data)
    _, mixed = blind_data(both, joint, values={"mu": 1.0}, channels=["x/SR"])
    np.testing.assert_array_equal(mixed.main["y"], data.main)
    np.testing.assert_array_equal(mixed.main["x"][:2], data.main[:2])
    assert abs(float(mixed.main["x"][2]) - 90.0) > 1.0


def test_channels_that_cannot_be_hidden() -> None:
    """Unknown ones, all of them, none of them, and those without which the fit does not work."""
    likelihood, data = regions(90.0)
    for channels, said in ((["SSR"], "no channel 'SSR'"), (["SR", "CR"], "none is left"), ([], "one or more")):
        with pytest.raises(ParameterError, match=said):
            blind_data(likelihood, data, channels=channels)
    two, seen = two_signals()
    with pytest.raises(UntrustworthyError, match="channels that are not hidden"):
        # without SR, nothing measures mu, and it is not the parameter that is held
        blind_data(Product(a=likelihood, b=two), Product(a=likelihood, b=two).data(a=data, b=seen), channels=["b/SR"])
