"""Simplified likelihoods: a fitted likelihood of counts made linear, as a workspace, with the difference it makes."""
