"""Data: what a likelihood is evaluated on, and what it must look like."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from infer.constraints import Constraint, LogNormal, Poisson
from infer.errors import DataError
from infer.parameters import Parameters
from infer.typing import AuxVector, MainData


class Data(eqx.Module):
    """Main data, and the auxiliary data (global observables) beside them.

    Args:
        main: an array or a pytree of arrays, as the likelihood declares.
        aux: one value per constrained parameter, in the order of ``parameters.constrained``.
    """

    main: MainData
    aux: AuxVector


class Cells(eqx.Module):
    """Ordered data beside their expectation: N cells along one observable.

    Binned data have a cell for every bin.  Events that were not binned have a cell without width for every place
    that may hold one, which expects nothing, and one between each two, which holds nothing.

    Args:
        observed: Events of each cell with shape (N,).
        expected: Expectation of each cell with shape (N,).
        continuous: Whether cells that hold nothing lie between single events, so that the cumulative
            distributions are known at every point and not at the ends of bins alone.
    """

    observed: Float[Array, " n"]
    expected: Float[Array, " n"]
    continuous: bool = eqx.field(static=True, default=False)


class Counts(eqx.Module):
    """Events of one channel beside what each of its samples expects: B bins of S samples.

    Args:
        channel: Name; empty for a likelihood of a single one, and in a combination with the component
            before it, ``cms/SR``.
        samples: Names of the samples.
        observed: Events by bin with shape (B,).
        expected: Expected events by sample and bin with shape (S, B).
        binned: Whether the observed events are Poisson data of the likelihood, each bin a datum; not so where events
            were not binned.
    """

    channel: str = eqx.field(static=True)
    samples: tuple[str, ...] = eqx.field(static=True)
    observed: Float[Array, " b"]
    expected: Float[Array, "s b"]
    binned: bool = eqx.field(static=True, default=True)

    def within(self, component: str) -> Counts:
        """The same as a part of a combination."""
        channel = f"{component}/{self.channel}" if self.channel else component
        return Counts(channel, self.samples, self.observed, self.expected, self.binned)


def check_aux_shape(parameters: Parameters, aux: AuxVector) -> None:
    """Refuse auxiliary data of another length, which a gather would clamp in silence.

    Raises:
        DataError: not one auxiliary datum per constrained parameter.
    """
    names = parameters.constrained
    if np.shape(aux) != (len(names),):
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(
            f"expected {len(names)} auxiliary data, one per constrained parameter"
            f"{f' ({some})' if names else ''}, got shape {np.shape(aux)}."
        )


def check_aux(parameters: Parameters, aux: AuxVector) -> None:
    """Refuse auxiliary data that the constraints of ``parameters`` cannot produce.

    Raises:
        DataError: wrong length, or a value outside the support of its constraint.
    """
    check_aux_shape(parameters, aux)
    values = np.asarray(aux, dtype=float).tolist()
    for name, value in zip(parameters.constrained, values, strict=True):
        supported, wanted = _support(parameters[name].constraint, value)
        if not (np.isfinite(value) and supported):
            raise DataError(f"the auxiliary datum of {name!r} must be {wanted}, got {value:g}.")


def _support(constraint: Constraint | None, value: float) -> tuple[bool, str]:
    """Whether a constraint can produce a value, and in words what it produces."""
    if isinstance(constraint, Poisson):
        return value >= 0.0, "a count of zero or more"
    if isinstance(constraint, LogNormal):
        return value > 0.0, "a positive number"
    return True, "a finite number"


def check_leaves(main: MainData, expected: MainData) -> None:
    """Refuse main data that differ from ``expected`` in structure or shapes, or are not finite.

    Raises:
        DataError: the first difference, with its place.
    """
    got, wanted = _leaves(main), _leaves(expected)
    if got.keys() != wanted.keys():
        raise DataError(f"expected main data with entries {_entries(wanted)}, got {_entries(got)}.")
    for path, leaf in got.items():
        if np.shape(leaf) != np.shape(wanted[path]):
            raise DataError(f"expected main data{path} with shape {np.shape(wanted[path])}, got {np.shape(leaf)}.")
        bad = np.flatnonzero(~np.isfinite(np.asarray(leaf)))
        if bad.size:
            raise DataError(f"main data{path} must be finite, but entry {bad[0]} is not.")


def _leaves(main: MainData) -> dict[str, Any]:
    """The arrays of main data by their path, such as ``['signal']`` or ``.weights``."""
    paths = jax.tree_util.tree_leaves_with_path(main)
    return {jax.tree_util.keystr(path): leaf for path, leaf in paths}


def _entries(leaves: dict[str, Any]) -> str:
    return ", ".join(path or "(one array)" for path in leaves) or "(none)"
