"""Batches: the same numbers as one problem at a time, whatever their companions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.inference.batches import each, threads

Problem = dict[str, Any]


def root(shared: Any, problem: Problem) -> dict[str, Any]:
    """Square root by Newton's method, as many steps as it takes: a small search of uneven length."""
    target = shared * problem["x"]

    def unfinished(state: tuple[Any, Any]) -> Any:
        x, n = state
        return (jnp.abs(x * x - target) > 1e-13 * target) & (n < 100)

    x, n = jax.lax.while_loop(unfinished, lambda s: (0.5 * (s[0] + target / s[0]), s[1] + 1), (target, jnp.asarray(0)))
    return {"root": x, "steps": n, "both": jnp.stack([x, problem["pair"][0]])}


@dataclass(frozen=True)
class Power:
    """A function that carries a setting."""

    exponent: int

    def __call__(self, shared: Any, problem: Any) -> Any:
        """Shared number times a power."""
        return shared * problem**self.exponent


def problems(n: int) -> Problem:
    """Numbers over ten decades, and a pair of integers each."""
    x = 10.0 ** np.random.default_rng(1).uniform(-5.0, 5.0, n)
    return {"x": x, "pair": np.stack([x, x], axis=1)}


@pytest.mark.parametrize("size", [1, 12, 13], ids=["tiny", "still tiny", "one after the other"])
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1500])
def test_every_problem_gets_its_own_answer(n: int, size: int) -> None:
    """Closed-form answers in the order of the problems, for batches that fill no, one or several blocks."""
    given = problems(n)
    found = each(root, jnp.asarray(4.0), given, size=size)
    np.testing.assert_allclose(found["root"], 2.0 * np.sqrt(given["x"]), rtol=1e-12)
    np.testing.assert_array_equal(found["both"][:, 1], given["x"])
    assert found["both"].shape == (n, 2)
    assert np.ptp(found["steps"]) > 0 or n == 1


@pytest.mark.parametrize("size", [1, 50])
def test_an_answer_does_not_depend_on_its_companions(size: int) -> None:
    """Bit by bit the same alone, in a part of the batch, and in another order."""
    given, shared = problems(300), jnp.asarray(4.0)
    whole = each(root, shared, given, size=size)["root"]
    order = np.random.default_rng(2).permutation(300)
    for some in (np.asarray([7]), np.arange(100, 170), order):
        part = each(root, shared, jax.tree.map(lambda x, some=some: x[some], given), size=size)
        np.testing.assert_array_equal(part["root"], whole[some])


def test_answers_are_plain_arrays() -> None:
    """What comes out is NumPy's, ready for the host: no array that lives on a device."""
    found = each(Power(3), jnp.asarray(2.0), np.arange(5.0), size=1)
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [0.0, 2.0, 16.0, 54.0, 128.0]


def test_equal_settings_share_a_program() -> None:
    """A function is compiled once for equal settings, batches of one size and other shared numbers."""
    traced = []

    @dataclass(frozen=True)
    class Noted:
        label: str

        def __call__(self, shared: Any, problem: Any) -> Any:
            traced.append(self.label)
            return shared * problem

    each(Noted("a"), jnp.asarray(1.0), np.arange(70.0), size=1)
    first = len(traced)
    for shared in (2.0, 3.0):
        found = each(Noted("a"), jnp.asarray(shared), np.arange(128.0), size=1)
        assert found[5] == 5.0 * shared
    assert len(traced) == first
    each(Noted("b"), jnp.asarray(1.0), np.arange(70.0), size=1)
    assert len(traced) > first


def test_threads_are_the_cores_of_this_process() -> None:
    """At least one, and no more than the process may run on."""
    assert 1 <= threads() <= 4096
