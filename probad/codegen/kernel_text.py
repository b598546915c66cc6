"""The back end of the kernel compiler: LLVM text from typed kernels, with Python's meaning of every operation.

Where Python raises, machine code goes on: arithmetic of floats and functions of `math` give infinity or NaN as IEEE 754
says, integers wrap around at 64 bits, ``a // 0`` and ``a % 0`` are 0 and a, ``int`` of a float beyond 64 bits is the
nearest integer and of NaN 0, a shift by a negative number counts as one by 64 or more. Indices are not checked.

Variables are stack slots and every value is computed where it stands: LLVM's first passes make registers of that.
"""

from __future__ import annotations

import ast
import itertools
import math
import struct
from collections.abc import Iterable

from probad.codegen.kernel_types import ELEMENT, MATH, Intrinsic, Program, TypedFunction

LLVM_TYPE = {
    "float": "double", "int": "i64", "word": "i64", "unwrapped": "i64", "bool": "i1", "none": "void", "opaque": "i64",
    "floats": "ptr", "ints": "ptr", "words": "ptr",
}  # fmt: skip
C_PREFIX = "c_"  # of functions of the C library: LLVM would replace what it knows by name with other arithmetic
EXACT = {"sqrt": "sqrt", "fabs": "fabs", "copysign": "copysign"}  # functions of math that are LLVM's, bit for bit
ROUNDING = ("floor", "ceil")
TESTS = ("isnan", "isinf", "isfinite")
C_FUNCTIONS = tuple(name for name in MATH if name not in (*EXACT, *ROUNDING, *TESTS))
DECLARES = (
    "declare double @llvm.sqrt.f64(double)",
    "declare double @llvm.fabs.f64(double)",
    "declare double @llvm.floor.f64(double)",
    "declare double @llvm.ceil.f64(double)",
    "declare double @llvm.copysign.f64(double, double)",
    "declare i64 @llvm.abs.i64(i64, i1)",
    "declare i64 @llvm.fptosi.sat.i64.f64(double)",
)
SHORT = 40  # lines of functions that may become part of their callers: more makes much code and no speed
FLOAT_OPERATION = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
INT_OPERATION = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
}  # fmt: skip
COMPARISON = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}


def program_text(program: Program) -> str:
    """LLVM text of a program.

    The kernel itself is the function ``entry.<type that it returns>``, which takes addresses as integers.
    """
    needed: dict[str, int] = {}
    parts = [_Emitter(f, needed).text() for f in program.functions]
    parts += [_intrinsic(name, twin) for name, twin in program.intrinsics.items()]
    parts.append(_entry(program.entry))
    declares = dict.fromkeys((*DECLARES, *(d for twin in program.intrinsics.values() for d in twin.declares)))
    for name, n_arguments in needed.items():
        arguments = ", ".join(["double"] * n_arguments)
        declares[f"declare double @{C_PREFIX}{name}({arguments}) nounwind memory(none)"] = None
    return "\n".join((*declares, *parts)) + "\n"


def _signature(kinds: Iterable[str]) -> str:
    return ", ".join(f"{LLVM_TYPE[kind]} %{i}" for i, kind in enumerate(kinds))


def _intrinsic(name: str, twin: Intrinsic) -> str:
    head = f'define internal {LLVM_TYPE[twin.returns]} @"intrinsic.{name}"({_signature(twin.arguments)})'
    return f"{head} alwaysinline nounwind {{\n{twin.body}\n}}\n"


def _entry(f: TypedFunction) -> str:
    """What is called from outside."""
    head = f'define {LLVM_TYPE[f.returns]} @"entry.{f.returns}"({_signature(f.arguments.values())}) nounwind {{'
    call = f'call {LLVM_TYPE[f.returns]} @"{f.name}"({_signature(f.arguments.values())})'
    lines = [f"  {call}", "  ret void"] if f.returns == "none" else [f"  %r = {call}", f"  ret {_of(f.returns)} %r"]
    return "\n".join((head, *lines, "}\n"))


def _of(kind: str) -> str:
    return LLVM_TYPE[kind]


def constant(value: float | int | bool) -> str:
    """A number as LLVM writes it; floats by their bits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}"


class _Emitter:
    """Writes one function."""

    def __init__(self, function: TypedFunction, needed: dict[str, int]):
        self.function, self.needed = function, needed
        self.lines: list[str] = []
        self.count = itertools.count()
        self.block = "entry"  # label of the block being written
        self.open = True  # whether it still lacks its last instruction

    def text(self) -> str:
        """The definition."""
        f = self.function
        for name, kind in f.variables.items():
            self.lines.append(f'  %"v.{name}" = alloca {_of(kind)}')
        for i, (name, kind) in enumerate(f.arguments.items()):
            self.lines.append(f'  store {_of(kind)} %a{i}, ptr %"v.{name}"')
        for s in f.body:
            self.statement(s)
        if self.open:
            self.end("ret void" if f.returns == "none" else "unreachable")
        arguments = ", ".join(f"{_of(kind)} %a{i}" for i, kind in enumerate(f.arguments.values()))
        stays = " noinline" if len(self.lines) > SHORT else ""
        head = f'define internal {_of(f.returns)} @"{f.name}"({arguments}) nounwind{stays} {{\nentry:'
        return "\n".join((head, *self.lines, "}\n"))

    # --- lines --------------------------------------------------------------------------------------------------
    def let(self, instruction: str) -> str:
        """Write an instruction and name its value."""
        name = f"%t{next(self.count)}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def end(self, instruction: str) -> None:
        """Write the last instruction of a block."""
        if self.open:
            self.lines.append(f"  {instruction}")
            self.open = False

    def labels(self, *names: str) -> tuple[str, ...]:
        """New labels."""
        k = next(self.count)
        return tuple(f"{name}{k}" for name in names)

    def begin(self, label: str) -> None:
        """Begin a block; what comes before falls through to it."""
        self.end(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.block, self.open = label, True

    def branch(self, condition: str, yes: str, no: str) -> None:
        """End a block with a choice."""
        self.end(f"br i1 {condition}, label %{yes}, label %{no}")

    # --- statements ---------------------------------------------------------------------------------------------
    def statement(self, s: ast.stmt) -> None:
        """Write a statement; what can never be reached is written to a block that nothing leads to."""
        if not self.open:
            (dead,) = self.labels("dead")
            self.lines.append(f"{dead}:")
            self.block, self.open = dead, True
        getattr(self, f"do_{type(s).__name__}")(s)

    def do_Expr(self, s: ast.Expr) -> None:
        if isinstance(s.value, ast.Call):
            self.value(s.value)

    def do_Assign(self, s: ast.Assign) -> None:
        value, target = self.value(s.value), s.targets[0]
        kind = self.function.types[s.value]
        place = self.place(target) if isinstance(target, ast.Subscript) else f'%"v.{target.id}"'
        self.lines.append(f"  store {_of(kind)} {value}, ptr {place}")

    def do_If(self, s: ast.If) -> None:
        yes, no, after = self.labels("then", "else", "after")
        self.branch(self.value(s.test), yes, no if s.orelse else after)
        self.begin(yes)
        for inner in s.body:
            self.statement(inner)
        self.end(f"br label %{after}")
        if s.orelse:
            self.begin(no)
            for inner in s.orelse:
                self.statement(inner)
        self.begin(after)

    def do_While(self, s: ast.While) -> None:
        test, body, after = self.labels("test", "body", "after")
        self.begin(test)
        self.branch(self.value(s.test), body, after)
        self.begin(body)
        for inner in s.body:
            self.statement(inner)
        self.end(f"br label %{test}")
        self.begin(after)

    def do_For(self, s: ast.For) -> None:
        """A loop over a counter of its own: Python's is not moved by assignments to the variable either."""
        arguments = [self.value(a) for a in s.iter.args]
        start, stop = ("0", arguments[0]) if len(arguments) == 1 else arguments[:2]
        step = ast.literal_eval(s.iter.args[2]) if len(arguments) == 3 else 1
        low, high = (start, stop) if step > 0 else (stop, start)
        # (high - low - 1) // |step| + 1 passes, which no counter can miss by overflow
        gap = self.let(f"sub i64 {high}, {low}")
        rest = self.let(f"udiv i64 {self.let(f'sub i64 {gap}, 1')}, {abs(step)}") if abs(step) != 1 else None
        n_passes = gap if rest is None else self.let(f"add i64 {rest}, 1")
        head, body, after = self.labels("range", "body", "after")
        some = self.let(f"icmp slt i64 {low}, {high}")
        before = self.block
        self.branch(some, head, after)
        self.begin(head)
        at = len(self.lines)  # the phi is written when the last block of the body is known
        i, following = f"%i.{head}", f"%n.{head}"
        value = self.let(f"add i64 {start}, {i if step == 1 else self.let(f'mul i64 {i}, {step}')}")
        self.lines.append(f'  store i64 {value}, ptr %"v.{s.target.id}"')
        self.begin(body)
        for inner in s.body:
            self.statement(inner)
        incoming = [f"[0, %{before}]"]
        if self.open:
            incoming.append(f"[{following}, %{self.block}]")
            self.lines.append(f"  {following} = add nuw i64 {i}, 1")
            more = self.let(f"icmp ne i64 {following}, {n_passes}")
            self.branch(more, head, after)
        self.lines.insert(at, f"  {i} = phi i64 {', '.join(incoming)}")
        self.begin(after)

    def do_Return(self, s: ast.Return) -> None:
        if s.value is None:
            self.end("ret void")
        else:
            self.end(f"ret {_of(self.function.returns)} {self.value(s.value)}")

    # --- expressions --------------------------------------------------------------------------------------------
    def value(self, e: ast.expr) -> str:
        """Write what computes an expression; the name of its value, or a literal."""
        return getattr(self, f"of_{type(e).__name__}")(e)

    def kind(self, e: ast.expr) -> str:
        """The type of an expression."""
        return self.function.types[e]

    def of_Constant(self, e: ast.Constant) -> str:
        return constant(e.value)

    def of_Attribute(self, e: ast.Attribute) -> str:
        return constant(self.function.meanings[e])

    def of_Name(self, e: ast.Name) -> str:
        if e in self.function.meanings:
            return constant(self.function.meanings[e])
        return self.let(f'load {_of(self.kind(e))}, ptr %"v.{e.id}"')

    def place(self, e: ast.Subscript) -> str:
        """Address of an element."""
        array, index = self.value(e.value), self.value(e.slice)
        return self.let(f"getelementptr inbounds {_of(ELEMENT[self.kind(e.value)])}, ptr {array}, i64 {index}")

    def of_Subscript(self, e: ast.Subscript) -> str:
        return self.let(f"load {_of(self.kind(e))}, ptr {self.place(e)}")

    def of_BinOp(self, e: ast.BinOp) -> str:
        left, right, op = self.value(e.left), self.value(e.right), type(e.op)
        if self.kind(e) == "float":
            return self.let(f"{FLOAT_OPERATION[op]} double {left}, {right}")
        if op in INT_OPERATION:
            return self.let(f"{INT_OPERATION[op]} i64 {left}, {right}")
        if op in (ast.LShift, ast.RShift):
            return self.shift(left, right, is_left=op is ast.LShift)
        quotient, remainder = self.divide(left, right)
        return quotient if op is ast.FloorDiv else remainder

    def shift(self, x: str, n: str, *, is_left: bool) -> str:
        """A shift that knows what to do with 64 and more."""
        fits = self.let(f"icmp ult i64 {n}, 64")
        if is_left:
            return self.select(fits, self.let(f"shl i64 {x}, {self.select(fits, n, '0')}"), "0")
        return self.let(f"ashr i64 {x}, {self.select(fits, n, '63')}")

    def divide(self, a: str, b: str) -> tuple[str, str]:
        """Quotient rounded down and remainder with the sign of the divisor; LLVM's own round towards zero."""
        if b.startswith("%"):  # the processor stops at division by 0, and at that of the least integer by -1
            by_zero, by_minus = self.let(f"icmp eq i64 {b}, 0"), self.let(f"icmp eq i64 {b}, -1")
            safe = self.select(self.let(f"or i1 {by_zero}, {by_minus}"), "1", b)
            quotient, remainder = self.rounded_down(a, safe)
            quotient = self.select(by_zero, "0", self.select(by_minus, self.let(f"sub i64 0, {a}"), quotient))
            return quotient, self.select(by_zero, a, remainder)
        if b in ("0", "-1"):
            return ("0", a) if b == "0" else (self.let(f"sub i64 0, {a}"), "0")
        return self.rounded_down(a, b)

    def rounded_down(self, a: str, b: str) -> tuple[str, str]:
        """Quotient and remainder for a divisor that is neither 0 nor -1."""
        quotient, remainder = self.let(f"sdiv i64 {a}, {b}"), self.let(f"srem i64 {a}, {b}")
        inexact = self.let(f"icmp ne i64 {remainder}, 0")
        opposite = self.let(f"icmp slt i64 {self.let(f'xor i64 {remainder}, {b}')}, 0")
        down = self.let(f"and i1 {inexact}, {opposite}")
        lower, above = self.let(f"sub i64 {quotient}, 1"), self.let(f"add i64 {remainder}, {b}")
        return self.select(down, lower, quotient), self.select(down, above, remainder)

    def select(self, condition: str, yes: str, no: str, kind: str = "i64") -> str:
        """One of two values."""
        return self.let(f"select i1 {condition}, {kind} {yes}, {kind} {no}")

    def of_UnaryOp(self, e: ast.UnaryOp) -> str:
        x, op = self.value(e.operand), type(e.op)
        if op is ast.UAdd:
            return x
        if op is ast.Not:
            return self.let(f"xor i1 {x}, true")
        if op is ast.Invert:
            return self.let(f"xor i64 {x}, -1")
        return self.let(f"fneg double {x}" if self.kind(e) == "float" else f"sub i64 0, {x}")

    def of_BoolOp(self, e: ast.BoolOp) -> str:
        """Operands in turn until one decides."""
        is_or = isinstance(e.op, ast.Or)
        (after,) = self.labels("decided")
        incoming = []
        for i, operand in enumerate(e.values):
            x = self.value(operand)
            incoming.append(f"[{x}, %{self.block}]")
            if i < len(e.values) - 1:
                (following,) = self.labels("operand")
                self.branch(x, after, following) if is_or else self.branch(x, following, after)
                self.begin(following)
        self.begin(after)
        return self.let(f"phi i1 {', '.join(incoming)}")

    def of_Compare(self, e: ast.Compare) -> str:
        kind = self.kind(e.left)
        left, right, name = self.value(e.left), self.value(e.comparators[0]), COMPARISON[type(e.ops[0])]
        return self.compare(kind, name, left, right)

    def compare(self, kind: str, name: str, left: str, right: str) -> str:
        """A comparison; of floats with NaN only != is true."""
        if kind == "float":
            return self.let(f"fcmp {'u' if name == 'ne' else 'o'}{name} double {left}, {right}")
        sign = "" if name in ("eq", "ne") else "u" if kind == "word" else "s"
        return self.let(f"icmp {sign}{name} i64 {left}, {right}")

    def of_Call(self, e: ast.Call) -> str:
        meaning = self.function.meanings[e]
        arguments = [self.value(a) for a in e.args]
        if isinstance(meaning, TypedFunction):
            return self.call(f'@"{meaning.name}"', meaning.returns, arguments, meaning.arguments.values())
        if isinstance(meaning, tuple):
            name, twin = meaning
            return self.call(f'@"intrinsic.{name}"', twin.returns, arguments, twin.arguments)
        if meaning.startswith("math."):
            return self.of_math(meaning.removeprefix("math."), arguments)
        kinds = [self.kind(a) for a in e.args]
        if meaning in ("int", "float"):
            return self.convert(kinds[0], meaning, arguments[0])
        if meaning == "abs":
            is_int = kinds[0] == "int"
            return (
                self.let(f"call i64 @llvm.abs.i64(i64 {arguments[0]}, i1 false)")
                if is_int
                else self.exact("fabs", arguments)
            )
        best = arguments[0]
        for x in arguments[1:]:  # in Python's order, which decides what becomes of NaN and of -0.0 beside 0.0
            better = self.compare(kinds[0], "lt" if meaning == "min" else "gt", x, best)
            best = self.select(better, x, best, _of(kinds[0]))
        return best

    def call(self, callee: str, returns: str, arguments: list[str], kinds: Iterable[str]) -> str:
        """A call; of a function that returns nothing the name is of no use."""
        text = ", ".join(f"{_of(kind)} {x}" for kind, x in zip(kinds, arguments, strict=True))
        if returns != "none":
            return self.let(f"call {_of(returns)} {callee}({text})")
        self.lines.append(f"  call void {callee}({text})")
        return ""

    def convert(self, source: str, target: str, x: str) -> str:
        """``int`` or ``float`` of a number."""
        if source == target:
            return x
        if target == "int":
            if source == "bool":
                return self.let(f"zext i1 {x} to i64")
            return self.let(f"call i64 @llvm.fptosi.sat.i64.f64(double {x})")
        operation = {"int": "sitofp i64", "word": "uitofp i64", "bool": "uitofp i1"}[source]
        return self.let(f"{operation} {x} to double")

    def exact(self, name: str, arguments: list[str]) -> str:
        """An operation of LLVM with one right answer."""
        return self.let(f"call double @llvm.{name}.f64({', '.join(f'double {x}' for x in arguments)})")

    def of_math(self, name: str, arguments: list[str]) -> str:
        """A function of `math`: the one of the C library that Python calls too."""
        if name in EXACT:
            return self.exact(EXACT[name], arguments)
        if name in ROUNDING:
            return self.convert("float", "int", self.exact(name, arguments))
        if name == "isnan":
            return self.let(f"fcmp uno double {arguments[0]}, {arguments[0]}")
        if name in ("isinf", "isfinite"):
            size = self.exact("fabs", arguments)
            return self.let(f"fcmp {'oeq' if name == 'isinf' else 'one'} double {size}, {constant(math.inf)}")
        self.needed[name] = len(arguments)
        return self.let(f"call double @{C_PREFIX}{name}({', '.join(f'double {x}' for x in arguments)})")
