"""The toys of a comparison: drawn by this package, at the best fit to the observed data."""

from pathlib import Path

import jax
import numpy as np

import infer
from infer.inference.campaigns import Run, prepare, throw
from infer.inference.ensembles import Ensemble
from infer.inference.fits import Settings, require_poi
from infer.likelihoods.histfactory.model import HistFactory
from validation.bench.toy_runner import Sample


def draw(path: Path, n_toys: int, seed: int, *, aux: str) -> Sample:
    """Toys of a workspace, with auxiliary data ``fluctuated`` or as ``observed``.

    Raises:
        TypeError: The file does not hold a HistFactory model.
    """
    likelihood, data = infer.read_workspace(path)
    if not isinstance(likelihood, HistFactory):
        raise TypeError(f"expected a HistFactory workspace in {path}, got {type(likelihood).__name__}")
    key, ensemble = jax.random.key(seed), Ensemble(aux=aux)
    campaign, best = prepare(
        likelihood,
        data,
        key=key,
        n_toys=n_toys,
        poi=None,
        values=[None],
        ensemble=ensemble,
        settings=Settings(),
        run=Run(),
    )
    toys = throw(campaign.sources[0], key, np.arange(n_toys))
    channels = [layout.name for layout in likelihood.channels for _ in range(layout.n_bins)]
    return Sample(
        names=list(best.parameters.names),
        truth=np.asarray(campaign.sources[0].theta),
        poi=require_poi(best),
        channels=channels,
        main=np.asarray(toys.data.main),
        aux_names=list(likelihood.parameters.constrained),
        aux=np.asarray(toys.data.aux),
    )
