r"""Goodness of fit: whether the best fit describes the data at all.

======================  ==================================================================  ================
``saturated``           -2 ln [L(best fit) / L(saturated)]                                  chi2, or toys
``kolmogorov-smirnov``  largest distance of the cumulative distributions, by channel        toys
``anderson-darling``    their squared distance, weighted towards the tails, by channel      toys
======================  ==================================================================  ================

In the saturated model every main datum has an expectation of its own, and the auxiliary data are where they are
most probable (Baker & Cousins, NIM 221 (1984) 437; Cousins, "Generalization of chisquare goodness-of-fit test for
binned data using saturated models" (2013)).  The statistic follows chi2 with as many degrees of freedom as there
are data, main and auxiliary, less the combinations of free parameters that they measure.  A constrained parameter
brings its auxiliary datum along, so that it costs none.  Bins in which few events are expected spoil this; toys know.

The other two compare shapes, channel by channel, see `numerics.cumulative`.  The textbook distributions hold neither
for binned data nor for a model that was fitted to them: p-values come from toys, which are drawn at the best fit
and fitted again, every one.  Several tests are several chances to find something: p-values are those of single tests.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.certificate import Certificate
from infer.data import Cells, Data
from infer.errors import ParameterError
from infer.inference.campaigns import Campaign, Run, conduct, model_of, rows
from infer.inference.ensembles import Ensemble, Toy, expected_hessian, source_of
from infer.inference.fits import FitResult, Settings, fit
from infer.inference.hypotheses import probability
from infer.inference.profiles import ONE_SIGMA
from infer.inference.toy_fits import Fits, Model
from infer.likelihood import Likelihood
from infer.numerics.asymptotics import log_chi2_tail
from infer.numerics.binomial import clopper_pearson
from infer.numerics.cumulative import anderson_darling, kolmogorov_smirnov
from infer.typing import Key, Mask, Scalar, Vector

FloatArray = npt.NDArray[np.float64]

SATURATED, KOLMOGOROV_SMIRNOV, ANDERSON_DARLING = "saturated", "kolmogorov-smirnov", "anderson-darling"
STATISTICS = (SATURATED, KOLMOGOROV_SMIRNOV, ANDERSON_DARLING)

_FEW = 5.0  # expected events of a bin below which chi2 is doubtful
_FLAT = 1e-9  # eigenvalue of the scaled information that cannot be told from zero
_ROUNDING = 1e-7  # so that a toy that repeats the data does not fall below them by rounding

Asked = tuple[tuple[str, str | None], ...]
"""Tests: name and channel."""


@dataclass(frozen=True, eq=False)
class ToyTail:
    """The p-value of a test by toys that were fitted like the data.

    Attributes:
        values: The statistic of every toy, NaN where its fit failed, with shape (N,).
        n_above: Toys whose statistic is at least the observed one.
    """

    values: FloatArray
    n_above: int

    @classmethod
    def of(cls, observed: float, values: FloatArray) -> ToyTail:
        """The share of toys above an observed value."""
        return cls(values, int(np.sum(values >= observed - _ROUNDING * max(1.0, abs(observed)))))

    @property
    def n(self) -> int:
        """Toys."""
        return int(self.values.size)

    @property
    def n_failed(self) -> int:
        """Toys without a statistic."""
        return int(np.sum(np.isnan(self.values)))

    @property
    def p(self) -> float | None:
        """Share of the toys that have a statistic; None if none has."""
        return self.n_above / (self.n - self.n_failed) if self.n > self.n_failed else None

    def clopper_pearson(self, cl: float = ONE_SIGMA) -> tuple[float, float]:
        """Interval of the p-value: failed toys all below the observed value, and all above it."""
        low, _ = clopper_pearson(self.n_above, self.n, cl)
        _, high = clopper_pearson(self.n_above + self.n_failed, self.n, cl)
        return float(low), float(high)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "n": self.n,
            "n_failed": self.n_failed,
            "n_above": self.n_above,
            "p": self.p,
            "clopper_pearson": list(self.clopper_pearson()),
        }

    def __str__(self) -> str:
        """One clause."""
        low, high = self.clopper_pearson()
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        share = "no p-value" if self.p is None else f"p = {self.p:.3g}"
        return f"{share} ({low:.3g} to {high:.3g}) from {self.n} toys{failed}"


@dataclass(frozen=True, eq=False)
class GoodnessTest:
    """One test of the fit.

    Attributes:
        name: One of `STATISTICS`.
        channel: Where, in a combination with the component before it, ``cms/SR``; None for all data together, or
            where a likelihood has one channel without a name.
        observed: Observed statistic; None where the fit failed.
        n_dof: Degrees of freedom of the asymptotic distribution; None where there is none.
        log_p: Logarithm of the asymptotic p-value; None where there is none.
        toys: The p-value by toys; None where none were asked for.
    """

    name: str
    channel: str | None
    observed: float | None
    n_dof: int | None
    log_p: float | None
    toys: ToyTail | None

    @property
    def p(self) -> float | None:
        """Asymptotic p-value; zero where it is less than 1e-308, see ``log_p``."""
        return None if self.log_p is None else float(np.exp(self.log_p))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "name": self.name,
            "channel": self.channel,
            "observed": self.observed,
            "n_dof": self.n_dof,
            "p": self.p,
            "log_p": self.log_p,
            "toys": None if self.toys is None else self.toys.to_json_dict(),
        }

    def __str__(self) -> str:
        """One line."""
        what = _title(self.name, self.channel)
        if self.observed is None:
            return f"{what}: none, the fit failed"
        parts = [f"{what} = {self.observed:.4g}"]
        if self.n_dof is not None:
            parts[0] += f" with {self.n_dof} degrees of freedom"
        if self.log_p is not None:
            parts.append(f"{probability(self.log_p)} (asymptotic)")
        return "; ".join([*parts, *([] if self.toys is None else [str(self.toys)])])


@dataclass(frozen=True, eq=False)
class Goodness:
    """How well the best fit describes the data.

    Attributes:
        tests: One record per statistic and channel.
        fit: Best fit.
        certificate: That of the fit, with what spoils the tests as notices.
        seconds: Wall-clock time in seconds.
    """

    tests: tuple[GoodnessTest, ...]
    fit: FitResult
    certificate: Certificate
    seconds: float

    def test(self, name: str, channel: str | None = None) -> GoodnessTest:
        """One of the tests.

        Raises:
            ParameterError: There is no such test.
        """
        for one in self.tests:
            if (one.name, one.channel) == (name, channel):
                return one
        known = ", ".join(_title(one.name, one.channel) for one in self.tests)
        raise ParameterError(f"no test {_title(name, channel)}; there are {known}.")

    @property
    def columns(self) -> dict[str, FloatArray] | None:
        """The statistics of all toys, one row a toy, by test; None without toys."""
        found = {_title(test.name, test.channel): test.toys.values for test in self.tests if test.toys is not None}
        return found or None

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer gof --json``."""
        return {
            "tests": [test.to_json_dict() for test in self.tests],
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """One line per test."""
        return "\n".join(map(str, self.tests))

    def table(self) -> str:
        """Tests and notices."""
        objections = [f"Note: the fit is {o}" for o in self.certificate.objections]
        return "\n".join([str(self), *objections, *(f"Note: {text}" for text in self.certificate.notices)])


def goodness(
    likelihood: Likelihood,
    data: Data,
    *,
    statistics: Sequence[str] = (SATURATED,),
    key: Key | None = None,
    n_toys: int | None = None,
    settings: Settings | None = None,
    run: Run | None = None,
) -> Goodness:
    """Test whether the best fit describes the data.

    Args:
        likelihood: Any likelihood; ``saturated`` needs counts or measurements, the others an order of the data.
        data: Observed data.
        statistics: Some of `STATISTICS`; all but ``saturated`` need toys.
        key: Random key of the toys.
        n_toys: Toys at the best fit, each fitted; None takes asymptotic p-values alone.
        settings: Settings of the fits.
        run: Where toys are computed and kept.

    Raises:
        ParameterError: A statistic is unknown or does not exist for the likelihood, or needs toys without
            ``key`` and ``n_toys``.
        DataError: The data do not fit the likelihood.
        ComputeError: The machinery failed; finished chunks are kept if ``run`` has a folder.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    _require_known(statistics)
    _require_toys(statistics, key, n_toys)
    best = fit(likelihood, data, settings=settings)
    asked = _asked(likelihood, data, best, statistics)
    if not best.certificate.converged:
        tests = tuple(GoodnessTest(name, channel, None, None, None, None) for name, channel in asked)
        return Goodness(tests, best, best.certificate, time.perf_counter() - began)
    values = _observed(asked, likelihood, data, best)
    toys = dict[str, FloatArray]()
    if key is not None and n_toys is not None:
        toys = _thrown(asked, likelihood, data, best, key=key, n_toys=n_toys, settings=settings, run=run or Run())
    tests = tuple(
        _test(name, channel, value, likelihood, data, best, toys.get(_column(number)))
        for number, ((name, channel), value) in enumerate(zip(asked, values.tolist(), strict=True))
    )
    notices = _notices(likelihood, data, best, tests)
    certificate = replace(best.certificate, notices=(*best.certificate.notices, *notices))
    return Goodness(tests, best, certificate, time.perf_counter() - began)


@dataclass(frozen=True)
class Deviations:
    """The statistics of one toy, by column."""

    asked: Asked

    def __call__(self, model: Model, problem: tuple[Toy, Fits]) -> dict[str, Scalar]:
        """Those of all tests, at the toy's best fit."""
        toy, found = problem
        values = deviations(self.asked, model.likelihood, toy.data, found.theta, found.nll, model.box.free)
        return {_column(number): value for number, value in enumerate(values)}


def deviations(
    asked: Asked, likelihood: Likelihood, data: Data, theta: Vector, nll: Scalar, free: Mask
) -> list[Scalar]:
    """The statistics of one data set at its best fit.

    Args:
        asked: Tests, by name and channel.
        likelihood: The model.
        data: Data.
        theta: Best fit with shape (P,).
        nll: ``-logpdf`` there.
        free: Parameters that the fit could move, with shape (P,).
    """
    channels = likelihood.cells(theta, data.main)
    found = []
    for name, channel in asked:
        if name == SATURATED:
            found.append(twice_log_saturated_ratio(likelihood, data, theta, nll, free))
            continue
        cells = channels[channel or ""]
        if name == KOLMOGOROV_SMIRNOV:
            found.append(kolmogorov_smirnov(cells.observed, cells.expected))
        else:
            found.append(anderson_darling(cells.observed, cells.expected, continuous=cells.continuous))
    return found


def twice_log_saturated_ratio(likelihood: Likelihood, data: Data, theta: Vector, nll: Scalar, free: Mask) -> Scalar:
    """-2 ln [L(best fit) / L(saturated)], not below zero (Baker & Cousins; Cousins 2013).

    Constraints of parameters that are held are constants, equal in both models.
    """
    terms = likelihood.constraints
    aux = terms.logpdf(terms.own_best(theta, data.aux, free), data.aux)
    return jnp.maximum(2.0 * (nll + likelihood.log_saturated(data.main) + aux), 0.0)


def _observed(asked: Asked, likelihood: Likelihood, data: Data, best: FitResult) -> FloatArray:
    arrays = jax.device_put((best.values, np.asarray(0.5 * best.twice_nll), ~best.parameters.fixed))
    return np.asarray(_deviations(asked, likelihood, data, *arrays))


@eqx.filter_jit
def _deviations(
    asked: Asked, likelihood: Likelihood, data: Data, theta: Vector, nll: Scalar, free: Mask
) -> Float[Array, " k"]:
    return jnp.stack(deviations(asked, likelihood, data, theta, nll, free))


@eqx.filter_jit
def _cells(likelihood: Likelihood, data: Data, theta: Vector) -> dict[str, Cells]:
    return likelihood.cells(theta, data.main)


def _require_known(statistics: Sequence[str]) -> None:
    if isinstance(statistics, str) or not statistics:
        raise ParameterError(f"statistics must be a list of some of {', '.join(STATISTICS)}, got {statistics!r}.")
    for name in statistics:
        if name not in STATISTICS:
            raise ParameterError(f"statistics must be some of {', '.join(STATISTICS)}, got {name!r}.")


def _require_toys(statistics: Sequence[str], key: Key | None, n_toys: int | None) -> None:
    if n_toys is not None and n_toys < 1:
        raise ParameterError(f"expected at least one toy, got {n_toys}.")
    if (key is None) != (n_toys is None):
        raise ParameterError("toys need both a random key (key=jax.random.key(1)) and a number (n_toys=1000).")
    blind = [name for name in statistics if name != SATURATED]
    if blind and n_toys is None:
        raise ParameterError(
            f"the distribution of {blind[0]} is known from toys only, since bins and fitted parameters spoil that of "
            "the textbooks: give n_toys and key."
        )


def _asked(likelihood: Likelihood, data: Data, best: FitResult, statistics: Sequence[str]) -> Asked:
    """All tests; a channel of one bin has no shape."""
    found: list[tuple[str, str | None]] = []
    shapes = eqx.filter_eval_shape(_cells, likelihood, data, jnp.asarray(best.values))
    channels = sorted(name for name, cells in shapes.items() if cells.observed.shape[0] > 1)
    for name in dict.fromkeys(statistics):
        if name == SATURATED:
            eqx.filter_eval_shape(lambda: likelihood.log_saturated(data.main))  # refuses where there is none
            found.append((name, None))
        elif not channels:
            raise ParameterError(
                f"{name} compares shapes, but nothing here has an order: no channel with two or more bins, no events; "
                f"use {SATURATED}."
            )
        else:
            found += [(name, channel or None) for channel in channels]
    return tuple(found)


def _thrown(
    asked: Asked,
    likelihood: Likelihood,
    data: Data,
    best: FitResult,
    *,
    key: Key,
    n_toys: int,
    settings: Settings,
    run: Run,
) -> dict[str, FloatArray]:
    """The statistics of toys at the best fit, by column; NaN where a fit failed."""
    name = best.poi or best.parameters.names[0]  # toys are asked about some parameter; which does not matter here
    at = best.parameters.position(name)
    source = source_of(likelihood, data, poi=name, value=None, ensemble=Ensemble(), best=best, settings=settings)
    campaign = Campaign(
        sources=(source,),
        models=(model_of(source, best, at, None),),
        truths=(best.value(name),),
        ensembles=(Ensemble(),),
        key=np.asarray(jax.random.key_data(key)),
        n=n_toys,
        size=run.chunk_size(len(best.parameters)),
        solver=settings.solver,
        questions=(Deviations(asked),),
    )
    columns = rows(conduct(campaign, run, kind="goodness", settings={"tests": [list(one) for one in asked]}))
    wanted = [_column(number) for number in range(len(asked))]
    return {one: np.where(columns["converged"], columns[one], np.nan) for one in wanted}


def _test(
    name: str,
    channel: str | None,
    observed: float,
    likelihood: Likelihood,
    data: Data,
    best: FitResult,
    toys: FloatArray | None,
) -> GoodnessTest:
    n_dof = degrees_of_freedom(likelihood, data, best) if name == SATURATED else None
    log_p = log_chi2_tail(observed, n_dof) if n_dof is not None and n_dof > 0 else None
    return GoodnessTest(name, channel, observed, n_dof, log_p, None if toys is None else ToyTail.of(observed, toys))


def degrees_of_freedom(likelihood: Likelihood, data: Data, best: FitResult) -> int:
    """Main data and auxiliary data of free parameters, less the combinations of free parameters that they measure.

    Empty bins in which nothing is expected are no data.
    """
    channels = _cells(likelihood, data, jnp.asarray(best.values)).values()
    void = sum(int(np.sum((np.asarray(c.expected) == 0.0) & (np.asarray(c.observed) == 0.0))) for c in channels)
    n_main = sum(int(np.size(leaf)) for leaf in jax.tree.leaves(data.main)) - void
    free = ~best.parameters.fixed
    constrained = best.parameters.positions(best.parameters.constrained)
    n_aux = int(np.sum(free[constrained]))
    information = np.asarray(expected_hessian(likelihood, jnp.asarray(best.values)))[np.ix_(free, free)]
    return n_main + n_aux - _rank(information)


def _rank(information: FloatArray) -> int:
    """Combinations of parameters that are measured, whatever the units of the parameters."""
    scale = np.sqrt(np.maximum(np.diagonal(information), 0.0))
    seen = scale > 0.0
    if not np.any(seen):
        return 0
    scaled = information[np.ix_(seen, seen)] / np.outer(scale[seen], scale[seen])
    return int(np.sum(np.linalg.eigvalsh(scaled) > _FLAT))


def _notices(likelihood: Likelihood, data: Data, best: FitResult, tests: Sequence[GoodnessTest]) -> tuple[str, ...]:
    """What spoils the asymptotic p-value."""
    n_dof = next((test.n_dof for test in tests if test.n_dof is not None), None)
    if n_dof is None:
        return ()
    if n_dof <= 0:
        return ("as many parameters as data: there is nothing to test with the saturated model",)
    channels = _cells(likelihood, data, jnp.asarray(best.values)).values()
    expected = np.concatenate([np.asarray(c.expected) for c in channels] or [np.zeros(0)])
    few = int(np.sum(expected < _FEW))
    if not few:
        return ()
    advice = "believe the p-value by toys" if tests[0].toys else "let toys decide (n_toys, --n)"
    doubt = f"{few} of {expected.size} bins expect fewer than {_FEW:g} events, where chi2 is a rough guide: {advice}"
    return (doubt,)


def _column(number: int) -> str:
    return f"goodness_{number}"


def _title(name: str, channel: str | None) -> str:
    return name if channel is None else f"{name} of {channel}"
