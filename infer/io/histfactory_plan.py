"""How a pyhf workspace is laid out as a HistFactory model: names in ROOT, StatErrors, settings of measurements.

A channel has one set of StatErrors in HistFactory. Where a channel has several staterrors, the one that samples
share is it; those of a single sample become ShapeSys with a Gaussian constraint, which is the same function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from infer.documents import fail, listed
from infer.io.histfactory_extras import SETTINGS, Sidecar, StatConfig, StatConfigs
from infer.io.root_names import Gammas, parameter_names, safe_names, shape_names, stat_names

Document: TypeAlias = dict[str, Any]
Factors: TypeAlias = dict[str, tuple[float, float, float]]

_SCALARS = ("normfactor", "normsys", "histosys")
_PREFIXES = ("alpha_", "gamma_", "nom_")  # of ROOT's own parameters
_SHOWN = 4


@dataclass(frozen=True)
class Plan:
    """The layout.

    Attributes:
        safe: by kind (channels, samples, modifiers, measurements), names in ROOT by name.
        shapes: names in ROOT of bin-by-bin modifiers, by channel and name.
        stat: by channel, its StatErrorConfig; none where it has no StatError.
        kinds: by name, types of modifiers.
        parameters: by name, the names of its parameters in ROOT.
        lumi: what ROOT multiplies samples without the luminosity by.
        remarks: what is to be said of it.
    """

    safe: Mapping[str, Mapping[str, str]]
    shapes: Mapping[tuple[str, str], str]
    stat: StatConfigs
    kinds: Mapping[str, str]
    parameters: Mapping[str, list[str]]
    lumi: float
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, workspace: Document, given: StatConfigs, source: str) -> Plan:
        """Lay out a valid workspace that came with certain StatErrorConfigs.

        Raises:
            WorkspaceError: It has what HistFactory cannot say.
        """
        channels = workspace["channels"]
        stat = {c["name"]: found for c in channels if (found := _stat_of(c, given.get(c["name"]), source))}
        safe = {
            "channels": safe_names(channel["name"] for channel in channels),
            "samples": safe_names(sample["name"] for channel in channels for sample in channel["samples"]),
            "measurements": safe_names(measurement["name"] for measurement in workspace["measurements"]),
        }
        kinds = {m["name"]: m["type"] for _, _, m in uses(workspace)}
        keys = _shape_keys(workspace, stat)
        scalars = {name: _apart(name, kind) for name, kind in kinds.items() if kind in _SCALARS}
        roots = safe_names([*scalars.values(), *keys.values()])
        safe["modifiers"] = {name: roots[key] for name, key in scalars.items()}
        shapes = {use: roots[key] for use, key in keys.items()}
        plan = cls(safe, shapes, stat, kinds, {}, _luminosity(workspace, source))
        return replace(plan, parameters=_parameters(workspace, plan), remarks=tuple(_remarks(workspace, plan)))

    def is_stat(self, channel: str, modifier: str) -> bool:
        """Whether a modifier is the StatError of a channel."""
        return channel in self.stat and self.stat[channel].modifier == modifier

    def factors(self, measurement: Document) -> Factors:
        """Start value and range of all NormFactors in a measurement."""
        configs = _configs(measurement)
        found = {}
        for name, kind in self.kinds.items():
            if kind == "normfactor":
                config = configs.get(name, {})
                low, high = config.get("bounds", [[0.0, 10.0]])[0]
                found[name] = (float(config.get("inits", [1.0])[0]), float(low), float(high))
        return found

    def luminosity(self, measurement: Document) -> tuple[float, float]:
        """Value and relative uncertainty of the luminosity; 1 and 0 where no sample has it."""
        if "lumi" not in self.kinds:
            return 1.0, 0.0
        config = _configs(measurement)["lumi"]
        return float(config["auxdata"][0]), config["sigmas"][0] / config["auxdata"][0]

    def param_settings(self, measurement: Document) -> dict[tuple[float | None, bool], list[str]]:
        """Names in ROOT by start value, None where it is not set, and whether they are held."""
        found: dict[tuple[float | None, bool], list[str]] = {}
        for name, config in _configs(measurement).items():
            if name not in self.kinds:
                continue
            held, default = bool(config.get("fixed", False)), self._default(name, config)
            starts = config.get("inits", []) if self.kinds[name] != "normfactor" else []
            for i, root in enumerate(self.parameters[name]):
                value = float(starts[i]) if i < len(starts) and starts[i] != default else None
                if held or value is not None:
                    found.setdefault((value, held), []).append(root)
        return found

    def _default(self, name: str, config: Document) -> float:
        if self.kinds[name] == "lumi":
            return float(config["auxdata"][0])
        return 0.0 if self.kinds[name] in ("normsys", "histosys") else 1.0

    def sidecar(self, workspace: Document, files: Sequence[str]) -> Sidecar:
        """What XML cannot say."""
        original = {key: name for (_, name), key in self.shapes.items()}
        names = {
            kind: {safe: name for name, safe in found.items() if safe != name} for kind, found in self.safe.items()
        }
        names["modifiers"] |= {safe: name for safe, name in original.items() if safe != name}
        staterrors = {self.safe["channels"][channel]: config.modifier for channel, config in self.stat.items()}
        settings = {measurement["name"]: self.unsaid(measurement) for measurement in workspace["measurements"]}
        return Sidecar(names, staterrors, {name: found for name, found in settings.items() if found}, tuple(files))

    def unsaid(self, measurement: Document) -> dict[str, Document]:
        """Settings that XML has no place for, by parameter."""
        found = {}
        for name, config in _configs(measurement).items():
            kind = self.kinds.get(name)
            if kind == "lumi":
                found[name] = {"bounds": config.get("bounds", [[0.0, 10.0 * config["auxdata"][0]]])}
            elif kind not in (None, "normfactor") and (fields := SETTINGS & config.keys()):
                found[name] = {key: config[key] for key in sorted(fields)}
        return found


def _apart(name: str, kind: str) -> str:
    """A name that no parameter of another modifier has: a normfactor ``alpha_x`` would be that of the normsys ``x``."""
    return f"n_{name}" if kind == "normfactor" and name.startswith(_PREFIXES) else name


def uses(workspace: Document) -> Iterator[tuple[Document, Document, Document]]:
    """Channel, sample and modifier, of all modifiers."""
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                yield channel, sample, modifier


def _configs(measurement: Document) -> dict[str, Document]:
    return {config["name"]: config for config in measurement["config"]["parameters"]}


def _stat_of(channel: Document, given: StatConfig | None, source: str) -> StatConfig | None:
    """The staterror that becomes the StatError of a channel."""
    carriers: dict[str, int] = {}
    names = {modifier["name"] for sample in channel["samples"] for modifier in sample["modifiers"]}
    for sample in channel["samples"]:
        for modifier in sample["modifiers"]:
            if modifier["type"] == "staterror":
                carriers[modifier["name"]] = carriers.get(modifier["name"], 0) + 1
    shared = [name for name, n in carriers.items() if n > 1]
    if len(shared) > 1:
        place = f"{source}: channel {channel['name']!r}"
        problem = (
            f"the staterrors {listed(shared)} are each shared by several samples, of which HistFactory has one set"
        )
        raise fail(place, problem, "make them one, or give each sample its own")
    if given is not None and given.modifier in names and shared in ([], [given.modifier]):
        return given
    if shared or len(carriers) == 1:
        return StatConfig((shared or list(carriers))[0])
    return None


def _shape_keys(workspace: Document, stat: StatConfigs) -> dict[tuple[str, str], str]:
    """A name for ROOT to share where pyhf shares: the bins of one staterror in two channels are different."""
    channels: dict[str, set[str]] = {}
    for channel, _, modifier in uses(workspace):
        if modifier["type"] not in (*_SCALARS, "lumi"):
            channels.setdefault(modifier["name"], set()).add(channel["name"])
    keys = {}
    for channel, _, modifier in uses(workspace):
        place, name = channel["name"], modifier["name"]
        if name in channels and not (place in stat and stat[place].modifier == name):
            apart = modifier["type"] == "staterror" and len(channels[name]) > 1
            keys[place, name] = f"{name} {place}" if apart else name
    return keys


def _parameters(workspace: Document, plan: Plan) -> dict[str, list[str]]:
    scalars: dict[str, tuple[str, str]] = {}
    gammas: dict[str, Gammas] = {}
    for channel, sample, modifier in uses(workspace):
        place, name, kind = channel["name"], modifier["name"], modifier["type"]
        if kind in _SCALARS:
            scalars[name] = (kind, plan.safe["modifiers"][name])
        elif kind != "lumi":
            n_bins = len(sample["data"])
            stat = plan.is_stat(place, name)
            shape = [] if stat else shape_names(plan.shapes[place, name], n_bins)
            bins = stat_names(plan.safe["channels"][place], n_bins) if stat else shape
            gammas.setdefault(name, Gammas(kind)).bins[place] = bins
    return parameter_names(scalars, gammas)


def _luminosity(workspace: Document, source: str) -> float:
    """What ROOT multiplies samples without the luminosity by, which must be the same in all measurements."""
    samples = [sample for channel in workspace["channels"] for sample in channel["samples"]]
    has = [any(modifier["type"] == "lumi" for modifier in sample["modifiers"]) for sample in samples]
    if all(has) or not any(has):
        return 1.0
    values = {_configs(measurement)["lumi"]["auxdata"][0] for measurement in workspace["measurements"]}
    if len(values) > 1 or min(values) <= 0:
        problem = "measurements have different luminosities, by which ROOT multiplies samples that have no lumi"
        raise fail(source, problem, "write them one by one")
    return float(values.pop())


# ------------------------------------------------------------------------------------------------- remarks


def _remarks(workspace: Document, plan: Plan) -> Iterator[str]:
    bins = {name: safe for (_, name), safe in plan.shapes.items()}
    changed = [(n, s) for found in (*plan.safe.values(), bins) for n, s in found.items() if n != s]
    if changed:
        yield f"names that ROOT does not take were replaced: {_shown(f'{n!r} by {s!r}' for n, s in changed)}"
    apart = {
        m["name"] for c, _, m in uses(workspace) if m["type"] == "staterror" and not plan.is_stat(c["name"], m["name"])
    }
    if apart:
        yield f"staterrors of one sample became ShapeSys with a Gaussian constraint: {_shown(sorted(apart))}"
    if plan.lumi != 1.0:
        yield f"samples without lumi were divided by {plan.lumi:g}, by which ROOT multiplies them"
    if below := sorted({m["name"] for _, _, m in uses(workspace) if m["type"] == "histosys" and _goes_below_zero(m)}):
        yield f"templates of {_shown(below)} vary below 0: ROOT cuts the rate of a sample off at 0, infer does not"
    for measurement in workspace["measurements"]:
        yield from _measurement_remarks(measurement, plan)


def _goes_below_zero(modifier: Document) -> bool:
    return min(*modifier["data"]["lo_data"], *modifier["data"]["hi_data"], 0.0) < 0.0


def _measurement_remarks(measurement: Document, plan: Plan) -> Iterator[str]:
    name, unsaid = measurement["name"], plan.unsaid(measurement)
    changing = [p for p, fields in unsaid.items() if set(fields) - {"bounds"}]
    if changing:
        yield (
            f"measurement {name!r}: XML cannot say auxdata, sigmas or factors of {_shown(changing)}; infer reads them "
            "from infer.json, ROOT takes its own"
        )
    bounds = [p for p, fields in unsaid.items() if "bounds" in fields]
    if bounds:
        yield f"measurement {name!r}: XML cannot say bounds of {_shown(bounds)}; they are in infer.json"
    unused = [p for p in _configs(measurement) if p not in plan.kinds]
    if unused:
        yield f"measurement {name!r}: settings of {_shown(unused)}, which no modifier has, were left out"
    if not measurement["config"]["poi"]:
        yield f"measurement {name!r} has no parameter of interest, without which ROOT does not read it"


def _shown(names: Any) -> str:
    every = list(names)
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
