"""The skewed form: the covariance form where the background is linear, and closer to the truth where it is not."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import infer
from infer.simplified.expansion import expand
from infer.simplified.forms import covariance_form
from infer.simplified.simplify import simplify
from infer.simplified.skewed import skewed_form
from tests.simplified.test_simplify import BACKGROUND, SIGNAL, built, linear_workspace


def curved_workspace() -> dict[str, Any]:
    """A background with one large log-normal uncertainty: kappa = 1.4."""
    document = linear_workspace(signal_moves=False)
    document["channels"][0]["samples"][1]["modifiers"] = [
        {"name": "norm", "type": "normsys", "data": {"lo": 1.0 / 1.4, "hi": 1.4}}
    ]
    return document


def test_a_linear_background_has_the_covariance_of_the_covariance_form() -> None:
    """To rounding, whatever the draws; and no skewness."""
    likelihood, data = built(linear_workspace(signal_moves=False))
    expansion = expand(likelihood, data)
    skewed = skewed_form(likelihood, data, expansion, None, key=jax.random.key(5))
    plain = covariance_form(likelihood, data, expansion, None)
    np.testing.assert_allclose(skewed.covariance, plain.covariance, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(skewed.background, plain.background, rtol=1e-8)
    (channel,) = skewed.document["channels"]
    np.testing.assert_allclose(channel["a"], BACKGROUND, rtol=1e-8)
    np.testing.assert_allclose(channel["c"], 0.0, atol=1e-6)
    np.testing.assert_allclose(channel["signal"], SIGNAL, rtol=1e-9)


def test_what_moves_the_signal_is_part_of_the_skewed_background() -> None:
    """As much as it is there at the point of expansion: the covariance is that of all expected events."""
    likelihood, data = built(linear_workspace(signal_moves=True))
    expansion = expand(likelihood, data)
    skewed = skewed_form(likelihood, data, expansion, None, key=jax.random.key(5))
    J = expansion.jacobian[:, expansion.nuisances]  # of standard normal numbers
    np.testing.assert_allclose(skewed.covariance, J @ J.T, rtol=1e-8)


def test_the_moments_of_a_log_normal_background() -> None:
    """Mean and variance to 5 standard deviations of what 20000 draws give (a false alarm once in 10^6)."""
    likelihood, data = built(curved_workspace())
    form = skewed_form(likelihood, data, expand(likelihood, data), None, key=jax.random.key(6))
    sigma = np.log(1.4)
    mean = np.asarray(BACKGROUND) * np.exp(0.5 * sigma**2)
    std = mean * np.sqrt(np.expm1(sigma**2))
    np.testing.assert_array_less(np.abs(form.background - mean), 5.0 * std / np.sqrt(20_000.0))
    kurtosis = np.exp(4.0 * sigma**2) + 2.0 * np.exp(3.0 * sigma**2) + 3.0 * np.exp(2.0 * sigma**2) - 3.0
    error = std**2 * np.sqrt((kurtosis - 1.0) / 20_000.0)
    np.testing.assert_array_less(np.abs(np.diagonal(form.covariance) - std**2), 5.0 * error)
    assert form.document["channels"][0]["c"][0] > 0.0


@pytest.mark.slow
def test_skewness_brings_the_profile_closer() -> None:
    """The largest difference within two standard deviations falls to less than half; the document is read back."""
    likelihood, data = built(curved_workspace())
    options: dict[str, Any] = {"points": 9, "limits": False}
    plain = simplify(likelihood, data, **options)
    skewed = simplify(likelihood, data, form="skewed", key=jax.random.key(7), **options)
    assert skewed.trustworthy
    assert skewed.difference.largest is not None
    assert plain.difference.largest is not None
    assert abs(skewed.difference.largest) < 0.5 * abs(plain.difference.largest)
    again, its_data = skewed.likelihood()
    assert infer.fit(again, its_data).value("mu") == pytest.approx(skewed.difference.simplified.value, abs=1e-8)


def test_a_key_is_needed() -> None:
    """And refused where nothing is drawn."""
    likelihood, data = built(curved_workspace())
    with pytest.raises(infer.ParameterError, match="draws random numbers"):
        simplify(likelihood, data, form="skewed")
    with pytest.raises(infer.ParameterError, match="draws random numbers"):
        simplify(likelihood, data, key=jax.random.key(1))
