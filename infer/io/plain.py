"""What a pyhf workspace alone can say of a model that was read with more: constraints and interpolation codes.

A factor that one count measures, on one sample in one bin, is a shapesys. Any other constraint that pyhf does not know
is refused. Interpolation codes are not part of a workspace; by how much a factor differs is said.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from infer.constraints import Constraint, Poisson
from infer.data import Data
from infer.documents import fail
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.numerics.interpolation import multiplicative, sextic_coefficients

_GRID = np.linspace(-1.0, 1.0, 201)


def plain_workspace(
    document: Mapping[str, Any], model: HistFactory, data: Data, *, source: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A workspace that needs nothing beside it, with remarks on what it leaves out.

    Args:
        document: The workspace that the model is made of.
        model: The model, with all that it was read with.
        data: Its data.
        source: How messages call it.

    Raises:
        WorkspaceError: A constraint has no place in a workspace; all such are named.
    """
    result = copy.deepcopy(dict(document))
    bare, observed = HistFactory.of(parse_workspace(result, source=source))
    wanted, found = _constraints(model, data), _constraints(bare, observed)
    lost = []
    for name, term in wanted.items():
        if _same(term, found[name]) or _as_shapesys(result, name, term):
            continue
        lost.append(f"{name!r} with {_told(term)} instead of {_told(found[name])}")
    if lost:
        problem = f"a pyhf workspace has no place for the constraints of {'; '.join(lost)}"
        raise fail(source, problem, "use it as it is: all commands read it")
    parse_workspace(result, source=source)
    return result, tuple(_remarks(result, model.interpolation, source))


Term = tuple[Constraint | None, float | None]


def _constraints(model: HistFactory, data: Data) -> dict[str, Term]:
    aux = dict(zip(model.parameters.constrained, np.asarray(data.aux, dtype=float).tolist(), strict=True))
    return {name: (p.constraint, aux.get(name)) for name, p in model.parameters.items()}


def _same(first: Term, second: Term) -> bool:
    """Whether two terms are one, up to rounding of a scale."""
    (a, x), (b, y) = first, second
    if isinstance(a, Poisson) and isinstance(b, Poisson) and x is not None and y is not None:
        return bool(np.isclose(a.scale, b.scale, rtol=1e-12) and np.isclose(x, y, rtol=1e-12))
    return first == second


def _told(term: Term) -> str:
    constraint, datum = term
    return "none" if constraint is None else f"{constraint} at {datum:g}"


def _as_shapesys(document: dict[str, Any], name: str, term: Term) -> bool:
    """Make a factor that a count measures a shapesys, if it acts on one sample with one bin; whether it could."""
    constraint, datum = term
    uses = [(s, m) for s, m in _modifiers(document) if m["name"] == name]
    if not isinstance(constraint, Poisson) or constraint.scale != datum or len(uses) != 1:
        return False
    sample, modifier = uses[0]
    if modifier["type"] != "normfactor" or len(sample["data"]) != 1 or sample["data"][0] <= 0.0:
        return False
    modifier |= {"type": "shapesys", "data": [sample["data"][0] / float(np.sqrt(constraint.scale))]}
    return True


def _modifiers(document: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for channel in document["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                yield sample, modifier


def _remarks(document: Mapping[str, Any], codes: Interpolation, source: str) -> Iterator[str]:
    default = Interpolation()
    if codes.histosys != default.histosys:
        yield f"{source}: histosys have the code {codes.histosys!r}, which a workspace does not say; pyhf's is 'code4p'"
    factors = [
        (float(m["data"]["lo"]), float(m["data"]["hi"])) for _, m in _modifiers(document) if m["type"] == "normsys"
    ]
    if codes.normsys == default.normsys or not factors:
        return
    lo, hi = (np.tile(np.asarray(side)[:, None], (1, len(_GRID))) for side in zip(*factors, strict=True))
    alpha = jnp.asarray(np.tile(_GRID, (len(factors), 1)))
    terms = (alpha, jnp.log(lo), jnp.log(hi), jnp.asarray(sextic_coefficients(lo, hi)))
    own, theirs = (np.asarray(multiplicative(code, *terms).value) for code in (codes.normsys, default.normsys))
    worst = float(np.max(np.abs(own / theirs - 1.0)))
    yield (
        f"{source}: normsys have the code {codes.normsys!r}, which a workspace does not say; with pyhf's 'code4', "
        f"factors differ by up to {worst:.2g} of themselves within one standard deviation"
    )
