"""Expressions of parameters: values and derivatives against NumPy, and all that is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.errors import ParameterError
from infer.expressions import Expression

VALUES = {"mu": 1.5, "b": -0.7, "gamma[0]": 0.9}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mu", 1.5),
        ("mu / b", 1.5 / -0.7),
        ("-mu + 2 * b - 1", -1.5 - 1.4 - 1.0),
        ("2 ** 3 ** 2 / 4", 512.0 / 4.0),
        ("(b) ** 2 * 'gamma[0]'", 0.49 * 0.9),
        ("b ** -2", 0.7**-2),
        ("mu ** 'gamma[0]'", 1.5**0.9),
        (" sqrt(exp(mu) + 1e-3) ", np.sqrt(np.exp(1.5) + 1e-3)),
        ("log(mu / 'gamma[0]')", np.log(1.5 / 0.9)),
        ("+3", 3.0),
    ],
)
def test_values(text: str, expected: float) -> None:
    """Precedence, signs, powers and functions are those of Python; inside jit too."""
    expression = Expression(text)
    values = {name: jnp.asarray(value) for name, value in VALUES.items()}
    assert float(expression(values)) == pytest.approx(expected, rel=1e-14)
    assert float(jax.jit(expression)(values)) == pytest.approx(expected, rel=1e-14)


def test_equal_texts_are_equal_functions() -> None:
    """So that a program is compiled once; names come once each, in order."""
    assert Expression("mu / b") == Expression("mu / b")
    assert hash(Expression("mu / b")) == hash(Expression("mu / b"))
    assert Expression("mu / b") != Expression("mu * b")
    assert Expression("exp('gamma[0]') / mu + 'gamma[0]' - -b").names == ("gamma[0]", "mu", "b")


def test_integer_powers_have_derivatives_at_zero() -> None:
    """Of x squared: 0 and 2."""
    function = Expression("x ** 2")
    slope = jax.grad(lambda x: function({"x": x}))
    assert float(slope(jnp.asarray(0.0))) == 0.0
    assert float(jax.grad(slope)(jnp.asarray(0.0))) == 2.0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "expected numbers, names"),
        ("mu /", "expected numbers, names"),
        ("mu b", "at 'mu b'|at 'b'"),
        ("gamma[0] * mu", r"write the name gamma\[0\] in quotes"),
        ("mu if b else 1", "cannot be computed"),
        ("mu == b", "cannot be computed"),
        ("mu // b", "cannot be computed"),
        ("mu @ b", "cannot be computed"),
        ("sin(mu)", "cannot be computed"),
        ("sqrt(mu, b)", "cannot be computed"),
        ("sqrt(x=mu)", "cannot be computed"),
        ("sqrt(*mu)", "cannot be computed"),
        ("mu.real", "cannot be computed"),
        ("__import__('os').system('true')", "cannot be computed"),
        ("(lambda: 1)()", "cannot be computed"),
        ("[mu][0]", "in quotes"),
        ("True + mu", "cannot be computed"),
        ("1j * mu", "cannot be computed"),
        ("None", "cannot be computed"),
        ("b'x'", "cannot be computed"),
        ("f'{mu}'", "cannot be computed"),
        ("1e999", "cannot be computed"),
        ("9" * 400, "cannot be computed"),
        ("mu := 3", "expected numbers"),
        ("mu; b", "expected numbers"),
        ("\0", "cannot be read|expected numbers"),
        ("(" * 500 + "mu" + ")" * 500, "expected numbers"),
        ("-" * 1500 + "mu", "cannot be read|at most 200"),
        ("+".join(["mu"] * 150), "at most 200 numbers"),
        ("mu" * 2000, "at most 2000 characters"),
    ],
)
def test_refused(text: str, match: str) -> None:
    """Whatever is not arithmetic of parameters is refused in a sentence; nothing is run."""
    with pytest.raises(ParameterError, match=match):
        Expression(text)
