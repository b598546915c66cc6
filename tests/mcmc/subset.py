"""A checker of restricted Python: follows the calls from a kernel and tells where a compiler could not.

Types are inferred from those of the arguments: a variable has one type for good, int and float never mix, calls are
positional and reach other kernels, intrinsics, `math` or a few builtins.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap

INTRINSICS = {"evaluate": "int", "wrap": "int", "shift_right": "int", "rotate_left": "int"}
ELEMENT = {"floats": "float", "ints": "int"}
INTEGER_ONLY = (ast.FloorDiv, ast.Mod, ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor)


class OutsideSubsetError(Exception):
    """Something a compiler of restricted Python would refuse."""


class Checker:
    """Infers the types of a kernel and of all it calls; `reached` lists them."""

    def __init__(self):
        self.reached: dict[tuple, str] = {}

    def check(self, fn, *arg_types: str) -> str:
        """The type that `fn` returns for arguments of these types."""
        key = (fn.__name__, arg_types)
        if key not in self.reached:
            self.reached[key] = Body(self, fn, arg_types).returns
        return self.reached[key]


class Body:
    """One function with given types of arguments."""

    def __init__(self, checker: Checker, fn, arg_types):
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
        self.checker, self.fn, self.returns = checker, fn, "none"
        names = [a.arg for a in tree.args.args]
        self.require(len(names) == len(arg_types), tree, f"takes {len(names)} arguments, got {len(arg_types)}")
        plain = not (tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs or tree.args.defaults)
        self.require(plain and not tree.decorator_list, tree, "only positional arguments without defaults")
        self.types = dict(zip(names, arg_types, strict=True))
        self.block(tree.body)

    def require(self, condition, node, words: str) -> None:
        if not condition:
            raise OutsideSubsetError(f"{self.fn.__name__}, line {node.lineno}: {words}: {ast.unparse(node)}")

    # --- statements -------------------------------------------------------------------------------------------------
    def block(self, statements) -> None:
        for s in statements:
            getattr(self, f"do_{type(s).__name__}", self.refuse)(s)

    def refuse(self, node):
        self.require(False, node, f"{type(node).__name__} is not in the subset")

    def do_Expr(self, s):
        if not isinstance(s.value, ast.Constant):
            self.type_of(s.value)

    def do_Assign(self, s):
        self.require(len(s.targets) == 1, s, "one target")
        target, value = s.targets[0], self.type_of(s.value)
        if isinstance(target, ast.Subscript):
            self.require(self.type_of(target) == value, s, f"stores {value} among others")
        else:
            self.require(isinstance(target, ast.Name), s, "assigns to a name or an element")
            self.require(value in ("int", "float", "bool"), s, f"assigns {value}")
            self.require(self.types.setdefault(target.id, value) == value, s, f"'{target.id}' changes its type")

    def do_If(self, s):
        self.require(self.type_of(s.test) == "bool", s.test, "a condition is a bool")
        self.block(s.body)
        self.block(s.orelse)

    def do_While(self, s):
        self.require(not s.orelse, s, "no else")
        self.do_If(s)

    def do_For(self, s):
        is_range = isinstance(s.iter, ast.Call) and getattr(s.iter.func, "id", "") == "range" and not s.orelse
        self.require(is_range and isinstance(s.target, ast.Name), s, "loops over a range")
        self.require(all(self.type_of(a) == "int" for a in s.iter.args), s, "a range of integers")
        self.require(self.types.setdefault(s.target.id, "int") == "int", s, "a loop variable is an integer")
        self.block(s.body)

    def do_Return(self, s):
        value = "none" if s.value is None else self.type_of(s.value)
        self.require(self.returns in ("none", value), s, f"returns {value} after {self.returns}")
        self.returns = value

    # --- expressions ------------------------------------------------------------------------------------------------
    def type_of(self, e) -> str:
        return getattr(self, f"of_{type(e).__name__}", self.refuse)(e)

    def of_Constant(self, e):
        self.require(type(e.value) in (int, float, bool), e, "a number")
        return type(e.value).__name__

    def of_Name(self, e):
        if e.id in self.types:
            return self.types[e.id]
        value = self.fn.__globals__.get(e.id)
        self.require(type(value) in (int, float), e, "a variable or a constant of the module")
        return type(value).__name__

    def of_Attribute(self, e):
        self.require(ast.unparse(e) in ("math.inf", "math.nan", "math.pi"), e, "a constant of math")
        return "float"

    def of_Subscript(self, e):
        array = self.type_of(e.value)
        self.require(array in ELEMENT and self.type_of(e.slice) == "int", e, "one integer index of an array")
        return ELEMENT[array]

    def of_BinOp(self, e):
        left, right = self.type_of(e.left), self.type_of(e.right)
        self.require(left == right and left in ("int", "float"), e, f"{left} with {right}")
        self.require(not isinstance(e.op, ast.Pow), e, "math.pow instead")
        self.require(not isinstance(e.op, INTEGER_ONLY) or left == "int", e, "integers only")
        self.require(not isinstance(e.op, ast.Div) or left == "float", e, "floats only")
        return left

    def of_UnaryOp(self, e):
        operand = self.type_of(e.operand)
        self.require((operand == "bool") == isinstance(e.op, ast.Not), e, f"of {operand}")
        return operand

    def of_BoolOp(self, e):
        self.require(all(self.type_of(v) == "bool" for v in e.values), e, "bools")
        return "bool"

    def of_Compare(self, e):
        types = {self.type_of(v) for v in (e.left, *e.comparators)}
        self.require(len(types) == 1 and len(e.ops) == 1 and types < {"int", "float"}, e, f"compares {types}")
        return "bool"

    def of_Call(self, e):
        self.require(not e.keywords and not any(isinstance(a, ast.Starred) for a in e.args), e, "positional arguments")
        types = tuple(self.type_of(a) for a in e.args)
        name = ast.unparse(e.func)
        if name.startswith("math."):
            self.require(callable(getattr(math, name[5:], None)) and set(types) == {"float"}, e, "math of floats")
            return "float"
        if name in ("abs", "min", "max"):
            self.require(len(set(types)) == 1 and set(types) <= {"int", "float"}, e, f"of {types}")
            return types[0]
        if name in ("int", "float"):
            return name
        if name in INTRINSICS:
            return INTRINSICS[name]
        callee = self.fn.__globals__.get(name)
        self.require(inspect.isfunction(callee), e, "calls a kernel")
        return self.checker.check(callee, *types)
