"""Equations as rules: ``"log(1 + x) = log1p(x)"`` is what is looked for, and what is made instead.

The letters say what they stand for: ``c, d, e`` constant scalars, ``s, t`` scalars, ``a`` an array, any other anything.
Numbers are constant scalars, functions are operations of that name, `sum` is the sum of all elements; sums and
products are found in either order.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator

from probad.errors import GraphError
from probad.ir.simplify.builder import Builder
from probad.ir.simplify.rules import (
    ARRAY,
    COMMUTATIVE,
    CONDITION,
    LITERALS,
    RULES,
    SCALAR,
    UNIFORM,
    WHOLE,
    Rule,
    literal_look,
)
from probad.parsing import parse

OPERATORS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"}
EQUATIONS: dict[str, Callable[..., bool] | None] = {}  # and their conditions


def equations(*rows: str | tuple[str, Callable[..., bool]]) -> None:
    """Enrol rules, of which some have a condition: a function of the values of constants, by their letters."""
    for row in rows:
        equation, condition = (row, None) if isinstance(row, str) else row
        EQUATIONS[equation] = condition
        left, right = (parse(side.strip(), mode="eval").body for side in equation.split(" = "))
        make = _maker(right)
        names = () if condition is None else tuple(inspect.signature(condition).parameters)
        for pattern in _orders(left):
            op, operands = _call(pattern)
            rule = Rule(
                op,
                equation,
                _application(op, [_matcher(a) for a in operands], make, condition, names),
                tuple(_look(a) for a in operands[:2]),
            )
            RULES.setdefault(op, []).append(rule)


# --- left sides -------------------------------------------------------------------------------------------------------
def _call(pattern: ast.expr) -> tuple[str, list[ast.expr]]:
    """Operation and operands of an expression."""
    if isinstance(pattern, ast.BinOp):
        return OPERATORS[type(pattern.op)], [pattern.left, pattern.right]
    if isinstance(pattern, ast.UnaryOp):
        return "negative", [pattern.operand]
    return pattern.func.id, pattern.args


def _number(pattern: ast.expr) -> float | None:
    """The value of a number, which may have a sign."""
    if isinstance(pattern, ast.UnaryOp) and isinstance(pattern.operand, ast.Constant):
        return -float(pattern.operand.value)
    return float(pattern.value) if isinstance(pattern, ast.Constant) else None


def _orders(pattern: ast.expr) -> Iterator[ast.expr]:
    """All orders of the operands of sums and products."""
    seen = set()
    for order in _all_orders(pattern):
        text = ast.unparse(order)
        if text not in seen:
            seen.add(text)
            yield order


def _all_orders(pattern: ast.expr) -> Iterator[ast.expr]:
    if isinstance(pattern, ast.Name) or _number(pattern) is not None:
        yield pattern
    elif isinstance(pattern, ast.BinOp):
        for left in _all_orders(pattern.left):
            for right in _all_orders(pattern.right):
                yield ast.BinOp(left, pattern.op, right)
                if OPERATORS[type(pattern.op)] in COMMUTATIVE:
                    yield ast.BinOp(right, pattern.op, left)
    elif isinstance(pattern, ast.UnaryOp):
        for operand in _all_orders(pattern.operand):
            yield ast.UnaryOp(pattern.op, operand)
    elif len(pattern.args) == 1:
        for operand in _all_orders(pattern.args[0]):
            yield ast.Call(pattern.func, [operand], [])
    else:
        yield pattern


def _look(pattern: ast.expr) -> Callable[[str], bool]:
    """What an operand must look like from outside."""
    value = _number(pattern)
    if value is not None:
        if value not in LITERALS:
            raise GraphError(f"The number {value} of an equation has no look of its own.")
        return literal_look(value).__eq__
    if not isinstance(pattern, ast.Name):
        return _call(pattern)[0].__eq__
    if pattern.id in "cde":
        return lambda look: look.startswith(SCALAR) and look not in (ARRAY, CONDITION)
    if pattern.id in "st":
        return lambda look: look not in (ARRAY, UNIFORM)
    if pattern.id == "a":
        return lambda look: look in (ARRAY, UNIFORM) or not look.startswith(SCALAR)
    return lambda look: True


def _matcher(pattern: ast.expr) -> Callable[[Builder, int, dict], bool]:
    """A function that matches a value, and writes down what the letters stand for."""
    value = _number(pattern)
    if value is not None:
        look = literal_look(value)
        return lambda b, number, letters: b.look(number) == look
    if isinstance(pattern, ast.Name):
        return _letter(pattern.id)
    op, operands = _call(pattern)
    parts = [_matcher(a) for a in operands]

    def match(b: Builder, number: int, letters: dict) -> bool:
        if number < 0 or b.graph.ops[number] != op or (op == "sum" and b.graph.params[number] != WHOLE):
            return False
        return all(part(b, a, letters) for part, a in zip(parts, b.graph.args[number], strict=True))

    return match


def _letter(letter: str) -> Callable[[Builder, int, dict], bool]:
    def match(b: Builder, number: int, letters: dict) -> bool:
        if letter in letters:
            return letters[letter] == number
        letters[letter] = number
        if letter in "cde":
            return b.scalar(number) is not None
        if letter in "st":
            return b.shape(number) == ()
        return letter != "a" or b.shape(number) != ()

    return match


# --- right sides ------------------------------------------------------------------------------------------------------
def _maker(pattern: ast.expr) -> Callable[[Builder, dict], int]:
    """A function that makes a value from what the letters stand for."""
    value = _number(pattern)
    if value is not None:
        return lambda b, letters: b.constant(value)
    if isinstance(pattern, ast.Name):
        letter = pattern.id
        return lambda b, letters: letters[letter]
    op, operands = _call(pattern)
    parts = [_maker(a) for a in operands]
    params = WHOLE if op == "sum" else {}
    return lambda b, letters: b(op, *(part(b, letters) for part in parts), **params)


def _application(op, parts, make, condition, names) -> Callable[[Builder, tuple[int, ...], dict], int | None]:
    def apply(b: Builder, args: tuple[int, ...], params: dict) -> int | None:
        if op == "sum" and params != WHOLE:
            return None
        letters: dict[str, int] = {}
        for part, a in zip(parts, args, strict=True):
            if not part(b, a, letters):
                return None
        if condition is not None and not condition(*(b.scalar(letters[name]) for name in names)):
            return None
        return make(b, letters)

    return apply
