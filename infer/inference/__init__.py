"""Inference, written once against the contract of `infer.likelihood`."""
