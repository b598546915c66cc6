"""LLVM's language, written from Python: modules, functions, and values with operators.

A `Value` is the name of something computed and its type: a double, four of them side by side, a condition for each, or
an integer. Operators write an instruction and give the name of its result. Constants are written bit by bit.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence

LANES = 4
DOUBLE, VECTOR, FLAG, FLAGS = "double", "<4 x double>", "i1", "<4 x i1>"


def literal(x: float) -> str:
    """A double as LLVM reads it, exactly."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", float(x)))
    return f"0x{bits:016X}"


class Value:
    """Something computed, in a function under construction."""

    __slots__ = ("fn", "name", "type")

    def __init__(self, fn: Function, type_: str, name: str):
        self.fn, self.type, self.name = fn, type_, name

    @property
    def lanes(self) -> int:
        """How many elements it has."""
        return LANES if self.type[0] == "<" else 1

    @property
    def is_bool(self) -> bool:
        """Whether it is a condition."""
        return self.type in (FLAG, FLAGS)

    def like(self, x: Value | float) -> Value:
        """A number as a value of this one's type."""
        if isinstance(x, Value):
            return x if x.type == self.type or self.type != VECTOR else self.fn.splat(x, LANES)
        if self.type in (DOUBLE, VECTOR):
            return self.fn.splat(self.fn.constant(x), self.lanes)
        return Value(self.fn, self.type, str(int(x)) if self.lanes == 1 else f"splat (i64 {int(x)})")

    def _binary(self, real: str, whole: str, other: Value | float) -> Value:
        other = self.like(other)
        op = real if self.type in (DOUBLE, VECTOR) else whole
        return self.fn.write(f"{op} {self.type} {self.name}, {other.name}", self.type)

    def __add__(self, other):
        return self._binary("fadd contract", "add", other)

    def __radd__(self, other):
        return self.like(other) + self

    def __sub__(self, other):
        return self._binary("fsub contract", "sub", other)

    def __rsub__(self, other):
        return self.like(other) - self

    def __mul__(self, other):
        return self._binary("fmul contract", "mul", other)

    def __rmul__(self, other):
        return self.like(other) * self

    def __truediv__(self, other):
        return self._binary("fdiv", "sdiv", other)

    def __rtruediv__(self, other):
        return self.like(other) / self

    def __neg__(self):
        return self.fn.write(f"fneg {self.type} {self.name}", self.type)

    def exactly(self, op: str, other: Value | float) -> Value:
        """A sum, difference or product that is rounded by itself: ``add``, ``sub`` or ``mul``."""
        return self._binary(f"f{op}", op, other)

    # --- conditions -----------------------------------------------------------------------------------------------
    def _compare(self, real: str, whole: str, other: Value | float) -> Value:
        other = self.like(other)
        flag = FLAGS if self.lanes == LANES else FLAG
        op = f"fcmp {real}" if self.type in (DOUBLE, VECTOR) else f"icmp {whole}"
        return self.fn.write(f"{op} {self.type} {self.name}, {other.name}", flag)

    def eq(self, other) -> Value:
        """Equal; not of nan."""
        return self._compare("oeq", "eq", other)

    def ne(self, other) -> Value:
        """Not equal; true of nan."""
        return self._compare("une", "ne", other)

    def lt(self, other) -> Value:
        """Less."""
        return self._compare("olt", "slt", other)

    def le(self, other) -> Value:
        """Less or equal."""
        return self._compare("ole", "sle", other)

    def gt(self, other) -> Value:
        """Greater."""
        return self._compare("ogt", "sgt", other)

    def ge(self, other) -> Value:
        """Greater or equal."""
        return self._compare("oge", "sge", other)

    def both(self, other: Value) -> Value:
        """Both conditions."""
        return self.fn.write(f"and {self.type} {self.name}, {other.name}", self.type)

    def either(self, other: Value) -> Value:
        """One of the conditions, or both."""
        return self.fn.write(f"or {self.type} {self.name}, {other.name}", self.type)

    def differs(self, other: Value) -> Value:
        """Exactly one of two conditions."""
        return self.fn.write(f"xor {self.type} {self.name}, {other.name}", self.type)

    def negate(self) -> Value:
        """The opposite of a condition."""
        true = "true" if self.lanes == 1 else "splat (i1 true)"
        return self.fn.write(f"xor {self.type} {self.name}, {true}", self.type)

    def any(self) -> Value:
        """Whether a condition holds for one of the elements."""
        if self.lanes == 1:
            return self
        bits = self.fn.write(f"bitcast {self.type} {self.name} to i{LANES}", f"i{LANES}")
        return self.fn.write(f"icmp ne i{LANES} {bits.name}, 0", FLAG)

    def select(self, a: Value | float, b: Value | float) -> Value:
        """`a` where the condition holds, `b` elsewhere."""
        model = a if isinstance(a, Value) else b
        if not isinstance(model, Value):
            model = self.fn.splat(self.fn.constant(0.0), self.lanes)
        a, b = model.like(a), model.like(b)
        return self.fn.write(f"select {self.type} {self.name}, {a.type} {a.name}, {b.type} {b.name}", a.type)

    def to_double(self) -> Value:
        """A condition as 1 or 0."""
        target = VECTOR if self.lanes == LANES else DOUBLE
        return self.fn.write(f"uitofp {self.type} {self.name} to {target}", target)

    def is_finite(self) -> Value:
        """Neither infinite nor nan."""
        return self.exactly("mul", 0.0).eq(0.0)

    def choose_status(self, if_true: int, if_false: int) -> Value:
        """One of two whole numbers."""
        return self.fn.write(f"select i1 {self.name}, i32 {if_true}, i32 {if_false}", "i32")

    # --- lanes ----------------------------------------------------------------------------------------------------
    def lane(self, k: int) -> Value:
        """One element."""
        return self.fn.write(f"extractelement {self.type} {self.name}, i32 {k}", DOUBLE)

    def first_lanes(self, n: int, other: Value) -> Value:
        """The first `n` elements, and those of `other` behind them."""
        mask = ", ".join(f"i1 {'true' if j < n else 'false'}" for j in range(LANES))
        return self.fn.write(f"select {FLAGS} <{mask}>, {self.type} {self.name}, {other.type} {other.name}", self.type)

    def sum(self) -> Value:
        """The sum of the elements."""
        return (self.lane(0) + self.lane(1)) + (self.lane(2) + self.lane(3))

    # --- LLVM's own functions -------------------------------------------------------------------------------------
    def intrinsic(self, name: str, *others: Value) -> Value:
        """A function that LLVM knows, element by element."""
        kind = "v4f64" if self.type == VECTOR else "f64"
        types = ", ".join([self.type] * (1 + len(others)))
        self.fn.module.declare(f"declare {self.type} @llvm.{name}.{kind}({types})")
        operands = ", ".join(f"{v.type} {v.name}" for v in (self, *others))
        return self.fn.write(f"call {self.type} @llvm.{name}.{kind}({operands})", self.type)

    def fma(self, a: Value, b: Value | float) -> Value:
        """``self * a + b``, rounded once where the processor can."""
        return self.intrinsic("fmuladd", self.like(a), self.like(b))

    def abs(self) -> Value:
        """Without the sign."""
        return self.intrinsic("fabs")

    def sqrt(self) -> Value:
        """The square root."""
        return self.intrinsic("sqrt")

    def floor(self) -> Value:
        """The next whole number below."""
        return self.intrinsic("floor")

    def trunc(self) -> Value:
        """The next whole number towards zero."""
        return self.intrinsic("trunc")

    def signbit(self) -> Value:
        """Whether the sign is set, also that of zero."""
        return self.bits().lt(0)

    def flip(self, sign: Value) -> Value:
        """With the sign changed where the first bit of an integer is set."""
        bits = self.bits()
        return self.fn.write(f"xor {bits.type} {bits.name}, {sign.name}", bits.type).real()

    def copysign(self, other: Value | float) -> Value:
        """With the sign of another."""
        return self.intrinsic("copysign", self.like(other))

    def maximum(self, other: Value | float) -> Value:
        """The larger one; nan if one is nan."""
        return self.intrinsic("maximum", self.like(other))

    def minimum(self, other: Value | float) -> Value:
        """The smaller one; nan if one is nan."""
        return self.intrinsic("minimum", self.like(other))

    # --- bits -----------------------------------------------------------------------------------------------------
    def bits(self) -> Value:
        """A double as the integer of the same bits."""
        target = "<4 x i64>" if self.lanes == LANES else "i64"
        return self.fn.write(f"bitcast {self.type} {self.name} to {target}", target)

    def real(self) -> Value:
        """An integer as the double of the same bits."""
        target = VECTOR if self.lanes == LANES else DOUBLE
        return self.fn.write(f"bitcast {self.type} {self.name} to {target}", target)

    def integer(self, op: str, other: int) -> Value:
        """An operation of integers with a constant: ``shl``, ``lshr``, ``ashr``, ``add``, ``sub``, ..."""
        text = str(other) if self.lanes == 1 else f"splat (i64 {other})"
        return self.fn.write(f"{op} {self.type} {self.name}, {text}", self.type)


class Loop:
    """A loop under construction: its index is a value."""

    __slots__ = ("index",)

    def __init__(self, index: Value):
        self.index = index


class Function:
    """A function under construction."""

    def __init__(self, module: Module, name: str, returns: str, arguments: Sequence[str]):
        self.module, self.name, self.returns = module, name, returns
        self.arguments = [Value(self, t, f"%a{i}") for i, t in enumerate(arguments)]
        self.linkage, self.attributes = "", ""
        self._entry: list[str] = []  # what comes before everything else: memory and addresses
        self._lines: list[str] = []
        self._n_names = 0

    def _fresh(self) -> str:
        self._n_names += 1
        return f"v{self._n_names}"

    def write(self, text: str, type_: str, *, entry: bool = False) -> Value:
        """Append an instruction; `entry` puts it at the beginning of the function."""
        name = f"%{self._fresh()}"
        (self._entry if entry else self._lines).append(f"  {name} = {text}")
        return Value(self, type_, name)

    def text(self) -> str:
        """The function as text."""
        alias = " noalias" if not self.linkage else ""
        arguments = ", ".join(f"{a.type}{alias if a.type == 'ptr' else ''} {a.name}" for a in self.arguments)
        head = f"define {self.linkage} {self.returns} @{self.name}({arguments}) {self.attributes} {{"
        return "\n".join([head, "entry:", *self._entry, "  br label %begin", "begin:", *self._lines, "}\n"])

    # --- constants ------------------------------------------------------------------------------------------------
    def constant(self, x: float) -> Value:
        """A double."""
        return Value(self, DOUBLE, literal(x))

    def status(self, k: int) -> Value:
        """A whole number to return."""
        return Value(self, "i32", str(k))

    def splat(self, value: Value, lanes: int) -> Value:
        """A value in all lanes."""
        if lanes == 1 or value.lanes == LANES:
            return value
        kind = VECTOR if value.type == DOUBLE else FLAGS
        if value.name.startswith("0x"):
            return Value(self, kind, f"splat (double {value.name})")
        one = self.write(f"insertelement {kind} poison, {value.type} {value.name}, i32 0", kind)
        return self.write(f"shufflevector {kind} {one.name}, {kind} poison, <4 x i32> zeroinitializer", kind)

    def vector(self, lanes: Sequence[Value]) -> Value:
        """Four doubles side by side."""
        name = "poison"
        for j, lane in enumerate(lanes):
            out = self.write(f"insertelement {VECTOR} {name}, double {lane.name}, i32 {j}", VECTOR)
            name = out.name
        return out

    # --- flow -----------------------------------------------------------------------------------------------------
    def block(self, name: str) -> str:
        """A new label."""
        return f"{name}_{self._fresh()}"

    def start(self, block: str) -> None:
        """Begin to write at a label."""
        self._lines.append(f"{block}:")

    def ret(self, value: Value) -> None:
        """Return."""
        self._lines.append(f"  ret {value.type} {value.name}")

    def go_to(self, block: str) -> None:
        """Go on at a label."""
        self._lines.append(f"  br label %{block}")

    def branch(self, condition: Value, if_true: str, if_false: str) -> None:
        """Go on at one of two labels."""
        self._lines.append(f"  br i1 {condition.name}, label %{if_true}, label %{if_false}")

    def ret_void(self) -> None:
        """Return nothing."""
        self._lines.append("  ret void")

    def leave_if(self, condition: Value, block: str) -> None:
        """Go to a label if a condition holds, else go on."""
        on = self.block("on")
        self._lines.append(f"  br i1 {condition.name}, label %{block}, label %{on}")
        self.start(on)

    @contextlib.contextmanager
    def loop(self, start: int | Value, stop: int | Value, step: int) -> Iterator[Loop]:
        """What is written inside is repeated while the index, from `start` on, is less than `stop`."""
        first, end = (x.name if isinstance(x, Value) else str(x) for x in (start, stop))
        register = self.write("alloca i64", "ptr", entry=True)
        head, body, done = self.block("head"), self.block("body"), self.block("done")
        self._lines += [f"  store i64 {first}, ptr {register.name}", f"  br label %{head}"]
        self.start(head)
        index = self.write(f"load i64, ptr {register.name}", "i64")
        more = self.write(f"icmp slt i64 {index.name}, {end}", FLAG)
        self._lines.append(f"  br i1 {more.name}, label %{body}, label %{done}")
        self.start(body)
        yield Loop(index)
        following = index + step
        self._lines += [f"  store i64 {following.name}, ptr {register.name}", f"  br label %{head}"]
        self.start(done)

    # --- memory ---------------------------------------------------------------------------------------------------
    def alloca(self, lanes: int) -> Value:
        """A register for a double or a vector, to be written more than once."""
        return self.write(f"alloca {VECTOR if lanes == LANES else DOUBLE}, align 32", "ptr", entry=True)

    def alloca_array(self, n: int) -> Value:
        """A small array, which may end up in registers."""
        return self.write(f"alloca [{n} x double], align 32", "ptr", entry=True)

    def alloca_i32(self) -> Value:
        """A register for a whole number."""
        return self.write("alloca i32", "ptr", entry=True)

    def constant_i32(self, k: int) -> Value:
        """The address of a whole number, for libraries that take addresses."""
        address = self.alloca_i32()
        self._entry.append(f"  store i32 {k}, ptr {address.name}")
        return address

    def element(self, address: Value, index: int | Value | None, *, entry: bool = False) -> Value:
        """The address of an element of an array of doubles."""
        if index is None or (isinstance(index, int) and index == 0):
            return address
        text = index.name if isinstance(index, Value) else index
        return self.write(f"getelementptr double, ptr {address.name}, i64 {text}", "ptr", entry=entry)

    def load(self, address: Value, lanes: int = 1) -> Value:
        """A double or a vector."""
        kind = VECTOR if lanes == LANES else DOUBLE
        return self.write(f"load {kind}, ptr {address.name}, align 8", kind)

    def table(self, name: str, numbers: str, n: int) -> Value:
        """The address of constant doubles, which are written once in a module; `numbers` are their literals."""
        self.module.declare(f"@{name} = private unnamed_addr constant [{n} x double] [{numbers}], align 64")
        return Value(self, "ptr", f"@{name}")

    def load_apart(self, address: Value) -> Value:
        """A double by an instruction of its own."""
        return self.write(f"load volatile double, ptr {address.name}, align 8", DOUBLE)

    def load_i64(self, address: Value) -> Value:
        """An integer."""
        return self.write(f"load i64, ptr {address.name}", "i64")

    def load_i32(self, address: Value) -> Value:
        """A whole number."""
        return self.write(f"load i32, ptr {address.name}", "i32")

    def load_pointer(self, table: Value, k: int) -> Value:
        """An address in a table of addresses, read at the beginning."""
        place = self.write(f"getelementptr ptr, ptr {table.name}, i64 {k}", "ptr", entry=True)
        return self.write(f"load ptr, ptr {place.name}", "ptr", entry=True)

    def store(self, value: Value, address: Value) -> None:
        """Write to memory."""
        self._lines.append(
            f"  store {value.type} {value.name}, ptr {address.name}, align {4 if value.type == 'i32' else 8}"
        )

    def copy(self, target: Value, source: Value, n: int) -> None:
        """Copy `n` doubles."""
        self.module.declare("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        self._lines.append(
            f"  call void @llvm.memcpy.p0.p0.i64(ptr {target.name}, ptr {source.name}, i64 {8 * n}, i1 false)"
        )

    # --- calls ----------------------------------------------------------------------------------------------------
    def call(self, name: str, returns: str, values: Sequence[Value], *, inline: bool = False) -> Value:
        """Call a function of the module."""
        operands = ", ".join(f"{v.type} {v.name}" for v in values)
        return self.write(f"call {returns} @{name}({operands}){' alwaysinline' if inline else ''}", returns)

    def call_pointer(self, address: Value, number: int, pointer: Value) -> Value:
        """Call a function at an address with a number and an address; it returns a status."""
        return self.write(f"call i32 {address.name}(i64 {number}, ptr {pointer.name})", "i32")

    def call_library(self, name: str, addresses: Sequence[Value]) -> None:
        """Call a function of a library, which takes addresses and returns nothing."""
        self.module.declare(f"declare void @{name}({', '.join(['ptr'] * len(addresses))})")
        self._lines.append(f"  call void @{name}({', '.join(f'ptr {a.name}' for a in addresses)})")


class Module:
    """Functions under construction, and what they take from outside.

    Attributes
    ----------
    symbols : dict of str to int
        Addresses of what is declared.
    """

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.symbols: dict[str, int] = {}
        self._declarations: dict[str, None] = {}

    def declare(self, text: str) -> None:
        """Declare something from outside, once."""
        self._declarations[text] = None

    def function(self, name: str, returns: str, arguments: Sequence[str]) -> Function:
        """A new function."""
        self.functions[name] = Function(self, name, returns, arguments)
        return self.functions[name]

    def text(self) -> str:
        """The module as text."""
        return "\n".join([*self._declarations, *(f.text() for f in self.functions.values())])
