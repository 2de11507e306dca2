r"""Findings in the templates of a HistFactory workspace, one modifier, sample or bin at a time.

A variation v of a template n has the relative shifts :math:`r_b = v_b / n_b - 1` and the norm :math:`R = \sum v /
\sum n - 1`.  Whether its *shape* can be told from a fluctuation of the simulation is judged by

.. math::  \chi^2 = \sum_b \frac{(v_b - (1 + R)\, n_b)^2}{s_b^2\, (1 + (1 + R)^2)},

with the statistical uncertainties s of the nominal template: what two independent samples of one size would make, with
one degree of freedom less than bins (the test of two weighted histograms of N. Gagunashvili, arXiv:physics/0605123).
Variations of the *same* events fluctuate together, and less; their :math:`\chi^2` is far too small for independent
ones, so that nothing is said about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, gammainc  # scipy.stats would double the time of a start

from infer.hygiene.findings import Finding, Thresholds
from infer.likelihoods.histfactory.records import (
    Array,
    Channel,
    HistoSys,
    Modifier,
    NormSys,
    Sample,
    StatError,
    Workspace,
)

_FEWEST_FLIPS = 5  # bins with a shift, for a change of sign to mean something
_FEWEST_SHAPE = 3  # bins with an uncertainty, for a shape to be judged


@dataclass(frozen=True, eq=False)
class Variation:
    """Both sides of a systematic on one sample of one channel.

    Attributes:
        channel: Name of the channel.
        sample: Name of the sample.
        kind: ``normsys`` or ``histosys``.
        name: Modifier.
        nominal: Nominal contents with shape (B,).
        lo: Contents at minus one standard deviation.
        hi: Contents at plus one.
        statistical: Statistical uncertainties of the nominal contents; zero where none is quoted.
        total: Expected events of the channel.
    """

    channel: str
    sample: str
    kind: str
    name: str
    nominal: Array
    lo: Array
    hi: Array
    statistical: Array
    total: Array

    @cached_property
    def sides(self) -> tuple[Array, Array]:
        """Down and up variation minus nominal."""
        return self.lo - self.nominal, self.hi - self.nominal

    @cached_property
    def norms(self) -> tuple[float, float]:
        """Relative change of the sum, down and up; zero where the sum is not positive."""
        total = float(np.sum(self.nominal))
        if total <= 0.0:
            return 0.0, 0.0
        down, up = (float(np.sum(side)) / total for side in self.sides)
        return down, up

    @cached_property
    def relative(self) -> tuple[Array, Array]:
        """Relative shift of every bin, down and up; zero where the nominal content is not positive."""
        positive = self.nominal > 0.0
        safe = np.where(positive, self.nominal, 1.0)
        down, up = (np.where(positive, side / safe, 0.0) for side in self.sides)
        return down, up

    @cached_property
    def sigmas(self) -> tuple[Array, Array]:
        """Size of the shift of every bin in units of its expected Poisson uncertainty, down and up."""
        root = np.sqrt(np.where(self.total > 0.0, self.total, np.inf))
        down, up = (np.abs(side) / root for side in self.sides)
        return down, up

    @property
    def is_nominal(self) -> bool:
        """Whether neither side differs from nominal."""
        scale = 1e-9 * float(np.max(np.abs(self.nominal), initial=0.0))
        return all(float(np.max(np.abs(side))) <= scale for side in self.sides)

    def found(
        self, kind: str, severity: str, what: str, value: float, bins: npt.NDArray[np.bool_] | None = None
    ) -> Finding:
        """A finding about this variation."""
        indices = () if bins is None else tuple(np.flatnonzero(bins).tolist())
        sentence = f"{self.name} ({self.kind}) on {self.sample} in {self.channel}: {what}"
        return Finding(kind, severity, sentence, float(value), (self.name,), self.channel, self.sample, indices)


def variations(workspace: Workspace) -> Iterator[Variation]:
    """Every normsys and histosys, as templates."""
    for channel in workspace.channels:
        total = np.sum([sample.nominal for sample in channel.samples], axis=0)
        for sample in channel.samples:
            for modifier in sample.modifiers:
                sides = _sides(modifier, sample.nominal)
                if sides is not None:
                    yield Variation(
                        channel.name,
                        sample.name,
                        modifier.kind,
                        modifier.name,
                        sample.nominal,
                        *sides,
                        statistical(sample),
                        total,
                    )


def _sides(modifier: Modifier, nominal: Array) -> tuple[Array, Array] | None:
    if isinstance(modifier, NormSys):
        return modifier.lo * nominal, modifier.hi * nominal
    if isinstance(modifier, HistoSys):
        return modifier.lo, modifier.hi
    return None


def statistical(sample: Sample) -> Array:
    """Statistical uncertainties of a sample's bins by its staterrors; zero where there is none."""
    parts = [m.uncertainty for m in sample.modifiers if isinstance(m, StatError)]
    return np.sqrt(np.sum(np.square(parts), axis=0)) if parts else np.zeros_like(sample.nominal)


def template_findings(workspace: Workspace, thresholds: Thresholds) -> list[Finding]:
    """What single modifiers, samples and bins give reason to look at."""
    found = [f for channel in workspace.channels for f in _of_channel(channel, workspace, thresholds)]
    for variation in variations(workspace):
        if variation.is_nominal:
            found.append(variation.found("no-effect", "low", "both sides equal nominal", 0.0))
            continue
        found += [f for check in _CHECKS for f in check(variation, thresholds)]
    return found


# ------------------------------------------------------------------------------------------------ variations


def _sidedness(v: Variation, t: Thresholds) -> Iterator[Finding]:
    """Variations with one side only, or with both on the same."""
    down, up = v.relative
    sizes = float(np.max(np.abs(down))), float(np.max(np.abs(up)))
    most = float(np.max(v.sigmas))
    if min(sizes) <= t.negligible < t.noticeable <= max(sizes):
        side, other = ("up", "down") if sizes[1] > sizes[0] else ("down", "up")
        what = f"shifts by {_percent(max(sizes))} {side} and not {other}, {_sigmas(most)}"
        yield v.found("one-sided", "medium" if most > t.felt else "low", what, most)
        return
    same = (np.sign(down) == np.sign(up)) & (np.minimum(np.abs(down), np.abs(up)) > t.negligible)
    if not np.any(same):
        return
    smaller = np.where(same, np.minimum(*v.sigmas), -1.0)
    worst = int(np.argmax(smaller))
    norm_down, norm_up = v.norms
    whole = norm_down * norm_up > 0.0 and min(abs(norm_down), abs(norm_up)) >= t.noticeable
    where = (
        "" if v.kind == "normsys" else f" in bin {worst}" + f" ({np.sum(same)} of {same.size} bins)" * (same.size > 1)
    )
    what = f"{_percent(down[worst], True)} down and {_percent(up[worst], True)} up{where}, {_sigmas(smaller[worst])}"
    severity = "medium" if smaller[worst] > (t.felt if whole else 1.0) else "low"
    yield v.found("same-side", severity, what, smaller[worst], None if v.kind == "normsys" else same)


def _asymmetry(v: Variation, t: Thresholds) -> Iterator[Finding]:
    """Opposite sides of different sizes, and normsys factors that are not inverse."""
    down, up = v.norms
    if down * up >= 0.0:
        return
    small, large = sorted((abs(down), abs(up)))
    most = float(np.max(v.sigmas))
    if large >= t.noticeable and large > t.asymmetry * small:
        what = f"the norm changes by {_percent(down, True)} down and {_percent(up, True)} up, {_sigmas(most)}"
        yield v.found("asymmetric", "medium" if most > t.beyond_statistics else "low", what, most)
    elif v.kind == "normsys" and abs((1.0 + down) * (1.0 + up) - 1.0) > t.product:
        lo, hi = 1.0 + down, 1.0 + up
        yield v.found("normsys-product", "low", f"lo {lo:.4g} times hi {hi:.4g} is {lo * hi:.3g}", lo * hi - 1.0)


def _size(v: Variation, t: Thresholds) -> Iterator[Finding]:
    """Shifts of half of a yield, or of many statistical uncertainties of a bin."""
    relative, sigmas = np.max(np.abs(v.relative), axis=0), np.max(v.sigmas, axis=0)
    huge = relative > t.huge * (1.0 + 1e-9)
    if np.any(huge):
        worst = int(np.argmax(np.where(huge, sigmas, -1.0)))
        most = float(sigmas[worst])
        severity = "high" if most > t.beyond_statistics else "medium" if most > 1.0 else "low"
        what = f"{_percent(relative[worst])} of the sample in bin {worst}, {_sigmas(most)}"
        yield v.found("huge", severity, what, most, huge)
    elif np.any(sigmas > t.beyond_statistics):
        worst = int(np.argmax(sigmas))
        what = f"{_percent(relative[worst])} of the sample in bin {worst}, {_sigmas(sigmas[worst])}"
        yield v.found("data-constrained", "low", what, float(sigmas[worst]), sigmas > t.beyond_statistics)


def _negative(v: Variation, t: Thresholds) -> Iterator[Finding]:  # noqa: ARG001  # one signature for all
    """Bins that a variation makes negative."""
    lowest = np.minimum(v.lo, v.hi)
    bins = (lowest < 0.0) & (v.nominal >= 0.0)
    if np.any(bins):
        worst = int(np.argmin(np.where(bins, lowest, 0.0)))
        yield v.found(
            "negative-variation", "medium", f"bin {worst} goes down to {lowest[worst]:.3g}", lowest[worst], bins
        )


def _flips(v: Variation, t: Thresholds) -> Iterator[Finding]:
    """Shapes that change their sign again and again."""
    if v.kind != "histosys":
        return
    down, up = v.relative
    difference = up - down
    signs = np.sign(difference[np.abs(difference) > 2.0 * t.negligible])
    if signs.size < _FEWEST_FLIPS:
        return
    flips = int(np.sum(signs[1:] != signs[:-1]))
    if flips >= t.flips * (signs.size - 1):
        what = f"up minus down changes its sign {flips} times in {signs.size} bins"
        yield v.found("sign-flips", "low", what, flips / (signs.size - 1))


def _noise(v: Variation, t: Thresholds) -> Iterator[Finding]:
    """Shapes that fluctuations of independent samples would make."""
    if v.kind != "histosys":
        return
    live = (v.statistical > 0.0) & (v.nominal > 0.0)
    if int(np.sum(live)) < _FEWEST_SHAPE:
        return
    tests = [shape_test(v.nominal[live], side[live], v.statistical[live]) for side in (v.lo, v.hi)]
    known = [test for test in tests if test is not None]
    if known and all(t.noise < test[1] < 1.0 - t.noise for test in known):
        chi2, p = max(known)
        ndf = int(np.sum(live)) - 1
        what = f"chi2 = {chi2:.3g} for {ndf} degrees of freedom (p = {p:.2g}), as independent samples would fluctuate"
        yield v.found("noise-dominated", "low", what, p, live)


def shape_test(nominal: Array, varied: Array, statistical: Array) -> tuple[float, float] | None:
    """Chi-squared of a shape against fluctuations of two independent samples, and its p-value; None without a shape."""
    ratio = float(np.sum(varied) / np.sum(nominal))
    residual = varied - ratio * nominal
    if ratio <= 0.0 or float(np.max(np.abs(residual))) <= 1e-9 * float(np.max(np.abs(varied))):
        return None
    chi2 = float(np.sum(residual**2 / (statistical**2 * (1.0 + ratio**2))))
    return chi2, float(chdtrc(residual.size - 1, chi2))


_CHECKS: tuple[Callable[[Variation, Thresholds], Iterator[Finding]], ...] = (
    _sidedness,
    _asymmetry,
    _size,
    _negative,
    _flips,
    _noise,
)


# -------------------------------------------------------------------------------------------------- channels


@dataclass(frozen=True)
class _Bins:
    """Where findings about bins of a channel stand."""

    channel: str
    parameters: tuple[str, ...] = ()
    sample: str | None = None

    def found(self, kind: str, severity: str, what: str, value: float, bins: npt.NDArray[np.bool_]) -> Finding:
        """A finding about some bins."""
        sentence = f"{f'{self.sample} in ' if self.sample else ''}{self.channel}: {what}"
        return Finding(
            kind, severity, sentence, float(value), self.parameters, self.channel, self.sample, _indices(bins)
        )


def _of_channel(channel: Channel, workspace: Workspace, t: Thresholds) -> Iterator[Finding]:
    """Negative, empty and sparse bins, and what the simulation knows of the channel."""
    total = np.sum([sample.nominal for sample in channel.samples], axis=0)
    for sample in channel.samples:
        if np.any(bins := sample.nominal < 0.0):
            worst = float(np.min(sample.nominal))
            what = f"{_bins(bins)} down to {worst:.3g} of {np.sum(sample.nominal):.3g}"
            yield _Bins(channel.name, sample=sample.name).found("negative-yield", "medium", what, worst, bins)
    yield from _expectations(_Bins(channel.name), total, workspace.observations[channel.name], t)
    yield from _simulation(channel, total, t)


def _expectations(at: _Bins, total: Array, observed: Array, t: Thresholds) -> Iterator[Finding]:
    if np.any(empty := total <= 0.0):
        seen = float(np.sum(observed[empty]))
        what = f"nothing is expected in {_bins(empty)}" + (f", and {seen:g} observed" if seen else "")
        yield at.found("empty-bin", "high" if seen else "medium", what, seen, empty)
    few = (total > 0.0) & (total < t.few_events)
    if np.any(few):
        least = float(np.min(total[few]))
        yield at.found("few-events", "low", f"down to {least:.3g} events in {_bins(few)}", least, few)
    p = gammainc(np.ceil(observed), np.where(few, total, 1.0))  # of so many events or more
    if np.any(odd := few & (p < t.unlikely)):
        worst = int(np.argmin(np.where(odd, p, 1.0)))
        what = f"{observed[worst]:g} events in bin {worst}, {total[worst]:.3g} expected (p = {p[worst]:.1e})"
        yield at.found("unlikely-data", "high", what, p[worst], odd)


def _simulation(channel: Channel, total: Array, t: Thresholds) -> Iterator[Finding]:
    """Bins with few simulated events, in themselves and beside the data that they are compared with."""
    names = dict.fromkeys(m.name for s in channel.samples for m in s.modifiers if isinstance(m, StatError))
    parts = [(s.nominal, statistical(s)) for s in channel.samples if np.any(statistical(s) > 0.0)]
    if not parts:
        return
    at = _Bins(channel.name, tuple(names))
    content = np.sum([nominal for nominal, _ in parts], axis=0)
    variance = np.sum([np.square(s) for _, s in parts], axis=0)
    relative = np.sqrt(variance) / np.where(content > 0.0, content, np.inf)
    if np.any(bins := relative > t.staterror):
        worst = int(np.argmax(relative))
        severity = "medium" if relative[worst] > t.large_staterror else "low"
        what = f"known to {_percent(relative[worst])} in bin {worst}, beyond {_percent(t.staterror)} in {_bins(bins)}"
        yield at.found("large-staterror", severity, what, relative[worst], bins)
    ratio = variance / np.where(total > 0.0, total, np.inf)
    if np.any(bins := ratio > t.simulation):
        worst = int(np.argmax(ratio))
        severity = "medium" if ratio[worst] > t.large_simulation else "low"
        what = f"variance of the simulation up to {ratio[worst]:.2g} times that of the data, in {_bins(bins)}"
        yield at.found("simulation-limited", severity, what, ratio[worst], bins)


def _indices(bins: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(bins).tolist())


def _bins(bins: npt.NDArray[np.bool_]) -> str:
    """The bins in words, the first few of them."""
    indices = _indices(bins)
    shown = ", ".join(map(str, indices[:5])) + (", ..." if len(indices) > 5 else "")
    return f"{'bin' if len(indices) == 1 else f'{len(indices)} bins'} {shown}"


def _sigmas(x: float) -> str:
    return f"{x:.2g} statistical uncertainties of the bin"


def _percent(x: float, signed: bool = False) -> str:
    return f"{100.0 * x:{'+' if signed else ''}.3g} %"
