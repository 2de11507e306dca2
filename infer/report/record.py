"""What a report holds: the records of every inference that was made, and why others were not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from infer.inference.fits import FitResult
from infer.inference.goodness import Goodness
from infer.inference.hypotheses import Significance
from infer.inference.impacts import Impacts
from infer.inference.limits import UpperLimit
from infer.inference.profiles import Interval, Scan
from infer.inference.yields import Yields
from infer.inspection import Inspection
from infer.likelihoods.gaussian.summary import MeasuredValue
from infer.likelihoods.parametric.spectrum import Spectrum
from infer.measurement import CoverageRecord, Measurement


@dataclass(frozen=True, eq=False)
class Report:
    """A measurement with everything that one would ask about it.

    Attributes:
        title: Heading of the page.
        measurement: The line, its certificate and its error budget.
        fit: Best fit, with the correlations of all parameters.
        inspection: What the likelihood contains.
        scan: Profile likelihood of the parameter of interest; None where it was not made.
        intervals: Of the parameter of interest, to be marked in the scan.
        impacts: Ranking of all nuisance parameters, with pulls and constraints; None where it was not made.
        yields: Events by channel before and after the fit, beside the data; None where nothing is counted.
        spectra: Events and fitted densities of parametric likelihoods.
        measured: Published measurements that were combined.
        combinations: Their partial combinations, by name.
        goodness: Whether the best fit describes the data; None where it was not tested.
        coverage: Whether intervals cover, one record for each method and confidence level.
        limit: Upper limit; None where none was asked for.
        significance: Significance of a discovery; None likewise.
        left_out: Sections that are not there, each with the reason in one clause.
        provenance: Where the numbers come from, as text by key.
        source: What messages call the input, such as its path; only its last part is ever shown.
        seconds: Wall-clock time of the inference in seconds.
    """

    title: str
    measurement: Measurement
    fit: FitResult
    inspection: Inspection
    scan: Scan | None = None
    intervals: tuple[Interval, ...] = ()
    impacts: Impacts | None = None
    yields: Yields | None = None
    spectra: tuple[Spectrum, ...] = ()
    measured: tuple[MeasuredValue, ...] = ()
    combinations: Mapping[str, Measurement] = field(default_factory=dict)
    goodness: Goodness | None = None
    coverage: tuple[CoverageRecord, ...] = ()
    limit: UpperLimit | None = None
    significance: Significance | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    seconds: float = 0.0

    @property
    def trustworthy(self) -> bool:
        """Whether the measurement may be quoted, and everything that was asked for beside it was found."""
        return not self.objections

    @property
    def objections(self) -> tuple[str, ...]:
        """Every reason not to believe the report, each a clause that names what it is about."""
        found = [f"the fit is {o}" if o.startswith("not ") else o for o in self.measurement.certificate.objections]
        if found:
            return tuple(found)
        if self.limit is not None and self.limit.observed is None:
            found += [f"the limit was not found: {o}" for o in self.limit.certificate.objections or ("no crossing",)]
        if self.significance is not None and self.significance.observed is None:
            found += [f"there is no significance: {o}" for o in self.significance.certificate.objections]
        return tuple(found)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer report --json``."""
        record = {
            "title": self.title,
            "text": str(self.measurement),
            "trustworthy": self.trustworthy,
            "objections": list(self.objections),
            "measurement": self.measurement.to_json_dict(),
            "impacts": _json(self.impacts),
            "scan": _json(self.scan),
            "goodness": _json(self.goodness),
            "coverage": [dataclasses.asdict(record) for record in self.coverage],
            "limit": _json(self.limit),
            "significance": _json(self.significance),
            "inspection": self.inspection.to_json_dict(),
            "left_out": dict(self.left_out),
            "provenance": dict(self.provenance),
            "seconds": self.seconds,
        }
        found: dict[str, Any] = self.without_folders(record)
        return found

    def without_folders(self, value: Any) -> Any:
        """Text, or a JSON value, in which the input goes by its last part: where it lay is nobody's business."""
        if isinstance(value, dict):
            return {key: self.without_folders(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self.without_folders(entry) for entry in value]
        if isinstance(value, str) and self.source:
            return value.replace(self.source, PurePath(self.source).name)
        return value

    def __str__(self) -> str:
        """The one line, or why there is none."""
        return str(self.measurement)


def _json(record: Any) -> dict[str, Any] | None:
    return None if record is None else record.to_json_dict()
