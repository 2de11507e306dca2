r"""Two forms of a simplified likelihood, as pyhf workspaces that every reader of workspaces takes.

**covariance.**  The nuisance parameters vanish into a covariance of the bins that are kept.  With the expansion of
`expansion`, the rest of the likelihood makes delta normal: given mu,

    delta ~ N(-H^-1 (g + h (mu - mu*)), H^-1),      h = d2(-ln L_rest) / d mu d delta,

so that with s' = s - J H^-1 h (the signal, less what it takes from the absorbed channels)

    n_i ~ Poisson(mu (s'_i + sum_k alpha_k t_ki) + b_i + sum_k alpha_k e_ki),      alpha_k ~ N(c_k, 1),
    sum_k e_k e_k^T = V = B H^-1 B^T,   B = J - mu* T,   sum_k t_k t_k^T = T H^-1 T^T,

where b = nu* - mu* s'.  The (e_k, t_k) are the singular vectors of (B, T) H^-1/2 times their singular values and enter
as symmetric histosys of background and signal, which are straight lines under every interpolation code.  Without the
t_k this is the simplified likelihood of CMS-NOTE-2017-001, section 2, and of Buckley et al., arXiv:1809.05548, without
its quadratic term; who tests another signal takes out the sample ``signal``, and puts in the other one.

**linear.**  Every nuisance parameter stays, and the rates of the samples are linear in it (Berger,
arXiv:2301.05676): factors such as normalisations stay factors, all else becomes a symmetric histosys

    nu_i = sum_s f_s(mu, ...) (N_si + sum_k alpha_k Delta_ski),      alpha_k ~ N(c_k, 1).

Both are exact, up to a constant, for linear rates and normal constraints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.data import Counts, Data
from infer.errors import ParameterError
from infer.likelihood import Likelihood
from infer.parameters import Parameter
from infer.simplified.expansion import Expansion, Rest, rest_of
from infer.typing import MainData, Vector

FloatArray = npt.NDArray[np.float64]
Document: TypeAlias = dict[str, Any]

_FLAT = 1e-9  # eigenvalue of the scaled Hessian below which a combination of parameters is not measured
_NOTHING = 1e-12  # share of the largest mode below which a mode is rounding
_REACH = 10.0  # standard deviations that a nuisance parameter may move
_WIDE = 1e6  # bound that stands for none


@dataclass(frozen=True, eq=False)
class Form:
    """A simplified likelihood, and what stands in it bin by bin.

    Attributes:
        document: The workspace.
        channels: Channel of each kept bin, K of them.
        bins: Number of the bin in its channel.
        observed: Observed events with shape (K,).
        background: Expected events without signal, as the rest of the likelihood has them, with shape (K,).
        postfit: The same at the point of expansion.
        signal: Expected events for each unit of the parameter of interest, with shape (K,).
        covariance: Of ``background``, with shape (K, K).
        absorbed: Channels that are part of the covariance alone.
        remarks: What is left out, in clauses.
    """

    document: Document
    channels: tuple[str, ...]
    bins: tuple[int, ...]
    observed: FloatArray
    background: FloatArray
    postfit: FloatArray
    signal: FloatArray
    covariance: FloatArray
    absorbed: tuple[str, ...]
    remarks: tuple[str, ...]


def covariance_form(
    likelihood: Likelihood, data: Data, expansion: Expansion, keep: Sequence[str] | None = None
) -> Form:
    """The covariance form of the channels ``keep``; None keeps those that say something of the parameter of interest.

    Raises:
        ParameterError: A channel is unknown, or a free parameter moves kept bins and nothing else measures it.
    """
    kept = kept_channels(expansion, keep)
    inside = expansion.bins_of(kept)
    rest = rest_of(likelihood, data, expansion, ~inside)
    modes = Modes.of(expansion, rest, inside)
    background = expansion.expected[inside] - modes.signal * expansion.poi_value
    names = [f"mode_{k}" for k in range(len(modes.centres))]
    parameters = [_poi_setting(expansion)] + [_setting(n, c) for n, c in zip(names, modes.centres, strict=True)]
    channels: list[Document] = []
    observations: list[Document] = []
    start = 0
    for name, size in zip(expansion.channels, expansion.n_bins, strict=True):
        if name in kept:
            at = slice(start, start + size)
            scaled = [{"name": expansion.poi, "type": "normfactor", "data": None}]
            samples = []
            for sample, nominal, vectors in (
                ("signal", modes.signal, modes.signal_vectors),
                ("background", background, modes.vectors),
            ):
                moved = {n: e[at] for n, e in zip(names, vectors, strict=True) if np.any(e[at] != 0.0)}
                first = scaled if sample == "signal" else []
                modifiers = [*first, *_shifts(nominal[at], moved)]
                samples.append({"name": sample, "data": nominal[at].tolist(), "modifiers": modifiers})
            channels.append({"name": name, "samples": samples})
            observations.append({"name": name, "data": expansion.observed[inside][at].tolist()})
            start += size
    return _form(expansion, kept, channels, observations, parameters, modes, modes.remarks)


def linear_form(likelihood: Likelihood, data: Data, expansion: Expansion) -> Form:
    """The linear form: all channels, all nuisance parameters.

    Raises:
        ParameterError: A free parameter is no factor of samples, so that a line would not describe it.
    """
    everything = np.ones(expansion.observed.shape, dtype=bool)
    rest = rest_of(likelihood, data, expansion, ~everything)
    declared = list(expansion.fitted.parameters.values())
    constrained = np.asarray([i for i in expansion.nuisances if declared[i].constraint is not None], dtype=int)
    root = np.asarray(np.linalg.cholesky(rest.hessian[np.ix_(constrained, constrained)]), dtype=float)
    centres = np.asarray(-np.linalg.solve(root, rest.gradient[constrained]), dtype=float)
    names = [declared[i].name for i in constrained]
    factors = _Factors.of(likelihood, data, expansion)
    slopes = _entry_jacobian(likelihood, jnp.asarray(factors.theta), data.main)
    channels: list[Document] = []
    observations: list[Document] = []
    for counts, slope in zip(factors.counts, slopes, strict=True):
        impacts = np.linalg.solve(
            root, np.moveaxis(np.asarray(slope)[:, :, constrained], -1, 0).reshape(len(names), -1)
        )
        impacts = impacts.reshape(len(names), *counts.expected.shape)
        samples = []
        for s, sample in enumerate(counts.samples):
            nominal = np.asarray(counts.expected[s])
            moved = {n: impacts[k, s] for k, n in enumerate(names) if np.any(impacts[k, s] != 0.0)}
            modifiers = [*factors.modifiers[counts.channel, sample], *_shifts(nominal, moved)]
            samples.append({"name": sample, "data": nominal.tolist(), "modifiers": modifiers})
        channels.append({"name": counts.channel, "samples": samples})
        observations.append({"name": counts.channel, "data": np.asarray(counts.observed).tolist()})
    used = {m["name"] for c in channels for s in c["samples"] for m in s["modifiers"]}
    settings = [_setting(n, c) for n, c in zip(names, centres, strict=True) if n in used]
    parameters = [*factors.settings, *settings]
    modes = Modes.linear(expansion, constrained, root, centres)
    return _form(expansion, expansion.channels, channels, observations, parameters, modes, factors.remarks)


def kept_channels(expansion: Expansion, keep: Sequence[str] | None) -> tuple[str, ...]:
    """The channels to keep; None keeps those that say something of the parameter of interest.

    Raises:
        ParameterError: A channel is unknown, or there is none.
    """
    if keep is None:
        return expansion.informative()
    for name in keep:
        if name not in expansion.channels:
            raise ParameterError(f"no channel is called {name!r}; the channels are {', '.join(expansion.channels)}.")
    if not keep:
        raise ParameterError("no channel to keep; name at least one.")
    return tuple(name for name in expansion.channels if name in keep)


def _form(
    expansion: Expansion,
    kept: Sequence[str],
    channels: list[Document],
    observations: list[Document],
    parameters: list[Document],
    modes: Modes,
    remarks: Sequence[str],
) -> Form:
    inside = expansion.bins_of(kept)
    postfit = expansion.expected[inside] - modes.signal * expansion.poi_value
    sizes = [(name, size) for name, size in zip(expansion.channels, expansion.n_bins, strict=True) if name in kept]
    config = {"poi": expansion.poi, "parameters": parameters}
    return Form(
        document={
            "channels": channels,
            "observations": observations,
            "measurements": [{"name": "simplified", "config": config}],
            "version": "1.0.0",
        },
        channels=tuple(name for name, size in sizes for _ in range(size)),
        bins=tuple(b for _, size in sizes for b in range(size)),
        observed=expansion.observed[inside],
        background=postfit + modes.shift,
        postfit=postfit,
        signal=modes.signal,
        covariance=modes.covariance,
        absorbed=tuple(name for name in expansion.channels if name not in kept),
        remarks=tuple(remarks),
    )


def _shifts(nominal: FloatArray, moved: Mapping[str, FloatArray]) -> list[Document]:
    """Symmetric histosys: a straight line through the nominal rates."""
    return [
        {
            "name": name,
            "type": "histosys",
            "data": {"lo_data": (nominal - shift).tolist(), "hi_data": (nominal + shift).tolist()},
        }
        for name, shift in moved.items()
    ]


def _setting(name: str, centre: float) -> Document:
    reach = [min(0.0, centre) - _REACH, max(0.0, centre) + _REACH]
    return {"name": name, "inits": [0.0], "auxdata": [float(centre)], "bounds": [[float(x) for x in reach]]}


def _poi_setting(expansion: Expansion) -> Document:
    return _factor_setting(expansion.fitted.parameters[expansion.poi], expansion.poi_value)


def _factor_setting(parameter: Parameter, value: float) -> Document:
    low, high = (float(np.clip(bound, -_WIDE, _WIDE)) for bound in parameter.bounds)
    return {"name": parameter.name, "inits": [float(np.clip(value, low, high))], "bounds": [[low, high]]}


@dataclass(frozen=True, eq=False)
class Modes:
    """Independent directions in which the K kept bins move: a standard normal number each.

    Attributes:
        signal: The signal s' with shape (K,).
        vectors: The e_k, N of them, with shape (N, K).
        signal_vectors: The t_k with shape (N, K).
        centres: The c_k with shape (N,).
        covariance: V with shape (K, K).
        shift: Expected events as the rest has them minus those at the fit, with shape (K,).
        moving: Positions of the nuisance parameters.
        root: Lower triangle L of their Hessian, H = L L^T.
        along: Where the rest has L^T delta.
        remarks: What is left out, in clauses.
    """

    signal: FloatArray
    vectors: FloatArray
    signal_vectors: FloatArray
    centres: FloatArray
    covariance: FloatArray
    shift: FloatArray
    moving: npt.NDArray[np.int64]
    root: FloatArray
    along: FloatArray
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, expansion: Expansion, rest: Rest, inside: npt.NDArray[np.bool_]) -> Modes:
        """The modes of some bins, with shape (B,), under what the rest says.

        Raises:
            ParameterError: A free parameter moves them and nothing else measures it.
        """
        poi, moving = expansion.fitted.parameters.position(expansion.poi), _moving(expansion, rest, inside)
        J, T = expansion.jacobian[np.ix_(inside, moving)], expansion.signal_jacobian[np.ix_(inside, moving)]
        root = _root(expansion, moving, rest.hessian[np.ix_(moving, moving)])
        mixed = rest.hessian[moving, poi]
        # J H^-1 = (J L^-T) L^-1 with H = L L^T
        total, signals = np.linalg.solve(root, J.T).T, np.linalg.solve(root, T.T).T
        backgrounds = total - expansion.poi_value * signals
        signal = expansion.signal[inside] - total @ np.linalg.solve(root, mixed)
        along = np.asarray(-np.linalg.solve(root, rest.gradient[moving]), dtype=float)
        left, size, right = np.linalg.svd(np.concatenate([backgrounds, signals]), full_matrices=False)
        real = size > _NOTHING * np.max(size, initial=0.0)
        both, centres, n = (left * size).T[real], right[real] @ along, len(signal)
        alone = rest.hessian[poi, poi] - float(np.sum(np.linalg.solve(root, mixed) ** 2))
        remarks = _absorbed_information(expansion, inside, alone)
        covariance, shift = backgrounds @ backgrounds.T, backgrounds @ along
        return cls(signal, both[:, :n], both[:, n:], centres, covariance, shift, moving, root, along, remarks)

    @classmethod
    def linear(cls, expansion: Expansion, constrained: npt.NDArray[np.int64], root: FloatArray, c: FloatArray) -> Modes:
        """Every constrained parameter in the units of its constraint, and all bins."""
        A: FloatArray = np.asarray(np.linalg.solve(root, expansion.jacobian[:, constrained].T).T, dtype=float)
        return cls(expansion.signal, A.T, np.zeros_like(A.T), c, A @ A.T, A @ c, constrained, root, c, ())


def _moving(expansion: Expansion, rest: Rest, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Nuisance parameters that move kept bins or are measured by the rest.

    Raises:
        ParameterError: One moves kept bins and is measured by nothing else.
    """
    at = expansion.nuisances
    moves = np.any(expansion.jacobian[np.ix_(inside, at)] != 0.0, axis=0)
    measured = np.diagonal(rest.hessian)[at] > 0.0
    for i in at[moves & ~measured]:
        raise _unmeasured(expansion, expansion.fitted.parameters.names[i])
    return np.asarray(at[measured])


def _root(expansion: Expansion, at: npt.NDArray[np.int64], hessian: FloatArray) -> FloatArray:
    """Cholesky factor of the Hessian of the rest.

    Raises:
        ParameterError: A combination of parameters is not measured.
    """
    scale = np.sqrt(np.diagonal(hessian))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    if values.size and values[0] < _FLAT:
        raise _unmeasured(expansion, expansion.fitted.parameters.names[at[int(np.argmax(np.abs(vectors[:, 0])))]])
    return np.asarray(np.linalg.cholesky(hessian), dtype=float)


def _unmeasured(expansion: Expansion, name: str) -> ParameterError:
    shares = ", ".join(f"{channel} {share:.1%}" for channel, share in expansion.information().items())
    return ParameterError(
        f"parameter {name!r} moves bins that are kept, but neither a constraint nor an absorbed channel measures it, "
        "so that the bins have no covariance; keep fewer channels, or use the linear form (shares of the channels in "
        f"the information on {expansion.poi}: {shares})."
    )


def _absorbed_information(expansion: Expansion, inside: npt.NDArray[np.bool_], alone: float) -> tuple[str, ...]:
    """What absorbed channels say of the parameter of interest by themselves is lost, and said."""
    signal, rate = expansion.signal[inside], expansion.expected[inside]
    kept = float(np.sum(signal**2 / np.where(rate > 0.0, rate, np.inf)))
    share = alone / (alone + kept) if alone + kept > 0.0 else 0.0
    if share < 1e-4:
        return ()
    return (f"the absorbed channels measure {expansion.poi} by themselves, {share:.2g} of all, which is left out",)


@dataclass(frozen=True, eq=False)
class _Factors:
    """Free parameters that multiply samples, and the rates with all of them at one."""

    theta: FloatArray
    counts: tuple[Counts, ...]
    modifiers: dict[tuple[str, str], list[Document]]
    settings: list[Document]
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, likelihood: Likelihood, data: Data, expansion: Expansion) -> _Factors:
        parameters = expansion.fitted.parameters
        poi = parameters.position(expansion.poi)
        if parameters[expansion.poi].constraint is not None:
            raise ParameterError(
                f"parameter {expansion.poi!r} has a constraint and is no factor; choose a free parameter of interest."
            )
        free = [i for i, p in enumerate(parameters.values()) if p.constraint is None and (i == poi or not p.fixed)]
        theta = expansion.theta.copy()
        theta[free] = 1.0
        counts = likelihood.counts(jnp.asarray(theta), data.main)
        modifiers: dict[tuple[str, str], list[Document]] = {(c.channel, s): [] for c in counts for s in c.samples}
        settings: dict[str, Document] = {}
        for i in free:
            doubled = theta.copy()
            doubled[i] = 2.0
            moved = likelihood.counts(jnp.asarray(doubled), data.main)
            parameter, value = parameters[parameters.names[i]], float(expansion.theta[i])
            _attach(parameter, value, counts, moved, modifiers, settings)
        return cls(theta, counts, modifiers, list(settings.values()), ())


def _attach(
    parameter: Parameter,
    value: float,
    counts: Sequence[Counts],
    moved: Sequence[Counts],
    modifiers: dict[tuple[str, str], list[Document]],
    settings: dict[str, Document],
) -> None:
    """Say which samples a parameter multiplies: in all bins, or, as a component of a shapefactor, in its own.

    Raises:
        ParameterError: It does something else.
    """
    component = re.fullmatch(r"(.*)\[(\d+)\]", parameter.name)
    used = False
    for before, after in zip(counts, moved, strict=True):
        for s, sample in enumerate(before.samples):
            one, two = np.asarray(before.expected[s]), np.asarray(after.expected[s])
            same, double = np.isclose(two, one, rtol=1e-9), np.isclose(two, 2.0 * one, rtol=1e-9)
            if np.all(same):
                continue
            bin = int(component[2]) if component else -1
            if np.all(double):
                kind, name = ("normfactor", parameter.name) if component is None else ("shapefactor", component[1])
            elif component and bin < one.size and double[bin] and np.all(np.delete(same, bin)):
                kind, name = "shapefactor", component[1]
            else:
                raise ParameterError(
                    f"the free parameter {parameter.name!r} is no factor of sample {sample!r} in channel "
                    f"{before.channel!r}, so that the linear form cannot hold it; use the covariance form."
                )
            here = modifiers[before.channel, sample]
            entry = {"name": name, "type": kind, "data": None}
            if entry not in here:
                here.append(entry)
            used = True
    if used or component:
        _join(settings, parameter, value, component)


def _join(settings: dict[str, Document], parameter: Parameter, value: float, component: re.Match[str] | None) -> None:
    """The setting of a factor, or one more component of a shapefactor's."""
    made = _factor_setting(parameter, value)
    name = component[1] if component else parameter.name
    if name in settings:
        settings[name]["inits"] += made["inits"]
        settings[name]["bounds"] += made["bounds"]
    else:
        settings[name] = {**made, "name": name}


@eqx.filter_jit
def _entry_jacobian(likelihood: Likelihood, theta: Vector, main: MainData) -> tuple[Float[Array, "s b p"], ...]:
    def entries(t: Vector) -> tuple[Float[Array, "s b"], ...]:
        return tuple(c.expected for c in likelihood.counts(t, main))

    return jax.jacfwd(entries)(theta)
