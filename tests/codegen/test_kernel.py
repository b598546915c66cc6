"""The compiler of kernels: Python's meaning of every operation, errors with file and line, and the cache."""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import math
import os
import platform
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from probad.codegen import kernel, kernel_text, kernel_types, llvm
from probad.codegen.kernel import compile_in_stages, compile_kernel, intrinsic, start_compiling
from probad.errors import ArgumentError, CompileError
from probad.mcmc.intrinsics import rotate_left, shift_right, wrap
from probad.mcmc.kernel import run_iterations
from probad.mcmc.run import ARGUMENTS

ROOT = Path(__file__).parents[2]
THREE, HALF, YES = 3, 0.5, True
EDGES = [0.0, -0.0, 1.0, -1.5, 0.3, 1e300, -1e-320, math.inf, -math.inf, math.nan]


def _same(a, b) -> bool:
    """Equal to the last bit, any NaN like any other."""
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


# --- operations -----------------------------------------------------------------------------------------------------
def _floor_divide(a, b):
    return a // b


def _modulo(a, b):
    return a % b


def _constant_division(a, b):
    return (a // 7) * 1000 + (a % 7) * 100 + (b // -4) * 10 + b % -4 + a // -1 + a % -1 + a % 1


def _bits(a, b):
    return (a & b) ^ (a | b) ^ ~a


def _negate(a, b):
    return -a + +b - abs(a) * THREE


def _order(a, b):
    return int(a < b) + 2 * int(a <= b) + 4 * int(a > b) + 8 * int(a >= b) + 16 * int(a == b) + 32 * int(a != b)


def _least(a, b):
    return min(a, b, 5) - max(b, a, 2)


INTEGERS = [_floor_divide, _modulo, _constant_division, _bits, _negate, _order, _least]


@pytest.mark.parametrize("fn", INTEGERS, ids=lambda f: f.__name__)
def test_integers(fn):
    compiled = compile_kernel(fn, "int", "int")
    for a, b in itertools.product([0, 1, 2, 3, 7, 8, -1, -2, -3, -7, -8, 2**40, -(2**40) - 1], repeat=2):
        if b != 0 or fn not in (_floor_divide, _modulo):
            assert compiled(a, b) == fn(a, b), (a, b)


def _shift_left(a, n):
    return a << n


def _shift_right(a, n):
    return a >> n


def test_shifts():
    left, right = compile_kernel(_shift_left, "int", "int"), compile_kernel(_shift_right, "int", "int")
    for a, n in itertools.product([0, 1, 5, -1, -6, 2**50], [0, 1, 2, 5, 12, 62, 63, 64, 65, 1000]):
        wrapped = (a << n) & (2**64 - 1)
        assert left(a, n) == (wrapped - 2**64 if wrapped >= 2**63 else wrapped)
        assert right(a, n) == a >> n


def test_where_python_would_raise_integers_go_on():
    least = -(2**63)
    quotient, remainder = compile_kernel(_floor_divide, "int", "int"), compile_kernel(_modulo, "int", "int")
    assert [quotient(a, 0) for a in (0, 5, -5)] == [0, 0, 0]
    assert [remainder(a, 0) for a in (0, 5, -5)] == [0, 5, -5]
    assert quotient(least, -1) == least
    assert remainder(least, -1) == 0
    assert compile_kernel(_shift_left, "int", "int")(5, -1) == 0
    assert compile_kernel(_shift_right, "int", "int")(-5, -1) == -1


def _arithmetic(a, b):
    return (a + b) * 0.1 - a * b + HALF


def _divide(a, b):
    return a / b


def _signs(a, b):
    return -a + abs(b) - +a


def _float_order(a, b):
    return _order_of(a, b)


def _order_of(a, b):
    return (
        float(a < b)
        + 2.0 * float(a <= b)
        + 4.0 * float(a > b)
        + 8.0 * float(a >= b)
        + 16.0 * float(a == b)
        + (32.0 * float(a != b))
    )


def _min(a, b):
    return min(a, b)


def _max(a, b):
    return max(a, b)


def _min_of_three(a, b):
    return min(b, 0.0, a)


def _logic(a, b):
    return float((a < b and not b < 0.0) or (a == b and (b > 1.0 or YES)))


FLOATS = [_arithmetic, _divide, _signs, _float_order, _min, _max, _min_of_three, _logic]


@pytest.mark.parametrize("fn", FLOATS, ids=lambda f: f.__name__)
def test_floats(fn):
    compiled = compile_kernel(fn, "float", "float")
    for a, b in itertools.product(EDGES, repeat=2):
        if fn is not _divide or b != 0.0:
            assert _same(compiled(a, b), fn(a, b)), (a, b)


def test_where_python_would_raise_floats_go_on():
    divide = compile_kernel(_divide, "float", "float")
    assert divide(1.0, 0.0) == math.inf and divide(1.0, -0.0) == -math.inf and math.isnan(divide(0.0, 0.0))


def _kernel(source: str, name: str = "f"):
    """A function from source text that tracebacks and the compiler can read."""
    file = f"<kernel {next(COUNTER)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"math": math, "wrap": wrap, "shift_right": shift_right, "rotate_left": rotate_left}
    exec(compile(source, file, "exec"), space)
    return space[name]


COUNTER = itertools.count()


@pytest.mark.parametrize("name", kernel_types.MATH)
def test_functions_of_math(name):
    n, kind = kernel_types.MATH[name]
    arguments = ", ".join("ab"[:n])
    fn = _kernel(f"def f({arguments}):\n    return math.{name}({arguments})\n")
    compiled = compile_kernel(fn, *["float"] * n)
    assert compiled.returns == kind
    rng = np.random.default_rng(0)
    values = [*EDGES, *rng.normal(size=300), *rng.normal(scale=50, size=300), *rng.uniform(0, 1, size=100)]
    n_compared = 0
    for k, a in enumerate(values):
        given = (float(a), float(values[-k - 1]))[:n]
        try:
            expected = fn(*given)
        except (ValueError, OverflowError):
            continue
        if kind != "int" or abs(expected) < 2**63:
            n_compared += 1
            assert _same(compiled(*given), expected), given
    assert n_compared > 90


def test_where_math_would_raise_kernels_go_on():
    log, exp = (_kernel(f"def f(a):\n    return math.{name}(a)\n") for name in ("log", "exp"))
    assert compile_kernel(log, "float")(0.0) == -math.inf
    assert math.isnan(compile_kernel(log, "float")(-1.0))
    assert compile_kernel(exp, "float")(1000.0) == math.inf


def _to_int(a):
    return int(a)


def _to_float(k, w, b):
    return float(k) + 10.0 * float(w) + 100.0 * float(b) + float(HALF) + float(int(b))


def test_conversions():
    compiled = compile_kernel(_to_int, "float")
    for a in (0.0, 0.9, -0.9, 1e15 + 0.5, -7.5, 2.0**62):
        assert compiled(a) == int(a)
    assert [compiled(a) for a in (1e30, -1e30, math.inf, math.nan)] == [2**63 - 1, -(2**63), 2**63 - 1, 0]
    compiled = compile_kernel(_to_float, "int", "word", "bool")
    for given in ((-3, 2**64 - 1, True), (2**53 + 1, 5, False)):
        assert compiled(*given) == _to_float(*given)


def _words(w, n):
    s = w[0] ^ w[1]
    w[0] = wrap(wrap(w[0] + w[1]) * w[2] - s)
    w[1] = rotate_left(s, 13) | w[2]
    w[2] = wrap(s << n) & shift_right(w[0], n)
    if w[0] > w[1] or w[0] == w[2]:
        w[3] = wrap(w[3] << 1)
    return float(w[1])


def test_words_wrap_around():
    rng = np.random.default_rng(0)
    compiled = compile_kernel(_words, "words", "int")
    for n in (0, 1, 17, 63, 64, 70):
        array = rng.integers(0, 2**64, 4, np.uint64)
        numbers = array.tolist()
        for _ in range(20):
            assert compiled(array, n) == _words(numbers, n)
            assert array.tolist() == numbers


# --- statements -----------------------------------------------------------------------------------------------------
def _ranges(x, start, stop):
    total = 0
    for i in range(start, stop):
        total = total * 3 % 1000003 + i
        i = i + 5
    for i in range(stop):
        for j in range(i, -3, -2):
            total = total * 3 % 1000003 + j
    for i in range(start, stop, 3):
        total = total * 3 % 1000003 + i
        x[0] = float(i)
    for i in range(stop, start, -7):
        total = total * 3 % 1000003 - i
    return total


def test_ranges():
    compiled = compile_kernel(_ranges, "floats", "int", "int")
    for start, stop in itertools.product([-5, 0, 1, 4, 11], [-6, -5, 0, 1, 2, 12]):
        array, numbers = np.zeros(1), [0.0]
        assert compiled(array, start, stop) == _ranges(numbers, start, stop)
        assert array.tolist() == numbers


def test_ranges_at_the_edge_of_the_integers():
    fn = _kernel("def f(a, b):\n    n = 0\n    for i in range(a, b, 3):\n        n = n + 1\n    return n\n")
    compiled = compile_kernel(fn, "int", "int")
    top = 2**63 - 1
    for a, b in ((top - 7, top), (top - 6, top), (top, top), (-top, 5 - top), (top, -top)):
        assert compiled(a, b) == fn(a, b)


def _early(x, n):
    for i in range(n):
        if x[i] > 2.0:
            return i
        if x[i] < -2.0:
            return -i
    while n > 100:
        if n % 7 == 0:
            return 1000
        n = n - 1
    return 2000


def test_early_returns():
    compiled = compile_kernel(_early, "floats", "int")
    for seed in range(30):
        x = np.random.default_rng(seed).normal(size=150)
        for n in (0, 3, 20, 150):
            x[20:] = 0.0
            assert compiled(x, n) == _early(x.tolist(), n)


def _forever(n):
    while True:
        n = n + 1
        if n % 13 == 0:
            return n


def test_a_loop_that_only_a_return_ends():
    assert compile_kernel(_forever, "int")(14) == 26


def _swap(x, i, j):
    a = x[i]
    x[i] = x[j]
    x[j] = a


def _sort(x, n):
    """Sort in place."""
    for i in range(1, n):
        j = i
        while j > 0 and x[j] < x[j - 1]:
            _swap(x, j, j - 1)
            j = j - 1


def test_calls_and_short_circuits():
    """``and`` must not read x[-1], which is in front of the array and would be swapped."""
    compiled = compile_kernel(_sort, "floats", "int")
    assert compiled.returns == "none"
    for seed in range(20):
        whole = np.random.default_rng(seed).normal(size=31)
        whole[0] = 1e9
        part = whole[1:]
        expected = np.sort(part)
        assert compiled(part, 30) is None
        np.testing.assert_array_equal(part, expected)
        assert whole[0] == 1e9


@pytest.mark.parametrize("processor", ["", "x86-64", "x86-64-v3"])
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of one family")
def test_draws_do_not_depend_on_the_processor(processor, monkeypatch):
    from probad.mcmc import NUTS, sample_chains
    from tests.mcmc.targets import Gaussian

    def draws():
        return sample_chains(Gaussian(np.eye(11)), NUTS(), draws=30, warmup=30, chains=1, seed=5).draws

    monkeypatch.setenv("PROBAD_COMPILE", "0")
    expected = draws()
    monkeypatch.setenv("PROBAD_COMPILE", "1")
    monkeypatch.setenv("PROBAD_CPU", processor)
    np.testing.assert_array_equal(draws(), expected)


def test_text_for_another_processor():
    text = kernel_text.program_text(kernel_types.Program(run_iterations, ARGUMENTS))
    assembly = llvm.assembly(text, target=llvm.Target("aarch64-unknown-linux-gnu", "generic", ""))
    assert "entry.int" in assembly


# --- arguments ------------------------------------------------------------------------------------------------------
def _fill(x, value):
    x[1] = value


def test_arguments():
    compiled = compile_kernel(_fill, "floats", "float")
    x = np.zeros(3)
    compiled(x, 2.0)
    compiled(x.ctypes.data + 8, 3.0)
    assert x.tolist() == [0.0, 2.0, 3.0]
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    for bad in (np.zeros(3, np.float32), np.zeros(6)[::2], read_only, [0.0, 0.0], np.zeros(3, np.int64)):
        with pytest.raises(ArgumentError, match=r"C-contiguous, writeable array of float64 here; got a"):
            compiled(bad, 1.0)
    with pytest.raises(ArgumentError, match="takes 2 arguments; got 1"):
        compiled(x)
    assert repr(compiled) == "<compiled kernel _fill(floats, float) -> none>"
    with pytest.raises(CompileError, match="'array' is no type of a kernel's argument"):
        compile_kernel(_fill, "array", "float")


@intrinsic("float", returns="float", body="  %y = fmul double %0, 2.0\n  ret double %y")
def _twice(x):
    return 2.0 * x


def _uses_twice(x):
    return _twice(x) + 1.0


def test_an_intrinsic_stands_for_a_function():
    assert compile_kernel(_uses_twice, "float")(4.0) == _uses_twice(4.0) == 9.0


# --- what is refused ------------------------------------------------------------------------------------------------
REFUSED = {
    "a tuple": ("a, b = x[0], x[1]", "assigns to a name or an element"),
    "two targets": ("a = b = x[0]", "one target at a time"),
    "another type": ("a = 0\n    a = x[i]", "'a' is int and cannot become float"),
    "an argument of another type": ("i = x[0]", "'i' is int and cannot become float"),
    "mixed types": ("a = x[0] * i", "float with int"),
    "true division": ("a = i / i", "floats only"),
    "floor division": ("a = x[0] // x[1]", "integers only"),
    "a power": ("a = x[0] ** x[1]", "math.pow instead"),
    "a slice": ("a = x[0:i]", "Slice is outside restricted Python"),
    "a negative index": ("a = x[-1]", "a negative index"),
    "an index that is no integer": ("a = x[x[0]]", "one integer index"),
    "an element of a number": ("a = i[0]", "an element of int"),
    "NumPy": ("a = numpy.sum(x)", "calls what is no kernel"),
    "a list": ("a = [0.0]", "List is outside restricted Python"),
    "a text": ("a = 'text'", "not a number"),
    "raise": ("raise ValueError", "Raise is outside restricted Python"),
    "try": ("try:\n        i = 1\n    finally:\n        i = 2", "Try is outside restricted Python"),
    "with": ("with x:\n        i = 1", "With is outside restricted Python"),
    "a keyword": ("a = callee(x, i=i)", "positional arguments"),
    "a star": ("a = callee(*x)", "positional arguments"),
    "a nested function": ("def g(): pass", "FunctionDef is outside restricted Python"),
    "a lambda": ("a = lambda: 0", "Lambda is outside restricted Python"),
    "a comprehension": ("a = min(v for v in x)", "GeneratorExp is outside restricted Python"),
    "truth of a number": ("while i:\n        i = i - 1", "a condition is a comparison or a bool, not int"),
    "and of numbers": ("a = i and i", "a condition is a comparison or a bool, not int"),
    "not of a number": ("a = not i", "of int"),
    "an integer among floats": ("x[0] = i", "stores int in an array of float"),
    "a loop over elements": ("for v in x:\n        i = 1", "a loop is over a range"),
    "a range of floats": ("for k in range(x[0]):\n        i = 1", "a range is of integers"),
    "a range that stands": ("for k in range(0, i, 0):\n        i = 1", "the step of a range is a number other than 0"),
    "a variable step": ("for k in range(0, i, i):\n        i = 1", "the step of a range is a number other than 0"),
    "else of a loop": ("while i > 0:\n        i = 0\n    else:\n        i = 1", "a loop has no else"),
    "else of a for": ("for k in range(i):\n        i = 0\n    else:\n        i = 1", "a loop is over a range"),
    "break": ("while i > 0:\n        break", "Break is outside restricted Python"),
    "augmented assignment": ("x[i] += 1.0", "AugAssign is outside restricted Python"),
    "an annotation": ("a: int = 0", "AnnAssign is outside restricted Python"),
    "an attribute": ("a = math.sqrt", "of attributes only math.inf"),
    "an unknown function of math": ("a = math.lgamma(x[0])", "of math there are exp"),
    "math of an integer": ("a = math.exp(i)", "math.exp of int"),
    "too many arguments of math": ("a = math.exp(x[0], x[0])", "math.exp of float, float"),
    "min of one": ("a = min(i)", "min of int"),
    "min of mixed types": ("a = min(i, x[0])", "min of int, float"),
    "another builtin": ("a = len(x)", "of builtins there are abs"),
    "int of an array": ("a = int(x)", "int of floats"),
    "chained comparisons": ("a = 0 < i < 3", "one comparison at a time"),
    "is": ("a = i is 3", "one comparison at a time"),
    "comparison of types": ("a = i < x[0]", "compares float with int"),
    "no such name": ("a = nowhere", "neither a variable nor a number of the module"),
    "a name that is no number": ("a = callee", "not a number"),
    "no value on one path": ("if i > 0:\n        a = 1\n    i = a", "'a' may have no value here"),
    "no value after a loop": ("for k in range(i):\n        a = 1\n    i = a", "'a' may have no value here"),
    "a loop variable after its loop": (
        "for k in range(i):\n        x[k] = 0.0\n    i = k",
        "'k' may have no value here",
    ),
    "no value yet": ("i = a\n    a = 1", "'a' may have no value here"),
    "types of what is returned": ("if i > 0:\n        return i\n    return x[0]", "returns float after int"),
    "no value returned": ("if i > 0:\n        return i", "may end without returning a value"),
    "an array returned": ("return x", "returns floats"),
    "an array assigned": ("y = x", "assigns floats"),
    "nothing assigned": ("a = nothing()", "assigns none"),
    "a call of itself": ("return f(x, i)", "a kernel cannot call itself"),
    "a call around the corner": ("return around(x, i)", "a kernel cannot call itself"),
    "a call of a variable": ("abs = 1\n    i = abs(i)", "calls what is no kernel"),
    "too few arguments": ("a = callee(x)", "takes 2 arguments; got 1"),
    "a huge integer": ("a = 9223372036854775808", "an integer beyond 64 bits"),
    "an expression alone": ("i + 1", "only a call can stand alone"),
    "words that are not wrapped": ("w = wrap(i) + wrap(i)", "wrap takes unwrapped; got int"),
    "a global": ("global z\n    z = 1", "Global is outside restricted Python"),
    "a conditional expression": ("a = i if i > 0 else 0", "IfExp is outside restricted Python"),
}
CALLEES = """

def callee(x, i):
    return i


def around(x, i):
    return f(x, i)


def nothing():
    return


def unwrapped(w):
    v = w[0] + w[1]
"""


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings('ignore:"is" with:SyntaxWarning')
def test_what_is_outside_the_subset_is_refused_with_file_and_line(name):
    """The line is among those planted, or, if it is about a whole function, its first."""
    source, words = REFUSED[name]
    fn = _kernel(f"# a first line\ndef f(x, i):\n    {source}\n{CALLEES}")
    with pytest.raises(CompileError) as caught:
        compile_kernel(fn, "floats", "int")
    message = str(caught.value)
    assert words in message
    file, line, rest = message.split(":", 2)
    assert file == fn.__code__.co_filename
    text = linecache.getline(file, int(line)).strip()
    assert 3 <= int(line) <= 3 + source.count("\n") or text.startswith(("def callee", "return f(x, i)", "def f(x, i)"))
    assert rest.strip().startswith("in kernel ")
    shown = message.rpartition(": ")[2]
    assert shown.split(" ")[0].strip("()") in text


def test_sums_of_words_need_wrapping():
    fn = _kernel(CALLEES, "unwrapped")
    with pytest.raises(CompileError, match="assigns unwrapped: v = w"):
        compile_kernel(fn, "words")


def _default(x, i=0):
    return x[i]


def _make_closure():
    n = 3

    def inner(x, i):
        return i + n

    return inner


_anonymous = lambda x, i: i


def _decorated(fn):
    return fn


@_decorated
def _with_decorator(x, i):
    return i


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (_default, "positional arguments only"),
        (_with_decorator, "no decorator"),
        (_make_closure(), "no variables of an enclosing function"),
        (_anonymous, "a kernel is a function made by def"),
        (math.exp, "exp is not a Python function"),
    ],
)
def test_functions_that_are_no_kernels(fn, words):
    with pytest.raises(CompileError, match=words):
        compile_kernel(fn, "floats", "int")


def test_a_function_without_source():
    space = {}
    exec("def f(x, i):\n    return i\n", space)
    with pytest.raises(CompileError, match="<string>:1: the source of f cannot be read"):
        compile_kernel(space["f"], "floats", "int")


# --- what is compiled when ------------------------------------------------------------------------------------------
@pytest.fixture
def compiled_anew(monkeypatch):
    """How often something was compiled, by the LLVM passes that ran; kernels of this process are forgotten."""
    count = []
    build = llvm._build
    monkeypatch.setattr(llvm, "_build", lambda *args: count.append(1) or build(*args))
    monkeypatch.setattr(kernel, "_COMPILED", {})
    return count


SCALED = "FACTOR = {factor}\n\n\ndef g(a):\n    return a {operation} FACTOR\n\n\ndef f(a):\n    return g(a) + 1.0\n"


def test_a_kernel_is_found_again_until_something_it_reaches_changes(compiled_anew, monkeypatch):
    def value(**parts):
        parts = {"factor": 2.0, "operation": "*", **parts}
        return compile_kernel(_kernel(SCALED.format(**parts)), "float")(3.0)

    assert value() == 7.0
    assert len(compiled_anew) == 1
    monkeypatch.setattr(kernel, "_COMPILED", {})
    monkeypatch.setattr(kernel, "Program", lambda *args: pytest.fail("read again"))
    assert value() == 7.0
    assert len(compiled_anew) == 1
    monkeypatch.setattr(kernel, "Program", kernel_types.Program)
    assert value(factor=3.0) == 10.0
    assert value(operation="-") == 2.0
    assert value(factor=-0.0) == 1.0
    assert value(factor=0.0) == 1.0
    assert len(compiled_anew) == 5
    monkeypatch.setattr(kernel, "_compiler", lambda: "a later compiler")
    assert value() == 7.0
    assert len(compiled_anew) == 6


def test_one_name_in_two_modules_is_two_constants(compiled_anew):
    """Each of the two functions that name FACTOR may be of either module: four kernels, not one."""
    source = "FACTOR = {}\n\n\ndef g(a):\n    return a * FACTOR\n\n\ndef f(a):\n    return g(a) + h(a) + k(a)\n"
    other = "FACTOR = 3.0\n\n\ndef k(a):\n    return a * FACTOR\n\n\ndef h(a):\n    return a - FACTOR\n"

    def value(*places: int) -> float:
        modules = _kernel(source.format(2.0)).__globals__, _kernel(other, "h").__globals__
        own = {name: FunctionType(modules[1][name].__code__, modules[i]) for name, i in zip("hk", places, strict=True)}
        modules[0].update(own)
        return compile_kernel(modules[0]["f"], "float")(5.0)

    for h, k in itertools.product((0, 1), repeat=2):
        assert value(h, k) == 10.0 + (5.0 - (2.0, 3.0)[h]) + 5.0 * (2.0, 3.0)[k]
    assert len(compiled_anew) == 4
    assert value(0, 1) == value(0, 1)
    assert len(compiled_anew) == 4


def test_documentation_is_no_part_of_a_kernel(compiled_anew):
    source = 'def f(a):\n    """{}"""\n    return a + {}\n'
    for text in ("What it is.", "Said better."):
        assert compile_kernel(_kernel(source.format(text, 1.0)), "float")(2.0) == 3.0
    assert len(compiled_anew) == 1
    assert compile_kernel(_kernel(source.format("What it is.", 2.0)), "float")(2.0) == 4.0
    assert len(compiled_anew) == 2


def test_the_twin_of_an_intrinsic_is_part_of_a_kernel(compiled_anew):
    def value(factor: float) -> float:
        fn = _kernel("def f(a):\n    return scaled(a)\n")
        body = f"  %y = fmul double %0, {factor}\n  ret double %y"
        fn.__globals__["scaled"] = intrinsic("float", returns="float", body=body)(
            _kernel("def scaled(a): ...", "scaled")
        )
        return compile_kernel(fn, "float")(3.0)

    assert (value(2.0), value(4.0), value(2.0)) == (6.0, 12.0, 6.0)
    assert len(compiled_anew) == 2


def test_the_same_kernel_is_compiled_once(compiled_anew):
    fn = _kernel(SCALED.format(factor=5.0, operation="*"))
    futures = [start_compiling(fn, "float") for _ in range(5)]
    kernels = {future.result() for future in futures} | {compile_kernel(fn, "float")}
    assert len(kernels) == len(compiled_anew) == 1
    assert compile_kernel(fn, "float", cache=False) not in kernels
    assert len(compiled_anew) == 2


def test_a_kernel_in_stages_is_quick_first_and_fast_later(compiled_anew, monkeypatch):
    fn = _kernel(SCALED.format(factor=6.0, operation="*"))
    stages = compile_in_stages(fn, "float")
    quick = stages.kernel()
    assert stages.kernel() is quick is compile_in_stages(fn, "float").kernel()
    fast = stages.optimise().result()
    assert stages.kernel() is fast is not quick
    assert quick(3.0) == fast(3.0)
    assert len(compiled_anew) == 2
    monkeypatch.setattr(kernel, "_STAGES", {})  # another process
    stages = compile_in_stages(fn, "float")
    assert stages.kernel() is stages.optimise().result()
    assert len(compiled_anew) == 2


def test_a_kernel_is_optimised_when_it_has_run_for_as_long_as_that_takes():
    fn = _kernel(SCALED.format(factor=8.0, operation="*"))
    stages = compile_in_stages(fn, "float")
    assert not stages.is_used
    quick = stages.kernel()
    assert stages.is_used
    for _ in range(3):
        stages.charge(kernel.WORTH / 3)
    assert stages._fast is None
    stages.charge(kernel.WORTH / 3)
    assert stages.optimise().result() is stages.kernel() is not quick


NESTED = """
def total(values, n):
    s = 0.0
    for i in range(n):
        s = s + values[i] * values[i]
    return s

def twice(values, n):
    return 2.0 * total(values, n)

def f(values, n):
    return 1.0 + twice(values, n)
"""


def test_inner_functions_are_optimised_first(compiled_anew, monkeypatch):
    alone = []
    leave_alone = llvm._leave_alone
    monkeypatch.setattr(llvm, "_leave_alone", lambda functions: leave_alone(_noted(functions, alone)))
    fn = _kernel(NESTED, "f")
    stages = compile_in_stages(fn, "floats", "int", inner=(fn.__globals__["total"],))
    quick, values = stages.kernel(), np.array([1.0, 2.0, 3.0])
    inner = stages.optimise_inner().result()
    assert alone and "total" not in alone and {"f", "twice"} <= set(alone)
    assert stages.kernel() is inner is stages.optimise_inner().result() is not quick
    assert stages.optimise().result() is stages.kernel() is not inner
    assert quick(values, 3) == inner(values, 3) == stages.kernel()(values, 3) == fn(values, 3) == 29.0
    assert len(compiled_anew) == 3


def test_the_first_code_may_have_its_inner_functions_optimised(compiled_anew):
    fn = _kernel(NESTED.replace("1.0 +", "3.0 +"), "f")
    options = {"inner": (fn.__globals__["total"],)}
    stages = compile_in_stages(fn, "floats", "int", **options, inner_first=True)
    first = stages.kernel()
    assert stages.optimise_inner().result() is first is compile_in_stages(fn, "floats", "int", **options).kernel()
    assert stages.optimise().result() is stages.kernel() is not first
    assert len(compiled_anew) == 2


def test_what_is_optimised_in_part_is_not_kept(compiled_anew, monkeypatch):
    fn = _kernel(NESTED.replace("29", "30").replace("1.0 +", "2.0 +"), "f")
    stages = compile_in_stages(fn, "floats", "int", inner=(fn.__globals__["total"],))
    stages.kernel(), stages.optimise_inner().result()
    monkeypatch.setattr(kernel, "_STAGES", {})  # another process
    stages = compile_in_stages(fn, "floats", "int", inner=(fn.__globals__["total"],))
    stages.kernel()
    assert len(compiled_anew) == 3


def _noted(functions, names: list[str]):
    functions = list(functions)
    names.extend(f.name for f in functions)
    return functions


AWKWARD = [
    "def f(a):\n    return a * 2.0\n\n\nB = 1\n",
    "def f(\n    a,\n):\n    return (\n        a\n    * 2.0\n)\n\ndef g(a):\n    return a\n",
    'def f(a):\n    """Text\nthat is not indented."""\n    return a * 2.0\n',
    "def f(a):\n# a comment\n    b = a\n\n\n    # another\n    return b * 2.0\n# the end\n",
    "def f(a):\n    return a * 2.0",
    "if True:\n    def f(a):\n        return a * 2.0\n    B = 2\n",
]


@pytest.mark.parametrize("source", AWKWARD)
def test_the_source_of_a_function_ends_where_it_ends(source):
    fn = _kernel(source)
    tree, _, before = kernel_types._source(fn)
    expected = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
    assert ast.dump(tree) == ast.dump(expected)
    assert before == fn.__code__.co_firstlineno - 1
    assert compile_kernel(fn, "float", cache=False)(1.5) == 3.0


def test_a_failure_of_stages_is_told_and_not_remembered():
    fn = _kernel("def f(a):\n    return [a]\n")
    first = compile_in_stages(fn, "float")
    with pytest.raises(CompileError, match="List is outside"):
        first.kernel()
    assert not first.is_used
    assert compile_in_stages(fn, "float") is not first


def test_compiling_leaves_other_threads_alone(compiled_anew):
    future = start_compiling(run_iterations, *ARGUMENTS)
    n = 0
    while not future.done():
        n += 1
    assert n > 10_000
    assert future.result().returns == "int"


CHOOSING = """
WAY, OTHER = 1, 7

def twice(settings, x):
    if settings[WAY] == OTHER or settings[0] == 3:
        return 2.0 * x
    return seldom(x)

def seldom(x):
    return -x

def f(settings, x):
    if settings[WAY] == 5:
        return x
    elif settings[WAY] != OTHER:
        return seldom(x)
    return twice(settings, x)
"""


def test_what_other_settings_need_is_left_out(compiled_anew):
    fn = _kernel(CHOOSING)
    types = ("ints", "float")
    assert {f.name for f in kernel_types.Program(fn, types).functions} == {"f", "twice", "seldom"}
    assert {f.name for f in kernel_types.Program(fn, types, {("settings", 1): 5}).functions} == {"f"}
    assert {f.name for f in kernel_types.Program(fn, types, {("settings", 1): 7}).functions} == {"f", "twice"}
    assert {f.name for f in kernel_types.Program(fn, types, {("others", 1): 7}).functions} == {"f", "twice", "seldom"}
    for way, expected in ((5, 3.0), (7, 6.0), (2, -3.0)):
        for fixed in (None, {("settings", 1): way}):
            assert compile_kernel(fn, *types, fixed=fixed)(np.array([0, way]), 3.0) == expected
    assert len(compiled_anew) == 4


def test_a_failure_is_told_to_all_and_not_remembered(compiled_anew):
    fn = _kernel("def f(a):\n    return [a]\n")
    for make in (lambda: start_compiling(fn, "float").result(), lambda: compile_kernel(fn, "float")):
        for _ in range(2):
            with pytest.raises(CompileError, match="List is outside"):
                make()


def test_processes_find_the_kernels_of_others(own_cache):
    code = """
import sys, time
from probad.codegen import kernel
from probad.mcmc.kernel import run_iterations
from probad.mcmc.run import ARGUMENTS
if sys.argv[1] == "second":
    kernel.Program = None  # nothing is read again
print(kernel.compile_kernel(run_iterations, *ARGUMENTS).returns)
"""
    for turn in ("first", "second"):
        done = subprocess.run(
            [sys.executable, "-c", code, turn], cwd=ROOT, capture_output=True, text=True, check=True,
            env=dict(os.environ),
        )  # fmt: skip
        assert done.stdout.strip() == "int"
    assert len(list(own_cache.glob("*.o"))) == 1
