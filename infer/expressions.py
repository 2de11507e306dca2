"""Expressions of named parameters, such as ``mu_a / mu_b``: read, checked and evaluated without running any code.

Numbers, names, ``+ - * / **``, parentheses and the functions sqrt, exp and log; a name that is no plain word stands
in quotes, as in ``'gamma[0]' * mu``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax.numpy as jnp

from infer.errors import ParameterError
from infer.typing import Scalar

FUNCTIONS: dict[str, Callable[[Scalar], Scalar]] = {"sqrt": jnp.sqrt, "exp": jnp.exp, "log": jnp.log}
"""Functions that an expression may call."""

_BINARY: dict[type[ast.operator], Callable[[Scalar, Scalar], Scalar]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Scalar], Scalar]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_LONGEST = 2000  # characters: far more than anybody writes, far less than what exhausts the parser
_MOST = 200  # parts: what is nested deeper than Python can follow is refused
_LARGEST = 1e300  # numbers beyond overflow
_GRAMMAR = "numbers, names, + - * / **, parentheses, sqrt(), exp() and log(), names like gamma[0] in quotes"


@dataclass(frozen=True)
class Expression:
    """A function of parameters, called with their values by name; equal texts are equal functions.

    Args:
        text: What is computed.

    Raises:
        ParameterError: The text is no such expression; the message names the place.
    """

    text: str
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tree = _parsed(self.text)
        _check(tree, self.text)
        object.__setattr__(self, "_tree", tree)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that the expression names, each once."""
        found = (_name(node) for node in _nodes(self._tree))
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def __call__(self, parameters: Mapping[str, Scalar]) -> Scalar:
        """The value; inside jit, too."""
        return _value(self._tree, parameters)


def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ParameterError(f"an expression has at most {_LONGEST} characters, got {len(text)}.")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f" at {text.strip()[error.offset - 1 :][:12]!r}" if error.offset else ""
        raise ParameterError(f"expression {text!r}{where}: expected {_GRAMMAR}.") from None
    except (ValueError, MemoryError, RecursionError, OverflowError):
        raise ParameterError(f"expression {text[:40]!r}: cannot be read; expected {_GRAMMAR}.") from None


def _check(tree: ast.expr, text: str) -> None:
    """Refuse whatever is not in the grammar."""
    nodes = _nodes(tree)
    if len(nodes) > _MOST:
        raise ParameterError(f"an expression has at most {_MOST} numbers, names and operations, got {len(nodes)}.")
    for node in nodes:
        if isinstance(node, ast.Subscript):
            part = ast.unparse(node)
            raise ParameterError(f"expression {text!r}: write the name {part} in quotes: '{part}'.")
        if not _allowed(node):
            part = ast.unparse(node)[:40]
            raise ParameterError(f"expression {text!r}: {part!r} cannot be computed; expected {_GRAMMAR}.")


def _nodes(tree: ast.expr) -> list[ast.expr]:
    """A node and all below it that have a value of their own, from left to right."""
    found, waiting = list[ast.expr](), [tree]
    while waiting:
        found.append(waiting.pop())
        waiting += reversed(_operands(found[-1]))
    return found


def _operands(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.Call(args=arguments):
            return arguments
    return []


def _allowed(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value):
            number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
            return number or isinstance(value, str)
        case ast.BinOp(op=op):
            return type(op) in _BINARY
        case ast.UnaryOp(op=sign):
            return type(sign) in _UNARY
        case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]):
            return name in FUNCTIONS
    return isinstance(node, ast.Name)


def _name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Constant(value=str() as name):
            return name
    return None


def _value(node: ast.expr, parameters: Mapping[str, Scalar]) -> Scalar:
    match node:
        case ast.Name(id=name) | ast.Constant(value=str() as name):
            return parameters[name]
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int() as power)):
            return _value(left, parameters) ** power  # exact derivatives, also at zero
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, parameters), _value(right, parameters))
        case ast.UnaryOp(op=sign, operand=operand):
            return _UNARY[type(sign)](_value(operand, parameters))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return FUNCTIONS[name](_value(argument, parameters))
        case ast.Constant(value=int() | float() as number):
            return jnp.asarray(float(number))
    raise ParameterError(f"{ast.unparse(node)!r} cannot be computed.")  # `_check` lets nothing else pass
