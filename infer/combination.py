"""A combination as data: which parameters of several likelihoods are the same, and how the others are correlated.

A `Scheme` says it and `combine` does it, with the wrappers of `infer.likelihood` alone: `Renamed` and `Redeclared`
around each component, their `Product`, and `Redeclared` and `Fixed` around that.  No component is edited.

Names that coincide by accident are the classic mistake: a parameter that two components happen to call ``alpha``
becomes one parameter, constrained once.  Therefore nothing is shared unless the scheme says so, by `Scheme.shared`,
`Scheme.correlate` or ``by_name=True``; the parameter of interest that it names is shared, being named.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from infer.constraints import GammaVariance, Normal
from infer.correlation import correlated
from infer.data import Data
from infer.errors import ParameterError
from infer.likelihood import Fixed, Likelihood, Product, Redeclared, Renamed
from infer.parameters import Parameter, Parameters

Parts = Mapping[str, tuple[Likelihood, Data]]
Names = dict[str, dict[str, str]]

_SHOWN = 8


@dataclass(frozen=True)
class Tie:
    """Parameters of several components that become one.

    Attributes:
        parameters: Each as ``component.name``, the name being that in the component's own file.
        name: What they are called together.
    """

    parameters: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Partial:
    """A correlation of the auxiliary data of Gaussian-constrained parameters.

    Attributes:
        parameters: Two or more names of the combination.
        rho: Correlation of every two of them, between -1 and 1.
        label: What it is called in a scan; empty for the names joined by " & ".
    """

    parameters: tuple[str, ...]
    rho: float
    label: str = ""

    @property
    def name(self) -> str:
        """Its label, or the names joined."""
        return self.label or " & ".join(self.parameters)


@dataclass(frozen=True)
class Declaration:
    """Bounds or a start value that replace what the components declare.

    Attributes:
        bounds: Bounds, None keeps them.
        init: Start value, None keeps it.
    """

    bounds: tuple[float, float] | None = None
    init: float | None = None

    def applied(self, parameter: Parameter) -> Parameter:
        """The parameter with this declaration."""
        bounds = self.bounds or parameter.bounds
        init = min(max(parameter.init, bounds[0]), bounds[1]) if self.init is None else self.init
        return replace(parameter, bounds=bounds, init=init)


@dataclass(frozen=True)
class Scheme:
    """What is shared, correlated and uncertain in a combination.

    A name of the combination is a component's own name, or what ``rename`` or ``correlate`` made of it.  Where a
    list takes names of the combination, ``gamma`` also stands for all of ``gamma[0]``, ``gamma[1]``, ...

    Attributes:
        rename: New names by old ones, by component; sharing has to be said besides.
        correlate: Parameters that become one.
        shared: Names in several components that mean the same parameter.
        decorrelate: Names in several components that mean different ones, called ``component.name`` from then on.
        by_name: What the other names in several components mean: the same parameter (True), different ones
            (False), or a mistake that is refused (None).
        partial: Partial correlations.
        errors_on_errors: Relative uncertainty of the width of a Gaussian constraint, by name.
        declare: Bounds and start values by name, where components disagree.
        fix: Values of parameters to hold, by name.
        poi: Parameter of interest, None for the one that the components agree on.
    """

    rename: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    correlate: tuple[Tie, ...] = ()
    shared: tuple[str, ...] = ()
    decorrelate: tuple[str, ...] = ()
    by_name: bool | None = None
    partial: tuple[Partial, ...] = ()
    errors_on_errors: Mapping[str, float] = field(default_factory=dict)
    declare: Mapping[str, Declaration] = field(default_factory=dict)
    fix: Mapping[str, float] = field(default_factory=dict)
    poi: str | None = None

    def partial_named(self, name: str) -> Partial:
        """One of the partial correlations.

        Raises:
            ParameterError: There is none of this name; the message offers the closest ones.
        """
        known = {partial.name: partial for partial in self.partial}
        if name not in known:
            raise ParameterError(f"the scheme has no partial correlation {name!r}; {_offer(name, known)}")
        return known[name]


def combine(parts: Parts, scheme: Scheme | None = None) -> tuple[Likelihood, Data]:
    """One likelihood from several, as a scheme says.

    Args:
        parts: Likelihood and data of each component, by name.
        scheme: What they share; None shares nothing, and refuses names that coincide.

    Returns:
        The likelihood of all, and its data.

    Raises:
        ParameterError: A name is unknown or means two things, a correlation is impossible, or declarations of a
            shared parameter disagree.
        DataError: Components disagree on the auxiliary datum of a shared parameter.
    """
    scheme = scheme or Scheme()
    return _joined(_named(parts, scheme), parts, scheme, scheme.poi)


def separated(parts: Parts, scheme: Scheme, poi: str) -> tuple[Likelihood, Data, tuple[str, ...]]:
    """The combination in which every component has a parameter of interest of its own.

    Returns:
        The likelihood, its data, and the names of the parameters of interest, ``component.poi``.
    """
    named = _named(parts, scheme)
    own = {c: f"{c}.{poi}" for c, likelihood in named.items() if poi in likelihood.parameters}
    apart = {c: Renamed(likelihood, {poi: own[c]}) if c in own else likelihood for c, likelihood in named.items()}
    return *_joined(apart, parts, scheme, None), tuple(own.values())


def alone(parts: Parts, scheme: Scheme) -> dict[str, tuple[Likelihood, Data]]:
    """Each component by itself, with the names and constraints that it has in the combination.

    A correlation with parameters of other components is left out.
    """
    named = _named(parts, scheme)
    declared = _joined(named, parts, scheme, scheme.poi)[0].parameters
    result: dict[str, tuple[Likelihood, Data]] = {}
    for c, likelihood in named.items():
        own = likelihood.parameters
        inside = [declared[n] for n in own if set(getattr(declared[n].constraint, "names", ())) <= set(own)]
        poi = scheme.poi if scheme.poi in own else None
        result[c] = Redeclared(likelihood, inside, poi=poi), parts[c][1]
    return result


def _named(parts: Parts, scheme: Scheme) -> dict[str, Likelihood]:
    """The components under the names of the combination, with declarations that agree where only words differ."""
    names = _names(parts, scheme)
    renamed = {c: Renamed(likelihood, names[c]) for c, (likelihood, _) in parts.items()}
    known = {name: None for likelihood in renamed.values() for name in likelihood.parameters}
    _require_known(scheme.declare, known, "declare")
    first: dict[str, Parameter] = {}
    result: dict[str, Likelihood] = {}
    for c, likelihood in renamed.items():
        declared = [_declared(p, scheme) for p in likelihood.parameters.values()]
        result[c] = Redeclared(likelihood, [_alike(p, first.setdefault(p.name, p)) for p in declared])
    return result


def _declared(parameter: Parameter, scheme: Scheme) -> Parameter:
    with _within(f"declare {parameter.name!r}"):
        return scheme.declare.get(parameter.name, Declaration()).applied(parameter)


def _alike(parameter: Parameter, first: Parameter) -> Parameter:
    """With the group and start value of the first declaration, unless the value is one that is held."""
    held = parameter.fixed or first.fixed or parameter.bounds != first.bounds
    return replace(parameter, group=first.group, init=parameter.init if held else first.init)


def _joined(named: Mapping[str, Likelihood], parts: Parts, scheme: Scheme, poi: str | None) -> tuple[Likelihood, Data]:
    """The product of the components, with the correlations, errors on errors and fixed values of the scheme."""
    product = _product(named)
    data = product.data(**{c: data for c, (_, data) in parts.items()})
    parameters = product.parameters
    if poi is not None:
        with _within("poi"):
            parameters.position(poi)
    changed = correlated(parameters, [(p.parameters, p.rho, f"partial {p.name!r}") for p in scheme.partial])
    changed = _with_errors_on_errors(changed, scheme.errors_on_errors)
    likelihood: Likelihood = Redeclared(product, changed.values(), poi=poi)
    if scheme.fix:
        with _within("fix"):
            likelihood = Fixed(likelihood, scheme.fix)
    return likelihood, data


def _product(named: Mapping[str, Likelihood]) -> Product:
    try:
        return Product(**named)
    except ParameterError as error:
        raise ParameterError(
            f"{error} In a scheme, declare sets bounds, and decorrelate keeps parameters apart."
        ) from None


def _with_errors_on_errors(parameters: Parameters, epsilons: Mapping[str, float]) -> Parameters:
    for name, epsilon in epsilons.items():
        with _within(f"errors_on_errors {name!r}"):
            constraint = parameters[name].constraint
            if not isinstance(constraint, Normal):
                raise ParameterError(
                    f"it needs an independent Normal constraint, but has {constraint!r}; leave it out, or leave out "
                    "its partial correlation."
                )
            parameters = parameters.replace(name, constraint=GammaVariance(constraint.width, epsilon))
    return parameters


# ------------------------------------------------------------------------------------------- names


def _names(parts: Parts, scheme: Scheme) -> Names:
    """New names by old ones, for every component."""
    if not parts:
        raise ParameterError("a combination needs at least one component.")
    for c in parts:
        if not c or "." in c:
            raise ParameterError(f"a component's name needs a letter and no dot, got {c!r}.")
    names = _renamed(parts, scheme.rename)
    tied = _tied(parts, scheme.correlate, names)
    _require_ties_complete(parts, names, tied)
    apart = _apart(_in_several(parts, names), set(tied), scheme)
    for c, (likelihood, _) in parts.items():
        for old in likelihood.parameters:
            new = names[c].get(old, old)
            if new in apart:
                names[c][old] = f"{c}.{new}"
    return names


def _apart(twice: Mapping[str, list[str]], tied: set[str], scheme: Scheme) -> set[str]:
    """The names in several components that mean different parameters."""
    _require_listed(scheme.shared, twice, "shared")
    _require_listed(scheme.decorrelate, twice, "decorrelate")
    same = tied | {n for n in twice if n == scheme.poi or _stands(scheme.shared, n)}
    apart = {n for n in twice if _stands(scheme.decorrelate, n)}
    if same & apart:
        raise ParameterError(f"decorrelate: {_listed(sorted(same & apart))} cannot be one parameter and several.")
    rest = [n for n in twice if n not in same | apart]
    if rest and scheme.by_name is None:
        raise ParameterError(_coincidence(rest, twice))
    return apart if scheme.by_name else apart | set(rest)


def _renamed(parts: Parts, rename: Mapping[str, Mapping[str, str]]) -> Names:
    names: Names = {c: {} for c in parts}
    for c, mapping in rename.items():
        if c not in parts:
            raise ParameterError(f"rename: unknown component {c!r}; {_offer(c, parts)}")
        with _within(f"rename {c!r}"):
            parts[c][0].parameters.renamed(mapping)
        names[c].update(mapping)
    return names


def _tied(parts: Parts, ties: Sequence[Tie], names: Names) -> dict[str, set[str]]:
    """Components by the name of a tie; writes the new names."""
    members: dict[str, set[str]] = {}
    for tie in ties:
        with _within(f"correlate {tie.name!r}"):
            if tie.name in members:
                raise ParameterError("two entries have this name; make them one, or call one of them otherwise.")
            members[tie.name] = _write_tie(parts, tie, names)
    return members


def _write_tie(parts: Parts, tie: Tie, names: Names) -> set[str]:
    components: set[str] = set()
    if len(tie.parameters) < 2:
        raise ParameterError(f"expected two or more parameters, got {list(tie.parameters)}.")
    for reference in tie.parameters:
        c, _, name = reference.partition(".")
        if c not in parts:
            raise ParameterError(f"{reference!r} names no component; write component.name; {_offer(c, parts)}")
        parts[c][0].parameters.position(name)
        if c in components:
            raise ParameterError(f"two parameters are of component {c!r}; an entry takes one of each component.")
        if name in names[c]:
            raise ParameterError(f"{reference!r} has another name already, from rename or correlate; keep one of them.")
        names[c][name] = tie.name
        components.add(c)
    return components


def _require_ties_complete(parts: Parts, names: Names, tied: Mapping[str, set[str]]) -> None:
    """No component has a parameter under a tie's name without being part of it, nor two under one name."""
    for c, (likelihood, _) in parts.items():
        with _within(f"component {c!r}"):
            likelihood.parameters.renamed(names[c])
        for old in likelihood.parameters:
            name = names[c].get(old, old)
            if c not in tied.get(name, {c}):
                raise ParameterError(
                    f"correlate {name!r}: component {c!r} has a parameter of this name that the entry leaves out; "
                    f"add {c + '.' + old!r} to it, or call it otherwise."
                )


def _in_several(parts: Parts, names: Names) -> dict[str, list[str]]:
    """Components by name, for names that several have."""
    found: dict[str, list[str]] = {}
    for c, (likelihood, _) in parts.items():
        for old in likelihood.parameters:
            found.setdefault(names[c].get(old, old), []).append(c)
    return {name: components for name, components in found.items() if len(components) > 1}


def _stands(entries: Sequence[str], name: str) -> bool:
    """Whether a list has a name, or the name of which it is an entry: ``gamma`` for ``gamma[3]``."""
    return name in entries or (name.endswith("]") and name.rpartition("[")[0] in entries)


def _require_listed(entries: Sequence[str], twice: Mapping[str, list[str]], key: str) -> None:
    for entry in entries:
        if not any(_stands([entry], name) for name in twice):
            raise ParameterError(f"{key}: {entry!r} is no name that several components have; {_offer(entry, twice)}")


def _require_known(entries: Mapping[str, object], known: Mapping[str, object], key: str) -> None:
    for entry in entries:
        if entry not in known:
            raise ParameterError(f"{key}: unknown parameter {entry!r}; {_offer(entry, known)}")


def _coincidence(rest: Sequence[str], twice: Mapping[str, list[str]]) -> str:
    shown = [f"{n!r} ({', '.join(twice[n])})" for n in rest[:_SHOWN]]
    more = f" and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
    return (
        f"{len(rest)} {'name stands' if len(rest) == 1 else 'names stand'} in several components, and the scheme does "
        f"not say whether the same is meant: {', '.join(shown)}{more}; list each under shared or under decorrelate, or "
        "decide for all of them with by_name: true (the same) or false (different)."
    )


def _offer(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {_listed(list(known)[:_SHOWN])}." if known else "there are none."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Put the place in front of what is wrong there."""
    try:
        yield
    except ParameterError as error:
        raise ParameterError(f"{place}: {error}") from None
