r"""Hidden data: expected ones in the place of the observed ones, everywhere or in some channels.

Where only some channels are hidden, the others say where nuisance parameters are.  With n the counts and nu(theta)
their expectation, the likelihood of the channels C that are not hidden follows from that of all by setting the hidden
counts to zero and taking out what is left of them, since ln Poisson(0 | nu) = -nu:

    ln L_C(theta) = ln L(theta; n_C, 0) + sum of nu_b(theta) over hidden bins b.

No hidden count enters, and nothing has to be known of the likelihood but that its bins are Poisson counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from infer.blinding import Blinded
from infer.certificate import Blinding
from infer.constraints import Curvature
from infer.data import Counts, Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.fits import Settings, fit
from infer.likelihood import Likelihood, View, check_data
from infer.typing import MainData, Scalar, Vector


class Controls(View):
    """The likelihood of the channels that are not hidden; in the hidden ones, main data must be zero.

    Args:
        likelihood: That of all channels.
        hidden: Names of the channels that are left out.
    """

    hidden: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, likelihood: Likelihood, hidden: tuple[str, ...]) -> None:
        self._see(likelihood, likelihood.parameters, range(len(likelihood.parameters)))
        self.hidden = hidden

    def log_main(self, theta: Vector, main: MainData) -> Scalar:
        """That of all channels, without the hidden ones."""
        return self.inner.log_main(theta, main) + self._hidden_events(theta, main)

    def curvature_main(self, theta: Vector, main: MainData) -> Curvature:
        """That of all channels, without the hidden ones."""
        value, gradient = jax.value_and_grad(self._hidden_events)(theta, main)
        hidden = Curvature(-value, -gradient, -jax.hessian(self._hidden_events)(theta, main))
        return self.inner.curvature_main(theta, main) + hidden

    def _hidden_events(self, theta: Vector, main: MainData) -> Scalar:
        found = [jnp.sum(c.expected) for c in self.inner.counts(theta, main) if c.channel in self.hidden]
        return jnp.sum(jnp.stack(found))


def blind_data(
    likelihood: Likelihood,
    data: Data,
    *,
    values: Mapping[str, float] | None = None,
    channels: Sequence[str] | None = None,
    settings: Settings | None = None,
) -> tuple[Blinded, Data]:
    """Put expected data in the place of observed ones.

    Args:
        likelihood: Any likelihood.
        data: Its observed data, of which those that are to be hidden are checked and then left alone.
        values: Where to expect data, by parameter. The parameter of interest has its declared start value, unless it is
            among them.
        channels: Names of the channels to hide, of binned events. The other parameters are where a fit to the other
            channels and the auxiliary data puts them, with ``values`` held. None hides all main and auxiliary data, and
            the other parameters have their declared start values.
        settings: Of the fit to the other channels.

    Returns:
        The likelihood with the fact written on it, and the data that take the place of the observed ones.

    Raises:
        ParameterError: A name is unknown, or a value lies outside the parameter's bounds.
        DataError: The data do not fit the likelihood.
        UntrustworthyError: The fit to the other channels has no certificate.
    """
    check_data(likelihood, data)
    parameters = likelihood.parameters
    stated = {} if parameters.poi is None else {parameters.poi: parameters[parameters.poi].init}
    stated |= {name: float(value) for name, value in (values or {}).items()}
    for name, value in stated.items():
        parameters = parameters.replace(name, init=value)
    if channels is None:
        expected = _expected(likelihood, jnp.asarray(parameters.init))
        return Blinded(likelihood, {}, Blinding("asimov", tuple(stated.items()))), expected
    hidden = _known(likelihood, data, channels)
    theta = _from_controls(likelihood, data, hidden, stated, settings or Settings())
    main = _replaced(likelihood, data.main, hidden, theta)
    return Blinded(likelihood, {}, Blinding("asimov", tuple(stated.items()), channels=hidden)), Data(main, data.aux)


def _known(likelihood: Likelihood, data: Data, channels: Sequence[str]) -> tuple[str, ...]:
    """The channels, if they can be hidden."""
    counts = _shapes(likelihood, data.main)
    names = [c.channel for c in counts if c.binned]
    for channel in channels:
        if channel not in names:
            raise ParameterError(f"there is no channel {channel!r} of binned events to hide; there are {names}.")
    if isinstance(channels, str) or not channels:
        raise ParameterError(f"expected a list with one or more of the channels {names}, got {channels!r}.")
    if set(channels) == {c.channel for c in counts}:
        raise ParameterError("all channels are to be hidden, so that none is left to fit; leave the channels out.")
    return tuple(dict.fromkeys(channels))


def _from_controls(
    likelihood: Likelihood,
    data: Data,
    hidden: tuple[str, ...],
    stated: Mapping[str, float],
    settings: Settings,
) -> Vector:
    """Best fit to the channels that are not hidden, with stated values held."""
    empty = Data(_replaced(likelihood, data.main, hidden, None), data.aux)
    held = Settings(settings.start, settings.bounds, {**settings.fixed, **stated}, settings.solver)
    best = fit(Controls(likelihood, hidden), empty, settings=held)
    if not best.certificate.trustworthy:
        raise UntrustworthyError(
            f"the fit to the channels that are not hidden: {'; '.join(best.certificate.objections)}; state the values "
            "of parameters that they do not measure, or hide all data."
        )
    return jnp.asarray(best.values)


def _replaced(likelihood: Likelihood, main: MainData, hidden: tuple[str, ...], theta: Vector | None) -> MainData:
    """Main data with other counts in hidden channels: those expected at theta, or none.

    Observed counts are entries of the main data, so that the transpose of the derivative of the one by the other puts
    a difference of counts in its place.
    """
    at = jnp.asarray(likelihood.parameters.init) if theta is None else theta

    def seen(m: MainData) -> tuple[Counts, ...]:
        return tuple(c for c in likelihood.counts(at, m) if c.channel in hidden)

    found, back = jax.vjp(lambda m: [c.observed for c in seen(m)], main)
    wanted = [jnp.zeros_like(n) if theta is None else _totals(c) for n, c in zip(found, seen(main), strict=True)]
    (change,) = back([new - old for new, old in zip(wanted, found, strict=True)])
    return jax.tree.map(jnp.add, main, change)


def _totals(counts: Counts) -> Float[Array, " b"]:
    return jnp.maximum(jnp.sum(counts.expected, axis=0), 0.0)


@eqx.filter_jit
def _expected(likelihood: Likelihood, theta: Vector) -> Data:
    return likelihood.expected(theta)


def _shapes(likelihood: Likelihood, main: MainData) -> tuple[Counts, ...]:
    theta = jnp.asarray(likelihood.parameters.init)
    return tuple(eqx.filter_eval_shape(lambda model, t, m: model.counts(t, m), likelihood, theta, main))
