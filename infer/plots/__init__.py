"""Figures, made from result records and from nothing else: the only matplotlib in the package.

==========================  =======================================  ===============================
figure                       record                                   function
==========================  =======================================  ===============================
error budget                 `Measurement`                            `budget.budget_figure`
pulls and constraints        `Measurement`                            `pulls.pulls_figure`
profile likelihood           `Scan`, `Interval`                       `profile.profile_figure`
data and yields by channel   `Yields`                                 `rates.rates_figure`
published measurements       `MeasuredValue`, `Measurement`           `measurements.measurements_figure`
events and fitted density    `Spectrum` (parametric)                  `density.density_figure`
best fits of toys            `Toys`                                   `toys.estimates_figure`
pulls of toys                `Toys`                                   `toys.poi_pull_figure`
pulls of all parameters      `Toys`                                   `toys.toy_pulls_figure`
coverage                     `Coverage`                               `coverage.coverage_figure`
bias and width of pulls      `Coverage`                               `coverage.bias_figure`
lengths of intervals         `Coverage`                               `coverage.lengths_figure`
finite simulation            `FiniteMC`                               `finite_mc.finite_mc_figure`
Neyman's construction        `NeymanInterval`                         `neyman.neyman_figure`
ranking of impacts           `Impacts`                                `impacts.ranking_figure`
correlation matrix           `FitResult`                              `impacts.correlation_matrix_figure`
CLs and limits               `CLsScan`, `UpperLimit`                  `limits.limit_figure`
contours of two parameters   `Contour`                                `contours.contour_figure`
scan of a correlation        `CorrelationScan`                        `correlation.correlation_figure`
goodness of fit              `GoodnessTest`                           `goodness.goodness_figure`
posterior                    `Posterior`, `Scan`                      `posterior.marginal_figure`
chains of a posterior        `Posterior`                              `posterior.chains_figure`
==========================  =======================================  ===============================

Every function returns a `matplotlib.figure.Figure` that is tied to no window and no global state;
`save_measurement_figures` stores all that a measurement has, and so do the others for their records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from infer.comparison import Comparison
from infer.inference.correlations import CorrelationScan
from infer.inference.coverage import Coverage
from infer.inference.exclusion import CLsScan
from infer.inference.finite_mc import FiniteMC
from infer.inference.goodness import Goodness
from infer.inference.limits import UpperLimit
from infer.inference.neyman import NeymanInterval
from infer.inference.profiles import Interval, Scan
from infer.inference.toys import Toys
from infer.inference.yields import Yields
from infer.likelihoods.gaussian.summary import MeasuredValue
from infer.likelihoods.parametric.spectrum import Spectrum
from infer.measurement import Measurement
from infer.plots.budget import budget_figure
from infer.plots.contours import contour_figure, save_contour_figures
from infer.plots.correlation import correlation_figure
from infer.plots.coverage import bias_figure, coverage_figure, lengths_figure
from infer.plots.density import density_figure
from infer.plots.finite_mc import finite_mc_figure
from infer.plots.goodness import goodness_figure
from infer.plots.impacts import correlation_matrix_figure, ranking_figure, save_impact_figures
from infer.plots.limits import limit_figure
from infer.plots.measurements import measurements_figure
from infer.plots.neyman import neyman_figure
from infer.plots.posterior import chains_figure, marginal_figure, save_posterior_figures
from infer.plots.profile import profile_figure
from infer.plots.pulls import pulls_figure, pulls_of
from infer.plots.rates import rates_figure, sample_colours, stacks_of
from infer.plots.style import FORMATS, file_names, save_figure
from infer.plots.toys import estimates_figure, poi_pull_figure, toy_pulls_figure

__all__ = [
    "bias_figure",
    "budget_figure",
    "chains_figure",
    "contour_figure",
    "correlation_figure",
    "correlation_matrix_figure",
    "coverage_figure",
    "density_figure",
    "estimates_figure",
    "finite_mc_figure",
    "goodness_figure",
    "lengths_figure",
    "limit_figure",
    "marginal_figure",
    "measurements_figure",
    "neyman_figure",
    "poi_pull_figure",
    "profile_figure",
    "pulls_figure",
    "ranking_figure",
    "rates_figure",
    "sample_colours",
    "save_comparison_figures",
    "save_contour_figures",
    "save_correlation_figures",
    "save_coverage_figures",
    "save_finite_mc_figures",
    "save_goodness_figures",
    "save_impact_figures",
    "save_limit_figures",
    "save_measurement_figures",
    "save_neyman_figures",
    "save_posterior_figures",
    "save_toys_figures",
    "save_yields_figures",
    "stacks_of",
    "toy_pulls_figure",
]

TOP_PULLS = 60
"""Most parameters in the figure of pulls; where there are more, a second one has them all."""


def save_measurement_figures(
    directory: str | Path,
    *,
    measurement: Measurement,
    scan: Scan | None = None,
    intervals: Sequence[Interval] = (),
    yields: Yields | None = None,
    measured: Sequence[MeasuredValue] = (),
    combinations: Mapping[str, Measurement] | None = None,
    spectra: Sequence[Spectrum] = (),
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Store every figure that a measurement has; equal records make equal bytes.

    Args:
        directory: Where to; made if it is not there.
        measurement: The measurement: its error budget and its pulls.
        scan: Profile likelihood of its parameter of interest.
        intervals: To mark in the profile.
        yields: Before and after the fit: a figure per channel, unless ``spectra`` have it.
        measured: Published measurements that went into the measurement.
        combinations: Their partial combinations by name.
        spectra: Events and fitted densities of parametric likelihoods: a figure each.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files, in the order in which one would read them.
    """
    figures = _figures(measurement, scan, intervals, yields, measured, combinations, spectra)
    return _save(directory, figures, formats)


def save_toys_figures(directory: str | Path, record: Toys, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Store the figures of toys: best fits, and pulls of the parameter of interest and of all parameters.

    Args:
        directory: Where to; made if it is not there.
        record: The toys.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files, in the order in which one would read them.
    """
    return _save(directory, _toys_figures(record), formats)


def save_coverage_figures(directory: str | Path, record: Coverage, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Store the figures of a study of coverage: coverage, bias and pulls, and lengths of the intervals.

    Args:
        directory: Where to; made if it is not there.
        record: The study.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files, in the order in which one would read them.
    """
    return _save(directory, _coverage_figures(record), formats)


def save_finite_mc_figures(directory: str | Path, record: FiniteMC, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Store the figure of coverage against the size of the simulated samples.

    Args:
        directory: Where to; made if it is not there.
        record: Coverage at every size.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    return _save(directory, iter([("finite_mc", finite_mc_figure(record))]), formats)


def save_goodness_figures(directory: str | Path, record: Goodness, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Store a figure of every goodness-of-fit test that has toys.

    Args:
        directory: Where to; made if it is not there.
        record: The tests.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    return _save(directory, _goodness_figures(record), formats)


def save_limit_figures(
    directory: str | Path, scan: CLsScan, *, limit: UpperLimit | None = None, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Store the figure of CLs by hypothesis.

    Args:
        directory: Where to; made if it is not there.
        scan: Two hypotheses or more.
        limit: The limits that are read off.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    return _save(directory, iter([("cls", limit_figure(scan, limit=limit))]), formats)


def save_neyman_figures(
    directory: str | Path, record: NeymanInterval, *, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Store the figure of Neyman's construction.

    Args:
        directory: Where to; made if it is not there.
        record: The interval.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    return _save(directory, iter([("neyman", neyman_figure(record))]), formats)


def save_comparison_figures(
    directory: str | Path, record: Comparison, *, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Store the figures of a combination: its components beside it, its error budget and its pulls.

    Args:
        directory: Where to; made if it is not there.
        record: The combination and its components.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files, in the order in which one would read them.
    """
    return _save(directory, _comparison_figures(record), formats)


def save_correlation_figures(
    directory: str | Path, record: CorrelationScan, *, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Store the figure of a scan of a correlation.

    Args:
        directory: Where to; made if it is not there.
        record: The scan.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    return _save(directory, iter([("correlation", correlation_figure(record))]), formats)


def save_yields_figures(directory: str | Path, record: Yields, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Store the figures of yields: data against pre-fit and post-fit yields by channel.

    Args:
        directory: Where to; made if it is not there.
        record: The yields.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    remark = "; ".join(record.fit.certificate.remarks)
    return _save(directory, _yields_figures(record, remark), formats)


def _comparison_figures(record: Comparison) -> Iterator[tuple[str, Figure]]:
    yield "components", measurements_figure(record.measurement, (), combinations=record.components)
    yield from _figures(record.measurement, None, (), None, (), None, ())


def _save(directory: str | Path, figures: Iterator[tuple[str, Figure]], formats: Sequence[str]) -> list[Path]:
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, figure in figures:
        written += save_figure(figure, folder, name, formats)
    return written


def _toys_figures(record: Toys) -> Iterator[tuple[str, Figure]]:
    yield "toys_estimates", estimates_figure(record)
    yield "toys_pull", poi_pull_figure(record)
    yield "toys_pulls", toy_pulls_figure(record)


def _goodness_figures(record: Goodness) -> Iterator[tuple[str, Figure]]:
    drawn = [(test, toys) for test in record.tests if (toys := test.toys) is not None]
    names = file_names("_".join(filter(None, (test.name, test.channel))) for test, _ in drawn)
    for name, (test, toys) in zip(names, drawn, strict=True):
        yield f"goodness_{name}", goodness_figure(test, toys)


def _coverage_figures(record: Coverage) -> Iterator[tuple[str, Figure]]:
    yield "coverage", coverage_figure(record)
    yield "coverage_bias", bias_figure(record)
    yield "coverage_lengths", lengths_figure(record)


def _figures(
    measurement: Measurement,
    scan: Scan | None,
    intervals: Sequence[Interval],
    yields: Yields | None,
    measured: Sequence[MeasuredValue],
    combinations: Mapping[str, Measurement] | None,
    spectra: Sequence[Spectrum],
) -> Iterator[tuple[str, Figure]]:
    """File name and figure, one after the other, so that one figure at a time is in memory."""
    if measured:
        yield "measurements", measurements_figure(measurement, measured, combinations=combinations)
    yield "budget", budget_figure(measurement)
    yield from _pull_figures(measurement)
    if scan is not None:
        yield "profile", profile_figure(scan, intervals=intervals)
    remark = "; ".join(measurement.certificate.remarks)
    if yields is not None:
        yield from _yields_figures(yields, remark, {s.name for s in spectra})
    finite = [s for s in spectra if np.all(np.isfinite([s.total, s.total_uncertainty]))]
    for name, spectrum in zip(file_names(s.name or "fit" for s in finite), finite, strict=True):
        yield f"density_{name}", density_figure(spectrum, remark=remark)


def _yields_figures(record: Yields, remark: str, without: Collection[str] = ()) -> Iterator[tuple[str, Figure]]:
    colours, stacks = sample_colours(record), stacks_of(record)
    drawn = [stack for stack in stacks if stack.prefit.name not in without]
    for name, stack in zip(file_names(stack.title for stack in drawn), drawn, strict=True):
        yield f"yields_{name}", rates_figure(stack, colours, remark=remark)


def _pull_figures(measurement: Measurement) -> Iterator[tuple[str, Figure]]:
    """The largest pulls, and all of them by name where there are more; none without constraints."""
    n_pulls = len(pulls_of(measurement))
    if n_pulls:
        yield "pulls", pulls_figure(measurement, top=TOP_PULLS)
    if n_pulls > TOP_PULLS:
        yield "pulls_all", pulls_figure(measurement, top=None, order="name")
