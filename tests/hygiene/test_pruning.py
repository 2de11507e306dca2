"""Pruning: what goes, what stays, in closed form; and what it does to the result."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from infer.errors import UntrustworthyError, WorkspaceError
from infer.hygiene.effects import Effect, Freezing, Outcome, Tolerance, measure_effect, prune_by_impact
from infer.hygiene.places import Targets
from infer.hygiene.pruning import Smallness, prune, prune_names
from infer.inference import breakdown
from infer.inference.fits import Settings, fit
from infer.io.pyhf_json import load_document
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace
from tests.hygiene.problems import (
    MU,
    NOMINAL,
    Document,
    built,
    clean,
    counting,
    modifier,
    norm,
    sample_of,
    shape,
    tilted,
    with_modifier,
    workspace,
)

BOTH = Smallness(0.005, 0.005)


def kinds(document: Document, name: str) -> list[str]:
    """Types of the modifiers of a name on the background."""
    return [m["type"] for m in sample_of(document)["modifiers"] if m["name"] == name]


@pytest.mark.parametrize(
    ("small", "left"),
    [
        (norm("jes", 0.996, 1.004), []),
        (norm("jes", 0.996, 1.006), ["normsys"]),
        (norm("jes", 0.994, 1.004), ["normsys"]),
        (tilted("jes", 0.05), []),
        (tilted("jes", 0.2), ["histosys"]),
        (shape("jes", [-0.004] * 6, [0.004] * 6), []),
        (shape("jes", [-0.006] * 6, [0.006] * 6), ["histosys"]),
        (shape("jes", [0.0] * 6, [0.0] * 6), []),
    ],
)
def test_what_is_dropped(small: Document, left: list[str]) -> None:
    """Both sides, and for a histosys norm and shape, must be below half a per cent."""
    document = with_modifier(small)
    before = copy.deepcopy(document)
    done = prune(document, BOTH)
    assert kinds(done.document, "jes") == left
    assert document == before
    assert kinds(done.document, "xsec") == ["normsys"]
    if not left:
        (step,) = done.steps
        assert (step.transformation, step.after, step.settings["norm"]) == ("prune", None, 0.005)


def test_effects_on_the_total() -> None:
    """Two per cent of a sample that is a tenth of the channel are 0.2 per cent of the channel."""
    document = workspace(
        {
            "SR": {
                "signal": ([5.0, 5.0], [MU]),
                "small": ([10.0, 10.0], [norm("jes", 0.98, 1.02)]),
                "big": ([85.0] * 2, []),
            }
        }
    )
    assert prune(document, BOTH).steps == ()
    (step,) = prune(document, Smallness(0.005, 0.005, of="total")).steps
    assert step.modifier == "jes"


def test_parts_go_by_themselves() -> None:
    """A small shape leaves a norm, a small norm leaves a shape; factors of one name multiply."""
    flat = prune(with_modifier(shape("jes", [-0.02] * 6, [0.03] * 6)), Smallness(0.005, 0.005, parts=True))
    assert kinds(flat.document, "jes") == ["normsys"]
    (data,) = [m["data"] for m in sample_of(flat.document)["modifiers"] if m["name"] == "jes"]
    assert (data["lo"], data["hi"]) == pytest.approx((0.98, 1.03))
    merged = prune(
        with_modifier(norm("jes", 0.9, 1.1), shape("jes", [-0.02] * 6, [0.03] * 6)), Smallness(0.005, 0.005, parts=True)
    )
    (data,) = [m["data"] for m in sample_of(merged.document)["modifiers"] if m["name"] == "jes"]
    assert (data["lo"], data["hi"]) == pytest.approx((0.9 * 0.98, 1.1 * 1.03))
    both = shape("jes", [0.003 - 0.05, *[0.003] * 4, 0.003 + 0.06], [0.05, *[0.0] * 4, -0.06])
    shaped = prune(with_modifier(both), Smallness(0.02, 0.005, parts=True))
    (data,) = [m["data"] for m in sample_of(shaped.document)["modifiers"] if m["name"] == "jes"]
    for side in ("lo_data", "hi_data"):
        assert sum(data[side]) == pytest.approx(sum(NOMINAL), rel=1e-12)
    assert [s.transformation for s in shaped.steps if s.modifier == "jes"] == ["prune norm"]
    assert prune(shaped.document, Smallness(0.02, 0.005, parts=True)).steps == ()


def test_bins_that_were_empty_are_a_shape() -> None:
    """A variation that fills an empty bin is never small."""
    nominal = [0.0, *NOMINAL[1:]]
    nothing = shape("jes", [0.0] * 6, [0.0] * 6, nominal)
    document = workspace({"SR": {"signal": ([4.0] * 6, [MU]), "background": (nominal, [nothing])}})
    assert len(prune(document, BOTH).steps) == 1
    sample_of(document)["modifiers"][0]["data"]["hi_data"][0] = 1e-9
    assert prune(document, BOTH).steps == ()


def test_targets_and_settings() -> None:
    """Only what is meant goes, and settings of parameters that are gone go with them."""
    document = with_modifier(norm("a", 0.999, 1.001), norm("b", 0.999, 1.001))
    config = document["measurements"][0]["config"]
    config["parameters"] = [{"name": "a", "fixed": True}, {"name": "absent", "fixed": True}]
    done = prune(document, BOTH, targets=Targets(modifiers=["a"]))
    assert [step.modifier for step in done.steps] == ["a"]
    assert [entry["name"] for entry in done.document["measurements"][0]["config"]["parameters"]] == ["absent"]


@pytest.mark.parametrize("limits", [Smallness(), Smallness(-0.1, 0.1), Smallness(0.1, of="channel")])
def test_impossible_limits_are_refused(limits: Smallness) -> None:
    """In one sentence."""
    with pytest.raises(WorkspaceError):
        prune(clean(), limits)


def test_nothing_to_fit_is_refused() -> None:
    """A workspace that would lose all modifiers stays as it is."""
    document = workspace({"SR": {"b": ([50.0], [norm("jes", 0.999, 1.001)])}}, poi="")
    with pytest.raises(WorkspaceError, match="no sample has a modifier"):
        prune(document, BOTH)


# --------------------------------------------------------------------------------------------------- effects


def two_norms(small: float) -> Document:
    """A bin measured by mu alone beside a background with a big and a small norm, data off by ten events."""
    background = [norm("big", 1.0 / 1.1, 1.1), norm("small", 1.0 / (1.0 + small), 1.0 + small)]
    return workspace(
        {"SR": {"signal": ([100.0], [MU]), "background": ([400.0], background)}, "CR": {"b": ([400.0], background)}},
        {"CR": [410.0]},
    )


def test_impacts_are_those_of_refits() -> None:
    """What goes has an impact below the limit: how far a fit moves with the parameter held, in units of sigma."""
    document = two_norms(0.001)
    before = built(document)
    best = fit(*before)
    sigma = float(best.uncertainties[best.parameters.position("mu")])
    moved = {}
    for name in ("big", "small"):
        at = best.parameters.position(name)
        step = max(float(best.uncertainties[at]), abs(float(best.values[at])))
        held = [fit(*before, settings=Settings(fixed={name: float(best.values[at]) + s * step})) for s in (-0.1, 0.1)]
        moved[name] = abs(held[1].value("mu") - held[0].value("mu")) / 0.2 / sigma
    linear = Freezing.of(best, "mu", {"big", "small"})
    assert linear is not None
    assert linear.impacts == pytest.approx(moved, rel=2e-3)
    done = prune_by_impact(before, document, below=0.05)
    assert {step.modifier for step in done.steps} == {"small"}
    assert done.steps[0].settings["impact"] == pytest.approx(moved["small"], rel=2e-3)
    assert moved["small"] < 0.05 < moved["big"]
    assert prune_by_impact(before, document, below=1e-9).document == document


def test_freezing_is_predicted_by_the_covariance() -> None:
    """Shift and width of a normal model are exact: conditional means and variances of a normal distribution."""
    covariance = np.asarray([[4.0, 1.0, -0.6], [1.0, 1.0, 0.2], [-0.6, 0.2, 0.8]])
    linear = Freezing(("a", "b"), np.asarray([0.5, -1.0]), covariance)
    precision = np.linalg.inv(covariance)
    both = linear.frozen({"a", "b"})
    # with a and b frozen, the precision of mu is its diagonal entry, and its mean moves by -P^-1 P_mu,S (0 - best)
    assert both[1] == pytest.approx((1.0 / precision[0, 0]) ** 0.5 / 2.0)
    assert both[0] == pytest.approx(precision[0, 1:] @ [0.5, -1.0] / precision[0, 0] / 2.0)
    assert linear.frozen({"a"}) == pytest.approx((-1.0 * 0.5 / 2.0, (3.0 / 4.0) ** 0.5))
    assert linear.frozen(set()) == (0.0, 1.0)
    assert linear.impacts == pytest.approx({"a": 0.5, "b": 0.6 / 0.8 / 2.0})  # b is held at zero, farther than a sigma


def test_what_none_does_alone() -> None:
    """Two parameters of small impact that are strongly correlated are not both dropped: together they move mu.

    With a correlation of -0.99 and both at +1 in units of their uncertainties, frozen together they move mu by
    2 * 0.03 / (1 - 0.99) = 6 in units of 0.03 and of its uncertainty, 0.06 / 0.01.
    """
    covariance = np.asarray(
        [[1.0, 0.03, 0.03, 0.01], [0.03, 1.0, -0.99, 0.0], [0.03, -0.99, 1.0, 0.0], [0.01, 0, 0, 1.0]]
    )
    linear = Freezing(("a", "b", "c"), np.asarray([1.0, 1.0, 0.0]), covariance)
    assert linear.frozen({"a", "b"})[0] == pytest.approx(-6.0)
    assert max(linear.impacts.values()) < 0.05
    assert linear.negligible(0.05) == pytest.approx({"c": 0.01, "a": 0.03})


def test_what_data_pull_is_not_dropped() -> None:
    """A shape that the data measure well hardly depends on its auxiliary datum, and moves mu when it is dropped."""
    tilt = tilted("slope", 4.0)
    document = workspace({"SR": {"signal": ([4.0, 8.0, 20.0, 25.0, 8.0, 4.0], [MU]), "background": (NOMINAL, [tilt])}})
    sides = tilt["data"]["hi_data"]
    document["observations"][0]["data"] = [round(s + x) for s, x in zip([4, 8, 20, 25, 8, 4], sides, strict=True)]
    before = built(document)
    best = fit(*before)
    datum = breakdown.linear_response(breakdown.prepare(before[0], best, "mu", None)).aux
    sigma = best.uncertainty("mu")
    assert sigma is not None
    assert abs(float(datum[0])) / sigma < 0.1
    assert prune_by_impact(before, document, below=0.1).steps == ()


def test_effects_are_those_of_two_fits() -> None:
    """Values, uncertainties and parts are what fits of both workspaces say; dropping next to nothing is harmless."""
    document = two_norms(0.001)
    before = built(document)
    done = prune_names(document, {"small": 0.001}, limit=0.01)
    effect = measure_effect(before, done)
    old, new = fit(*before), fit(*built(done.document))
    assert (effect.before.value, effect.after.value) == (old.value("mu"), new.value("mu"))
    assert (effect.before.uncertainty, effect.after.uncertainty) == (old.uncertainty("mu"), new.uncertainty("mu"))
    assert (effect.before.n_parameters, effect.after.n_parameters) == (3, 2)
    assert effect.harmless
    assert set(effect.before.groups) == {"stat", "big", "small"}
    assert np.hypot(*[effect.after.groups[name] for name in ("stat", "big")]) == pytest.approx(
        new.uncertainty("mu"), rel=0.05
    )
    assert "Within the tolerance." in effect.table()


def test_a_large_effect_is_an_objection() -> None:
    """Dropping what makes a large part of the uncertainty, or holds the best fit where it is, is not harmless."""
    document = two_norms(0.001)
    effect = measure_effect(built(document), prune_names(document, {"big": 0.5}, limit=0.6))
    assert not effect.harmless
    assert any("Hessian becomes" in o for o in effect.objections)
    assert "Beyond the tolerance" in effect.table()
    generous = measure_effect(
        built(document), prune_names(document, {"big": 0.5}, limit=0.6), tolerance=Tolerance(shift=9.0, width=9.0)
    )
    assert generous.harmless


def test_settings_of_what_is_gone_are_left_out() -> None:
    """A start value of a parameter that was pruned does no harm to the fit after."""
    document = two_norms(0.001)
    done = prune_names(document, {"small": 0.0}, limit=0.01)
    settings = Settings(start={"small": 0.1, "mu": 0.9}, fixed={"big": 0.0})
    effect = measure_effect(built(document), done, settings=settings, groups={"g": ["small", "big"]})
    assert effect.after.n_parameters == 2
    assert set(effect.before.groups) == {"stat", "g"}


def test_shifts_are_in_units_of_the_side_they_go_to() -> None:
    """+0.1 of an upper side of 0.5 is 0.2; without any uncertainty there is no number, and an objection."""
    old = Outcome(1.0, 0.25, 0.5, 0.4, 10.0, 3)
    up = Effect("mu", old, Outcome(1.1, 0.25, 0.5, 0.4, 10.0, 2), Tolerance())
    assert up.shift == pytest.approx(0.2)
    down = Effect("mu", old, Outcome(0.9, 0.25, 0.5, 0.4, 10.0, 2), Tolerance())
    assert down.shift == pytest.approx(-0.4)
    none = Effect("mu", Outcome(1.0, None, None, None, 1.0, 3), Outcome(1.0, None, None, None, 1.0, 2), Tolerance())
    assert none.shift is None
    assert len(none.objections) == 2
    assert none.to_json_dict()["shift"] is None


def test_impacts_need_a_fit_that_can_be_trusted() -> None:
    """Two free factors on one template have no minimum to rank at."""
    document = workspace(
        {"SR": {"signal": ([50.0], [MU]), "background": ([50.0], [modifier("b", "normfactor"), norm("jes", 0.9, 1.1)])}}
    )
    with pytest.raises(UntrustworthyError, match="impacts need a fit that can be trusted"):
        prune_by_impact(built(document), document, below=0.01)
    with pytest.raises(WorkspaceError, match=r"such as 0\.01"):
        prune_by_impact(built(clean()), clean(), below=2.0)


def test_a_parameter_at_its_bound_is_compared_by_its_upper_side() -> None:
    """Where the best fit is zero before and after, the interval above it decides."""
    document = counting([norm("jes", 0.95, 1.05)], 100.0)
    document["observations"][1]["data"] = [40.0]
    effect = measure_effect(built(document), prune_names(document, {"jes": 0.0}, limit=0.1))
    assert effect.shift == 0.0
    assert effect.before.up is not None
    assert effect.widths["up"] == pytest.approx(1.0, abs=1e-6)  # nothing of the control region reaches mu


@pytest.mark.slow
def test_pruning_a_published_measurement_is_not_harmless(likelihoods: Path) -> None:
    """Half a per cent of each sample, a common choice, moves the ATLAS ttbar cross section by a third of a sigma."""
    document = load_document(likelihoods / "ttbar_ljets_xsec.json")
    workspace_ = parse_workspace(document)
    done = prune(document, BOTH)
    effect = measure_effect(HistFactory.of(workspace_), done)
    assert len(done.steps) == 593
    assert effect.shift == pytest.approx(0.318, abs=0.005)
    assert effect.widths["uncertainty"] == pytest.approx(1.032, abs=0.002)
    assert not effect.harmless
