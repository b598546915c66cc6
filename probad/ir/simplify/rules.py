"""The registry of rules: what each is for, so that a node is shown only to those that may have an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

WHOLE = {"axis": None, "keepdims": False}
COMMUTATIVE = frozenset({"add", "multiply", "logaddexp"})
# What operands look like from outside; a node looks like its operation.
SCALAR, ARRAY, UNIFORM, CONDITION = "constant", "constants", "equal constants", "constant condition"
LITERALS = frozenset({-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0})


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule for the nodes of one operation.

    Attributes
    ----------
    op : str
    equation : str
    apply_fn : callable
        ``apply_fn(builder, args, params)`` gives the number of what is as good, or None.
    looks : tuple of callable
        For the first two operands, whether one that looks like this is worth a closer look.
    """

    op: str
    equation: str
    apply_fn: Callable[..., int | None]
    looks: tuple[Callable[[str], bool], ...] = ()


RULES: dict[str, list[Rule]] = {}


def literal_look(value: float) -> str:
    """What a constant of this value looks like."""
    return f"constant {value + 0.0}"  # zeros of either sign are one


@cache
def candidates(op: str, first: str, second: str) -> tuple[Rule, ...]:
    """The rules of an operation that may apply to operands that look like this."""
    fits = zip(RULES.get(op, ()), _fits(op, 0, first), _fits(op, 1, second), strict=True)
    return tuple([rule for rule, one, other in fits if one and other])


@cache
def _fits(op: str, place: int, look: str) -> list[bool]:
    """For each rule of an operation, whether one operand may look like this."""
    return [test(look) for test in _tests(op, place)]


@cache
def _tests(op: str, place: int) -> list[Callable[[str], bool]]:
    """For each rule of an operation, what it asks of one operand."""
    return [rule.looks[place] if place < len(rule.looks) else _is_any for rule in RULES.get(op, ())]


def _is_any(look: str) -> bool:
    return True


def rule(op: str, equation: str, *first: str):
    """Enrol a function as a rule: of the builder, the operands and, by name, the parameters.

    With `first`, it is for operands that are results of these operations only.
    """

    def enrol(fn: Callable[..., int | None]):
        looks = (frozenset(first).__contains__,) if first else ()
        RULES.setdefault(op, []).append(Rule(op, equation, lambda b, args, params: fn(b, *args, **params), looks))
        return fn

    return enrol
