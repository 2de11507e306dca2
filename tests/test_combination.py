"""Combinations as data: what is shared, what is kept apart, and that nothing is shared by accident."""

from __future__ import annotations

import re
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from infer.combination import Declaration, Partial, Parts, Scheme, Tie, alone, combine, separated
from infer.constraints import GammaVariance, MultivariateNormal, Normal, Poisson
from infer.data import Data
from infer.errors import DataError, ParameterError
from infer.likelihood import Likelihood, Product, Redeclared
from infer.parameters import Parameter
from tests.contract.models import Linear

ROWS = ((1.0, 0.5, 0.2), (1.0, -0.3, 1.0))


def part(
    names: str, values: tuple[float, float], *, shift: float = 0.0, **changes: Parameter
) -> tuple[Likelihood, Data]:
    """Two measurements of a free parameter that also feel two constrained ones."""
    m, s, t = names.split()
    declared = {m: Parameter(m, 1.0, (-50.0, 50.0)), s: Parameter(s, 0.0, (-9.0, 9.0), Normal(1.0))}
    declared[t] = Parameter(t, 0.0, (-9.0, 9.0), Normal(0.5))
    likelihood = Linear([{**declared, **changes}[name] for name in (m, s, t)], ROWS, (1.0, 2.0))
    return likelihood, Data(likelihood.offset + jnp.asarray(values), jnp.array([shift, 0.1]))


@pytest.fixture
def parts() -> Parts:
    """Two components: `mu` and `jes` are in both, luminosity and theory under different names."""
    return {"A": part("mu lumi jes", (1.0, 2.0)), "B": part("mu luminosity jes", (3.0, 0.5))}


SHARED = Scheme(correlate=(Tie(("A.lumi", "B.luminosity"), "lumi"),), decorrelate=("jes",), poi="mu")


def logpdf(likelihood: Likelihood, data: Data, **values: float) -> float:
    """Log-probability at values by name."""
    return float(likelihood.logpdf(jnp.asarray(likelihood.parameters.vector(values)), data))


def naive(values: tuple[float, float], mu: float, s: float, t: float) -> float:
    """Log-probability of the main data of a component."""
    return float(np.sum(stats.norm.logpdf(values, np.asarray(ROWS) @ [mu, s, t], [1.0, 2.0])))


def test_a_shared_constraint_counts_once(parts: Parts) -> None:
    """The log-probability is that of both components and of three constraints: lumi, and two of jes."""
    likelihood, data = combine(parts, SHARED)
    assert likelihood.parameters.names == ("mu", "lumi", "A.jes", "B.jes")
    assert likelihood.parameters.poi == "mu"
    values = {"mu": 0.7, "lumi": 0.4, "A.jes": -0.3, "B.jes": 0.9}
    expected = (
        naive((1.0, 2.0), 0.7, 0.4, -0.3)
        + naive((3.0, 0.5), 0.7, 0.4, 0.9)
        + stats.norm.logpdf(0.0, 0.4, 1.0)
        + np.sum(stats.norm.logpdf(0.1, [-0.3, 0.9], 0.5))
    )
    assert logpdf(likelihood, data, **values) == pytest.approx(expected, rel=1e-12)


def test_partial_correlation_and_errors_on_errors(parts: Parts) -> None:
    """A joint Gaussian for the two scales, Student's t for the luminosity, in the same likelihood (B19)."""
    scheme = replace(
        SHARED, partial=(Partial(("A.jes", "B.jes"), 0.6),), errors_on_errors={"lumi": 0.3}, fix={"lumi": 0.2}
    )
    likelihood, data = combine(parts, scheme)
    values = {"mu": 0.7, "lumi": 0.4, "A.jes": -0.3, "B.jes": 0.9}
    covariance = 0.25 * np.array([[1.0, 0.6], [0.6, 1.0]])
    expected = (
        naive((1.0, 2.0), 0.7, 0.4, -0.3)
        + naive((3.0, 0.5), 0.7, 0.4, 0.9)
        + stats.t.logpdf(0.4, 0.5 / 0.09)
        + stats.multivariate_normal.logpdf([0.1, 0.1], [-0.3, 0.9], covariance)
    )
    assert logpdf(likelihood, data, **values) == pytest.approx(expected, rel=1e-12)
    assert likelihood.parameters["lumi"].fixed
    assert likelihood.parameters["lumi"].init == 0.2


def test_names_that_coincide_are_not_shared_in_silence(parts: Parts) -> None:
    """Without a word on `jes` the combination is refused, with name, components and remedies."""
    with pytest.raises(
        ParameterError, match=r"1 name stands.*'jes' \(A, B\); list each under shared or under.*by_name"
    ):
        combine(parts, replace(SHARED, decorrelate=()))
    with pytest.raises(ParameterError, match=r"2 names stand.*'mu' \(A, B\), 'jes' \(A, B\)"):
        combine(parts)  # a parameter of interest that nobody names is a name like any other


@pytest.mark.parametrize(
    ("scheme", "names"),
    [
        (Scheme(by_name=True), ["mu", "lumi", "jes", "luminosity"]),
        (Scheme(by_name=False), ["A.mu", "lumi", "A.jes", "B.mu", "luminosity", "B.jes"]),
        (Scheme(by_name=False, poi="mu"), ["mu", "lumi", "A.jes", "luminosity", "B.jes"]),
        (Scheme(by_name=True, decorrelate=("mu",)), ["A.mu", "lumi", "jes", "B.mu", "luminosity"]),
        (Scheme(by_name=False, shared=("jes",), poi="mu"), ["mu", "lumi", "jes", "luminosity"]),
        (Scheme(shared=("mu", "jes")), ["mu", "lumi", "jes", "luminosity"]),
        (Scheme(rename={"B": {"jes": "scale"}}, poi="mu"), ["mu", "lumi", "jes", "luminosity", "scale"]),
        (
            Scheme(rename={"B": {"luminosity": "lumi"}}, shared=("lumi", "jes"), poi="mu"),
            ["mu", "lumi", "jes"],
        ),
    ],
)
def test_what_names_mean(parts: Parts, scheme: Scheme, names: list[str]) -> None:
    """Shared, apart, renamed: the parameters of the combination in order."""
    assert list(combine(parts, scheme)[0].parameters) == names


def test_a_new_name_alone_shares_nothing(parts: Parts) -> None:
    """A parameter that rename puts under the name of another is a coincidence like any other."""
    with pytest.raises(ParameterError, match=r"'lumi' \(A, B\)"):
        combine(parts, Scheme(rename={"B": {"luminosity": "lumi"}}, decorrelate=("jes",), poi="mu"))


def test_vectors_by_their_name() -> None:
    """`gamma` stands for all its entries."""
    bins = {"A": part("mu gamma[0] gamma[1]", (1.0, 2.0)), "B": part("mu gamma[0] gamma[1]", (3.0, 0.5))}
    apart = combine(bins, Scheme(decorrelate=("gamma",), poi="mu"))[0].parameters.names
    assert apart == ("mu", "A.gamma[0]", "A.gamma[1]", "B.gamma[0]", "B.gamma[1]")
    assert combine(bins, Scheme(shared=("gamma",), poi="mu"))[0].parameters.names == ("mu", "gamma[0]", "gamma[1]")


BAD = [
    (replace(SHARED, rename={"C": {}}), "rename: unknown component 'C'; there are 'A', 'B'"),
    (replace(SHARED, rename={"A": {"jess": "x"}}), "rename 'A': unknown parameter 'jess'; did you mean 'jes'"),
    (replace(SHARED, rename={"A": {"jes": "mu"}}), "rename 'A': parameter names must be unique"),
    (replace(SHARED, rename={"A": {"lumi": "l"}}), "correlate 'lumi': 'A.lumi' has another name already"),
    (replace(SHARED, correlate=(Tie(("A.lumi",), "l"),)), "correlate 'l': expected two or more"),
    (replace(SHARED, correlate=(Tie(("A.lumi", "lumi"), "l"),)), "'lumi' names no component; write component.name"),
    (replace(SHARED, correlate=(Tie(("A.lumi", "B.lumi"), "l"),)), "correlate 'l': unknown parameter 'lumi'; did you"),
    (replace(SHARED, correlate=(Tie(("A.lumi", "A.jes"), "l"),)), "two parameters are of component 'A'"),
    (replace(SHARED, correlate=(SHARED.correlate[0], SHARED.correlate[0])), "correlate 'lumi': two entries"),
    (
        replace(SHARED, correlate=(Tie(("A.lumi", "B.luminosity"), "mu"),)),
        "component 'A': parameter names must be uniq",
    ),
    (replace(SHARED, shared=("jess",)), "shared: 'jess' is no name that several components have; did you mean 'jes'"),
    (replace(SHARED, decorrelate=("lumi2",)), "decorrelate: 'lumi2' is no name"),
    (replace(SHARED, shared=("jes",)), "'jes' cannot be one parameter and several"),
    (replace(SHARED, decorrelate=("jes", "lumi")), "'lumi' cannot be one parameter and several"),
    (replace(SHARED, partial=(Partial(("A.jes", "jes"), 0.5),)), "partial 'A.jes & jes': unknown parameter 'jes'; did"),
    (replace(SHARED, partial=(Partial(("A.jes", "mu"), 0.5, "p"),)), "partial 'p': .*'mu' has None"),
    (replace(SHARED, errors_on_errors={"mu": 0.1}), "errors_on_errors 'mu': it needs an independent Normal"),
    (replace(SHARED, errors_on_errors={"lumi": 0.0}), "the epsilon of a GammaVariance constraint"),
    (
        replace(SHARED, errors_on_errors={"A.jes": 0.1}, partial=(Partial(("A.jes", "B.jes"), 0.5),)),
        "errors_on_errors 'A.jes': .*leave out its partial correlation",
    ),
    (replace(SHARED, declare={"jess": Declaration()}), "declare: unknown parameter 'jess'"),
    (replace(SHARED, declare={"mu": Declaration(init=99.0)}), "declare 'mu': .*start value must lie within"),
    (replace(SHARED, fix={"muu": 1.0}), "fix: unknown parameter 'muu'; did you mean 'mu'"),
    (replace(SHARED, fix={"mu": 99.0}), "fix: parameter 'mu'"),
    (Scheme(by_name=True, poi="mmu"), "poi: unknown parameter 'mmu'; did you mean 'mu'"),
]


@pytest.mark.parametrize(("scheme", "complaint"), BAD)
def test_impossible_schemes_are_refused(parts: Parts, scheme: Scheme, complaint: str) -> None:
    """Each with its key, the name, and the closest one or a remedy."""
    with pytest.raises(ParameterError, match=complaint):
        combine(parts, scheme)


def test_a_tie_takes_all_of_its_name() -> None:
    """A third component that happens to use the name of a tie is not swallowed."""
    three = {
        "A": part("mu lumi x", (1.0, 2.0)),
        "B": part("mu luminosity y", (3.0, 0.5)),
        "C": part("mu lumi z", (0.0, 0.0)),
    }
    tie = Tie(("A.lumi", "B.luminosity"), "lumi")
    with pytest.raises(ParameterError, match=r"correlate 'lumi': component 'C' .*leaves out; add 'C\.lumi' to it"):
        combine(three, Scheme(correlate=(tie,), poi="mu"))


def test_component_names() -> None:
    """A dot would make `component.name` ambiguous."""
    for name in ("", "a.b"):
        with pytest.raises(ParameterError, match=re.escape(f"no dot, got {name!r}")):
            combine({name: part("mu s t", (1.0, 2.0))})
    with pytest.raises(ParameterError, match="at least one component"):
        combine({})


def test_declarations_that_disagree() -> None:
    """Start values and groups are the first component's; bounds and widths must agree, or the scheme decides."""
    wide = Parameter("mu", 5.0, (-20.0, 90.0))
    other = Parameter("jes", 0.0, (-9.0, 9.0), Normal(0.5), group="detector")
    parts = {"A": part("mu s jes", (1.0, 2.0)), "B": part("mu t jes", (3.0, 0.5), mu=wide, jes=other)}
    scheme = Scheme(shared=("jes",), poi="mu")
    with pytest.raises(
        ParameterError, match=r"'mu' is declared twice with different.*bounds.*In a scheme, declare sets"
    ):
        combine(parts, scheme)
    declared = replace(scheme, declare={"mu": Declaration((-20.0, 50.0))})
    mu = combine(parts, declared)[0].parameters["mu"]
    assert (mu.init, mu.bounds) == (1.0, (-20.0, 50.0))
    wrong = replace(other, constraint=Normal(0.6))
    parts["B"] = part("mu t jes", (3.0, 0.5), mu=wide, jes=wrong)
    with pytest.raises(ParameterError, match="'jes' is declared twice with different constraint"):
        combine(parts, declared)


def test_one_measurement_has_one_value() -> None:
    """Components that observed a shared constraint at different values do not share it."""
    parts = {"A": part("mu s t", (1.0, 2.0)), "B": part("mu s u", (3.0, 0.5), shift=0.4)}
    with pytest.raises(DataError, match=r"'s' is 0 in one component and 0\.4 in 'B'"):
        combine(parts, Scheme(shared=("s",), poi="mu"))


def test_components_alone(parts: Parts) -> None:
    """With the names and constraints of the combination; correlations with others are left out."""
    scheme = replace(
        SHARED, partial=(Partial(("A.jes", "B.jes"), 0.6),), errors_on_errors={"lumi": 0.3}, fix={"mu": 2.0}
    )
    components = alone(parts, scheme)
    assert list(components) == ["A", "B"]
    parameters = components["B"][0].parameters
    assert parameters.names == ("mu", "lumi", "B.jes")
    assert parameters["lumi"].constraint == GammaVariance(1.0, 0.3)
    assert parameters["B.jes"].constraint == Normal(0.5)
    assert (parameters.poi, parameters["mu"].fixed, parameters["mu"].init) == ("mu", True, 2.0)
    within = {"A": parts["A"], "B": parts["B"], "C": part("mu p q", (0.0, 0.0))}
    inner = replace(SHARED, partial=(Partial(("p", "q"), 0.2),))
    assert isinstance(alone(within, inner)["C"][0].parameters["q"].constraint, MultivariateNormal)


def test_separate_parameters_of_interest(parts: Parts) -> None:
    """The same likelihood on the diagonal, and both components away from it."""
    likelihood, data = combine(parts, SHARED)
    apart, apart_data, names = separated(parts, SHARED, "mu")
    assert names == ("A.mu", "B.mu")
    assert apart.parameters.names == ("A.mu", "lumi", "A.jes", "B.mu", "B.jes")
    rest = {"lumi": 0.4, "A.jes": -0.3, "B.jes": 0.9}
    both = logpdf(apart, apart_data, **{"A.mu": 0.7, "B.mu": 0.7}, **rest)
    assert both == pytest.approx(logpdf(likelihood, data, mu=0.7, **rest), rel=1e-13)
    moved = logpdf(apart, apart_data, **{"A.mu": 0.7, "B.mu": 2.0}, **rest)
    assert moved - both == pytest.approx(naive((3.0, 0.5), 2.0, 0.4, 0.9) - naive((3.0, 0.5), 0.7, 0.4, 0.9), rel=1e-9)


# ------------------------------------------------------------------------------- the wrapper it is made of


def test_redeclared_changes_constraints_and_bounds(parts: Parts) -> None:
    """The main data are untouched, auxiliary data keep their place, the parameter of interest can be named."""
    likelihood, data = parts["A"]
    changed = Redeclared(
        likelihood,
        [
            Parameter("jes", 0.3, (-1.0, 1.0), GammaVariance(0.5, 0.2), group="detector"),
            Parameter("lumi", 0.0, (-9.0, 9.0), Normal(2.0)),
        ],
        poi="mu",
    )
    assert changed.data(data) is data
    assert (changed.parameters.poi, changed.parameters["jes"].group) == ("mu", "detector")
    expected = (
        naive((1.0, 2.0), 0.7, 0.4, -0.3) + stats.norm.logpdf(0.4, 0.0, 2.0) + stats.t.logpdf(-0.4, 12.5, scale=0.5)
    )
    assert logpdf(changed, data, mu=0.7, lumi=0.4, jes=-0.3) == pytest.approx(expected, rel=1e-12)
    again = Product(only=Redeclared(changed, list(likelihood.parameters.values())))
    assert again.parameters["jes"] == likelihood.parameters["jes"]


@pytest.mark.parametrize("constraint", [None, Poisson(4.0)])
def test_redeclared_keeps_what_a_datum_means(parts: Parts, constraint: Poisson | None) -> None:
    """A datum is neither lost nor turned into a count; unknown names are refused."""
    likelihood = parts["A"][0]
    with pytest.raises(ParameterError, match=r"constraint of 'jes' is Normal.*cannot become"):
        Redeclared(likelihood, [Parameter("jes", 0.0, constraint=constraint)])
    with pytest.raises(ParameterError, match="constraint of 'mu' is None and cannot become Normal"):
        Redeclared(likelihood, [Parameter("mu", 0.0, constraint=Normal(1.0))])
    with pytest.raises(ParameterError, match="unknown parameter 'jess'"):
        Redeclared(likelihood, [Parameter("jess", 0.0)])
