"""Blinding: results that can be looked at before the data may be, with the fact written on them.

An *offset* shifts a parameter's coordinate: where the likelihood is L(theta), the blinded one is L(theta - delta), so
that every best fit, interval and scan lies delta higher, and all uncertainties, correlations and differences of twice
the negative log-likelihood are what they are. Nothing downstream knows delta, and nothing has to. It is

    delta = width (2 u - 1),    u in (0, 1) from SHA-256 of the phrase and the parameter's name,

the same for everybody who uses the phrase, so that two analyses with one phrase can be compared. This is the hidden
offset of J. R. Klein and A. Roodman, Ann. Rev. Nucl. Part. Sci. 55 (2005) 141, section 3.2.

*Hidden data* are not used at all: their place is taken by the data that are expected at stated values of the
parameters of interest, so that the expected result is what one sees; `infer.inference.hiding` makes them.

Both guard against seeing by accident. Who has the phrase can compute the offset, and who has the file can leave the
option out: that is how one unblinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from infer.certificate import Blinding
from infer.contract import Likelihood
from infer.data import Counts, Data
from infer.errors import ParameterError
from infer.likelihood import View
from infer.typing import Key, MainData, Scalar, Vector


class Blinded(View):
    """The same likelihood with something hidden; made by `blind` and by `infer.inference.hiding.blind_data`.

    A parameter with a secret offset has no bounds here: a best fit at a bound would give the offset away. Its start
    value does too, and is therefore not for print.
    """

    offset: Vector
    how: Blinding = eqx.field(static=True)

    def __init__(self, likelihood: Likelihood, offsets: Mapping[str, float], how: Blinding) -> None:
        parameters, shift = likelihood.parameters, np.zeros(len(likelihood.parameters))
        for name, offset in offsets.items():
            shift[parameters.position(name)] = offset
            init = parameters[name].init + offset
            parameters = parameters.replace(name, init=init, bounds=(-np.inf, np.inf))
        self._see(likelihood, parameters, range(len(parameters)))
        self.offset = jnp.asarray(shift)
        self.how = how

    @property
    def blinding(self) -> Blinding:
        """What is hidden."""
        return self.how

    def inside(self, theta: Vector) -> Float[Array, " q"]:
        """True values of the parameters."""
        return theta - self.offset

    def counts(self, theta: Vector, main: MainData) -> tuple[Counts, ...]:
        """As the wrapped likelihood.

        Raises:
            ParameterError: A parameter has a secret offset, which yields of a signal give away.
        """
        require_true_values(self, "a comparison of yields with data")
        return super().counts(theta, main)

    def remarks_at(self, theta: Vector, main: MainData) -> tuple[str, ...]:
        """As the wrapped likelihood, unless they give a secret offset away: they may quote expected events."""
        return () if self.how.secret else super().remarks_at(theta, main)

    @property
    def simulated_parameters(self) -> tuple[str, ...]:
        """As the wrapped likelihood."""
        return self.inner.simulated_parameters

    def resimulated(self, key: Key, scale: Scalar) -> Blinded:
        """As the wrapped likelihood."""
        inner = self.inner.resimulated(key, scale)
        return eqx.tree_at(lambda b: (b.inner, b.constraints), self, (inner, inner.constraints))

    def data(self, data: Data) -> Data:
        """Data of the blinded likelihood: the same numbers."""
        return data


def blind(likelihood: Likelihood, *, phrase: str, widths: Mapping[str, float]) -> Blinded:
    """Hide the values of parameters behind secret offsets.

    Data stay as they are. Fits, scans, intervals, budgets, impacts, toys and coverage tests of the blinded likelihood
    are those of the likelihood itself, shifted; what needs true values (limits, significances, p-values, functions of
    parameters, yields, posteriors) refuses it. Correlations and the values of other parameters are not hidden.

    Args:
        likelihood: Any likelihood.
        phrase: What the offsets are made from; keep it, it is not stored.
        widths: Largest offset by parameter, some times its uncertainty.

    Raises:
        ParameterError: A name is unknown, fixed or has a constraint (its pull would give the offset away), the phrase
            is empty, or a width is not positive.
    """
    if not phrase.strip():
        raise ParameterError("blinding needs a phrase that is not empty, from which the offset is made.")
    if not widths:
        raise ParameterError("blinding needs a parameter with the width of its offset, such as {'mu': 2.0}, got none.")
    for name, width in widths.items():
        _require_shiftable(likelihood, name, width)
    how = Blinding("offset", tuple((n, float(w)) for n, w in widths.items()), _digest(phrase).hex()[:8])
    return Blinded(likelihood, {name: _offset(phrase, name, width) for name, width in widths.items()}, how)


def require_true_values(likelihood: Likelihood, what: str) -> None:
    """Refuse a likelihood in which a parameter has a secret offset.

    Args:
        likelihood: Any likelihood.
        what: What is asked of it, for the message.

    Raises:
        ParameterError: A parameter has one.
    """
    if likelihood.blinding is not None and likelihood.blinding.secret:
        names = ", ".join(likelihood.blinding.names)
        raise ParameterError(
            f"{what} needs true values, but {names} has a secret offset; hide the data instead (infer.blind_data, "
            "--blind-data) for the expected result."
        )


def _require_shiftable(likelihood: Likelihood, name: str, width: float) -> None:
    parameter = likelihood.parameters[name]
    if not (np.isfinite(width) and width > 0.0):
        raise ParameterError(f"the width of the offset of {name!r} must be a positive number, got {width:g}.")
    if parameter.fixed or parameter.constraint is not None:
        state = "is fixed" if parameter.fixed else "has a constraint, of which the pull is known"
        raise ParameterError(f"{name!r} cannot hide behind an offset: it {state}; blind a free parameter.")


def _digest(*texts: str) -> bytes:
    return hashlib.sha256("\0".join(("infer", *texts)).encode()).digest()


def _offset(phrase: str, name: str, width: float) -> float:
    """Uniform between -width and width."""
    u = (int.from_bytes(_digest(phrase, name)[:8], "big") + 0.5) / 2**64
    return width * (2.0 * u - 1.0)
