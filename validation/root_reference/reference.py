"""The stored values of ROOT: read them, and compare a log-likelihood with them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOMINAL = "nominal"


@dataclass(frozen=True)
class Fit:
    """ROOT's best fit, parameters by pyhf's names."""

    parameters: dict[str, float]
    uncertainties: dict[str, float]
    nll: float


@dataclass(frozen=True)
class Cls:
    """Asymptotic CLs of q_mu_tilde at `mu`, expected values at +2 ... -2 standard deviations of the test statistic."""

    mu: float
    q_mu_tilde: float
    q_mu_tilde_asimov: float
    observed: float
    expected: list[float]
    asymptotic_calculator: float
    """The observed value as RooStats::AsymptoticCalculator gives it, with its own tolerance and a single start."""


@dataclass(frozen=True)
class Stored:
    """What ROOT says about one workspace."""

    name: str
    points: dict[str, dict[str, float]]
    nll: dict[str, float]
    """-ln L at each named point, constants included."""
    fit: Fit
    cls: Cls

    @property
    def path(self) -> Path:
        """The workspace."""
        return HERE / "workspaces" / f"{self.name}.json"


def _stored(name: str, content: Mapping[str, Any]) -> Stored:
    points = content["points"]
    fit = {key: content["fit"][key] for key in ("parameters", "uncertainties", "nll")}
    return Stored(
        name,
        {key: point["parameters"] for key, point in points.items()},
        {key: point["nll"] for key, point in points.items()},
        Fit(**fit),
        Cls(**content["cls"]),
    )


@cache
def load() -> dict[str, Stored]:
    """All stored values by name of the workspace."""
    content = json.loads((HERE / "reference.json").read_text())
    return {name: _stored(name, entry) for name, entry in content["workspaces"].items()}


def relative_differences(stored: Stored, logpdf: Callable[[Mapping[str, float]], float]) -> dict[str, float]:
    """Relative deviation from ROOT of -ln L(point) + ln L(nominal), at every named point and at ROOT's best fit."""
    nll = stored.nll | {"fit": stored.fit.nll}
    points = stored.points | {"fit": stored.fit.parameters}
    nominal = -logpdf(points[NOMINAL])
    return {
        name: abs((-logpdf(point) - nominal) / (nll[name] - nll[NOMINAL]) - 1.0)
        for name, point in points.items()
        if name != NOMINAL
    }


def offset(stored: Stored, logpdf: Callable[[Mapping[str, float]], float]) -> float:
    """-ln L at the nominal point minus ROOT's."""
    return -logpdf(stored.points[NOMINAL]) - stored.nll[NOMINAL]
