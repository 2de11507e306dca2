"""Parameters: names, positions, declarations that must agree, and records that cannot change."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from infer.constraints import LogNormal, MultivariateNormal, Normal, Poisson
from infer.errors import ParameterError
from infer.parameters import Parameter, Parameters, unique_positions

JOINT = MultivariateNormal(("a", "b"), ((1.0, 0.3), (0.3, 2.0)))


@pytest.fixture
def parameters() -> Parameters:
    """Five parameters, three of them constrained, one fixed."""
    return Parameters(
        (
            Parameter("mu", 1.0, (0.0, 10.0), unit="pb", latex=r"\mu"),
            Parameter("b", -2.0, (-10.0, 5.0), JOINT),
            Parameter("lumi", 1.0, (0.5, 1.5), Normal(0.02), group="luminosity"),
            Parameter("a", 0.5, constraint=JOINT),
            Parameter("mass", 125.0, fixed=True),
        )
    )


def test_names_become_positions(parameters: Parameters) -> None:
    """The collection is a mapping in order, and positions follow that order."""
    assert parameters.names == ("mu", "b", "lumi", "a", "mass") == tuple(parameters)
    assert len(parameters) == 5
    assert parameters["lumi"].group == "luminosity"
    assert parameters.position("a") == 3
    assert parameters.positions(["mass", "mu"]).tolist() == [4, 0]
    assert parameters.constrained == ("b", "lumi", "a")


def test_membership_asks_for_names(parameters: Parameters) -> None:
    """A name that is not there is not in the collection, without an exception."""
    assert "lumi" in parameters
    assert "luminosity" not in parameters
    assert 3 not in parameters


def test_vectors_follow_the_order(parameters: Parameters) -> None:
    """Start values, bounds and the fixed mask have one entry per parameter."""
    np.testing.assert_array_equal(parameters.init, [1.0, -2.0, 1.0, 0.5, 125.0])
    np.testing.assert_array_equal(parameters.lower, [0.0, -10.0, 0.5, -np.inf, -np.inf])
    np.testing.assert_array_equal(parameters.upper, [10.0, 5.0, 1.5, np.inf, np.inf])
    np.testing.assert_array_equal(parameters.fixed, [False, False, False, False, True])


def test_vector_sets_entries_by_name(parameters: Parameters) -> None:
    """Named entries over the start values, or over another vector, which stays as it was."""
    np.testing.assert_array_equal(parameters.vector({"b": 3.0}), [1.0, 3.0, 1.0, 0.5, 125.0])
    base = np.arange(5.0)
    np.testing.assert_array_equal(parameters.vector({"mu": 9.0}, base=base), [9.0, 1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(base, np.arange(5.0))
    np.testing.assert_array_equal(parameters.init, [1.0, -2.0, 1.0, 0.5, 125.0])


@pytest.mark.parametrize("field", ["init", "lower", "upper", "fixed"])
def test_shared_arrays_are_read_only(parameters: Parameters, field: str) -> None:
    """Nobody changes the start values of everybody by writing into the array that was returned."""
    with pytest.raises(ValueError, match="read-only"):
        getattr(parameters, field)[0] = 0


@pytest.mark.parametrize("typed", ["lumy", "Lumi", "lumin"])
def test_unknown_names_offer_the_closest(parameters: Parameters, typed: str) -> None:
    """A misspelt name is answered with the one that was meant, wherever it is typed."""
    for use in (
        parameters.position,
        parameters.__getitem__,
        lambda name: parameters.vector({name: 1.0}),
        lambda name: parameters.replace(name, fixed=True),
        lambda name: parameters.renamed({name: "new"}),
        lambda name: unique_positions(parameters, ["mu", name]),
    ):
        with pytest.raises(ParameterError, match=f"unknown parameter '{typed}'; did you mean 'lumi'"):
            use(typed)


def test_names_far_from_all_get_a_list(parameters: Parameters) -> None:
    """Where nothing is close, the message lists names instead."""
    with pytest.raises(ParameterError, match="the 5 names begin with 'mu', 'b', 'lumi'"):
        parameters.position("xyzzy")


def test_names_are_unique() -> None:
    """Two parameters of one name are refused, and the name is in the message."""
    with pytest.raises(ParameterError, match=r"\['mu'\] occur twice"):
        Parameters((Parameter("mu", 1.0), Parameter("mu", 2.0), Parameter("b", 0.0)))
    with pytest.raises(ParameterError, match="different parameter names"):
        unique_positions(Parameters((Parameter("mu", 1.0),)), ["mu", "mu"])


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: Parameter("", 0.0), "needs a name"),
        (lambda: Parameter("x", 0.0, (1.0, -1.0)), r"'x'.*below the upper one, got \(1, -1\)"),
        (lambda: Parameter("x", 1.0, (1.0, 1.0)), r"below the upper one, got \(1, 1\)"),
        (lambda: Parameter("x", 0.0, (np.nan, 1.0)), r"below the upper one, got \(nan, 1\)"),
        (lambda: Parameter("x", 2.0, (-1.0, 1.0)), r"'x'.*bounds \(-1, 1\), got 2"),
        (lambda: Parameter("x", np.nan), "got nan"),
        (lambda: Parameter("x", np.inf), "got inf"),
        (lambda: Parameter("c", 0.0, constraint=JOINT), "'c'.*must name it, but is on a, b"),
    ],
)
def test_impossible_parameters_are_refused(build: Callable[[], Parameter], complaint: str) -> None:
    """Each refusal names the parameter, what was expected and what came."""
    with pytest.raises(ParameterError, match=complaint):
        build()


def test_numbers_are_plain() -> None:
    """Numbers of any library become plain ones: they can be hashed, and equal ones are equal."""
    exotic = Parameter("x", np.float64(1.0), (np.float64(-1.0), np.float64(2.0)))
    assert exotic == Parameter("x", 1.0, (-1.0, 2.0))
    assert hash(exotic) == hash(Parameter("x", 1.0, (-1.0, 2.0)))
    assert type(exotic.init) is float


def test_prefit_uncertainty_comes_from_the_constraint(parameters: Parameters) -> None:
    """Each kind of constraint at the start value; a free parameter has none."""
    assert parameters["mu"].prefit_uncertainty() is None
    assert parameters["lumi"].prefit_uncertainty() == 0.02
    assert parameters["b"].prefit_uncertainty() == pytest.approx(np.sqrt(2.0))
    assert Parameter("g", 4.0, constraint=Poisson(25.0)).prefit_uncertainty() == pytest.approx(0.4)
    factor = Parameter("k", 2.0, constraint=LogNormal(1.1))
    assert factor.prefit_uncertainty() == pytest.approx(2.0 * np.log(1.1))


def test_equality_is_that_of_declarations(parameters: Parameters) -> None:
    """Equal declarations are equal and hash alike; units and symbols are only for print."""
    again = Parameters(parameters.values())
    assert again == parameters
    assert hash(again) == hash(parameters)
    printed = parameters.replace("mu", unit="fb", latex="m")
    assert printed == parameters
    assert hash(printed) == hash(parameters)
    assert parameters != "mu"


@pytest.mark.parametrize(
    "changed",
    [
        {"init": 2.0},
        {"bounds": (0.0, 11.0)},
        {"constraint": Normal(1.0)},
        {"group": "theory"},
        {"fixed": True},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_declared_field_counts(parameters: Parameters, changed: dict[str, object]) -> None:
    """A difference in any declared field makes two collections different, as does their order."""
    assert parameters.replace("mu", **changed) != parameters
    assert Parameters(reversed(list(parameters.values()))) != parameters


@pytest.mark.slow
def test_the_hash_does_not_travel(parameters: Parameters) -> None:
    """Hashes of strings differ between processes, so a pickle must not carry the cached one."""
    parameters = Parameters(parameters.values(), poi="mass")
    hash(parameters)
    np.testing.assert_array_equal(parameters.init[:1], [1.0])
    script = (
        "import pickle, sys; p = pickle.loads(sys.stdin.buffer.read()); "
        "from infer.parameters import Parameters; "
        "assert hash(p) == hash(Parameters(p.values(), poi='mass')), 'stale hash'; "
        "assert not p.init.flags.writeable, 'shared array came back writeable'"
    )
    pickled = pickle.dumps(parameters)
    done = subprocess.run([sys.executable, "-c", script], input=pickled, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    again = pickle.loads(pickled)
    assert (again, again.poi) == (parameters, "mass")


def test_the_parameter_of_interest_is_one_of_them(parameters: Parameters) -> None:
    """It follows copies and new names; a name that is none of the parameters is refused."""
    declared = Parameters(parameters.values(), poi="mu")
    assert parameters.poi is None
    assert declared.replace("mu", init=2.0).poi == "mu"
    assert declared.renamed({"mu": "r"}).poi == "r"
    assert declared.renamed({"mass": "m"}).poi == "mu"
    assert declared != parameters
    with pytest.raises(ParameterError, match="unknown parameter 'nu'; did you mean 'mu'"):
        Parameters(parameters.values(), poi="nu")


def test_union_keeps_a_parameter_of_interest_that_nobody_disputes(parameters: Parameters) -> None:
    """One declared parameter of interest is kept; two different ones leave none."""
    first = Parameters(parameters.values(), poi="mu")
    other = Parameters((Parameter("r", 1.0), parameters["mu"]), poi="r")
    assert first.union(parameters).poi == parameters.union(first).poi == "mu"
    assert first.union(Parameters(parameters.values(), poi="mu")).poi == "mu"
    assert first.union(other).poi is None


def test_union_keeps_the_first_order(parameters: Parameters) -> None:
    """Each name once, in order of first appearance."""
    other = Parameters((Parameter("new", 0.0), parameters["lumi"], parameters["mu"]))
    assert parameters.union(other).names == ("mu", "b", "lumi", "a", "mass", "new")
    assert other.union(parameters).names == ("new", "lumi", "mu", "b", "a", "mass")
    assert Parameters(()).union() == Parameters(())


@pytest.mark.parametrize(
    ("changed", "quoted"),
    [
        ({"init": 1.2}, r"init 1\.0 and 1\.2"),
        ({"bounds": (0.0, 2.0)}, r"bounds \(0\.5, 1\.5\) and \(0\.0, 2\.0\)"),
        ({"constraint": Normal(0.03)}, r"Normal\(width=0\.02\) and Normal\(width=0\.03\)"),
        ({"constraint": None}, r"Normal\(width=0\.02\) and None"),
        ({"group": "lumi"}, "group 'luminosity' and 'lumi'"),
        ({"fixed": True}, "fixed False and True"),
    ],
)
def test_union_refuses_conflicts(parameters: Parameters, changed: dict[str, object], quoted: str) -> None:
    """Two declarations of one name that differ are an error that quotes both and the way out."""
    other = parameters.replace("lumi", **changed)
    with pytest.raises(ParameterError, match=f"'lumi' is declared twice.*{quoted}.*Renamed"):
        parameters.union(other)


def test_renaming_reaches_into_constraints(parameters: Parameters) -> None:
    """A multivariate constraint follows its parameters' new names, swaps included."""
    other = parameters.renamed({"a": "b", "b": "a", "mu": "r"})
    assert other.names == ("r", "a", "lumi", "b", "mass")
    for name in ("a", "b"):
        constraint = other[name].constraint
        assert isinstance(constraint, MultivariateNormal)
        assert constraint.names == ("b", "a")
        assert constraint.covariance == JOINT.covariance
    assert other["a"].init == parameters["b"].init
    assert other["a"].prefit_uncertainty() == parameters["b"].prefit_uncertainty()
    assert parameters.names == ("mu", "b", "lumi", "a", "mass")


def test_renaming_to_an_existing_name_is_refused(parameters: Parameters) -> None:
    """Renaming never makes two parameters one in silence."""
    with pytest.raises(ParameterError, match="'lumi'"):
        parameters.renamed({"mu": "lumi"})


def test_replace_checks_again(parameters: Parameters) -> None:
    """A change goes through the same checks as a declaration."""
    assert parameters.replace("mu", init=3.0)["mu"].init == 3.0
    with pytest.raises(ParameterError, match=r"'mu'.*got 30"):
        parameters.replace("mu", init=30.0)
