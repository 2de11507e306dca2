r"""Yields before and after a fit: expected events by channel, sample and bin, beside the data.

With nu(theta) the expected events of every sample in every bin and C the covariance of theta, the covariance of
the yields is, to first order (G. Cowan, Statistical Data Analysis (1998), sec. 1.6),

    V[nu] = J C J^T,      J = d nu / d theta,

with J by automatic differentiation of the likelihood's `counts`.  All correlations of parameters are in it, those
between two bins of the same simulation uncertainty as well as those that only the fit makes.  Yields that are sums,
over samples, bins or channels, have the sums of the rows of J.

*Before the fit,* theta is at the declared start values, and C is what the constraints say, each parameter
independent of the others unless their constraint is a joint one.  A free parameter has no uncertainty before the
fit, and does not move the band.  *After the fit,* theta is the best fit and C the fit's covariance, in which
parameters that are fixed or at a bound do not move.

The pull of a bin is (n - nu) / s.  Before the fit, data and expectation are independent: s^2 = nu + V.  After it,
the expectation has followed the data, and s^2 = nu - V: in a linear least-squares fit the residuals have the
covariance V[n] - J C J^T (L. Demortier and L. Lyons, CDF note 5776 (2002), sec. 2, whose measurement and fit have
fully correlated values).  A bin that the fit follows wherever it goes has no pull.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.blinding import require_true_values
from infer.constraints import MultivariateNormal
from infer.data import Counts, Data
from infer.errors import ParameterError
from infer.inference.fits import FitResult, Settings, fit
from infer.likelihood import Likelihood, check_data, components_of
from infer.parameters import Parameters
from infer.typing import MainData, Vector

FloatArray = npt.NDArray[np.float64]

_BLOCK = 32  # directions in which the yields are differentiated at a time
_FOLLOWED = 0.01  # share of the variance of a bin's data below which the fit follows it wherever it goes


@dataclass(frozen=True, eq=False)
class ChannelYields:
    """Expected and observed events of one channel, at one point of parameter space.

    Attributes:
        name: Channel; in a combination with the component before it, ``cms/SR``.
        samples: Expected events by sample, each with shape (B,).
        sample_uncertainties: Their standard deviations, each with shape (B,).
        total: Sum over samples with shape (B,).
        total_uncertainty: Its standard deviation with shape (B,).
        counts: Observed events with shape (B,).
        pulls: Of the observed events, as the module's docstring has them, with shape (B,); NaN where there is none.
        signals: The samples that the parameter of interest moves.
    """

    name: str
    samples: Mapping[str, FloatArray]
    sample_uncertainties: Mapping[str, FloatArray]
    total: FloatArray
    total_uncertainty: FloatArray
    counts: FloatArray
    pulls: FloatArray
    signals: tuple[str, ...] = ()

    @property
    def ratio(self) -> FloatArray:
        """Observed over expected events with shape (B,); NaN where nothing is expected."""
        return self.counts / np.where(self.total > 0.0, self.total, np.nan)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object, without the observed events."""
        names = zip(self.samples.items(), self.sample_uncertainties.values(), strict=True)
        return {
            "samples": {
                name: {"values": _listed(rate), "uncertainties": _listed(sigma)} for (name, rate), sigma in names
            },
            "total": {"values": _listed(self.total), "uncertainties": _listed(self.total_uncertainty)},
            "ratio": _listed(self.ratio),
            "pulls": _listed(self.pulls),
            "signals": list(self.signals),
        }


@dataclass(frozen=True, eq=False)
class Sums:
    """Events of samples, each summed over bins.

    Attributes:
        samples: Names.
        values: Expected events with shape (S,).
        covariance: Their covariance with shape (S, S).
        observed: Observed events of all.
    """

    samples: tuple[str, ...]
    values: FloatArray
    covariance: FloatArray
    observed: float

    @property
    def uncertainties(self) -> FloatArray:
        """Standard deviations of the samples with shape (S,)."""
        return _deviations(self.covariance)

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix of the samples with shape (S, S); zero where a sample does not move."""
        return _correlation(self.covariance)

    @property
    def total(self) -> float:
        """Expected events of all samples."""
        return float(np.sum(self.values))

    @property
    def total_uncertainty(self) -> float:
        """Standard deviation of their sum, correlations included."""
        return float(np.sqrt(np.maximum(np.sum(self.covariance), 0.0)))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        each = zip(self.samples, self.values.tolist(), self.uncertainties.tolist(), strict=True)
        return {
            "samples": {name: {"value": _finite(value), "uncertainty": _finite(s)} for name, value, s in each},
            "sample_correlation": _listed(self.correlation),
            "total": {"value": _finite(self.total), "uncertainty": _finite(self.total_uncertainty)},
            "observed": self.observed,
        }


@dataclass(frozen=True, eq=False)
class StageYields:
    """All yields at one point of parameter space.

    Attributes:
        name: ``"pre-fit"`` or ``"post-fit"``.
        channels: By bin.
        sums: Of each channel over its bins, in the same order.
        overall: Over all bins of all channels, by name of the sample.
        covariance: Of the totals of all N bins, channel after channel, with shape (N, N).
    """

    name: str
    channels: tuple[ChannelYields, ...]
    sums: tuple[Sums, ...]
    overall: Sums
    covariance: FloatArray

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix of the totals of all bins with shape (N, N); zero where a bin does not move."""
        return _correlation(self.covariance)

    @property
    def channel_covariance(self) -> FloatArray:
        """Covariance of the totals of the K channels with shape (K, K)."""
        starts = np.cumsum([0, *(len(c.total) for c in self.channels)])[:-1]
        return np.asarray(np.add.reduceat(np.add.reduceat(self.covariance, starts, axis=0), starts, axis=1))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        pairs = zip(self.channels, self.sums, strict=True)
        return {
            "channels": {c.name: c.to_json_dict() | {"sums": s.to_json_dict()} for c, s in pairs},
            "overall": self.overall.to_json_dict(),
            "covariance": _listed(self.covariance),
            "channel_covariance": _listed(self.channel_covariance),
        }


@dataclass(frozen=True, eq=False)
class Yields:
    """Yields before and after a fit, with uncertainties that carry all correlations.

    Attributes:
        prefit: At the start values, with the covariance that the constraints say.
        postfit: At the best fit, with the covariance of the fit; the channels are those of ``prefit``.
        fit: The best fit.
        notices: What a reader has to know, each one sentence.
        seconds: Wall-clock time, that of the fit not counted.
    """

    prefit: StageYields
    postfit: StageYields
    fit: FitResult
    notices: tuple[str, ...]
    seconds: float

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer yields --json``."""
        return {
            "poi": self.fit.poi,
            "observed": {c.name: _listed(c.counts) for c in self.prefit.channels},
            "bins": [[c.name, i] for c in self.prefit.channels for i in range(len(c.total))],
            "prefit": self.prefit.to_json_dict(),
            "postfit": self.postfit.to_json_dict(),
            "notices": list(self.notices),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def table(self) -> str:
        """Samples of every channel before and after the fit, beside the data, as plain text."""
        stages = (self.prefit, self.postfit)
        blocks = [(c.name or "all events", [s.sums[i] for s in stages]) for i, c in enumerate(self.prefit.channels)]
        if len(blocks) > 1:
            blocks.append(("all channels", [s.overall for s in stages]))
        rows = [row for title, sums in blocks for row in _block(title, sums)]
        return "\n".join([str(self), "", *_aligned(rows), *(f"Note: {notice}" for notice in self._notes)])

    def bin_table(self) -> str:
        """Totals of every bin before and after the fit, beside the data, as plain text."""
        rows: list[tuple[str, ...]] = [("", "pre-fit", "post-fit", "data", "data / post-fit", "pull")]
        for before, after in zip(self.prefit.channels, self.postfit.channels, strict=True):
            for i in range(len(before.total)):
                yields = [_plus_minus(c.total[i], c.total_uncertainty[i]) for c in (before, after)]
                rest = (f"{before.counts[i]:.6g}", _word(after.ratio[i]), _word(after.pulls[i]))
                rows.append((f"{before.name or 'bin'}[{i}]", *yields, *rest))
        return "\n".join(_aligned(rows))

    def __str__(self) -> str:
        """Events expected after the fit beside those observed, in one line."""
        total = self.postfit.overall
        doubt = "".join(f" ({objection})" for objection in self.fit.certificate.objections)
        return f"{_plus_minus(total.total, total.total_uncertainty)} events expected, {total.observed:.6g} seen{doubt}"

    @property
    def _notes(self) -> tuple[str, ...]:
        return (*self.notices, *self.fit.certificate.notices)


def yields(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    settings: Settings | None = None,
    fitted: FitResult | None = None,
) -> Yields:
    """Yields before and after a fit, by channel, sample and bin, with uncertainties that carry all correlations.

    Args:
        likelihood: Any likelihood with something to count; parts of a combination that count nothing, such as
            published measurements, are passed over, and a notice says so.
        data: Data for it.
        poi: Parameter of interest, whose samples are the signals; None takes the declared one.
        settings: Start values, bounds, fixed parameters and solver.
        fitted: The best fit, if it is known; None makes it.

    Raises:
        ParameterError: Nothing is counted, or a name or setting is impossible.
        DataError: The data do not fit the likelihood.
    """
    require_true_values(likelihood, "a comparison of yields with data")
    check_data(likelihood, data)
    if not counted(likelihood, data):
        raise ParameterError(
            "there are no yields: this likelihood counts no events (published measurements, say); "
            "give a binned or unbinned likelihood of events."
        )
    best = fit(likelihood, data, poi=poi, settings=settings) if fitted is None else fitted
    name = best.poi if poi is None else poi
    if name is not None:
        likelihood.parameters.position(name)
    began = time.perf_counter()
    before = _before(likelihood.parameters, best.parameters)
    prefit = _stage("pre-fit", likelihood, data.main, before.init, prefit_covariance(before), name)
    postfit = _stage("post-fit", likelihood, data.main, best.values, best.covariance, name)
    notices = tuple(_notices(likelihood, before, best, prefit))
    return Yields(prefit, postfit, replace(best, poi=name), notices, time.perf_counter() - began)


def counted(likelihood: Likelihood, data: Data) -> tuple[str, ...]:
    """Names of the channels in which events are counted; empty where there are none, or a secret offset hides them."""
    if likelihood.blinding is not None and likelihood.blinding.secret:
        return ()
    return tuple(c.channel for c in _shapes(likelihood, data.main))


def prefit_covariance(parameters: Parameters) -> FloatArray:
    """Covariance from the auxiliary data alone, with shape (P, P); zero for free and fixed parameters."""
    covariance = np.zeros((len(parameters), len(parameters)))
    for at, (name, parameter) in enumerate(parameters.items()):
        sigma = parameter.prefit_uncertainty()
        if sigma is not None:
            covariance[at, at] = sigma**2
        if isinstance(parameter.constraint, MultivariateNormal):
            row = parameter.constraint.covariance[parameter.constraint.names.index(name)]
            covariance[at, parameters.positions(parameter.constraint.names)] = row
    covariance[parameters.fixed, :] = 0.0
    covariance[:, parameters.fixed] = 0.0
    return covariance


def _before(declared: Parameters, fitted: Parameters) -> Parameters:
    """Declared start values, with those parameters held that the fit was told to hold."""
    for name, parameter in fitted.items():
        if parameter.fixed and not declared[name].fixed:
            declared = declared.replace(name, init=parameter.init, bounds=parameter.bounds, fixed=True)
    return declared


def _shapes(likelihood: Likelihood, main: MainData) -> tuple[Any, ...]:
    theta = jnp.asarray(likelihood.parameters.init)
    return tuple(eqx.filter_eval_shape(lambda model, t, m: model.counts(t, m), likelihood, theta, main))


class _Linear(NamedTuple):
    """Yields to first order: what they expect, J, and J C, with any shape and in the last axis the parameters."""

    expected: FloatArray
    slopes: FloatArray
    spread: FloatArray

    def summed(self, axis: int) -> _Linear:
        """Sums of yields."""
        return _Linear(*(np.sum(part, axis=axis) for part in self))

    @property
    def variance(self) -> FloatArray:
        """Diagonal of J C J^T, in the shape of the yields."""
        return np.maximum(np.sum(self.slopes * self.spread, axis=-1), 0.0)

    @property
    def covariance(self) -> FloatArray:
        """J C J^T of a vector of yields."""
        return np.asarray(self.spread @ self.slopes.T)


def _stage(
    name: str, likelihood: Likelihood, main: MainData, theta: FloatArray, covariance: FloatArray, poi: str | None
) -> StageYields:
    """Yields at one point: the rows of J are those of every sample of every channel, bin by bin."""
    found, columns = _differentiated(likelihood, main, jnp.asarray(theta))
    channels = jax.device_get(found)
    jacobian = np.ascontiguousarray(np.asarray(columns).T)
    spread = jacobian @ covariance
    at_poi = None if poi is None else likelihood.parameters.position(poi)
    ends = np.cumsum([0, *(counts.expected.size for counts in channels)])
    parts = [
        _Linear(counts.expected, *(rows[low:high].reshape(*counts.expected.shape, -1) for rows in (jacobian, spread)))
        for counts, low, high in zip(channels, ends[:-1], ends[1:], strict=True)
    ]
    pairs = list(zip(channels, parts, strict=True))
    totals = _Linear(*(np.concatenate(x) for x in zip(*(part.summed(0) for part in parts), strict=True)))
    return StageYields(
        name=name,
        channels=tuple(_channel(counts, part, at_poi, after_fit=name == "post-fit") for counts, part in pairs),
        sums=tuple(_sums(counts.samples, part.summed(1), counts) for counts, part in pairs),
        overall=_sums(*_by_sample(pairs), *channels),
        covariance=totals.covariance,
    )


def _by_sample(pairs: Sequence[tuple[Counts, _Linear]]) -> tuple[tuple[str, ...], _Linear]:
    """Samples of all channels, summed over bins and over the channels that have them."""
    found: dict[str, list[_Linear]] = {}
    for counts, part in pairs:
        summed = part.summed(1)
        for i, sample in enumerate(counts.samples):
            found.setdefault(sample, []).append(_Linear(*(x[i] for x in summed)))
    rows = [_Linear(*(sum(x) for x in zip(*parts, strict=True))) for parts in found.values()]
    return tuple(found), _Linear(*(np.stack(x) for x in zip(*rows, strict=True)))


def _sums(samples: tuple[str, ...], summed: _Linear, *channels: Counts) -> Sums:
    observed = sum(float(np.sum(np.asarray(c.observed))) for c in channels)
    return Sums(samples, summed.expected, summed.covariance, observed)


def _channel(counts: Counts, part: _Linear, at_poi: int | None, *, after_fit: bool) -> ChannelYields:
    """Yields of a channel, whose parts have the shape (S, B)."""
    observed, total = np.asarray(counts.observed, dtype=float), part.summed(0)
    moved = np.zeros_like(part.expected) if at_poi is None else part.slopes[..., at_poi]
    left = total.expected - total.variance if after_fit else total.expected + total.variance
    width = np.sqrt(np.where((left > _FOLLOWED * total.expected) & (total.expected > 0.0), left, np.nan))
    return ChannelYields(
        name=counts.channel,
        samples=dict(zip(counts.samples, part.expected, strict=True)),
        sample_uncertainties=dict(zip(counts.samples, np.sqrt(part.variance), strict=True)),
        total=total.expected,
        total_uncertainty=np.sqrt(total.variance),
        counts=observed,
        pulls=(observed - total.expected) / width,
        signals=tuple(s for s, row in zip(counts.samples, moved, strict=True) if np.any(row != 0.0)),
    )


@eqx.filter_jit
def _differentiated(
    likelihood: Likelihood, main: MainData, theta: Vector
) -> tuple[tuple[Counts, ...], Float[Array, "p e"]]:
    """Counts by channel, and the slopes of all their expectations, channel after channel, sample after sample."""

    def expectations(t: Vector) -> Float[Array, " e"]:
        return jnp.concatenate([c.expected.ravel() for c in likelihood.counts(t, main)])

    _, push = jax.linearize(expectations, theta)
    return likelihood.counts(theta, main), jax.lax.map(push, jnp.eye(theta.shape[0]), batch_size=_BLOCK)


def _notices(likelihood: Likelihood, before: Parameters, best: FitResult, prefit: StageYields) -> Iterator[str]:
    """What the bands leave out."""
    free = [name for name, p in before.items() if p.constraint is None and not p.fixed]
    if free:
        yield f"free parameters have no uncertainty before the fit and do not move that band: {_some(free)}"
    held = best.certificate.at_bound
    if held:
        yield f"held at a bound, so that they do not move the band after the fit: {_some(held)}"
    if not best.certificate.trustworthy:
        yield f"the fit is not trustworthy, and its yields are not: {'; '.join(best.certificate.objections)}"
    channels = [c.name for c in prefit.channels]
    silent = [k for k in components_of(likelihood) if not any(c == k or c.startswith(f"{k}/") for c in channels)]
    if silent:
        yield f"without events to count, and passed over: {_some(silent)}"


def _some(names: Sequence[str]) -> str:
    """Names, the first few of many."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _deviations(covariance: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.maximum(np.diagonal(covariance), 0.0)))


def _correlation(covariance: FloatArray) -> FloatArray:
    sigma = _deviations(covariance)
    norm = np.outer(sigma, sigma)
    return np.asarray(np.divide(covariance, norm, out=np.zeros_like(norm), where=norm != 0.0))


def _listed(array: FloatArray) -> list[Any]:
    """Nested lists; None for numbers that are not finite."""
    if np.ndim(array) > 1:
        return [_listed(row) for row in array]
    return [_finite(x) for x in np.asarray(array).tolist()]


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _plus_minus(value: float, sigma: float) -> str:
    """A yield for print, to the second digit of its uncertainty where that is sensible."""
    if not (np.isfinite(value) and np.isfinite(sigma)):
        return f"{value:.6g} ± {sigma:.3g}"
    digits = 2 if sigma == 0.0 else int(np.clip(1 - np.floor(np.log10(sigma)), 0, 4))
    return f"{value:.{digits}f} ± {sigma:.{digits}f}"


def _word(x: float) -> str:
    return f"{x:.2f}" if np.isfinite(x) else "-"


def _block(title: str, sums: Sequence[Sums]) -> Iterator[tuple[str, ...]]:
    """Rows of one channel: its samples, their sum, and the data."""
    yield (title, *("pre-fit", "post-fit"))
    for i, sample in enumerate(sums[0].samples):
        yield (f"  {sample}", *(_plus_minus(s.values[i], s.uncertainties[i]) for s in sums))
    yield ("  total", *(_plus_minus(s.total, s.total_uncertainty) for s in sums))
    yield ("  data", f"{sums[0].observed:.6g}", f"{sums[0].observed:.6g}")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
