"""The likelihood of a HistFactory model, with the constraints that pyhf's format cannot say.

A StatError with a Poisson constraint is measured by a count: ``tau ~ Poisson(tau gamma)`` with ``tau = 1 / sigma^2``
and sigma the relative uncertainty of the bin (``HistFactoryImpl.cxx`` of ROOT 6; HistFactory, CERN-OPEN-2012-016,
section 4.1). All samples of the channel share gamma, where a shapesys of pyhf's format belongs to one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from infer.constraints import Normal, Poisson
from infer.data import Data
from infer.io.histfactory_extras import StatConfigs
from infer.likelihood import constraint_terms
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.modifiers import first_components, stat_widths
from infer.likelihoods.histfactory.simulation import Simulated
from infer.likelihoods.histfactory.spec import MeasurementConfig, Workspace
from infer.parameters import Parameter, Parameters


def histfactory_model(
    workspace: Workspace,
    measurement: MeasurementConfig | None,
    *,
    stat: StatConfigs,
    interpolation: Interpolation | None = None,
) -> tuple[HistFactory, Data]:
    """Model and data of one measurement; the constraints of StatErrors are those of their StatErrorConfig.

    Where a StatError has a Poisson constraint, templates cannot be drawn anew (`HistFactory.resimulated`).

    Args:
        workspace: A workspace.
        measurement: One of its measurements, None takes the first.
        stat: By channel, its StatErrorConfig; a channel that is not there has Gaussian constraints.
        interpolation: Interpolation codes; None takes pyhf's defaults.
    """
    model, data = HistFactory.of(workspace, measurement, interpolation=interpolation)
    counted = {channel: config.modifier for channel, config in stat.items() if config.constraint == "Poisson"}
    changed = dict(_counted(workspace, counted, model.parameters))
    if not changed:
        return model, data
    parameters = Parameters((changed.get(n, p) for n, p in model.parameters.items()), poi=model.parameters.poi)
    aux = np.array(data.aux)
    for k, name in enumerate(parameters.constrained):
        constraint = parameters[name].constraint
        if isinstance(constraint, Poisson) and isinstance(model.parameters[name].constraint, Normal):
            aux[k] *= constraint.scale
    exact = HistFactory(
        parameters,
        constraint_terms(parameters),
        model.grids,
        model.channels,
        model.interpolation,
        model.notices,
        Simulated(model.simulated.uncertainty, model.simulated.stat_at, ()),
    )
    return exact, Data(data.main, jnp.asarray(aux))


def _counted(workspace: Workspace, modifiers: dict[str, str], before: Parameters) -> Iterator[tuple[str, Parameter]]:
    """Parameters of StatErrors that are measured by counts, by name."""
    first = first_components(workspace)
    for channel in workspace.channels:
        modifier = modifiers.get(channel.name)
        if modifier is None or (channel.name, modifier) not in first:
            continue
        start = first[channel.name, modifier]
        has_width = np.broadcast_to(stat_widths(channel, modifier) > 0.0, channel.n_bins)
        for i in range(channel.n_bins):
            name = f"{modifier}[{start + i}]"
            parameter = replace(before[name], group="mc_stat")
            if isinstance(parameter.constraint, Normal) and has_width[i]:
                parameter = replace(parameter, constraint=Poisson(parameter.constraint.width**-2))
            yield name, parameter
