"""From a fitted likelihood to a simplified one, with what it changes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import Settings
from infer.io.simplified import parse_simplified
from infer.likelihood import Likelihood
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.simplified.difference import Difference, difference
from infer.simplified.expansion import expand
from infer.simplified.forms import Form, covariance_form, linear_form
from infer.simplified.skewed import skewed_form
from infer.typing import Key

FORMS = ("covariance", "linear", "skewed")


@dataclass(frozen=True, eq=False)
class Simplified:
    """A simplified likelihood beside the full one.

    Attributes:
        form: ``covariance``, ``linear`` or ``skewed``; see `infer.simplified.forms` and `infer.simplified.skewed`.
        at: Point of expansion: ``best-fit`` or ``background``.
        poi: Parameter of interest.
        contents: The workspace, and what stands in it bin by bin.
        difference: What it changes.
        notices: What a reader should know.
        seconds: Wall-clock time in seconds.
    """

    form: str
    at: str
    poi: str
    contents: Form
    difference: Difference
    notices: tuple[str, ...]
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """The simplified likelihood: a pyhf workspace, or of the format ``infer-simplified`` in the skewed form."""
        return self.contents.document

    @property
    def trustworthy(self) -> bool:
        """Whether every fit behind the stated difference has its certificate."""
        return self.difference.trustworthy

    def likelihood(self) -> tuple[Likelihood, Data]:
        """The simplified likelihood and its data."""
        return _built(self.document)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer simplify --json``."""
        form = self.contents
        return {
            "form": self.form,
            "at": self.at,
            "poi": self.poi,
            "channels": list(dict.fromkeys(form.channels)),
            "absorbed": list(form.absorbed),
            "bins": [
                {
                    "channel": channel,
                    "bin": bin,
                    "observed": float(form.observed[i]),
                    "background": float(form.background[i]),
                    "uncertainty": float(np.sqrt(form.covariance[i, i])),
                    "postfit": float(form.postfit[i]),
                    "signal": float(form.signal[i]),
                }
                for i, (channel, bin) in enumerate(zip(form.channels, form.bins, strict=True))
            ],
            "covariance": form.covariance.tolist(),
            "difference": self.difference.to_json_dict(),
            "notices": list(self.notices),
            "seconds": self.seconds,
        }

    def yields_csv(self) -> str:
        """Bins as comma-separated values: observed, background with its uncertainty, post-fit, signal."""
        form = self.contents
        sigma = np.sqrt(np.diagonal(form.covariance))
        columns = (form.observed, form.background, sigma, form.postfit, form.signal)
        lines = ["channel,bin,observed,background,uncertainty,postfit,signal"]
        for i, (channel, bin) in enumerate(zip(form.channels, form.bins, strict=True)):
            lines.append(",".join([_quoted(channel), str(bin), *(f"{column[i]:.10g}" for column in columns)]))
        return "\n".join(lines) + "\n"

    def covariance_csv(self) -> str:
        """The covariance of the background as comma-separated values, with a line and a column for each bin."""
        form = self.contents
        names = [_quoted(f"{c}[{b}]") for c, b in zip(form.channels, form.bins, strict=True)]
        rows = zip(names, form.covariance, strict=True)
        lines = [",".join(["", *names]), *(",".join([n, *(f"{x:.10g}" for x in row)]) for n, row in rows)]
        return "\n".join(lines) + "\n"

    def table(self) -> str:
        """What was kept, and the stated difference, as plain text."""
        form = self.contents
        names = list(dict.fromkeys(form.channels))
        head = f"Simplified likelihood ({self.form} form, expanded at {self.at}): {len(form.channels)} bins of "
        lines = [head + f"{len(names)} channels, {len(form.absorbed)} channels absorbed.", ""]
        return "\n".join([*lines, self.difference.table(), *(f"Note: {text}" for text in self.notices)])


def _built(document: dict[str, Any]) -> tuple[Likelihood, Data]:
    """The likelihood and data of a simplified document."""
    if "format" in document:
        return parse_simplified(document)
    return HistFactory.of(parse_workspace(document, source="simplified workspace"))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text


def simplify(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    form: str = "covariance",
    at: str = "best-fit",
    keep: Sequence[str] | None = None,
    points: int = 17,
    limits: bool = True,
    key: Key | None = None,
    settings: Settings | None = None,
) -> Simplified:
    """A simplified likelihood of a likelihood of counts, and what it changes.

    Args:
        likelihood: Any likelihood whose main data are counts in bins.
        data: Data for it.
        poi: Parameter of interest; None takes the declared one.
        form: ``covariance``: bins with a covariance in place of nuisance parameters; ``linear``: all nuisance
            parameters, each on a straight line; ``skewed``: bins with covariance and third moments.
        at: Where to expand: ``best-fit``, or ``background``, the best fit without signal.
        keep: Channels whose bins stay in the covariance and skewed forms, the others being absorbed; None keeps those
            with a percent or more of the information on the parameter of interest.
        points: Points at which the profiles are compared.
        limits: Compare upper limits, too.
        key: Random key of the draws behind the third moments; the skewed form needs one.
        settings: Settings of the fits of the full likelihood.

    Raises:
        ParameterError: A name, form or point is unknown, the main data are no counts, or the form cannot hold the
            likelihood.
        InputError: A bin is more skewed than the skewed form can be.
        UntrustworthyError: The fit to expand about has no certificate.
    """
    began = time.perf_counter()
    _check(form, keep, points, key)
    settings = settings or Settings()
    expansion = expand(likelihood, data, poi=poi, at=at, settings=settings)
    if key is not None:
        made = skewed_form(likelihood, data, expansion, keep, key=key)
    elif form == "linear":
        made = linear_form(likelihood, data, expansion)
    else:
        made = covariance_form(likelihood, data, expansion, keep)
    reduced = _built(made.document)
    changed = difference(
        (likelihood, data), reduced, poi=expansion.poi, settings=settings, n_points=points, limits=limits
    )
    held = expansion.fitted.certificate.at_bound
    bound = [name for name in held if name != expansion.poi]
    notices = [*made.remarks, *reduced[0].remarks]
    if bound:
        notices.append(f"parameters at a bound stay there: {', '.join(bound)}")
    return Simplified(form, at, expansion.poi, made, changed, tuple(notices), time.perf_counter() - began)


def _check(form: str, keep: Sequence[str] | None, points: int, key: Key | None) -> None:
    if form not in FORMS:
        raise ParameterError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    if form == "linear" and keep is not None:
        raise ParameterError("the linear form keeps all channels; leave keep out, or choose the covariance form.")
    if points < 2:
        raise ParameterError(f"profiles are compared at two points or more, got {points}.")
    if (form == "skewed") != (key is not None):
        raise ParameterError(
            "the skewed form, and no other, draws random numbers: pass key=jax.random.key(1) together with "
            f"form='skewed', got form {form!r}."
        )
