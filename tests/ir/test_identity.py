"""Names of functions: the same for the same function in every process, another for every other, or none."""

from __future__ import annotations

import functools
import itertools
import os
import random
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import probad as pb
from models import MODELS, is_available
from probad import dist
from probad.ir.identity import identity

ROOT = Path(__file__).parents[2]

PRELUDE = """
import functools
import numpy as np
import probad as pb
from probad import dist, numerics
SCALE, TABLE = 2.0, np.arange(4.0)

class Base:
    factor = 3.0
    def call(self, x):
        return self.factor * x

class Part(Base):
    __slots__ = ("shift",)
    def __init__(self, shift):
        self.shift = shift
    def value(self, x):
        return self.call(x) + self.shift

PART, MODULE = Part(1.0), make_module(a=1.0, b=2.0)

def inner(x, power=2):
    return x ** power

def make(data, flag):
    def f(z):
        if flag:
            total = np.sum(inner(z) * data) + SCALE * z[0] + TABLE[1]
            return total + PART.value(z[0]) + MODULE.a * numerics.logsumexp(z)
        parts = [np.exp(-v) for v in z if v > 0.5]
        return sum(parts) + (lambda u: 4 * u)(z[1])
    return f

def keyed(z, *, k={"a": 1, "b": (2, 3.0)}, s=frozenset({"p", "q", 3})):
    return z[0] * k["a"]

@pb.model
def model(y, n=3):
    mu = pb.sample("mu", dist.Normal(0.0, SCALE))
    pb.sample("y", dist.Normal(inner(mu), 1.0), obs=y)

FUNCTIONS = [make(np.arange(3.0), True), keyed, functools.partial(inner, power=5), PART.value,
             model(np.ones(3)).density().function]
"""

# What to replace in the prelude, by what, and the functions that are others for it.
CHANGES = {
    "a global number": ("SCALE, TABLE = 2.0", "SCALE, TABLE = 2.5", {0, 4}),
    "its type": ("SCALE, TABLE = 2.0", "SCALE, TABLE = 2", {0, 4}),
    "a global array": ("np.arange(4.0)", "np.arange(4.0) + 1e-9", {0}),
    "the type of an array": ("np.arange(4.0)", "np.arange(4)", {0}),
    "the shape of an array": ("np.arange(4.0)", "np.arange(4.0)[:, None]", {0}),
    "a class attribute": ("factor = 3.0", "factor = 3.5", {0, 3}),
    "a method": ("self.factor * x", "self.factor + x", {0, 3}),
    "a method of a base class": ("return self.call(x) +", "return self.call(x) -", {0, 3}),
    "an attribute in a slot": ("Part(1.0)", "Part(-1.0)", {0, 3}),
    "an attribute of a module": ("make_module(a=1.0", "make_module(a=1.5", {0}),
    "an attribute that is not read": ("b=2.0", "b=9.0", set()),
    "a default": ("power=2", "power=3", {0, 2, 4}),
    "the body of a helper": ("return x ** power", "return power * x", {0, 2, 4}),
    "an argument of a partial": ("inner, power=5", "inner, power=6", {2}),
    "data in a closure": ("np.arange(3.0)", "np.array([0.0, 1.0, 2.5])", {0}),
    "zero's sign": ("np.arange(3.0)", "np.array([-0.0, 1.0, 2.0])", {0}),
    "strides": ("np.arange(3.0)", "np.arange(0.0, 3.0, 0.5)[::2]", {0}),
    "a flag": ("3.0), True)", "3.0), 1)", {0}),
    "a constant": ("np.sum(inner(z)", "2 * np.sum(inner(z)", {0}),
    "a library's function": ("np.sum(inner(z)", "np.max(inner(z)", {0}),
    "a constant in a lambda": ("4 * u", "5 * u", {0}),
    "a comparison": ("v > 0.5", "v >= 0.5", {0}),
    "a nested number": ("(2, 3.0)", "(2, 3)", {1}),
    "the order of a dict": ('{"a": 1, "b": (2, 3.0)}', '{"b": (2, 3.0), "a": 1}', {1}),
    "an element of a set": ('"q", 3', '"q", 4', {1}),
    "a distribution": ("dist.Normal(inner(mu), 1.0)", "dist.Cauchy(inner(mu), 1.0)", {4}),
    "observations": ("np.ones(3)", "np.ones(3) + 1e-12", {4}),
    "a default of a model": ("n=3", "n=4", {4}),
    "lines and comments": ("def inner", "# a line\n\ndef inner", set()),
    "what nothing reads": ("FUNCTIONS =", "UNUSED = 7.0\nFUNCTIONS =", set()),
}


def _functions(source: str) -> list:
    def make_module(**values):
        module = types.ModuleType("settings")
        module.__file__ = "settings.py"
        vars(module).update(values)
        return module

    names = {"__name__": "written", "make_module": make_module}
    exec(compile(source, "written.py", "exec"), names)
    return names["FUNCTIONS"]


def test_a_function_that_is_made_again_has_the_same_name():
    names = [identity(f) for f in _functions(PRELUDE)]
    assert all(names) and len(set(names)) == len(names)
    assert names == [identity(f) for f in _functions(PRELUDE)]


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_a_function_changes_its_name(what):
    old, new, others = CHANGES[what]
    assert PRELUDE.count(old) == 1, "the change is not what it says"
    before, after = (map(identity, _functions(source)) for source in (PRELUDE, PRELUDE.replace(old, new)))
    changed = {k for k, (a, b) in enumerate(zip(before, after, strict=True)) if a is None or b is None or a != b}
    assert changed == others


IN_A_PROCESS = """
from probad.ir.identity import identity
from tests.ir.test_identity import PRELUDE, _functions
print(*map(identity, _functions(PRELUDE)))
"""


@pytest.mark.parametrize("seed", ["0", "17"])
def test_names_are_those_of_other_processes(seed):
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", IN_A_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.stdout.split() == [identity(f) for f in _functions(PRELUDE)], done.stderr


@pytest.mark.parametrize("name", [name for name in MODELS if is_available(name)])
def test_every_model_of_the_project_can_be_known_again(name):
    module = MODELS[name]
    (model,) = (value for value in vars(module).values() if type(value).__name__ == "Model")
    names = {identity(model(**module.data()).density().function) for _ in range(2)}
    assert len(names) == 1 and None not in names


# --- functions without a name -----------------------------------------------------------------------------------------
ABSOLUTE, MUCH = np.frompyfunc(abs, 1, 1), np.zeros(600_000)
RNG, STEPS, CLOCK, OBJECTS = np.random.default_rng(0), itertools.count(), time, np.array([1, "a"], dtype=object)
READ, LOOK = open, getattr


class Listed(list):
    """Whose elements are not attributes."""


LISTED = Listed([1.0])


@functools.lru_cache
def cached(x):
    return x


def _imports(z):
    import os

    return z[0] * len(os.environ)


def _asks_numpy(z):
    from numpy import random

    return z[0] * random.normal()


UNCERTAIN = {
    "NumPy's random numbers": lambda z: z[0] + np.random.normal(),
    "a generator": lambda z: z[0] + RNG.normal(),
    "Python's random numbers": lambda z: z[0] + random.random(),
    "a clock": lambda z: z[0] + time.perf_counter(),
    "a clock by another name": lambda z: z[0] + CLOCK.perf_counter(),
    "a file": lambda z: z[0] + len(open("x").read()),  # noqa: SIM115
    "a file by another name": lambda z: z[0] + len(READ("x").read()),
    "an array in a file": lambda z: z[0] + np.load("x.npy"),
    "the environment": lambda z: z[0] + len(os.environ),
    "an import": _imports,
    "an import of random numbers": _asks_numpy,
    "a name that is made": lambda z: getattr(np, "sum")(z),  # noqa: B009
    "that by another name": lambda z: LOOK(np, "sum")(z),
    "all globals": lambda z: globals()["RNG"],
    "an iterator": lambda z: z[0] + next(STEPS),
    "a cache": lambda z: cached(z[0]),
    "objects in an array": lambda z: z[0] + len(OBJECTS),
    "a class derived from one in C": lambda z: z[0] + LISTED[0],
    "addresses": lambda z: z[0] + id(z),
    "a function made of a Python function": lambda z: ABSOLUTE(z[0]),
    "a random variable": lambda z: scipy.stats.norm.rvs(z[0]),
    "much data": lambda z: z[0] + MUCH[0],
}


@pytest.mark.parametrize("what", UNCERTAIN)
def test_what_is_not_certain_has_no_name(what):
    assert identity(UNCERTAIN[what]) is None


class Hostile:
    """Raises whenever anything is asked."""

    def __getattribute__(self, name):
        raise RuntimeError("do not look")


def test_objects_that_do_not_want_to_be_looked_at():
    hostile = Hostile()
    assert identity(lambda z: z * hostile) is None


def test_deep_and_endless_objects():
    endless: list = [1.0]
    endless.append(endless)
    assert identity(lambda z, e=endless: z) is not None
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert identity(deep) is None
    assert identity([[k] for k in range(10_000)]) is None


# --- data -------------------------------------------------------------------------------------------------------------
@dataclass
class Setting:
    """An object of the user's."""

    a: float
    b: object = None


def test_which_arrays_share_memory_is_told():
    x, y = np.zeros(3), np.zeros(3)
    assert identity((x, x)) != identity((x, y))
    assert identity((x, x[:2])) != identity((x, y[:2]))
    assert identity((x[1:], x[:2])) == identity((y[1:], y[:2])) != identity((x[1:], y[:2]))


def test_dataclasses_are_told_by_their_fields():
    assert identity(Setting(1.0)) == identity(Setting(1.0)) != identity(Setting(2.0))
    assert identity(Setting(1.0, np.ones(2))) != identity(Setting(1.0, np.zeros(2)))


def test_distributions_are_told_by_their_parameters():
    assert identity(dist.Normal(0.0, 1.0)) == identity(dist.Normal(0.0, 1.0)) != identity(dist.Normal(0.0, 2.0))


def test_layouts_are_told_by_what_they_hold():
    def bound(shape):
        @pb.model
        def normal():
            pb.sample("x", dist.Normal(np.zeros(shape), 1.0))

        return normal().density()._layout

    assert identity(bound(3)) == identity(bound(3)) != identity(bound(4))


PLAIN = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=4), st.binary(max_size=4),
                  st.complex_numbers())  # fmt: skip


def _nest(inner):
    return st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=2), inner)


NESTED = st.recursive(PLAIN, _nest, max_leaves=8)


def _spelt(x) -> str:
    """A text that tells data apart: types, signs of zero, order."""
    if isinstance(x, dict):
        return "{" + ",".join(f"{_spelt(k)}:{_spelt(v)}" for k, v in x.items()) + "}"
    if isinstance(x, (list, tuple)):
        return type(x).__name__ + "(" + ",".join(map(_spelt, x)) + ")"
    return f"{type(x).__name__}:{x!r}"


@given(NESTED, NESTED)
def test_nested_data_have_one_name_if_and_only_if_they_are_the_same(a, b):
    assert (identity(a) == identity(b)) == (_spelt(a) == _spelt(b))
