"""A HistFactory model with declarations of parameters that no workspace document can hold.

A pyhf document leaves free factors unconstrained and gives shifts a unit normal constraint. Other formats say more:
a factor may have been measured by a count, or a shift may be free within a range. Rates do not change by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from infer.data import Data
from infer.errors import ParameterError
from infer.likelihood import constraint_terms
from infer.likelihoods.histfactory.model import HistFactory
from infer.parameters import Parameter, Parameters


def with_declared(
    model: HistFactory, data: Data, declared: Mapping[str, tuple[Parameter, float | None]]
) -> tuple[HistFactory, Data]:
    """The model and its data with some parameters declared anew.

    Args:
        model: The model.
        data: Its data.
        declared: Parameters under their names, each with its auxiliary datum, None where it has no constraint.

    Raises:
        ParameterError: A name is unknown, or a parameter has a constraint without a datum or the reverse.
    """
    known = model.parameters
    aux = dict(zip(known.constrained, np.asarray(data.aux, dtype=float).tolist(), strict=True))
    for name, (parameter, datum) in declared.items():
        known.position(name)
        if (parameter.constraint is None) != (datum is None) or parameter.name != name:
            raise ParameterError(f"{name!r} needs a declaration under its name, and a datum if it has a constraint.")
    parameters = Parameters((declared[n][0] if n in declared else p for n, p in known.items()), poi=known.poi)
    values = [declared[name][1] if name in declared else aux[name] for name in parameters.constrained]
    changed = replace(model, parameters=parameters, constraints=constraint_terms(parameters))
    return changed, Data(data.main, jnp.asarray(values, dtype=float))
