"""A submission to HEPData: tables and additional resources as YAML, as the schema 1.1.1 of HEPData wants them.

`tables_of` makes tables of records; `write_submission` writes them with ``submission.yaml`` into a folder, and the
folder into an archive.  The YAML is written here and not by hepdata-lib, which rounds covariances to five digits,
prints on standard output and leaves its archive in the working directory.  hepdata-validator, if it is installed,
checks what was written, with the schemas that it brings along.

A side of an interval that does not exist is written as ``''``, as HEPData does; uncertainties that are all zero are
left out.
"""

from __future__ import annotations

import math
import re
import shutil
import tarfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import yaml

from infer.documents import described, fail
from infer.errors import InputError, ParameterError
from infer.inference.fits import FitResult
from infer.inference.yields import ChannelYields, Yields
from infer.measurement import DEFINITIONS, Measurement, Uncertainty

FloatArray = npt.NDArray[np.float64]
Document: TypeAlias = dict[str, Any]

_NAME_LENGTH, _KEYWORD_LENGTH, _MEGABYTES = 64, 128, 10


@dataclass(frozen=True)
class About:
    """What a submission says of itself.

    Attributes:
        comment: Abstract, or what applies to all tables.
        location: Where the tables stand in the paper, such as ``Table 3``.
        cmenergies: Centre-of-mass energies in GeV.
        reactions: Such as ``P P --> TOP TOPBAR X``.
        observables: Such as ``SIG``.
        phrases: Free keywords.
        unit: Unit of the parameter of interest; empty takes the one that it declares.
    """

    comment: str
    location: str = ""
    cmenergies: Sequence[float] = ()
    reactions: Sequence[str] = ()
    observables: Sequence[str] = ()
    phrases: Sequence[str] = ()
    unit: str = ""

    def keywords(self) -> list[Document]:
        """As HEPData lists them.

        Raises:
            ParameterError: One is longer than HEPData allows, or an energy is not positive.
        """
        for energy in self.cmenergies:
            if not (math.isfinite(energy) and energy > 0.0):
                raise ParameterError(f"a centre-of-mass energy must be a positive number of GeV, got {energy!r}.")
        named = {
            "cmenergies": [float(e) for e in self.cmenergies],
            "reactions": list(self.reactions),
            "observables": list(self.observables),
            "phrases": list(self.phrases),
        }
        for word in (*self.reactions, *self.observables, *self.phrases):
            if not 0 < len(word) <= _KEYWORD_LENGTH:
                raise ParameterError(f"a keyword has 1 to {_KEYWORD_LENGTH} characters, got {len(word)}: {word!r}.")
        return [{"name": name, "values": values} for name, values in named.items() if values]


@dataclass(frozen=True)
class Column:
    """One variable of a table.

    Attributes:
        name: Of the variable.
        values: Entries, as HEPData writes them.
        unit: Unit; empty for none.
        qualifiers: Name and value of what holds for the whole column.
    """

    name: str
    values: Sequence[Document]
    unit: str = ""
    qualifiers: Mapping[str, str | float] = field(default_factory=dict)

    def document(self) -> Document:
        """As HEPData writes it."""
        header = {"name": self.name} | ({"units": self.unit} if self.unit else {})
        about = [{"name": name, "value": value} for name, value in self.qualifiers.items()]
        return {"header": header, **({"qualifiers": about} if about else {}), "values": list(self.values)}


@dataclass(frozen=True)
class Table:
    """One table of a submission.

    Attributes:
        name: At most 64 characters, its own.
        description: What it holds.
        independent: Columns that name the rows.
        dependent: Columns that were measured.
    """

    name: str
    description: str
    independent: Sequence[Column]
    dependent: Sequence[Column]

    @property
    def file(self) -> str:
        """Name of its file."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_") + ".yaml"

    def document(self) -> Document:
        """As HEPData writes it."""
        return {
            "independent_variables": [column.document() for column in self.independent],
            "dependent_variables": [column.document() for column in self.dependent],
        }


@dataclass(frozen=True)
class Resource:
    """A file beside the tables.

    Attributes:
        path: The file.
        description: What it is.
        kind: What HEPData calls its type, such as ``HistFactory``; empty for none.
    """

    path: Path
    description: str
    kind: str = ""


def plain(values: Iterable[str | float | int]) -> list[Document]:
    """Entries without uncertainties; what is not finite becomes ``-``, HEPData's word for a missing value."""
    return [{"value": v if isinstance(v, str) or math.isfinite(v) else "-"} for v in values]


def with_uncertainty(value: float, parts: Mapping[str, Uncertainty]) -> Document:
    """An entry with uncertainties by label; those that are zero or not known on both sides are left out."""
    errors = []
    for label, part in parts.items():
        minus, plus = _side(part.down), _side(part.up)
        if minus in ("", 0.0) and plus in ("", 0.0):
            continue
        same = minus == plus
        sides = {"symerror": plus} if same else {"asymerror": {"minus": _negative(minus), "plus": plus}}
        errors.append({**sides, "label": label})
    return plain([value])[0] | ({"errors": errors} if errors else {})


def _side(size: float | None) -> float | str:
    return "" if size is None or not math.isfinite(size) else float(size)


def _negative(size: float | str) -> float | str:
    return size if isinstance(size, str) else -size or 0.0  # not -0.0


def tables_of(
    measurement: Measurement,
    fitted: FitResult,
    *,
    unit: str = "",
    correlated: Sequence[str] | None = None,
    yields: Yields | None = None,
    coverage: Mapping[str, Any] | None = None,
    limit: Mapping[str, Any] | None = None,
) -> list[Table]:
    """Tables of a measurement and of what goes with it.

    Args:
        measurement: The result, with its error budget and pulls.
        fitted: The fit behind it, with its covariance.
        unit: Unit of the parameter of interest; empty takes the one that it declares.
        correlated: Parameters of the covariance and correlation tables; None takes all that the fit moved.
        yields: Events by channel and bin.
        coverage: What ``infer coverage --json`` says.
        limit: What ``infer limit --json`` says.

    Raises:
        ParameterError: A parameter is unknown, or the measurement has no certificate or is blinded.
        WorkspaceError: A record of coverage or limits lacks an entry.
    """
    if not measurement.certificate.trustworthy:
        reason = "; ".join(measurement.certificate.objections)
        raise ParameterError(f"a result that is not trustworthy is not published ({reason}); repair the fit first.")
    if measurement.certificate.blinded is not None:
        raise ParameterError(
            f"a blinded result is not published ({measurement.certificate.blinded}); unblind it first."
        )
    unit = unit or measurement.unit
    tables = [_result(measurement, unit), _budget(measurement, unit), _parameters(measurement)]
    tables += _matrices(fitted, correlated)
    if yields is not None:
        pairs = zip(yields.prefit.channels, yields.postfit.channels, strict=True)
        tables += [_yields(before, after) for before, after in pairs]
        tables.append(_bin_covariance(yields))
    if coverage is not None:
        tables.append(_coverage(coverage, unit))
    if limit is not None:
        tables.append(_limit(limit, unit))
    return tables


def _result(m: Measurement, unit: str) -> Table:
    """Value ± stat ± syst, and the total."""
    about: dict[str, str | float] = {"Interval": m.interval, "Confidence level": m.cl, "Definition": m.definition}
    if m.one_sided:
        about["Remark"] = "the best fit is at a bound of the parameter: one-sided"
    split = with_uncertainty(m.value, {"stat": m.stat, "syst": m.syst})
    total = with_uncertainty(m.value, {"total": m.total})
    text = (
        f"Measured value of {m.poi} with its statistical and systematic uncertainty, and with the total one. Parts of "
        f"the uncertainty: {DEFINITIONS[m.definition]}."
    )
    columns = [Column(m.poi, [split], unit, about), Column(f"{m.poi}, total uncertainty", [total], unit, about)]
    return Table("Result", text, [Column("Quantity", plain([m.poi]))], columns)


def _budget(m: Measurement, unit: str) -> Table:
    """Sources of uncertainty, down and up."""
    parts = [("stat", m.stat), *m.groups.items(), ("syst", m.syst), ("total", m.total)]
    sides = [
        Column(f"{m.poi}, {side}", plain(_number(getattr(u, side)) for _, u in parts), unit) for side in ("down", "up")
    ]
    text = f"Uncertainty of {m.poi} by source. Definition '{m.definition}': {DEFINITIONS[m.definition]}."
    return Table("Error budget", text, [Column("Source", plain(name for name, _ in parts))], sides)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _parameters(m: Measurement) -> Table:
    """Best fit, pull and constraint of every parameter."""
    found = m.parameters
    fits = [with_uncertainty(p.value, {"fit": Uncertainty(p.uncertainty, p.uncertainty)}) for p in found.values()]
    return Table(
        "Fitted parameters",
        "Best fit of every parameter. Pull: distance from the nominal value in standard deviations before the fit. "
        "Constraint: standard deviation after the fit over that before it.",
        [Column("Parameter", plain(found))],
        [
            Column("Best fit", fits),
            Column("Pull", plain(_number(p.pull) for p in found.values())),
            Column("Constraint", plain(_number(p.constraint) for p in found.values())),
        ],
    )


def _matrices(fitted: FitResult, chosen: Sequence[str] | None) -> list[Table]:
    """Covariance and correlation of parameters."""
    names = [n for n, free in zip(fitted.parameters.names, fitted.inactive, strict=True) if free]
    if chosen is not None:
        fitted.parameters.positions(tuple(chosen))
        lost = [name for name in chosen if name not in names]
        if lost:
            raise ParameterError(f"{', '.join(lost)} did not move in the fit and has no covariance; leave it out.")
        names = list(chosen)
    if not names:
        return []
    at = np.ix_(fitted.parameters.positions(tuple(names)), fitted.parameters.positions(tuple(names)))
    text = "of the fitted parameters, from the inverse Hessian of -ln L, without those that are fixed or at a bound."
    return [
        _square("Covariance of parameters", f"Covariance {text}", names, fitted.covariance[at], "Covariance"),
        _square("Correlation of parameters", f"Correlation {text}", names, fitted.correlation[at], "Correlation"),
    ]


def _square(name: str, text: str, labels: Sequence[str], matrix: FloatArray, what: str) -> Table:
    """A symmetric matrix, row by row."""
    rows = [row for row in labels for _ in labels]
    columns = list(labels) * len(labels)
    named = [Column("Row", plain(rows)), Column("Column", plain(columns))]
    return Table(name, text, named, [Column(what, plain(matrix.ravel().tolist()))])


def _yields(before: ChannelYields, after: ChannelYields) -> Table:
    """Observed events of a channel beside those of its samples, after the fit, and the total before it."""
    title = before.name or "all events"
    sums = (("pre-fit", before), ("post-fit", after))
    columns = [Column("Observed", plain(after.counts.tolist()))]
    for stage, c in sums:
        columns.append(Column(f"Expected, {stage}", _uncertain(c.total, c.total_uncertainty)))
    for sample, rate in after.samples.items():
        columns.append(Column(f"{sample}, post-fit", _uncertain(rate, after.sample_uncertainties[sample])))
    bins = Column("Bin", plain(range(after.counts.size)))
    text = f"Events in channel {title}, by bin: observed, expected before and after the fit, and by sample after it."
    return Table(_shortened(f"Yields {title}"), text, [bins], columns)


def _uncertain(values: FloatArray, sigmas: FloatArray) -> list[Document]:
    pairs = zip(values.tolist(), sigmas.tolist(), strict=True)
    return [with_uncertainty(value, {"total": Uncertainty(sigma, sigma)}) for value, sigma in pairs]


def _bin_covariance(yields: Yields) -> Table:
    labels = [f"{c.name}[{i}]" for c in yields.postfit.channels for i in range(c.total.size)]
    text = "Covariance of the expected events of all bins after the fit."
    return _square("Covariance of yields", text, labels, yields.postfit.covariance, "Covariance")


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 3] + "..."


def _coverage(record: Mapping[str, Any], unit: str) -> Table:
    """How often intervals contain the truth, on toys."""
    place = "the coverage record"
    rows = [
        (result, point)
        for result in _entry(record, "results", list, place)
        for point in _entry(result, "points", list, place)
    ]
    if not rows:
        raise fail(place, "it has no points", "give what 'infer coverage --json' printed")
    poi = _entry(record, "poi", str, place)
    measured = []
    for _, point in rows:
        low, high = _entry(point, "clopper_pearson", list, place)
        value = float(_entry(point, "coverage", float, place))
        measured.append(with_uncertainty(value, {"Clopper-Pearson": Uncertainty(value - low, high - value)}))
    named = [
        Column(f"True {poi}", plain(float(_entry(p, "truth", float, place)) for _, p in rows), unit),
        Column("Method", plain(_entry(r, "method", str, place) for r, _ in rows)),
        Column("Confidence level", plain(float(_entry(r, "cl", float, place)) for r, _ in rows)),
    ]
    toys = [
        Column(name, plain(float(_entry(p, key, int, place)) for _, p in rows))
        for name, key in (("Toys", "n"), ("Failed toys", "n_failed"))
    ]
    text = f"Share of toys whose interval contains the true {poi}."
    return Table("Coverage", text, named, [Column("Coverage", measured), *toys])


def _limit(record: Mapping[str, Any], unit: str) -> Table:
    """Observed and expected upper limits."""
    place = "the limit record"
    poi, cl = _entry(record, "poi", str, place), float(_entry(record, "cl", float, place))
    bands = _entry(record, "expected", list, place)
    names = ["observed", *(f"expected {n:+d} sigma" for n in range(-2, 3))]
    values = [record.get("observed"), *bands]
    if len(values) != len(names):
        raise fail(place, f"expected has {len(bands)} entries, wanted 5", "give what 'infer limit --json' printed")
    about: dict[str, str | float] = {
        "Confidence level": cl,
        "Statistic": _entry(record, "statistic", str, place),
        "Distributions": _entry(record, "reference", str, place),
    }
    column = Column(f"Upper limit on {poi}", plain(_number(v) for v in values), unit, about)
    return Table("Upper limits", f"Upper limits on {poi} by CLs.", [Column("Limit", plain(names))], [column])


def _entry(record: Any, key: str, kind: type, place: str) -> Any:
    """An entry of a record of a certain type; whole numbers are numbers."""
    value = record.get(key) if isinstance(record, Mapping) else None
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if isinstance(value, bool) or not isinstance(value, accepted):
        problem = f"{key} is {described(value)}, expected {kind.__name__}"
        raise fail(place, problem, "give what the command printed with --json")
    return value


@dataclass(frozen=True)
class Submission:
    """What was written.

    Attributes:
        folder: The submission.
        archive: The same, packed.
        validated: Whether hepdata-validator was installed, and has no objections.
    """

    folder: Path
    archive: Path
    validated: bool


def write_submission(
    folder: Path, tables: Sequence[Table], *, about: About, resources: Sequence[Resource] = ()
) -> Submission:
    """Write a submission, all of it or nothing.

    Args:
        folder: Where ``submission`` (a folder) and ``submission.tar.gz`` go; made if it is not there.
        tables: Tables, with names of their own.
        about: What the submission says of itself.
        resources: Files to put beside the tables.

    Raises:
        InputError: The folder cannot be written, or a folder ``submission`` is there that is none.
        ParameterError: Two tables have one name, or a table or file is too large for HEPData.
    """
    documents = list(_documents(tables, about, resources))
    target, archive, stage = folder / "submission", folder / "submission.tar.gz", folder / "submission.part"
    if target.exists() and not (target / "submission.yaml").is_file():
        raise InputError(f"{target} is there and holds no submission.yaml; move it away, or give another folder.")
    try:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        for table in tables:
            _write_yaml(stage / table.file, [table.document()])
        for resource in resources:
            shutil.copyfile(resource.path, stage / resource.path.name)
        _write_yaml(stage / "submission.yaml", documents)
        _check_sizes(stage)
        validated = validate(stage)
        part = archive.with_name(archive.name + ".part")
        with tarfile.open(part, "w:gz") as packed:
            for file in sorted(stage.iterdir()):
                packed.add(file, arcname=file.name)
        part.replace(archive)
        shutil.rmtree(target, ignore_errors=True)
        stage.replace(target)
    except OSError as problem:
        raise InputError(f"{folder}: the submission cannot be written there ({problem.strerror}).") from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return Submission(target, archive, validated)


def _documents(tables: Sequence[Table], about: About, resources: Sequence[Resource]) -> Iterator[Document]:
    """What stands in ``submission.yaml``: one document on everything, and one for each table."""
    files = [table.file for table in tables] + [resource.path.name for resource in resources]
    twice = sorted({file for file in files if files.count(file) > 1})
    if twice:
        raise ParameterError(f"two parts of a submission would be written to {twice[0]}; rename one of them.")
    extra = [
        {"location": r.path.name, "description": r.description} | ({"type": r.kind} if r.kind else {})
        for r in resources
    ]
    yield {"comment": about.comment} | ({"additional_resources": extra} if extra else {})
    keywords = about.keywords()
    for table in tables:
        yield {
            "name": table.name,
            "description": table.description,
            **({"location": about.location} if about.location else {}),
            "keywords": keywords,
            "data_file": table.file,
        }


def _write_yaml(path: Path, documents: Sequence[Document]) -> None:
    text = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, explicit_start=True)
    path.write_text(text, encoding="utf-8")


def _check_sizes(folder: Path) -> None:
    for file in folder.glob("*.yaml"):
        size = file.stat().st_size
        if size > _MEGABYTES * 2**20:
            raise ParameterError(
                f"{file.name} has {size / 2**20:.1f} MB and HEPData takes {_MEGABYTES}; choose fewer parameters for "
                "the covariance (correlated=..., --parameter)."
            )


def validate(folder: Path) -> bool:
    """Check a submission with hepdata-validator; False where that is not installed.

    Raises:
        InputError: The validator has objections.
    """
    with warnings.catch_warnings():
        for nuisance in (DeprecationWarning, ResourceWarning):  # of the validator, which leaves files open
            warnings.simplefilter("ignore", nuisance)
        try:
            from hepdata_validator.full_submission_validator import FullSubmissionValidator
        except ImportError:
            return False
        validator = FullSubmissionValidator(autoload_remote_schemas=False)
        valid = validator.validate(directory=str(folder))
    if not valid:
        found = [m.message for messages in validator.get_messages().values() for m in messages]
        first = " ".join(str(found[0]).split()) if found else "no reason given"
        raise InputError(f"hepdata-validator refuses the submission: {first}")
    return True
