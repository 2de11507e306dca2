"""Rules for a measurement: its parameter of interest and its settings must fit the modifiers.

What may be set, and what holds otherwise (`required_parset` in `pyhf.modifiers`, version 0.7.6)::

    modifier            init  bounds         settings besides inits, bounds, fixed
    normfactor          1     (0, 10)
    shapefactor         1     (0, 10)
    normsys, histosys   0     (-5, 5)        auxdata
    staterror           1     (1e-10, 10)    auxdata, sigmas
    shapesys            1     (1e-10, 10)    auxdata, factors
    lumi                -     -              auxdata, sigmas: both must be given

pyhf has no start value and no bounds for lumi and fails late without them; its own comment means
the auxdata a and (0, 10 a), which are used here.

pyhf lets ``fixed: false`` free the components of a staterror or shapesys that it froze itself, with
an invented uncertainty of 100 %; here that is an error.

Notices: ``unused-parameter-setting``, ``poi-fixed``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infer.documents import fail, listed
from infer.likelihoods.histfactory.checks import ParameterSet
from infer.likelihoods.histfactory.records import MeasurementConfig, Notice, ParameterConfig


@dataclass(frozen=True, slots=True)
class _Defaults:
    """pyhf's start value and bounds of a modifier type, and the constraint settings it takes."""

    init: float
    bounds: tuple[float, float]
    settings: tuple[str, ...] = ()


_FREE = _Defaults(1.0, (0.0, 10.0))
_DEFAULTS = {
    "normfactor": _FREE,
    "shapefactor": _FREE,
    "normsys": _Defaults(0.0, (-5.0, 5.0), ("auxdata",)),
    "staterror": _Defaults(1.0, (1e-10, 10.0), ("auxdata", "sigmas")),
    "shapesys": _Defaults(1.0, (1e-10, 10.0), ("auxdata", "factors")),
}


def check_measurement(
    measurement: MeasurementConfig,
    sets: Mapping[str, ParameterSet],
    source: str,
) -> list[Notice]:
    """Check a measurement against the parameters of the workspace and return its notices.

    Raises:
        WorkspaceError: the parameter of interest is not a scalar parameter of the workspace, the
            luminosity is not declared, or a setting does not fit its parameter.
    """
    place = f"{source}: measurement {measurement.name!r}"
    _check_poi(measurement, sets, place)
    if "lumi" in sets and sets["lumi"].kind == "lumi":
        _check_lumi(measurement.parameters.get("lumi"), place)
    notices = []
    unused = [name for name in measurement.parameters if name not in sets]
    if unused:
        message = f"{place}: settings for {listed(unused)}, which no modifier uses"
        notices.append(Notice("unused-parameter-setting", message))
    for name, config in measurement.parameters.items():
        if name in sets:
            _check_setting(config, sets[name], f"{place}, parameter {name!r}")
            if name == measurement.poi and config.fixed:
                message = f"{place}: the parameter of interest {name!r} is fixed"
                notices.append(Notice("poi-fixed", message))
    return notices


def _check_poi(
    measurement: MeasurementConfig,
    sets: Mapping[str, ParameterSet],
    place: str,
) -> None:
    poi = measurement.poi
    if poi is None:
        return
    if poi not in sets:
        remedy = "apply the patch that adds the signal, correct the name, or write '' for none"
        raise fail(place, f"poi is {poi!r}, which no modifier of any sample is called", remedy)
    if sets[poi].kind in ("shapefactor", "shapesys", "staterror"):
        problem = f"poi is {poi!r}, a {sets[poi].kind} with one parameter per bin"
        raise fail(place, problem, "choose a normfactor")


def _check_lumi(config: ParameterConfig | None, place: str) -> None:
    needed = ("auxdata", "sigmas")
    missing = [field for field in needed if config is None or getattr(config, field) is None]
    if missing:
        problem = f"samples use lumi, but its {' and '.join(missing)} are not in parameters"
        remedy = "add an entry such as {'name': 'lumi', 'auxdata': [1.0], 'sigmas': [0.02]}"
        raise fail(place, problem, remedy)


def _check_setting(config: ParameterConfig, target: ParameterSet, place: str) -> None:
    defaults = _lumi_defaults(config) if target.kind == "lumi" else _DEFAULTS[target.kind]
    for field in ("auxdata", "sigmas", "factors"):
        values = getattr(config, field)
        if values is not None and field not in defaults.settings:
            problem = f"a {target.kind} has no {field}"
            raise fail(place, problem, f"remove {field}")
    for field in ("inits", "bounds", "auxdata", "sigmas", "factors"):
        values = getattr(config, field)
        if values is not None and len(values) != target.size:
            problem = f"{field} has {len(values)} entries, expected {target.size}"
            raise fail(place, f"{problem} (the parameter's components)", "give one per component")
    _check_positive(config.sigmas, "sigmas", place)
    _check_positive(config.factors, "factors", place)
    _check_start(config, target, defaults, place)
    if config.fixed is False and target.frozen:
        problem = f"fixed is false, but component {target.frozen[0]} has no rate or no uncertainty"
        raise fail(place, problem, "leave fixed out: it is held at 1, the others float")


def _lumi_defaults(config: ParameterConfig) -> _Defaults:
    """Return start value and bounds of the luminosity; its auxdata are known to be there."""
    centre = config.auxdata[0] if config.auxdata else 1.0
    return _Defaults(centre, (0.0, 10.0 * centre), ("auxdata", "sigmas"))


def _check_positive(values: Sequence[float] | None, field: str, place: str) -> None:
    for index, value in enumerate(values or ()):
        if value <= 0:
            problem = f"{field}[{index}] is {value:g}, expected a number above 0"
            raise fail(place, problem, "to hold the parameter write fixed: true")


def _check_start(
    config: ParameterConfig,
    target: ParameterSet,
    defaults: _Defaults,
    place: str,
) -> None:
    """Raise if a start value, given or default, is outside its bounds, given or default."""
    if config.inits is None and config.bounds is None:
        return
    inits = config.inits or (defaults.init,) * target.size
    bounds = config.bounds or (defaults.bounds,) * target.size
    for index, (init, (lower, upper)) in enumerate(zip(inits, bounds, strict=True)):
        if not lower <= init <= upper:
            given = f"inits[{index}]" if config.inits else "the default start value"
            limits = f"bounds[{index}]" if config.bounds else "the default bounds"
            problem = f"{given} is {init:g}, outside {limits} [{lower:g}, {upper:g}]"
            raise fail(place, problem, "set inits and bounds that agree")
