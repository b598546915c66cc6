"""Random programs with branches on their values inside loops, written as Python source and run from it."""

from __future__ import annotations

import linecache

import numpy as np

N = 12  # arguments


class BranchingProgram:
    """A function of a vector of N numbers: loops, branches of all kinds, helpers, counters, lists, attributes.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.lines: list[str] = []
        self.write()
        self.source = "\n".join(self.lines) + "\n"
        file = f"<branching program {seed}>"
        linecache.cache[file] = (len(self.source), None, self.source.splitlines(True), file)
        names: dict = {"np": np}
        exec(compile(self.source, file, "exec"), names)
        self.fn = names["fn"]

    def __call__(self, z):
        """The value."""
        return self.fn(z)

    # --- parts --------------------------------------------------------------------------------------------------------
    def pick(self, *options):
        """One of several."""
        return options[self.rng.integers(len(options))]

    def variable(self) -> str:
        """A traced variable."""
        return self.pick("a", "b", "c", "box.s", "kept[-1]")

    def term(self) -> str:
        """Something to compute with."""
        return self.pick(
            self.variable(), self.variable(), "z[t % N]", "z[(t + count) % N]", "1.5", "0.3", "float(count)"
        )

    def expression(self) -> str:
        """A traced expression that stays of moderate size."""
        x, y = self.term(), self.term()
        return self.pick(
            f"np.tanh({x} + z[{self.rng.integers(N)}])", f"0.5 * {x} - 0.3 * {y} + 0.1 * z[t % N]",
            f"np.sin({x}) * 0.7", f"0.8 * {self.variable()} + 0.15 * {y}", f"step({x}, z[t % N])",
            f"({x} if {self.condition()} else {y}) * 0.9",
            f"max({self.variable()}, z[t % N], {y}) * 0.5", f"np.where({self.variable()} > 0, {x}, {y}) * 0.6",
        )  # fmt: skip

    def condition(self) -> str:
        """A question."""
        x = self.variable()
        return self.pick(
            f"{x} > {self.rng.normal():.2f}", f"{x} < z[t % N]", f"{x} > 0 and {self.variable()} < 0.5",
            f"not {x} > 0.2", f"count % 3 == 0 or {x} > 0.1", f"0 < {x} < 1",
        )  # fmt: skip

    def statement(self, indent: str, depth: int) -> None:
        """One statement, with what belongs to it."""
        kind = self.rng.integers(14)
        write = self.lines.append
        if kind < 4 and depth:
            write(f"{indent}if {self.condition()}:")
            self.block(indent + "    ", depth - 1)
            if self.rng.random() < 0.6:
                write(f"{indent}else:")
                self.block(indent + "    ", depth - 1)
        elif kind == 4:
            write(f"{indent}count += 1")
        elif kind == 5:
            write(f"{indent}kept.append({self.expression()})")
        elif kind == 6:
            write(f"{indent}box.s = {self.expression()}")
        elif kind == 7:
            write(f"{indent}buffer[t % 3] = {self.expression()}")
        elif kind == 8:
            write(f"{indent}a, b = b, a")
        elif kind == 9 and depth:
            write(f"{indent}for x in (z[:2] if {self.condition()} else z[2:4]):")
            write(f"{indent}    if x > {self.variable()}:")
            write(f"{indent}        c = 0.9 * x - 0.1 * c")
        elif kind == 10 and self.rng.random() < 0.4:
            write(f"{indent}scale = [1.0 if x > 0 else 0.5 for x in z[:3]][-1]")
            write(f"{indent}a = a * scale")
        elif kind == 11 and self.rng.random() < 0.4:
            write(f"{indent}b = 0.5 * b + 0.1 * next(numbers)")
        else:
            write(f"{indent}{self.pick('a', 'b', 'c')} = {self.expression()}")

    def block(self, indent: str, depth: int) -> None:
        """A few statements."""
        for _ in range(self.rng.integers(1, 4)):
            self.statement(indent, depth)

    def write(self) -> None:
        """The whole program."""
        write = self.lines.append
        write(f"N = {N}\n\nclass Box:\n    pass\n")
        write("def step(x, y):")
        write(f"    if x > {self.rng.normal():.2f}:")
        write("        return 0.7 * x + 0.1 * y")
        write("    return 0.4 * x - 0.2 * y\n")
        write("def fn(z):")
        write("    a, b, c, count, kept, box, numbers = z[0], z[1], z[2], 0, [z[3]], Box(), iter([1.0, 2.0, 0.5] * 99)")
        write("    box.s = z[4]")
        write("    buffer = np.zeros(3) * z[0]")
        write("    t = 0")
        if self.rng.random() < 0.3:
            write("    while t < 8 and a < 3:")
            write("        t += 1")
        else:
            write(f"    for t in range({self.rng.integers(3, 8)}):")
        self.block("        ", 2)
        self.statement("        ", 2)
        if self.rng.random() < 0.2:
            write(f"        if {self.condition()}:")
            write(f"            {self.pick('break', 'continue', 'return a - b * z[5]')}")
        write("    return a + b * c + box.s - np.sum(buffer) + 0.1 * kept[-1] + 0.01 * count + 0.1 * len(kept) * z[0]")
