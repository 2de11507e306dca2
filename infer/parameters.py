"""Parameters, shared by name: the only place where a name becomes a position."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infer.constraints import Constraint, MultivariateNormal, Normal
from infer.errors import ParameterError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a likelihood.

    Args:
        name: unique within a likelihood; equal names in a combination mean one shared parameter.
        init: start value, inside the bounds.
        bounds: lower and upper limit, infinite where there is none.
        constraint: what auxiliary data say about it; None for a free parameter.
        group: name of the group in the error budget; None lets the budget use the parameter's name.
        fixed: held at ``init`` in every fit.
        unit: physical unit, for print.
        latex: LaTeX symbol without dollar signs, for print.

    Raises:
        ParameterError: bounds reversed, the start value outside them, or a multivariate constraint
            that is about other parameters.
    """

    name: str
    init: float
    bounds: tuple[float, float] = (-np.inf, np.inf)
    constraint: Constraint | None = None
    group: str | None = None
    fixed: bool = False
    unit: str = field(default="", compare=False)
    latex: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        low, high = self.bounds
        object.__setattr__(self, "init", float(self.init))  # plain numbers: hashed, compared, shown
        object.__setattr__(self, "bounds", (float(low), float(high)))
        if not self.name:
            raise ParameterError("a parameter needs a name, got an empty one.")
        if not low < high:
            raise ParameterError(
                f"parameter {self.name!r}: the lower bound must lie below the upper one, got ({low:g}, {high:g})."
            )
        if not (np.isfinite(self.init) and low <= self.init <= high):
            raise ParameterError(
                f"parameter {self.name!r}: the start value must lie within its bounds "
                f"({low:g}, {high:g}), got {self.init:g}; move one or the other."
            )
        joint = self.constraint
        if isinstance(joint, MultivariateNormal) and self.name not in joint.names:
            raise ParameterError(
                f"parameter {self.name!r}: its MultivariateNormal constraint must name it, but is on "
                f"{', '.join(joint.names)}."
            )

    def prefit_uncertainty(self) -> float | None:
        """Standard deviation from the constraint alone, None for a free parameter."""
        if self.constraint is None:
            return None
        if isinstance(self.constraint, MultivariateNormal):
            return self.constraint.uncertainty_of(self.name)
        return self.constraint.uncertainty(self.init)


class Parameters(Mapping[str, Parameter]):
    """An ordered collection of parameters, keyed by name.

    Args:
        parameters: in the order of every parameter vector.
        poi: name of the parameter of interest, where the source of the likelihood declares one.

    Raises:
        ParameterError: two parameters share a name, or the parameter of interest is none of them.
    """

    def __init__(self, parameters: Iterable[Parameter], *, poi: str | None = None) -> None:
        self._items = tuple(parameters)
        self.poi = poi
        self._position = {p.name: i for i, p in enumerate(self._items)}
        if len(self._position) < len(self._items):
            names = [p.name for p in self._items]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ParameterError(f"parameter names must be unique, but {twice} occur twice.")
        if poi is not None:
            self.position(poi)

    def __getitem__(self, name: str) -> Parameter:
        return self._items[self.position(name)]

    def __contains__(self, name: object) -> bool:
        return name in self._position

    def __iter__(self) -> Iterator[str]:
        return iter(self._position)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Parameters) and self._items == other._items and self.poi == other.poi
        )

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, object]:
        # nothing cached: a hash belongs to its process, since Python salts the hashes of strings
        return {key: self.__dict__[key] for key in ("_items", "poi", "_position")}

    @cached_property
    def _hash(self) -> int:
        return hash((self._items, self.poi))

    def __repr__(self) -> str:
        return f"Parameters({', '.join(self.names)})"

    def position(self, name: str) -> int:
        """Position of ``name`` in every parameter vector.

        Raises:
            ParameterError: the name is unknown; the message offers the closest ones.
        """
        try:
            return self._position[name]
        except KeyError:
            close = difflib.get_close_matches(name, self.names, n=3, cutoff=0.5)
            hint = (
                f"did you mean {' or '.join(map(repr, close))}?"
                if close
                else (f"the {len(self)} names begin with {', '.join(map(repr, self.names[:5]))}.")
            )
            raise ParameterError(f"unknown parameter {name!r}; {hint}") from None

    def positions(self, names: Iterable[str]) -> npt.NDArray[np.intp]:
        """Positions of several names."""
        return np.asarray([self.position(name) for name in names], dtype=np.intp)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self._position)

    @cached_property
    def constrained(self) -> tuple[str, ...]:
        """Names of the constrained parameters: the order of every auxiliary vector."""
        return tuple(p.name for p in self._items if p.constraint is not None)

    @cached_property
    def init(self) -> FloatArray:
        """Start values with shape (P,)."""
        return _frozen([p.init for p in self._items])

    @cached_property
    def lower(self) -> FloatArray:
        """Lower bounds with shape (P,)."""
        return _frozen([p.bounds[0] for p in self._items])

    @cached_property
    def upper(self) -> FloatArray:
        """Upper bounds with shape (P,)."""
        return _frozen([p.bounds[1] for p in self._items])

    @cached_property
    def fixed(self) -> npt.NDArray[np.bool_]:
        """True where a parameter is held at its start value, with shape (P,)."""
        mask = np.asarray([p.fixed for p in self._items], dtype=bool)
        mask.flags.writeable = False
        return mask

    def vector(self, values: Mapping[str, float], *, base: FloatArray | None = None) -> FloatArray:
        """Parameter vector with some entries set by name, the others from ``base`` or ``init``."""
        vector = np.array(self.init if base is None else base, dtype=float)
        for name, value in values.items():
            vector[self.position(name)] = value
        return vector

    def replace(self, name: str, **changes: object) -> Parameters:
        """A copy with one parameter's fields changed."""
        at = self.position(name)
        changed = replace(self._items[at], **changes)  # type: ignore[arg-type]  # fields by keyword
        return Parameters((*self._items[:at], changed, *self._items[at + 1 :]), poi=self.poi)

    def renamed(self, names: Mapping[str, str]) -> Parameters:
        """A copy with some names changed, in constraints too.

        Raises:
            ParameterError: an old name is unknown, or two parameters end up with one name.
        """
        for old in names:
            self.position(old)
        poi = None if self.poi is None else names.get(self.poi, self.poi)
        return Parameters((_renamed(p, names) for p in self._items), poi=poi)

    def union(self, *others: Parameters) -> Parameters:
        """All parameters of several collections, each name once, in order of first appearance.

        The parameter of interest is the one that the collections agree on, None if they do not.

        Raises:
            ParameterError: two declarations of one name disagree.
        """
        seen: dict[str, Parameter] = {}
        for collection in (self, *others):
            for name, parameter in collection.items():
                known = seen.setdefault(name, parameter)
                if known != parameter:
                    raise ParameterError(_conflict(known, parameter))
        pois = {c.poi for c in (self, *others) if c.poi is not None}
        return Parameters(seen.values(), poi=pois.pop() if len(pois) == 1 else None)


def _frozen(values: Sequence[float]) -> FloatArray:
    """A read-only array: it is kept, so nobody may change it."""
    array = np.asarray(values, dtype=float)
    array.flags.writeable = False
    return array


def _renamed(parameter: Parameter, names: Mapping[str, str]) -> Parameter:
    constraint = parameter.constraint
    if isinstance(constraint, MultivariateNormal):
        constraint = replace(constraint, names=tuple(names.get(n, n) for n in constraint.names))
    return replace(parameter, name=names.get(parameter.name, parameter.name), constraint=constraint)


def _conflict(first: Parameter, second: Parameter) -> str:
    """One sentence on how two declarations of a name differ."""
    differing = [
        f"{f.name} {getattr(first, f.name)!r} and {getattr(second, f.name)!r}"
        for f in fields(Parameter)
        if f.compare and getattr(first, f.name) != getattr(second, f.name)
    ]
    return (
        f"parameter {first.name!r} is declared twice with different {'; '.join(differing)}: "
        "rename one of them (Renamed), or make the declarations agree."
    )


def unique_positions(parameters: Parameters, names: Sequence[str]) -> npt.NDArray[np.intp]:
    """Positions of names that must differ from one another.

    Raises:
        ParameterError: a name is unknown or given twice.
    """
    if len(set(names)) < len(names):
        raise ParameterError(f"expected different parameter names, got {list(names)}.")
    return parameters.positions(names)


def merged_as_one(parameters: Parameters, names: Sequence[str]) -> tuple[Parameters, list[int]]:
    """Parameters with ``names`` made one, and where each old parameter went."""
    first = parameters[names[0]]
    for name in names:
        if isinstance(parameters[name].constraint, MultivariateNormal):
            raise ParameterError(
                f"{name!r} is constrained jointly with other parameters and cannot become one with another; "
                "declare the correlation in its MultivariateNormal constraint instead."
            )
    for name in names[1:]:
        Parameters((first,)).union(Parameters((_same(parameters[name], first),)))
    poi = names[0] if parameters.poi in names else parameters.poi
    merged = Parameters((p for n, p in parameters.items() if n not in names[1:]), poi=poi)
    positions = [merged.position(names[0] if name in names else name) for name in parameters.names]
    return merged, positions


def _same(parameter: Parameter, first: Parameter) -> Parameter:
    """The parameter under the first one's name and group: what else differs is a conflict."""
    return replace(parameter, name=first.name, group=first.group)


def partly_correlated(parameters: Parameters, names: Sequence[str], rho: float) -> Parameters:
    """Parameters whose Normal constraints on ``names`` became one multivariate normal."""
    widths = []
    for name in names:
        constraint = parameters[name].constraint
        if not isinstance(constraint, Normal):
            raise ParameterError(f"partial correlation needs Normal constraints, but {name!r} has {constraint!r}.")
        widths.append(constraint.width)
    correlation = np.full((len(names), len(names)), rho) + (1.0 - rho) * np.eye(len(names))
    covariance = correlation * np.outer(widths, widths)
    joint = MultivariateNormal(tuple(names), tuple(map(tuple, covariance.tolist())))
    for name in names:
        parameters = parameters.replace(name, constraint=joint)
    return parameters
