"""Random kernels: compiled and in CPython they return the same, and leave the same arrays, to the last bit."""

from __future__ import annotations

import itertools
import linecache
import math
import struct

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from probad.codegen.kernel import compile_kernel
from probad.mcmc.intrinsics import rotate_left, shift_right, wrap

N = 6  # length of the arrays
COUNTER = itertools.count()
FLOAT_LITERALS = ["0.0", "1.0", "0.5", "-2.5", "1e-3", "3.7e5", "math.inf", "-0.0"]


class Writer:
    """Draws a kernel: typed expressions over the variables it has, statements in nested blocks."""

    def __init__(self, draw):
        self.draw = draw
        self.names = {"float": ["a", "u", "v"], "int": ["n", "i", "j"], "word": ["p"], "bool": ["t"]}
        self.fresh = itertools.count()

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def number(self, low, high):
        return self.draw(st.integers(low, high))

    def expression(self, kind: str, depth: int) -> str:
        if depth <= 0:
            return self.leaf(kind)
        return getattr(self, f"{kind}_expression")(depth - 1)

    def leaf(self, kind: str) -> str:
        literals = {"float": FLOAT_LITERALS, "int": ["0", "1", "-3", "17"], "word": ["w[3]"], "bool": ["True", "False"]}
        elements = {"float": "x", "int": "k", "word": "w"}
        options = [*self.names[kind], *literals[kind]]
        if kind in elements:
            options += [f"{elements[kind]}[{self.number(0, N - 1)}]", f"{elements[kind]}[i % {N}]"]
        return self.pick(*options)

    def float_expression(self, d: int) -> str:
        e = lambda: self.expression("float", d)
        form = self.number(0, 13)
        if form <= 4:
            return f"({e()} {self.pick('+', '-', '*')} {e()})"
        return [
            lambda: f"({e()} / (1.5 + abs({e()})))",
            lambda: f"({e()} / {e()})",
            lambda: f"{self.pick('min', 'max')}({e()}, {e()})",
            lambda: f"(-{e()})",
            lambda: f"math.{self.pick('sin', 'cos', 'tanh', 'atan', 'fabs', 'exp', 'expm1')}(min({e()}, 9.0))",
            lambda: f"math.{self.pick('sqrt', 'log1p', 'log2', 'cbrt')}(abs({e()}))",
            lambda: f"math.{self.pick('copysign', 'atan2', 'pow')}({e()}, {e()})",
            lambda: f"float({self.expression(self.pick('int', 'bool', 'word'), d)})",
            lambda: f"g({e()}, {self.expression('int', d)})",
        ][form - 5]()

    def int_expression(self, d: int) -> str:
        """Every value stays far below 2^63."""
        e = lambda: self.expression("int", d)
        form = self.number(0, 9)
        return [
            lambda: f"({e()} % 1009 {self.pick('+', '-', '*', '&', '|', '^')} {e()} % 1013)",
            lambda: f"({e()} {self.pick('//', '%')} {self.pick('7', '-5', '16', '-1', '-16', '1')})",
            lambda: f"({e()} {self.pick('//', '%')} {e()})",
            lambda: f"{self.pick('min', 'max')}({e()}, {e()})",
            lambda: f"(-{e()} % 100003)",
            lambda: f"(~{e()} % 100003)",
            lambda: f"abs({e()} % 10007)",
            lambda: f"({e()} % 1000 {self.pick('<<', '>>')} {e()} % 9)",
            lambda: f"int(min(max({self.expression('float', d)}, -1e9), 1e9)) % 100003",
            lambda: f"int({self.expression('bool', d)})",
        ][form]()

    def word_expression(self, d: int) -> str:
        e = lambda: self.expression("word", d)
        return [
            lambda: f"({e()} {self.pick('&', '|', '^')} {e()})",
            lambda: f"wrap({e()} {self.pick('+', '-', '*')} {e()})",
            lambda: f"wrap({e()} << {self.number(0, 70)})",
            lambda: f"rotate_left({e()}, {self.number(1, 63)})",
            lambda: f"shift_right({e()}, {self.number(0, 70)})",
        ][self.number(0, 4)]()

    def bool_expression(self, d: int) -> str:
        kind = self.pick("float", "int", "word")
        e = lambda: self.expression("bool", d)
        return [
            lambda: f"({e()} {self.pick('and', 'or')} {e()})",
            lambda: f"(not {e()})",
            lambda: (
                f"({self.expression(kind, d)} {self.pick('<', '<=', '>', '>=', '==', '!=')} {self.expression(kind, d)})"
            ),
            lambda: f"({self.expression(kind, d)} {self.pick('<', '>=')} {self.expression(kind, d)})",
        ][self.number(0, 3)]()

    def block(self, depth: int, indent: str) -> list[str]:
        return [line for _ in range(self.number(1, 3)) for line in self.statement(depth, indent)]

    def statement(self, depth: int, indent: str) -> list[str]:
        inner = indent + "    "
        form = self.number(0, 9 if depth > 0 else 4)
        if form <= 2:
            kind = self.pick("float", "float", "int", "word", "bool")
            name = self.pick(*(n for n in self.names[kind] if n not in ("a", "n")))
            return [f"{indent}{name} = {self.expression(kind, 3)}"]
        if form <= 4:
            array, kind = self.pick(("x", "float"), ("k", "int"), ("w", "word"))
            value = self.expression(kind, 3)
            value = f"{value} % 100003" if kind == "int" else value
            return [f"{indent}{array}[{self.expression('int', 1)} % {N}] = {value}"]
        if form == 5:
            return [f"{indent}if {self.expression('bool', 2)}:", f"{inner}return {self.expression('float', 2)}"]
        if form <= 7:
            lines = [f"{indent}if {self.expression('bool', 3)}:", *self.block(depth - 1, inner)]
            return lines + ([f"{indent}else:", *self.block(depth - 1, inner)] if self.pick(True, False) else [])
        if form == 8:
            bounds = self.pick("4", "1, 5", "n % 5", "i % 3, 6, 2", "5, -2, -3", "j % 4, i % 4, -1")
            name = self.pick("i", "j", f"c{next(self.fresh)}")
            return [f"{indent}for {name} in range({bounds}):", *self.block(depth - 1, inner)]
        name = f"c{next(self.fresh)}"
        test = f"{indent}while {name} < {self.number(1, 4)} and {self.expression('bool', 1)}:"
        return [f"{indent}{name} = 0", test, f"{inner}{name} = {name} + 1", *self.block(depth - 1, inner)]

    def source(self) -> str:
        callee = ["def g(a, n):", "    if n % 2 == 0:", f"        return a * {self.pick(*FLOAT_LITERALS)}"]
        callee += ["    return a - float(n % 100)", "", ""]
        head = [
            "def f(x, k, w, a, n):",
            "    u = 1.5",
            "    v = a",
            "    i = n",
            "    j = 2",
            "    p = w[0]",
            "    t = n > 0",
        ]
        tail = [f"    return {self.expression('float', 3)}"]
        return "\n".join([*callee, *head, *self.block(3, "    "), *self.block(3, "    "), *tail, ""])


@st.composite
def kernels(draw):
    return Writer(draw).source()


def _bits(values) -> list:
    return ["nan" if isinstance(v, float) and math.isnan(v) else struct.pack("d", v) if isinstance(v, float) else v
            for v in values]  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(source=kernels(), seed=st.integers(0, 2**32 - 1))
def test_random_kernels(source, seed):
    file = f"<random kernel {next(COUNTER)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"math": math, "wrap": wrap, "shift_right": shift_right, "rotate_left": rotate_left}
    exec(compile(source, file, "exec"), space)
    compiled = compile_kernel(space["f"], "floats", "ints", "words", "float", "int", cache=False)
    rng = np.random.default_rng(seed)
    for a, n in ((0.7, 3), (-1.3e3, -8), (0.0, 0)):
        x, k, w = rng.normal(size=N), rng.integers(-50, 50, N), rng.integers(0, 2**64, N, np.uint64)
        lists = x.tolist(), k.tolist(), w.tolist()
        try:
            expected = space["f"](*lists, a, n)
        except (ZeroDivisionError, ValueError, OverflowError):  # where kernels go on by other rules
            event("raises")
            continue
        event("compared")
        found = compiled(x, k, w, a, n)
        assert _bits([found]) == _bits([expected])
        for array, numbers in zip((x, k, w), lists, strict=True):
            assert _bits(array.tolist()) == _bits(numbers)
