"""What can be seen where a program asks a question, and what cannot."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from probad.ir.capture import explore
from probad.ir.stack import stack_at
from probad.ir.standpoint import fingerprint


def questions(fn, z):
    """Keys and answers of a run."""
    return [(q.key, q.answer) for q in explore(fn, np.asarray(z, dtype=float))[1]]


def last_keys(fn, *points) -> set:
    """The keys of the last question, at several points."""
    return {questions(fn, z)[-1][0] for z in points}


def test_the_same_state_is_the_same_standpoint_whatever_happened_before():
    def fn(z):
        s = z[0] if z[0] > 0 else 2 * z[1]
        return s if s > 1 else z[1]

    assert len(last_keys(fn, [1.0, 1.0], [-1.0, 1.0])) == 1


def _flag(z):
    is_up = bool(z[0] > 0)
    return z[0] if z[1] > 0 else 2 * z[1] + is_up


def _list(z):
    kept = []
    if z[0] > 0:
        kept.append(1.0)
    return z[0] if z[1] > 0 else z[1] * len(kept)


def _element(z):
    data = np.zeros(3)
    if z[0] > 0:
        data[1] = 2.0
    return z[0] if z[1] > 0 else z[1] * data[1]


def _closure(z):
    n = 0

    def up():
        nonlocal n
        n += 1

    if z[0] > 0:
        up()
    return z[0] if z[1] > 0 else z[1] * n


class Thing:
    """With an attribute."""

    def __init__(self):
        self.n = 0


class Slots:
    """With a slot."""

    __slots__ = ("n",)

    def __init__(self):
        self.n = 0


def _attribute(z):
    thing = Thing()
    if z[0] > 0:
        thing.n = 1
    return z[0] if z[1] > 0 else z[1] * thing.n


def _slot(z):
    thing = Slots()
    if z[0] > 0:
        thing.n = 1
    return z[0] if z[1] > 0 else z[1] * thing.n


def _iterator(z):
    numbers = iter([1.0, 2.0])
    if z[0] > 0:
        next(numbers)
    return z[0] if z[1] > 0 else z[1] * next(numbers)


def _iterator_in_c(z):
    numbers = itertools.count()
    if z[0] > 0:
        next(numbers)
    return z[0] if z[1] > 0 else z[1] * next(numbers)


def _alias(z):
    a = np.zeros(2) * z[0]
    b = a if z[0] > 0 else np.zeros(2) * z[0]
    a[0] = z[1]
    return b[0] if z[1] > 0 else b[1]


def _number_on_the_stack(z):
    return (1.0 if z[0] > 0 else 2.0) * _ask(z[1])


def _value_on_the_stack(z):
    return (z[0] if z[0] > 0 else z[1]) * _ask(z[1])


def _ask(x):
    return x if x > 0 else -2 * x


def _largest(z):
    return max(z[1], z[0], 0.5 + 0 * z[0])


def _generator(z):
    return z[0] * sum(1.0 if x > 0 else 2.0 for x in z)


def _partial_list(z):
    return z[0] * sum([1.0 if x > 0 else 2.0 for x in z])


def _large_array(z):
    weights = np.full(2000, 1.0 if z[0] > 0 else 2.0)
    return z[0] if z[1] > 0 else z[1] * weights[7]


DIFFERENT = [_flag, _large_array, _list, _element, _closure, _attribute, _slot, _iterator, _iterator_in_c, _alias,
             _number_on_the_stack, _value_on_the_stack, _generator, _partial_list]  # fmt: skip


@pytest.mark.parametrize("fn", DIFFERENT)
def test_different_states_are_different_standpoints(fn):
    assert len(last_keys(fn, [1.0, 1.0], [-1.0, 1.0])) == 2


def test_what_is_asked_in_the_midst_of_c_code_has_a_history():
    assert len(last_keys(_largest, [0.1, 0.2], [0.2, 0.1])) == 2


def test_passes_of_a_loop_are_told_apart():
    def fn(z):
        s = z[0]
        for _ in [1, 1, 1, 1]:
            s = s + 1 if s > 0 else s - 1
        return s

    keys = [key for key, _ in questions(fn, [1.0])]
    assert len(set(keys)) == 4
    assert keys == [key for key, _ in questions(fn, [1.5])]


def test_a_question_that_some_passes_ask_has_the_same_name_in_all_of_them():
    def fn(z):
        s = z[0]
        for t in range(1, 4):
            if z[t] > 0:
                s = s + 1 if s > 0.5 else s - 1
        return s

    first = dict(enumerate(questions(fn, [1.0, 1.0, 1.0, 1.0])))
    others = questions(fn, [1.0, -1.0, 1.0, 1.0])
    assert others[2][0] == first[3][0]  # the inner question of the second pass


def test_what_was_there_before_the_first_question_does_no_harm():
    def fn(z):
        return np.sum(z**2) + _two(z)

    assert len(last_keys(fn, [1.0, 1.0], [-1.0, 1.0])) == 1


def _two(z):
    s = z[0] if z[0] > 0 else z[1]
    return s if z[1] > 0 else -s


def test_live_values_are_listed_once_each_in_an_order_that_corresponds():
    def fn(z):
        kept = {"b": z[1]}
        s = 2 * z[0] if z[0] > 0 else 3 * z[0]
        return s if s > kept["b"] else kept["b"]

    one, other = (explore(fn, np.array(z))[1][-1] for z in ([1.0, 5.0], [-1.0, 5.0]))
    assert one.key == other.key
    assert len(one.live) == len(other.live) == len(set(one.live))


# --- the stack --------------------------------------------------------------------------------------------------------
STACKS = {
    "s = s + f(x)": 0,  # the variable is told by its name
    "s = s * 2 + f(x)": 1,
    "s = (s if x else 2) + f(x)": 1,
    "s = [s, f(x)]": 0,
    "for y in s:\n    f(x)": 0,
    "for y in (s if x else t):\n    f(x)": 1,
    "for y in s:\n    for w in y:\n        s[0] = w * f(x)": 0,
    "while x:\n    f(x)": 0,
    "with s:\n    f(x)": 1,
    "for y in s:\n    t = abs(y)\n    f(x)": 0,
    "s = x and f(x)": 0,
    "s = (t, (t := 2), f(x))": 2,
}


@pytest.mark.parametrize("statement", STACKS)
def test_what_lies_on_the_stack_while_f_is_called(statement):
    body = "\n".join("    " + line for line in statement.splitlines())
    names: dict = {}
    exec(f"def g(s, t, x, f):\n{body}\n", names)
    code = names["g"].__code__
    found = []
    for place in range(0, len(code.co_code), 2):
        name, n_hidden = stack_at(code, place)
        if name.startswith("CALL") and not name.startswith("CALL_INTRINSIC"):
            found.append(n_hidden)
    assert STACKS[statement] in found


def test_fingerprints():
    assert fingerprint({"a": np.ones(3)}) == fingerprint({"a": np.ones(3)})
    assert fingerprint((1, 2.0, "x", None, slice(1, 2))) != fingerprint((1, 2.0, "x", None, slice(1, 3)))
    assert fingerprint(1) != fingerprint(1.0)
    assert fingerprint(np.float64(0.0)) != fingerprint(np.float64(-0.0))
