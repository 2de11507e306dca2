"""The measurement: what its one line says, what its table shows, and that its JSON loses nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.certificate import VERIFY_TOLERANCE, Certificate
from infer.errors import InputError, WorkspaceError
from infer.measurement import DEFINITIONS, CoveragePoint, CoverageRecord, Measurement, ParameterEstimate, Uncertainty

GOOD = Certificate(converged=True, message="", edm=1e-9, projected_gradient=1e-7, positive_definite=True)
FAILED = dataclasses.replace(GOOD, converged=False, message="no progress after 100 steps")
NONE = Uncertainty(None, None)


def both(size: float) -> Uncertainty:
    """An uncertainty with equal sides."""
    return Uncertainty(size, size)


def higgs(**changes: Any) -> Measurement:
    """The mass of the Higgs boson, as in the README, with changes."""
    fields: dict[str, Any] = {
        "poi": "m",
        "value": 125.0899,
        "total": both(0.2404),
        "stat": both(0.2134),
        "syst": both(0.1107),
        "groups": {"scale": both(0.1001), "resolution": both(0.0473)},
        "definition": "observables",
        "interval": "hessian",
        "cl": 0.6827,
        "one_sided": False,
        "unit": "GeV",
        "latex": "m_H",
        "twice_nll": 12.5,
        "certificate": GOOD,
    }
    return Measurement(**{**fields, **changes})


def strength(**changes: Any) -> Measurement:
    """A signal strength with unequal sides, with changes."""
    fields: dict[str, Any] = {
        "poi": "mu",
        "value": 1.123,
        "total": Uncertainty(0.29, 0.33),
        "stat": Uncertainty(0.268, 0.31),
        "syst": Uncertainty(0.1, 0.118),
        "groups": {},
        "unit": "",
        "latex": r"$\mu$",
    }
    return higgs(**{**fields, **changes})


# -- the one line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measurement", "line"),
    [
        (higgs(), "m = 125.09 ± 0.21 (stat) ± 0.11 (syst) GeV"),
        (strength(), "mu = 1.12 +0.31 −0.27 (stat) +0.12 −0.10 (syst)"),
        (strength(value=-1.123), "mu = −1.12 +0.31 −0.27 (stat) +0.12 −0.10 (syst)"),
        (strength(stat=Uncertainty(0.312, 0.308)), "mu = 1.12 ± 0.31 (stat) +0.12 −0.10 (syst)"),
        (strength(cl=0.95), "mu = 1.12 +0.31 −0.27 (stat) +0.12 −0.10 (syst) (95 % CL)"),
        (strength(cl=0.68), "mu = 1.12 +0.31 −0.27 (stat) +0.12 −0.10 (syst)"),
        (
            higgs(poi="m", value=832.1, total=both(46.1), stat=both(10.2), syst=both(45.0), unit="pb"),
            "m = 830 ± 10 (stat) ± 50 (syst) pb",
        ),
        (
            higgs(value=1.234e-5, total=both(5.2e-7), stat=both(4.2e-7), syst=both(3.1e-7)),
            "m = (1.23 ± 0.04 (stat) ± 0.03 (syst)) × 10⁻⁵ GeV",
        ),
        (
            higgs(value=3.23e6, total=both(1.1e5), stat=both(1.05e5), syst=both(2e4), unit=""),
            "m = (3.23 ± 0.11 (stat) ± 0.02 (syst)) × 10⁶",
        ),
        (
            higgs(value=-1.234e-5, total=both(2.2e-7), stat=both(2e-7), syst=both(1e-7), unit=""),
            "m = (−1.234 ± 0.020 (stat) ± 0.010 (syst)) × 10⁻⁵",
        ),
    ],
)
def test_line(measurement: Measurement, line: str) -> None:
    """The line is the result as one would put it in an abstract."""
    assert str(measurement) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"value": 0.0, "total": Uncertainty(None, 0.891)},
            "mu = 0 +0.89 (one-sided: the best fit is at its lower bound)",
        ),
        (
            {"value": 0.0, "total": Uncertainty(0.0, 0.0967)},
            "mu = 0 +0.097 (one-sided: the best fit is at its lower bound)",
        ),
        (
            {"value": 10.0, "total": Uncertainty(1.5, None)},
            "mu = 10.0 −1.5 (one-sided: the best fit is at its upper bound)",
        ),
        (
            {"value": 0.11, "total": Uncertainty(0.11, 0.52)},
            "mu = 0.11 +0.52 −0.11 (one-sided: the interval is cut off at a bound)",
        ),
        (
            {"value": 0.0, "total": NONE},
            "mu = 0 (one-sided: the best fit is at a bound, and the interval has no other end)",
        ),
    ],
)
def test_one_sided_line(changes: dict[str, Any], line: str) -> None:
    """At a bound the line says so, quotes the total only, and keeps two digits of it."""
    assert str(strength(**changes, one_sided=True)) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"stat": both(0.399), "syst": both(0.028), "total": both(0.4)}, "mu = 1.1 ± 0.4 (stat) ± <0.05 (syst)"),
        ({"stat": both(0.4), "syst": both(0.0), "total": both(0.4)}, "mu = 1.1 ± 0.4 (stat) ± 0 (syst)"),
        ({"total": both(0.0), "stat": both(0.0), "syst": both(0.0)}, "mu = 1.123 ± 0 (stat) ± 0 (syst)"),
        ({"stat": NONE}, "mu = 1.12 +0.33 −0.29 (not split into stat and syst)"),
        ({"syst": Uncertainty(0.1, math.nan)}, "mu = 1.12 +0.33 −0.29 (not split into stat and syst)"),
        ({"total": NONE}, "mu = 1.123 (no interval: neither end was found)"),
        ({"total": Uncertainty(None, 0.33)}, "mu = 1.12 +0.33 (no lower end was found)"),
        ({"total": Uncertainty(0.29, math.inf)}, "mu = 1.12 −0.29 (no upper end was found)"),
        ({"total": NONE, "cl": 0.95}, "mu = 1.123 (no interval: neither end was found; 95 % CL)"),
    ],
)
def test_line_uses_words_where_numbers_are_missing(changes: dict[str, Any], line: str) -> None:
    """Zero, missing, infinite and NaN uncertainties are put into words; nothing raises."""
    assert str(strength(**changes)) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"certificate": FAILED}, "mu = ? (not converged: no progress after 100 steps)"),
        ({"certificate": dataclasses.replace(FAILED, message="")}, "mu = ? (not converged)"),
        (
            {"certificate": dataclasses.replace(GOOD, positive_definite=False)},
            "mu = ? (the Hessian is not positive definite)",
        ),
        (
            {"certificate": dataclasses.replace(GOOD, verified_by="MIGRAD", verify_difference=0.5)},
            "mu = ? (MIGRAD found a deeper minimum)",
        ),
        ({"value": math.nan}, "mu = ? (the value is not a finite number)"),
    ],
)
def test_no_number_without_a_certificate(changes: dict[str, Any], line: str) -> None:
    """A fit that is not trustworthy yields a question mark and the reason, in text, LaTeX and table alike."""
    measurement = strength(**changes)
    assert str(measurement) == line
    assert measurement.to_latex().startswith(r"$\mu = {?}$ (")
    assert "1.12" not in measurement.to_latex()
    assert "1.12" not in measurement.table()


# -- certificate -----------------------------------------------------------------------------------


def test_certificate_of_a_second_engine() -> None:
    """A second engine that stops higher does no harm; one that gets deeper, or gives NaN, does."""
    verdict = {
        difference: dataclasses.replace(GOOD, verified_by="MIGRAD", verify_difference=difference).trustworthy
        for difference in (-5.0, 0.0, VERIFY_TOLERANCE, 2 * VERIFY_TOLERANCE, math.nan)
    }
    assert list(verdict.values()) == [True, True, True, False, False]


def test_certificate_lists_every_objection() -> None:
    """Reasons add up; a fit that did not converge is not blamed for its Hessian as well."""
    worse = dataclasses.replace(FAILED, positive_definite=False, verified_by="MIGRAD", verify_difference=1.0)
    assert worse.objections == ("not converged: no progress after 100 steps", "MIGRAD found a deeper minimum")
    assert GOOD.trustworthy
    assert not GOOD.objections


# -- LaTeX -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measurement", "latex"),
    [
        (higgs(), r"$m_H = 125.09 \pm 0.21\,\mathrm{(stat)} \pm 0.11\,\mathrm{(syst)}~\mathrm{GeV}$"),
        (
            strength(),
            r"$\mu = 1.12\,{}^{+0.31}_{-0.27}\,\mathrm{(stat)}\,{}^{+0.12}_{-0.10}\,\mathrm{(syst)}$",
        ),
        (
            strength(latex="", poi="mu_SIG", stat=NONE, total=both(0.3), unit="%"),
            r"$\mathrm{mu\_SIG} = 1.12 \pm 0.30~\mathrm{\%}$ (not split into stat and syst)",
        ),
        (
            strength(total=both(0.4), stat=both(0.4), syst=both(0.01)),
            r"$\mu = 1.1 \pm 0.4\,\mathrm{(stat)} \pm {<}0.05\,\mathrm{(syst)}$",
        ),
        (
            higgs(value=-1.234e-5, total=both(2.2e-7), stat=NONE, unit=r"\mathrm{fb}^{-1}"),
            r"$m_H = (-1.234 \pm 0.022) \times 10^{-5}~\mathrm{fb}^{-1}$ (not split into stat and syst)",
        ),
        (
            strength(value=0.0, total=Uncertainty(None, 0.891), one_sided=True, cl=0.95),
            r"$\mu = 0\,{}^{+0.89}$ (one-sided: the best fit is at its lower bound; 95 \% CL)",
        ),
        (
            strength(certificate=dataclasses.replace(FAILED, message="max_steps & 100% used")),
            r"$\mu = {?}$ (not converged: max\_steps \& 100\% used)",
        ),
    ],
)
def test_latex(measurement: Measurement, latex: str) -> None:
    """LaTeX has the content of the line; what could be mistaken for a command is escaped."""
    assert measurement.to_latex() == latex


# -- the table -------------------------------------------------------------------------------------


def test_table() -> None:
    """Sources are sorted by size and their shares of the variance add up; the definition is named."""
    groups = {"small": both(0.03), "large": both(0.1), "gone": both(0.0)}
    table = higgs(
        groups=groups, stat=both(0.2), syst=both(math.hypot(0.03, 0.1)), total=both(math.sqrt(0.04 + 0.0109))
    ).table()
    assert table.splitlines() == [
        "m = 125.09 ± 0.20 (stat) ± 0.10 (syst) GeV",
        "",
        "Error budget of m [GeV], definition 'observables':",
        "variance due to each source of randomness; the parts add up in quadrature.",
        "",
        "  source       down         up  share of variance",
        "  stat       −0.200     +0.200             78.6 %",
        "  large      −0.100     +0.100             19.6 %",
        "  small      −0.030     +0.030              1.8 %",
        "  gone            0          0              0.0 %",
        "  -----------------------------------------------",
        "  syst       −0.104     +0.104             21.4 %",
        "  total      −0.226     +0.226            100.0 %",
        "",
        "The parts add up in quadrature to 0.226, 100.0 % of the total variance.",
        "",
        "Interval: hessian, 68.27 % CL.",
        "Fit: converged, EDM 1.0e-09.",
    ]


def test_table_tells_definitions_apart() -> None:
    """A conditional budget says that its parts need not add up, and by how much they do not."""
    table = higgs(definition="conditional", groups={"scale": both(0.15)}, stat=both(0.2), total=both(0.2404)).table()
    assert "In quadrature the parts would make 0.250, 108.1 % of the total variance" in table
    assert "need not add up" in table


def test_table_without_groups_or_parts() -> None:
    """Without groups the systematic part stands for them; missing parts are not added up."""
    assert "99.9 % of the total variance" in higgs(groups={}, syst=both(0.1105), stat=both(0.2134)).table()
    table = strength(stat=NONE).table()
    assert "none       none                  -" in table
    assert "Some parts are missing" in table
    assert "Some parts are missing" in strength(stat=both(1.7e308), syst=both(1.7e308)).table()  # the sum overflows


def test_table_in_scientific_notation() -> None:
    """The common power of ten stands with the unit."""
    table = higgs(value=1.234e-5, total=both(2.2e-7), stat=both(2e-7), syst=both(1e-7), groups={}).table()
    assert "Error budget of m [10⁻⁵ GeV]" in table
    assert "−0.0220    +0.0220" in table


def test_table_shows_the_evidence() -> None:
    """Coverage, second engine, bounds and notices are part of the table."""
    certificate = dataclasses.replace(
        GOOD,
        verified_by="MIGRAD",
        verify_difference=0.0,
        at_bound=("norm",),
        sandwich_ratio=1.0312,
        notices=("bins with fewer than 5 events: 2",),
    )
    coverage = CoverageRecord("profile", 0.6827, (CoveragePoint(1.0, 1000, 2, 684, 0.684, (0.669, 0.699)),))
    table = strength(certificate=certificate, coverage=coverage).table()
    assert (
        "Fit: converged, EDM 1.0e-09; verified by MIGRAD; at a bound: norm; sandwich over inverse Hessian 1.031."
    ) in table
    assert (
        "Coverage of 'profile' at 1: 68.4 % (66.9 to 69.9 %) for a nominal 68.27 %, from 1000 toys, of which 2 failed."
    ) in table
    assert "Note: bins with fewer than 5 events: 2" in table


# -- JSON ------------------------------------------------------------------------------------------

# Records are built inside the tests, from plain fields: their run-time type checks draw random numbers of their own,
# which hypothesis does not allow while it generates an example.
finite = st.floats(allow_nan=False, allow_infinity=False)
sides = st.tuples(*[st.none() | st.floats(min_value=0.0, allow_nan=False, allow_infinity=False)] * 2)
names = st.text(max_size=5)
counts = st.integers(0, 10**6)
certificates = st.fixed_dictionaries(
    {
        "converged": st.booleans(),
        "message": names,
        "edm": finite,
        "projected_gradient": finite,
        "positive_definite": st.booleans(),
        "smallest_eigenvalue": st.none() | finite,
        "at_bound": st.tuples() | st.tuples(names, names),
        "verified_by": st.none() | names,
        "verify_difference": st.none() | finite,
        "notices": st.tuples() | st.tuples(names),
    }
)
points = st.tuples(finite, counts, counts, counts, finite, st.tuples(finite, finite))
estimates = st.tuples(finite, *[st.none() | finite] * 3)
records = st.fixed_dictionaries(
    {
        "poi": names,
        "value": finite,
        "total": sides,
        "stat": sides,
        "syst": sides,
        "groups": st.dictionaries(names, sides, max_size=3),
        "definition": st.sampled_from(sorted(DEFINITIONS)),
        "interval": names,
        "cl": finite,
        "one_sided": st.booleans(),
        "unit": names,
        "latex": names,
        "twice_nll": finite,
        "certificate": certificates,
        "coverage": st.none() | st.tuples(names, finite, st.lists(points, max_size=2)),
        "parameters": st.dictionaries(names, estimates, max_size=2),
        "provenance": st.dictionaries(names, names, max_size=2),
        "seconds": st.none() | finite,
    }
)


def build(fields: dict[str, Any]) -> Measurement:
    """A measurement from the plain fields that ``records`` draws."""
    coverage = None
    if fields["coverage"] is not None:
        method, cl, drawn = fields["coverage"]
        coverage = CoverageRecord(method, cl, tuple(CoveragePoint(*point) for point in drawn))
    made = {
        **{name: Uncertainty(*fields[name]) for name in ("total", "stat", "syst")},
        "groups": {name: Uncertainty(*pair) for name, pair in fields["groups"].items()},
        "certificate": Certificate(**fields["certificate"]),
        "coverage": coverage,
        "parameters": {name: ParameterEstimate(*numbers) for name, numbers in fields["parameters"].items()},
    }
    return Measurement(**{**fields, **made})


@pytest.mark.slow
@given(records)
def test_json_round_trip_is_exact(fields: dict[str, Any]) -> None:
    """Every record comes back from its JSON as it was, to the last bit."""
    measurement = build(fields)
    assert Measurement.from_json(measurement.to_json()) == measurement


@given(records)
def test_every_record_can_be_printed(fields: dict[str, Any]) -> None:
    """No combination of numbers, however odd, makes a printout raise."""
    measurement = build(fields)
    assert measurement.to_latex().count("$") >= 2
    assert measurement.table().startswith(str(measurement))


def test_json_schema() -> None:
    """The entries that the command line documents stand at the top level."""
    document = json.loads(higgs(parameters={"m": ParameterEstimate(125.0899, 0.2404)}).to_json())
    assert document["poi"] == "m"
    assert document["value"] == 125.0899
    assert document["total"] == [0.2404, 0.2404]
    assert document["stat"] == [0.2134, 0.2134]
    assert document["syst"] == [0.1107, 0.1107]
    assert document["groups"] == {"scale": [0.1001, 0.1001], "resolution": [0.0473, 0.0473]}
    assert document["definition"] == "observables"
    assert document["text"] == "m = 125.09 ± 0.21 (stat) ± 0.11 (syst) GeV"
    assert set(document["fit"]) == {"poi", "parameters", "twice_nll", "status", "seconds"}
    assert document["fit"]["parameters"]["m"]["uncertainty"] == 0.2404
    assert {"converged", "edm", "projected_gradient", "positive_definite", "at_bound"} <= set(document["fit"]["status"])


def test_json_has_no_nan() -> None:
    """What is not finite is written as null, and comes back as NaN or None."""
    broken = strength(
        value=math.nan,
        total=Uncertainty(math.nan, math.inf),
        twice_nll=math.inf,
        certificate=dataclasses.replace(FAILED, edm=math.nan, smallest_eigenvalue=-math.inf),
        parameters={"mu": ParameterEstimate(math.nan, math.nan)},
    )
    text = broken.to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    back = Measurement.from_json(text)
    assert all(math.isnan(x) for x in (back.value, back.twice_nll, back.certificate.edm, back.parameters["mu"].value))
    assert back.total == NONE
    assert back.certificate.smallest_eigenvalue is None
    assert back.parameters["mu"].uncertainty is None


def test_json_accepts_numpy_scalars() -> None:
    """Numbers straight from an array are written as Python's own."""
    measurement = strength(value=np.float64(1.25), total=Uncertainty(np.float64(0.5), np.float64(0.25)))
    assert json.loads(measurement.to_json())["value"] == 1.25
    assert Measurement.from_json(measurement.to_json()) == measurement


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not JSON", "Expecting value"),
        ("[]", "a JSON object, not list"),
        ("{}", "no entry 'schema'"),
        ('{"schema": 99}', "schema 99, where 1"),
        (higgs().to_json().replace('"value"', '"valu"'), "no entry 'value'"),
        (higgs().to_json().replace("observables", "guessed"), "got 'guessed'"),
    ],
)
def test_from_json_says_what_is_wrong(text: str, complaint: str) -> None:
    """A broken document is refused with one sentence that names the trouble."""
    with pytest.raises(WorkspaceError, match=complaint):
        Measurement.from_json(text)


# -- the record ------------------------------------------------------------------------------------


def test_record_is_frozen_and_keeps_its_own_copies() -> None:
    """Nothing changes a record: not assignment, and not the dictionary that it was made from."""
    groups = {"scale": both(0.1)}
    measurement = higgs(groups=groups)
    groups["late"] = both(9.0)
    assert set(measurement.groups) == {"scale"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        measurement.value = 0.0  # type: ignore[misc]  # that it is refused is the point
    assert pickle.loads(pickle.dumps(measurement)) == measurement


def test_record_refuses_nonsense() -> None:
    """Negative magnitudes and unknown definitions are refused when the record is made."""
    with pytest.raises(InputError, match=r"'down' to be at least 0, got -0\.1"):
        Uncertainty(-0.1, 0.1)
    with pytest.raises(InputError, match="observables, conditional"):
        higgs(definition="guessed")
