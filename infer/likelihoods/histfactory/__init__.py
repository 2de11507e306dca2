"""HistFactory: binned likelihoods from pyhf workspaces."""
