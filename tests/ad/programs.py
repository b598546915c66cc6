"""Random programs with loops, branches, recursion, writes in place, views and nested derivatives.

A program is drawn from a seed and runs on whatever numbers it is given: traced values, or complex numbers for the
complex step, where an inner derivative is taken with the dual numbers of this file. Nothing here uses the engine's
rules, so that the two can be held against each other.
"""

from __future__ import annotations

import random

import numpy as np

N = 4  # length of the input and of the array the program works on


class Dual:
    """a + b eps with complex a and b: an independent forward mode for the derivatives inside a program."""

    def __init__(self, a, b=0.0):
        self.a, self.b = a, b

    def __add__(self, other):
        other = _dual(other)
        return Dual(self.a + other.a, self.b + other.b)

    def __sub__(self, other):
        other = _dual(other)
        return Dual(self.a - other.a, self.b - other.b)

    def __mul__(self, other):
        other = _dual(other)
        return Dual(self.a * other.a, self.a * other.b + self.b * other.a)

    def __truediv__(self, other):
        other = _dual(other)
        return Dual(self.a / other.a, self.b / other.a - self.a * other.b / other.a**2)

    def __rtruediv__(self, other):
        return _dual(other) / self

    def __rsub__(self, other):
        return _dual(other) - self

    __radd__, __rmul__ = __add__, __mul__

    def sin(self):
        return Dual(np.sin(self.a), np.cos(self.a) * self.b)

    def cos(self):
        return Dual(np.cos(self.a), -np.sin(self.a) * self.b)

    def tanh(self):
        return Dual(np.tanh(self.a), self.b / np.cosh(self.a) ** 2)

    def exp(self):
        return Dual(np.exp(self.a), np.exp(self.a) * self.b)

    def log(self):
        return Dual(np.log(self.a), self.b / self.a)

    def sqrt(self):
        return Dual(np.sqrt(self.a), 0.5 * self.b / np.sqrt(self.a))


def _dual(x):
    return x if isinstance(x, Dual) else Dual(x)


def dual_derivative(f, x):
    """Derivative of `f` at the complex number `x`."""
    return _dual(f(Dual(x, 1.0))).b


UNARY = [
    np.sin,
    np.cos,
    np.tanh,
    lambda x: np.sqrt(1.0 + x * x),
    lambda x: np.log(1.5 + x * x),
    lambda x: 1.0 / (1.0 + np.exp(-1.0 * x)),
    lambda x: np.exp(-0.5 * x * x),
]
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a - 0.7 * b,
    lambda a, b: np.tanh(a * b),
    lambda a, b: a / (1.3 + b * b),
    lambda a, b: np.sin(a) * b,
]


class Program:
    """A random function of an array of length `N`, returning a number.

    Parameters
    ----------
    seed : int
        The program.
    derivative : callable
        ``derivative(f, x)``, for the derivatives inside the program.
    """

    def __init__(self, seed: int, derivative):
        self.derivative = derivative
        rng = random.Random(seed)
        self.body = self._block(rng, depth=0, n=rng.randint(4, 10))

    def __call__(self, x):
        state = {"v": [x[i] for i in range(N)], "s": np.zeros_like(x), "views": [], "x": x}
        state["s"][:] = 0.5 * x
        self._run(self.body, state)
        return state["v"][-1] + np.sum(state["s"] * np.arange(1.0, N + 1)) + sum(np.sum(w) for w in state["views"])

    # --- drawing ----------------------------------------------------------------------------------------------------
    def _block(self, rng, depth, n):
        kinds = ["unary", "binary", "store", "view", "update", "array", "reduce", "nested", "recurse", "gather"]
        if depth < 2:
            kinds += ["branch", "loop", "while"]
        return [self._statement(rng.choice(kinds), rng, depth) for _ in range(n)]

    def _statement(self, kind, rng, depth):
        numbers = [rng.randrange(1000) for _ in range(6)]
        factor = rng.uniform(-1.0, 1.0)
        n_blocks = {"branch": 2, "loop": 1, "while": 1}.get(kind, 0)
        return kind, numbers, factor, [self._block(rng, depth + 1, rng.randint(1, 3)) for _ in range(n_blocks)]

    # --- running ----------------------------------------------------------------------------------------------------
    def _run(self, block, state):
        for kind, numbers, factor, inner in block:
            getattr(self, f"_do_{kind}")(state, numbers, factor, inner)

    @staticmethod
    def _pick(state, number):
        return state["v"][number % len(state["v"])]

    def _do_unary(self, state, n, factor, inner):
        state["v"].append(UNARY[n[0] % len(UNARY)](self._pick(state, n[1])))

    def _do_binary(self, state, n, factor, inner):
        state["v"].append(BINARY[n[0] % len(BINARY)](self._pick(state, n[1]), self._pick(state, n[2])))

    def _do_store(self, state, n, factor, inner):
        if n[0] % 3 == 0:
            state["s"][n[1] % N] = self._pick(state, n[2])
        elif n[0] % 3 == 1:
            state["s"][n[1] % N] += factor * self._pick(state, n[2])
        else:
            state["s"][[n[1] % N, n[2] % N]] = self._pick(state, n[3]) * factor

    def _do_view(self, state, n, factor, inner):
        s = state["s"]
        made = [lambda: s[n[1] % N :], lambda: s[:: 1 + n[1] % 2], lambda: s.reshape(2, 2)[n[1] % 2], lambda: s[::-1]]
        state["views"].append(made[n[0] % len(made)]())
        del state["views"][:-3]

    def _do_update(self, state, n, factor, inner):
        if not state["views"]:
            return
        view = state["views"][n[0] % len(state["views"])]
        if n[1] % 2:
            view *= factor
        else:
            view[n[2] % len(view)] = self._pick(state, n[3]) * factor

    def _do_array(self, state, n, factor, inner):
        s = state["s"]
        choices = [
            lambda: np.sin(s) * factor,
            lambda: np.where(s.real > factor, np.tanh(s), 0.5 * s),
            lambda: np.concatenate([s[2:], s[:2]]) * 0.9,
            lambda: np.cumsum(s) * 0.4,
            lambda: (s.reshape(2, 2) @ s.reshape(2, 2).T).ravel() * 0.3,
            lambda: np.stack([self._pick(state, k) for k in n[2:6]]) * factor,
        ]
        s[:] = choices[n[0] % len(choices)]()

    def _do_reduce(self, state, n, factor, inner):
        s = state["s"]
        choices = [
            lambda: np.tanh(np.sum(s * s)),
            lambda: np.mean(s) * factor,
            lambda: np.tanh(s @ state["x"]),
            lambda: np.prod(np.tanh(s)),
            lambda: np.einsum("i,i->", s, np.cos(s)) * factor,
        ]
        state["v"].append(choices[n[0] % len(choices)]())

    def _do_gather(self, state, n, factor, inner):
        state["v"].append(np.sum(np.tanh(state["s"][[k % N for k in n[:3]]])) * factor)

    def _do_nested(self, state, n, factor, inner):
        a, b = self._pick(state, n[0]), self._pick(state, n[1])
        unary = UNARY[n[2] % len(UNARY)]
        state["v"].append(
            np.tanh(self.derivative(lambda y: unary(y * a) * b + factor * y * y, self._pick(state, n[3])))
        )

    def _do_recurse(self, state, n, factor, inner):
        unary, b = UNARY[n[0] % len(UNARY)], self._pick(state, n[1])

        def descend(k, a):
            return a if k == 0 else unary(factor * descend(k - 1, a) + 0.3 * b)

        state["v"].append(descend(n[2] % 5, self._pick(state, n[3])))

    def _do_branch(self, state, n, factor, inner):
        self._run(inner[0] if self._pick(state, n[0]).real > factor else inner[1], state)

    def _do_loop(self, state, n, factor, inner):
        for _ in range(n[0] % 4):
            self._run(inner[0], state)

    def _do_while(self, state, n, factor, inner):
        a, count = self._pick(state, n[0]), 0
        while abs(a.real) > 0.3 and count < 8:
            a = np.sin(a) * 0.8
            count += 1
        state["v"].append(a)
        self._run(inner[0], state)
