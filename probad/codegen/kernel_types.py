"""The front end of the kernel compiler: reads restricted Python, infers types, and refuses what is outside the subset.

A kernel is a plain function of scalars and flat arrays. Each variable has one type for good, given by what is first
assigned to it; the types of arguments are given to the compiler. The types, and what they are in Python:

========== ===================================================================================
float      float
int        int between -2^63 and 2^63
word       int between 0 and 2^64
unwrapped  what ``+ - * <<`` make of words: an int of any size, which only `wrap` can take
bool       bool
opaque     an address, which kernels hand on
floats     array of float64; elements are float
ints       array of int64; elements are int
words      array of uint64; elements are word
========== ===================================================================================
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from probad.errors import CompileError
from probad.parsing import parse

ELEMENT = {"floats": "float", "ints": "int", "words": "word"}
TYPES = ("float", "int", "word", "bool", "opaque", *ELEMENT)
SCALARS = ("float", "int", "word", "bool")
# functions of `math` by name: number of arguments, and the type of the result
MATH = {
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt"), (1, "float")),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "fabs"), (1, "float")),
    **dict.fromkeys(("pow", "atan2", "copysign"), (2, "float")),
    **dict.fromkeys(("isnan", "isinf", "isfinite"), (1, "bool")),
    **dict.fromkeys(("floor", "ceil"), (1, "int")),
}
MATH_CONSTANTS = ("inf", "nan", "pi", "e", "tau")
BUILTINS = ("abs", "min", "max", "int", "float")
INTEGER_ONLY = (ast.FloorDiv, ast.Mod, ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
ATTRIBUTE = "__kernel_intrinsic__"


@dataclass(frozen=True)
class Intrinsic:
    """What stands for a Python function in compiled code.

    Attributes
    ----------
    arguments : tuple of str
        Types.
    returns : str
        Type.
    body : str
        LLVM text of the function's body; arguments are ``%0``, ``%1``, ...
    declares : tuple of str
        LLVM declarations that the body needs.
    """

    arguments: tuple[str, ...]
    returns: str
    body: str
    declares: tuple[str, ...] = ()


def intrinsic(*arguments: str, returns: str, body: str, declares: tuple[str, ...] = ()):
    """Decorate a Python function that kernels call with its twin in LLVM text; see `Intrinsic`."""

    def mark(fn: Callable) -> Callable:
        setattr(fn, ATTRIBUTE, Intrinsic(arguments, returns, textwrap.dedent(body).strip("\n"), declares))
        return fn

    return mark


@dataclass
class TypedFunction:
    """A kernel with what is known about it after inference.

    Attributes
    ----------
    name : str
        Unique in its program.
    arguments : dict of str to str
        Types by name, in order.
    variables : dict of str to str
        Types of all variables, the arguments included.
    body : list of ast.stmt
    returns : str
        A type, or "none".
    types : dict of ast.expr to str
        Type of each expression.
    meanings : dict of ast.expr to object
        For a name or attribute that is not a variable its value, for a call what is called.
    """

    name: str
    arguments: dict[str, str]
    variables: dict[str, str]
    body: list[ast.stmt]
    returns: str = "none"
    types: dict[ast.expr, str] = field(default_factory=dict)
    meanings: dict[ast.expr, Any] = field(default_factory=dict)


class Program:
    """A kernel and all it calls.

    Attributes
    ----------
    functions : list of TypedFunction
        Callees before callers; the last is the kernel itself.
    intrinsics : dict of str to Intrinsic
        By name.
    """

    def __init__(self, fn: Callable, arg_types: tuple[str, ...], fixed: Mapping[tuple[str, int], int] | None = None):
        """Read a kernel; `fixed` as for `probad.codegen.kernel.compile_kernel`."""
        self.functions: list[TypedFunction] = []
        self.intrinsics: dict[str, Intrinsic] = {}
        self.fixed = dict(fixed or {})
        self._known: dict[tuple, TypedFunction | None] = {}
        for name in arg_types:
            if name not in TYPES:
                raise CompileError(f"'{name}' is no type of a kernel's argument; those are {', '.join(TYPES)}.")
        self.entry = self.add(fn, arg_types)

    def add(self, fn: Callable, arg_types: tuple[str, ...], refuse: Callable[[str], None] | None = None):
        """The typed function for these types of arguments."""
        key = (fn, arg_types)
        if key not in self._known:
            self._known[key] = None
            n = sum(f.name.partition(".")[0] == fn.__name__ for f in self.functions)
            reader = _Reader(self, fn, arg_types, f"{fn.__name__}.{n}" if n else fn.__name__)
            self.functions.append(reader.function)
            self._known[key] = reader.function
        found = self._known[key]
        if found is None and refuse is not None:
            refuse("a kernel cannot call itself, directly or through others")
        return found


def _source(fn: Callable) -> tuple[ast.FunctionDef, str, int]:
    """The definition of a function, the name of its file, and how many lines of that are before it."""
    name = getattr(fn, "__name__", repr(fn))
    if not isinstance(fn, FunctionType):
        raise CompileError(f"{name} is not a Python function, so that it cannot be a kernel.")
    file = fn.__code__.co_filename
    try:
        start = fn.__code__.co_firstlineno
        tree = _parsed_in_haste(fn)
        if tree is None:
            lines, start = inspect.getsourcelines(fn)
            tree = parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError) as error:
        raise CompileError(f"{file}:{fn.__code__.co_firstlineno}: the source of {name} cannot be read.") from error
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise CompileError(f"{file}:{start}: a kernel is a function made by def; {name} is not.")
    return definition, file, start - 1


def _parsed_in_haste(fn: FunctionType) -> ast.Module | None:
    """A function of a module, which ends before the next line of code that is not indented; None if that is no source.

    `inspect` reads each token to find the end, and takes half of the time of a whole compilation.
    """
    linecache.checkcache(fn.__code__.co_filename)
    lines = linecache.getlines(fn.__code__.co_filename, fn.__globals__)
    first = fn.__code__.co_firstlineno - 1
    if not (first < len(lines) and lines[first].startswith("def ")):
        return None
    ends = (k for k in range(first + 1, len(lines)) if lines[k][0] not in " \t\r\n\f#)")
    try:
        return parse("".join(lines[first : next(ends, len(lines))]))
    except SyntaxError:
        return None


class _Chooser:
    """Leaves of each `if` whose condition is fixed the branch that is taken."""

    def __init__(self, fixed: Mapping[tuple[str, int], int], names: Mapping[str, Any]):
        self._fixed, self._names = fixed, names

    def chosen(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """The statements that can run: an `if` is decided by ``array[INDEX] == NUMBER`` of a fixed element.

        So is one with an `or` of such. What comes behind a return is dropped.
        """
        left: list[ast.stmt] = []
        for s in statements:
            taken = self._truth(s.test) if isinstance(s, ast.If) else None
            if taken is not None:
                left += self.chosen(s.body if taken else s.orelse)
            else:
                for part in ("body", "orelse"):
                    if block := getattr(s, part, None):
                        setattr(s, part, self.chosen(block))
                left.append(s)
            if left and isinstance(left[-1], ast.Return):
                break
        return left

    def _truth(self, e: ast.expr) -> bool | None:
        if isinstance(e, ast.BoolOp) and isinstance(e.op, ast.Or):
            found = {self._truth(value) for value in e.values}
            return True if True in found else (None if None in found else False)
        if not (isinstance(e, ast.Compare) and len(e.ops) == 1 and isinstance(e.left, ast.Subscript)):
            return None
        value = self._fixed.get((getattr(e.left.value, "id", None), self._number(e.left.slice)))
        number = self._number(e.comparators[0])
        if value is None or number is None or not isinstance(e.ops[0], ast.Eq | ast.NotEq):
            return None
        return (value == number) is isinstance(e.ops[0], ast.Eq)

    def _number(self, e: ast.expr) -> int | None:
        """The value of an integer literal or of a constant of the module."""
        value = self._names.get(e.id) if isinstance(e, ast.Name) else _literal(e)
        return value if type(value) is int else None


class _Reader:
    """Infers the types of one function, and follows which variables are certain to have a value."""

    def __init__(self, program: Program, fn: Callable, arg_types: tuple[str, ...], name: str):
        tree, self.file, self.before = _source(fn)
        self.program, self.fn = program, fn
        a = tree.args
        plain = not (a.vararg or a.kwarg or a.kwonlyargs or a.posonlyargs or a.defaults or tree.decorator_list)
        self.require(plain, tree, "a kernel has positional arguments only, no defaults and no decorator")
        self.require(not fn.__code__.co_freevars, tree, "a kernel has no variables of an enclosing function")
        names = [x.arg for x in a.args]
        self.require(len(names) == len(arg_types), tree, f"takes {len(names)} arguments; got {len(arg_types)}")
        arguments = dict(zip(names, arg_types, strict=True))
        self.function = TypedFunction(name, arguments, dict(arguments), tree.body)
        self.variables = self.function.variables
        self.returns: str | None = None
        self.assigned: set[str] | None = set(arguments)  # None: this point cannot be reached
        if program.fixed:
            tree.body[:] = _Chooser(program.fixed, fn.__globals__).chosen(tree.body)
        self.block(tree.body)
        if self.assigned is not None:
            self.require(self.returns in (None, "none"), tree, "may end without returning a value")
        self.function.returns = self.returns or "none"

    def require(self, condition, node: ast.AST, words: str) -> None:
        """Raise with file and line unless the condition holds."""
        if not condition:
            line = ast.unparse(node).partition("\n")[0]
            place = f"{self.file}:{self.before + node.lineno}"
            raise CompileError(f"{place}: in kernel {self.fn.__name__}: {words}: {line}")

    # --- statements ---------------------------------------------------------------------------------------------
    def block(self, statements: list[ast.stmt]) -> None:
        """Check statements in order."""
        for s in statements:
            getattr(self, f"do_{type(s).__name__}", self.refuse)(s)

    def refuse(self, node: ast.AST):
        """Anything that has no method here."""
        self.require(False, node, f"{type(node).__name__} is outside restricted Python")

    def do_Expr(self, s: ast.Expr) -> None:
        is_text = isinstance(s.value, ast.Constant) and isinstance(s.value.value, str)
        self.require(is_text or isinstance(s.value, ast.Call), s, "only a call can stand alone")
        if not is_text:
            self.type_of(s.value)

    def do_Assign(self, s: ast.Assign) -> None:
        self.require(len(s.targets) == 1, s, "one target at a time")
        target = s.targets[0]
        self.require(isinstance(target, ast.Subscript | ast.Name), s, "assigns to a name or an element")
        value = self.type_of(s.value)
        if isinstance(target, ast.Subscript):
            element = self.type_of(target)
            self.require(element == value, s, f"stores {value} in an array of {element}")
        else:
            self.require(value in SCALARS, s, f"assigns {value}")
            self.bind(target.id, value, s)

    def bind(self, name: str, kind: str, node: ast.AST) -> None:
        """Give a variable a value."""
        known = self.variables.setdefault(name, kind)
        self.require(known == kind, node, f"'{name}' is {known} and cannot become {kind}")
        if self.assigned is not None:
            self.assigned.add(name)

    def do_If(self, s: ast.If) -> None:
        self.condition(s.test)
        before = _copy(self.assigned)
        self.block(s.body)
        after, self.assigned = self.assigned, before
        self.block(s.orelse)
        if after is not None:
            self.assigned = after if self.assigned is None else self.assigned & after

    def do_While(self, s: ast.While) -> None:
        self.require(not s.orelse, s, "a loop has no else")
        self.condition(s.test)
        before = _copy(self.assigned)
        self.block(s.body)
        forever = isinstance(s.test, ast.Constant) and s.test.value is True
        self.assigned = None if forever else before

    def do_For(self, s: ast.For) -> None:
        call = s.iter
        is_range = isinstance(call, ast.Call) and self.builtin(call.func) == "range" and not call.keywords
        self.require(is_range and isinstance(s.target, ast.Name) and not s.orelse, s, "a loop is over a range")
        n = len(call.args)
        self.require(1 <= n <= 3 and all(self.type_of(a) == "int" for a in call.args), s, "a range is of integers")
        if n == 3:
            self.require(_literal(call.args[2]) not in (None, 0), s, "the step of a range is a number other than 0")
        before = _copy(self.assigned)
        self.bind(s.target.id, "int", s)
        self.block(s.body)
        self.assigned = before

    def do_Return(self, s: ast.Return) -> None:
        value = "none" if s.value is None else self.type_of(s.value)
        self.require(value == "none" or value in SCALARS, s, f"returns {value}")
        self.require(self.returns in (None, value), s, f"returns {value} after {self.returns}")
        self.returns, self.assigned = value, None

    def condition(self, e: ast.expr) -> None:
        """A test, which must be a bool."""
        kind = self.type_of(e)
        self.require(kind == "bool", e, f"a condition is a comparison or a bool, not {kind}")

    # --- expressions --------------------------------------------------------------------------------------------
    def type_of(self, e: ast.expr) -> str:
        """Infer and note the type of an expression."""
        kind = getattr(self, f"of_{type(e).__name__}", self.refuse)(e)
        self.function.types[e] = kind
        return kind

    def of_Constant(self, e: ast.Constant) -> str:
        self.function.meanings[e] = e.value
        return self.number(e.value, e)

    def number(self, value, e: ast.expr) -> str:
        """The type of a constant."""
        self.require(type(value) in (int, float, bool), e, "not a number")
        self.require(type(value) is not int or -(2**63) <= value < 2**63, e, "an integer beyond 64 bits")
        return type(value).__name__

    def of_Name(self, e: ast.Name) -> str:
        if e.id in self.fn.__code__.co_varnames:
            known = e.id in self.variables and (self.assigned is None or e.id in self.assigned)
            self.require(known, e, f"'{e.id}' may have no value here")
            return self.variables[e.id]
        self.require(e.id in self.fn.__globals__, e, "neither a variable nor a number of the module")
        value = self.function.meanings[e] = self.fn.__globals__[e.id]
        return self.number(value, e)

    def of_Attribute(self, e: ast.Attribute) -> str:
        self.require(self.of_math(e) in MATH_CONSTANTS, e, f"of attributes only math.{', math.'.join(MATH_CONSTANTS)}")
        self.function.meanings[e] = getattr(math, e.attr)
        return "float"

    def of_Subscript(self, e: ast.Subscript) -> str:
        array = self.type_of(e.value)
        self.require(array in ELEMENT, e, f"an element of {array}")
        self.require(self.type_of(e.slice) == "int", e, "one integer index")
        self.require((_literal(e.slice) or 0) >= 0, e, "a negative index")
        return ELEMENT[array]

    def of_BinOp(self, e: ast.BinOp) -> str:
        left, right = self.type_of(e.left), self.type_of(e.right)
        if left in ("word", "unwrapped"):
            return self.of_words(e, left, right)
        self.require(left == right and left in ("int", "float"), e, f"{left} with {right}")
        self.require(not isinstance(e.op, ast.Pow | ast.MatMult), e, "math.pow instead")
        self.require(not isinstance(e.op, INTEGER_ONLY) or left == "int", e, "integers only")
        self.require(not isinstance(e.op, ast.Div) or left == "float", e, "floats only")
        return left

    def of_words(self, e: ast.BinOp, left: str, right: str) -> str:
        """Arithmetic modulo 2^64, which is Python's once it is wrapped."""
        if isinstance(e.op, ast.LShift) and right == "int":
            return "unwrapped"
        self.require(right in ("word", "unwrapped"), e, f"{left} with {right}")
        if isinstance(e.op, ast.BitAnd | ast.BitOr | ast.BitXor):
            return left if left == right else "unwrapped"
        self.require(isinstance(e.op, ast.Add | ast.Sub | ast.Mult), e, "words know + - * << & | ^")
        return "unwrapped"

    def of_UnaryOp(self, e: ast.UnaryOp) -> str:
        operand = self.type_of(e.operand)
        allowed = {ast.Not: ("bool",), ast.USub: ("int", "float"), ast.UAdd: ("int", "float"), ast.Invert: ("int",)}
        self.require(operand in allowed[type(e.op)], e, f"of {operand}")
        return operand

    def of_BoolOp(self, e: ast.BoolOp) -> str:
        for value in e.values:
            self.condition(value)
        return "bool"

    def of_Compare(self, e: ast.Compare) -> str:
        types = {self.type_of(v) for v in (e.left, *e.comparators)}
        self.require(len(e.ops) == 1 and isinstance(e.ops[0], COMPARISONS), e, "one comparison at a time")
        self.require(
            len(types) == 1 and types <= {"int", "float", "word"}, e, f"compares {' with '.join(sorted(types))}"
        )
        return "bool"

    def of_Call(self, e: ast.Call) -> str:
        self.require(not e.keywords and not any(isinstance(a, ast.Starred) for a in e.args), e, "positional arguments")
        if (name := self.of_math(e.func)) is not None:
            types = [self.type_of(a) for a in e.args]
            self.require(name in MATH, e, f"of math there are {', '.join(MATH)}")
            self.require(types == ["float"] * MATH[name][0], e, f"math.{name} of {', '.join(types)}")
            self.function.meanings[e] = f"math.{name}"
            return MATH[name][1]
        if (name := self.builtin(e.func)) is not None:
            self.function.meanings[e] = name
            return self.of_builtin(e, name)
        is_global = isinstance(e.func, ast.Name) and e.func.id not in self.fn.__code__.co_varnames
        callee = self.fn.__globals__.get(e.func.id) if is_global else None
        self.require(callable(callee), e, "calls what is no kernel")
        types = tuple(self.type_of(a) for a in e.args)
        if (twin := getattr(callee, ATTRIBUTE, None)) is not None:
            return self.of_intrinsic(e, callee.__name__, twin, types)
        self.require("unwrapped" not in types and "none" not in types, e, f"called with {', '.join(types)}")
        found = self.program.add(callee, types, lambda words: self.require(False, e, words))
        self.function.meanings[e] = found
        return found.returns

    def of_intrinsic(self, e: ast.Call, name: str, twin: Intrinsic, types: tuple[str, ...]) -> str:
        fits = len(types) == len(twin.arguments) and all(
            t == a or (t, a) == ("word", "unwrapped") for t, a in zip(types, twin.arguments, strict=True)
        )
        self.require(fits, e, f"{name} takes {', '.join(twin.arguments)}; got {', '.join(types)}")
        known = self.program.intrinsics.setdefault(name, twin)
        self.require(known is twin, e, f"there are two intrinsics called {name}")
        self.function.meanings[e] = (name, twin)
        return twin.returns

    def of_builtin(self, e: ast.Call, name: str) -> str:
        types = [self.type_of(a) for a in e.args]
        self.require(name in BUILTINS, e, f"of builtins there are {', '.join(BUILTINS)}")
        one = len(types) == 1
        if name == "int":
            self.require(one and types[0] in ("float", "int", "bool"), e, f"int of {', '.join(types)}")
            return "int"
        if name == "float":
            self.require(one and types[0] in SCALARS, e, f"float of {', '.join(types)}")
            return "float"
        fits = one if name == "abs" else len(types) >= 2
        self.require(fits and len(set(types)) == 1 and types[0] in ("int", "float"), e, f"{name} of {', '.join(types)}")
        return types[0]

    def of_math(self, e: ast.expr) -> str | None:
        """The name after ``math.``; None if the expression is something else."""
        if isinstance(e, ast.Attribute) and isinstance(e.value, ast.Name):
            is_local = e.value.id in self.fn.__code__.co_varnames
            return e.attr if not is_local and self.fn.__globals__.get(e.value.id) is math else None
        return None

    def builtin(self, e: ast.expr) -> str | None:
        """The name of a builtin function; None if the expression is something else."""
        if not isinstance(e, ast.Name) or e.id in self.fn.__code__.co_varnames or e.id in self.fn.__globals__:
            return None
        return e.id if hasattr(builtins, e.id) else None


def _copy(names: set[str] | None) -> set[str] | None:
    return None if names is None else set(names)


def _literal(e: ast.expr) -> int | None:
    """The value of an integer literal with its sign; None for any other expression."""
    sign = 1
    if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
        sign, e = -1, e.operand
    return sign * e.value if isinstance(e, ast.Constant) and type(e.value) is int else None
