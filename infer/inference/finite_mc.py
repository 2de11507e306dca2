r"""Coverage where the templates themselves are samples: finite simulation, and how much more of it would do.

Templates of simulated events fluctuate.  The analyst sees one fluctuation and builds the likelihood from it; its
Jacobian, and with it the profile and the Hessian, then carry noise that the constraint terms of MC statistics
(Barlow & Beeston, "lite") account for in part only.  Noise in the derivatives looks like information: intervals
come out too short on average, always in the same direction (Alexe, Bendavid, Bianchini & Bruschini,
arXiv:2401.10542).  Toys that keep the templates cannot show it.

Here every toy has data from the given model, which plays the truth, and an analyst with new templates (see
`Likelihood.resimulated`).  The diagnostic of the paper is the scaling: with simulated samples so many times as
large, the effect has to fade, and where coverage comes back tells how much simulation is enough.  Beside the
coverage stand the mean uncertainty and the spread of the estimates, which approach one another from either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from infer.data import Data
from infer.errors import ParameterError
from infer.inference.campaigns import Columns, Run
from infer.inference.coverage import Coverage, CoverageAt, coverage
from infer.inference.ensembles import Ensemble
from infer.inference.fits import Settings
from infer.inference.profiles import ONE_SIGMA
from infer.likelihood import Likelihood
from infer.typing import Key


@dataclass(frozen=True, eq=False)
class FiniteMC:
    """Coverage with templates that fluctuate, by the size of the simulated samples.

    Attributes:
        scales: Sizes, in units of the samples that the model was made of, in increasing order.
        results: Coverage at each.
    """

    scales: tuple[float, ...]
    results: tuple[Coverage, ...]

    @property
    def n_failed(self) -> int:
        """Toys that no engine could fit, of all sizes."""
        return sum(result.n_failed for result in self.results)

    @property
    def columns(self) -> Columns:
        """One row a toy, of all sizes; the column ``mc_scale`` tells them apart."""
        parts = [{**r.columns, "mc_scale": np.full(len(r.columns["index"]), s)} for s, r in self._pairs]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @property
    def statements(self) -> tuple[str, ...]:
        """For each method, level and truth: what the present samples give, and how many would be enough."""
        return tuple(self._statement(number) for number in range(len(self.results[0].results)))

    @property
    def _pairs(self) -> list[tuple[float, Coverage]]:
        return list(zip(self.scales, self.results, strict=True))

    def _statement(self, number: int) -> str:
        by_scale = [(scale, result.results[number]) for scale, result in self._pairs]
        first = self.results[0]
        one = by_scale[0][1]
        where = f"{first.poi} = {one.truth:.4g}, {one.method} at {100 * one.cl:.4g} %"
        shares = ", ".join(f"{100 * r.coverage:.1f} % at {scale:g} x" for scale, r in by_scale)
        return f"{where}: {shares} the simulated events; {_enough(by_scale)}"

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer coverage --mc-scale --json``."""
        return {
            "poi": self.results[0].poi,
            "scales": list(self.scales),
            "results": [result.to_json_dict() for result in self.results],
            "statements": list(self.statements),
        }

    def __str__(self) -> str:
        """One sentence for each method, level and truth."""
        return "\n".join(self.statements)

    def table(self) -> str:
        """Sentences, and what becomes of the uncertainty."""
        heads = f"{'truth':>10} {'sigma':>10} {'spread':>10} {'sigma/spread':>13} {'bias':>10}"
        lines = [str(self), "", f"  {'MC scale':>9} {heads}"]
        for scale, result in self._pairs:
            for t in result.truths:
                numbers = f"{t.value:>10.4g} {t.sigma:>10.4g} {t.std:>10.4g} {t.sigma / t.std:>13.3f}"
                lines.append(f"  {scale:>9g} {numbers} {t.bias[0]:>+10.3g}")
        return "\n".join(lines)


def finite_mc(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    scales: Sequence[float] = (1.0, 4.0, 16.0),
    n_toys: int = 1000,
    poi: str | None = None,
    values: Sequence[float] | None = None,
    methods: Sequence[str] = ("profile",),
    cl: float | Sequence[float] = ONE_SIGMA,
    ensemble: Ensemble | Sequence[Ensemble] | None = None,
    settings: Settings | None = None,
    run: Run | None = None,
) -> FiniteMC:
    """Measure coverage with templates that fluctuate, for several sizes of the simulated samples.

    Args:
        likelihood: A likelihood that knows the size of its simulated samples.
        data: Observed data.
        key: Random key, shared by all sizes.
        scales: Sizes of the simulated samples, in units of those that the model was made of.
        n_toys: Toys of each truth and size.
        poi: Parameter of interest; None takes the declared one.
        values: Its truths; None takes the best fit to the observed data.
        methods: Interval methods, Feldman-Cousins excepted, whose critical values belong to one model.
        cl: Confidence levels.
        ensemble: What toys are drawn from.
        settings: Settings of the fits.
        run: Where toys are computed; with a folder, each size is kept in one of its own.

    Raises:
        ParameterError: A size is not positive, or as for `coverage`.
    """
    run = run or Run()
    if not scales or not all(np.isfinite(scale) and scale > 0.0 for scale in scales):
        raise ParameterError(f"sizes of simulated samples must be positive numbers, got {list(scales)}.")
    if "feldman-cousins" in methods:
        raise ParameterError(
            "critical values belong to one model, and here every toy has its own: leave out feldman-cousins."
        )
    ordered = tuple(sorted({float(scale) for scale in scales}))
    results = []
    for scale in ordered:
        folder = None if run.folder is None else run.folder / f"mc-{scale:g}"
        here = replace(run, folder=folder, resume=run.resume and folder is not None and folder.exists())
        results.append(
            coverage(
                likelihood,
                data,
                key=key,
                n_toys=n_toys,
                poi=poi,
                values=values,
                methods=methods,
                cl=cl,
                ensemble=ensemble,
                mc_scale=scale,
                settings=settings,
                run=here,
            )
        )
    return FiniteMC(ordered, tuple(results))


def _enough(by_scale: Sequence[tuple[float, CoverageAt]]) -> str:
    """From which size on there is no under-coverage."""
    bad = [i for i, (_, result) in enumerate(by_scale) if result.verdict == "under-covers"]
    if not bad:
        return "no under-coverage is seen"
    if bad[-1] == len(by_scale) - 1:
        return f"it under-covers up to {by_scale[-1][0]:g} x, so that more simulation than that is needed"
    return f"it under-covers up to {by_scale[bad[-1]][0]:g} x, and no longer from {by_scale[bad[-1] + 1][0]:g} x on"
