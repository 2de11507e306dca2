"""What a HistFactory workspace says, as frozen records: no JAX, no parameters, no likelihood yet.

The words are pyhf's. Arrays are float64 with shape (n_bins,) of their channel and read-only; a
record that holds arrays compares by identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infer.documents import listed
from infer.errors import WorkspaceError

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NormFactor:
    """A free factor on all bins of the sample: rate × θ."""

    kind: ClassVar[str] = "normfactor"
    name: str


@dataclass(frozen=True, slots=True)
class ShapeFactor:
    """A free factor per bin: rate_b × θ_b."""

    kind: ClassVar[str] = "shapefactor"
    name: str


@dataclass(frozen=True, slots=True)
class Lumi:
    """The luminosity, a factor with a Gaussian constraint that the measurement declares."""

    kind: ClassVar[str] = "lumi"
    name: str


@dataclass(frozen=True, slots=True)
class NormSys:
    """A normalisation systematic: factors `lo` and `hi` (both > 0) at α = -1 and α = +1."""

    kind: ClassVar[str] = "normsys"
    name: str
    lo: float
    hi: float


@dataclass(frozen=True, eq=False, slots=True)
class HistoSys:
    """A shape systematic: the sample's rates are `lo` and `hi` at α = -1 and α = +1."""

    kind: ClassVar[str] = "histosys"
    name: str
    lo: Array
    hi: Array


@dataclass(frozen=True, eq=False, slots=True)
class ShapeSys:
    """An uncorrelated systematic: absolute `uncertainty` (>= 0) per bin, Poisson constraints."""

    kind: ClassVar[str] = "shapesys"
    name: str
    uncertainty: Array


@dataclass(frozen=True, eq=False, slots=True)
class StatError:
    """MC statistics: absolute `uncertainty` (>= 0) per bin, one Gaussian constraint per bin.

    All samples of a channel that carry the same name share one parameter per bin.
    """

    kind: ClassVar[str] = "staterror"
    name: str
    uncertainty: Array


Modifier: TypeAlias = NormFactor | ShapeFactor | Lumi | NormSys | HistoSys | ShapeSys | StatError


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One process in one channel: the nominal rates and what modifies them, in document order."""

    name: str
    nominal: Array
    modifiers: tuple[Modifier, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Channel:
    """One region: its samples in document order, all with the same number of bins."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def n_bins(self) -> int:
        """The number of bins."""
        return len(self.samples[0].nominal)


@dataclass(frozen=True, slots=True)
class ParameterConfig:
    """What a measurement sets for one parameter name; None where it says nothing.

    Attributes:
        name: the modifier name that the settings are for.
        inits: start values, one per component.
        bounds: (lower, upper) per component, lower < upper.
        auxdata: centres of the constraint terms, one per component.
        sigmas: widths of Gaussian constraints, > 0.
        factors: scale factors of Poisson constraints, > 0.
        fixed: hold all components at their start values.
    """

    name: str
    inits: tuple[float, ...] | None = None
    bounds: tuple[tuple[float, float], ...] | None = None
    auxdata: tuple[float, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    factors: tuple[float, ...] | None = None
    fixed: bool | None = None


@dataclass(frozen=True, slots=True)
class MeasurementConfig:
    """One measurement: its parameter of interest (None where the document has "") and its settings.

    `parameters` is read-only and keyed by parameter name; it may hold names that no modifier uses.
    """

    name: str
    poi: str | None
    parameters: Mapping[str, ParameterConfig] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Notice:
    """A named warning that travels with the model and ends in the certificate of its fits.

    Attributes:
        code: a stable name ("staterror-frozen"); `checks` and `settings` list them.
        message: one sentence with the place.
    """

    code: str
    message: str


@dataclass(frozen=True, eq=False, slots=True)
class Workspace:
    """A workspace that passed every check.

    Attributes:
        channels: sorted by name, as pyhf orders bins.
        observations: observed counts by channel name, each with shape (n_bins,), in the same order.
        measurements: in document order, at least one.
        notices: what is legal but should not stay silent.
    """

    channels: tuple[Channel, ...]
    observations: Mapping[str, Array]
    measurements: tuple[MeasurementConfig, ...]
    notices: tuple[Notice, ...]

    def measurement(self, name: str | None = None) -> MeasurementConfig:
        """Return the measurement called `name`, or the first one if `name` is None.

        Raises:
            WorkspaceError: there is no measurement of that name.
        """
        if name is None:
            return self.measurements[0]
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        names = listed(measurement.name for measurement in self.measurements)
        raise WorkspaceError(f"there is no measurement {name!r}; choose one of {names}")
