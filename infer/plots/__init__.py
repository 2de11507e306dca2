"""Figures, made from result records and from nothing else: the only matplotlib in the package.

==========================  =======================================  ===============================
figure                       record                                   function
==========================  =======================================  ===============================
error budget                 `Measurement`                            `budget.budget_figure`
pulls and constraints        `Measurement`                            `pulls.pulls_figure`
profile likelihood           `Scan`, `Interval`                       `profile.profile_figure`
data and rates by channel    `RatesRecord` (HistFactory)              `rates.rates_figure`
published measurements       `MeasuredValue`, `Measurement`           `measurements.measurements_figure`
events and fitted density    `Spectrum` (parametric)                  `density.density_figure`
==========================  =======================================  ===============================

Every function returns a `matplotlib.figure.Figure` that is tied to no window and no global state;
`save_measurement_figures` stores all that a measurement has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from infer.inference.profiles import Interval, Scan
from infer.likelihoods.gaussian.summary import MeasuredValue
from infer.likelihoods.histfactory.rates import RatesRecord
from infer.likelihoods.parametric.spectrum import Spectrum
from infer.measurement import Measurement
from infer.plots.budget import budget_figure
from infer.plots.density import density_figure
from infer.plots.measurements import measurements_figure
from infer.plots.profile import profile_figure
from infer.plots.pulls import pulls_figure, pulls_of
from infer.plots.rates import rates_figure, sample_colours, stacks_of
from infer.plots.style import FORMATS, file_names, save_figure

__all__ = [
    "budget_figure",
    "density_figure",
    "measurements_figure",
    "profile_figure",
    "pulls_figure",
    "rates_figure",
    "sample_colours",
    "save_measurement_figures",
    "stacks_of",
]

TOP_PULLS = 60
"""Most parameters in the figure of pulls; where there are more, a second one has them all."""


def save_measurement_figures(
    directory: str | Path,
    *,
    measurement: Measurement,
    scan: Scan | None = None,
    intervals: Sequence[Interval] = (),
    rates: RatesRecord | None = None,
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
        rates: Rates of a HistFactory model before and after the fit: a figure per channel.
        measured: Published measurements that went into the measurement.
        combinations: Their partial combinations by name.
        spectra: Events and fitted densities of parametric likelihoods: a figure each.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files, in the order in which one would read them.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, figure in _figures(measurement, scan, intervals, rates, measured, combinations, spectra):
        written += save_figure(figure, folder, name, formats)
    return written


def _figures(
    measurement: Measurement,
    scan: Scan | None,
    intervals: Sequence[Interval],
    rates: RatesRecord | None,
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
    remark = "; ".join(measurement.certificate.objections)
    if rates is not None:
        colours, stacks = sample_colours(rates), stacks_of(rates)
        for name, stack in zip(file_names(stack.title for stack in stacks), stacks, strict=True):
            yield f"rates_{name}", rates_figure(stack, colours, remark=remark)
    finite = [s for s in spectra if np.all(np.isfinite([s.total, s.total_uncertainty]))]
    for name, spectrum in zip(file_names(s.name or "fit" for s in finite), finite, strict=True):
        yield f"density_{name}", density_figure(spectrum, remark=remark)


def _pull_figures(measurement: Measurement) -> Iterator[tuple[str, Figure]]:
    """The largest pulls, and all of them by name where there are more; none without constraints."""
    n_pulls = len(pulls_of(measurement))
    if n_pulls:
        yield "pulls", pulls_figure(measurement, top=TOP_PULLS)
    if n_pulls > TOP_PULLS:
        yield "pulls_all", pulls_figure(measurement, top=None, order="name")
