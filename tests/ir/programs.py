"""Functions with loops, as people write them, and random ones."""

import numpy as np
from hypothesis import strategies as st

from probad.numerics import logsumexp

rng = np.random.default_rng(20)


def stochastic_volatility(n):
    y = rng.normal(size=n)

    def log_density(z):
        mu, phi, sigma = z[0], np.tanh(z[1]), np.exp(z[2])
        h = mu + sigma * z[3] / np.sqrt(1 - phi**2)
        logp = -0.5 * mu**2 - 0.5 * z[3] ** 2 - 0.5 * (h + y[0] ** 2 * np.exp(-h))
        for t in range(1, n):
            h = mu + phi * (h - mu) + sigma * z[3 + t]
            logp = logp - 0.5 * z[3 + t] ** 2
            logp = logp - 0.5 * (h + y[t] ** 2 * np.exp(-h))
        return logp

    return log_density, 0.1 * rng.normal(size=n + 3)


def garch(n):
    y = rng.normal(size=n)

    def log_density(z):
        mu, a0, a1, b1 = z[0], np.exp(z[1]), np.exp(z[2]), np.exp(z[3])
        variance, logp = a0, 0.0
        for t in range(n):
            e = y[t] - mu
            logp = logp - 0.5 * np.log(variance) - 0.5 * e**2 / variance
            variance = a0 + a1 * e**2 + b1 * variance
        return logp

    return log_density, -1 + 0.1 * rng.normal(size=4)


def hidden_markov(n):
    y = rng.normal(size=n)

    def log_density(z):
        stay = [np.log(1 / (1 + np.exp(-z[k]))) for k in (0, 1)]
        leave = [np.log(1 / (1 + np.exp(z[k]))) for k in (0, 1)]
        a, b = -0.5 * (y[0] - z[2]) ** 2, -0.5 * (y[0] - z[3]) ** 2
        for t in range(1, n):
            a, b = (
                np.logaddexp(a + stay[0], b + leave[1]) - 0.5 * (y[t] - z[2]) ** 2,
                np.logaddexp(a + leave[0], b + stay[1]) - 0.5 * (y[t] - z[3]) ** 2,
            )
        return np.logaddexp(a, b)

    return log_density, rng.normal(size=4)


def autoregression(n):
    def log_density(z):
        x, logp = [z[2], z[3]], 0.0
        for t in range(2, n):
            x.append(z[0] * x[-1] + z[1] * x[-2] + z[2 + t])
            logp += -(x[-1] ** 2)
        return logp + np.sum(np.stack(x))

    return log_density, 0.2 * rng.normal(size=n + 2)


def lotka_volterra(n):
    observed = rng.normal(size=(n, 2))

    def log_density(z):
        a, b, c, d = (np.exp(z[k]) for k in range(4))
        u, v, step, logp = np.exp(z[4]), np.exp(z[5]), 0.05, 0.0

        def slope(u, v):
            return (a - b * v) * u, (d * u - c) * v

        for t in range(n):
            k1 = slope(u, v)
            k2 = slope(u + step / 2 * k1[0], v + step / 2 * k1[1])
            k3 = slope(u + step / 2 * k2[0], v + step / 2 * k2[1])
            k4 = slope(u + step * k3[0], v + step * k3[1])
            u = u + step / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
            v = v + step / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
            logp -= (np.log(u) - observed[t, 0]) ** 2 + (np.log(v) - observed[t, 1]) ** 2
        return logp

    return log_density, -0.5 + 0.1 * rng.normal(size=6)


def random_walk(n):
    """A column that is read forwards, backwards, shifted and in a branch."""
    y = rng.normal(size=n)

    def log_density(z):
        x, s, logp = [], 0.0, 0.0
        for t in range(n):
            s = s + z[1 + t]
            x.append(s)
        for t in range(n):
            logp += -0.5 * (y[t] - x[t]) ** 2 * np.exp(-z[0])
        for t in reversed(range(n)):
            logp += -0.5 * np.abs(x[t])
        for t in range(1, n):
            if x[t] > x[t - 1] + 100:
                logp += 1
        return logp

    return log_density, 0.1 * rng.normal(size=n + 1)


def filled_array(n):
    y = rng.normal(size=n)

    def log_density(z):
        h = np.zeros(n) + 0 * z[0]
        h[0] = z[0]
        for t in range(1, n):
            h[t] = z[0] + np.tanh(z[1]) * (h[t - 1] - z[0]) + np.exp(z[2]) * z[3 + t]
        return np.sum(-0.5 * (h + y**2 * np.exp(-h))) - 0.5 * np.sum(z[3:] ** 2)

    return log_density, 0.1 * rng.normal(size=n + 3)


def kalman(n):
    y = rng.normal(size=n)
    move, see = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0]])

    def log_density(z):
        noise, m, p, logp = np.exp(z[0]) * np.eye(2), np.zeros(2), np.eye(2), 0.0
        for t in range(n):
            m, p = move @ m, move @ p @ move.T + noise
            s = see @ p @ see.T + np.exp(z[1])
            gain, e = p @ see.T @ np.linalg.inv(s), y[t] - see @ m
            m, p = m + gain @ e, (np.eye(2) - gain @ see) @ p
            logp = logp - 0.5 * e @ np.linalg.solve(s, e) - 0.5 * np.log(np.linalg.det(s))
        return logp

    return log_density, 0.3 * rng.normal(size=2)


def three_states(n):
    y = rng.normal(size=n)

    def log_density(z):
        move = z[:9].reshape(3, 3)
        move = move - logsumexp(move, axis=1, keepdims=True)
        a = -0.5 * (y[0] - z[9:]) ** 2
        for t in range(1, n):
            a = logsumexp(a[:, None] + move, axis=0) - 0.5 * (y[t] - z[9:]) ** 2
        return logsumexp(a)

    return log_density, rng.normal(size=12)


def trajectory(n):
    """Rows of an array, filled with a state of two numbers."""
    observed = rng.normal(size=(n, 2))

    def log_density(z):
        x, out = z[:2], np.zeros((n, 2)) + 0 * z[0]
        for t in range(n):
            x = x + 0.1 * np.stack([x[1], -np.sin(x[0]) - z[2] * x[1]])
            out[t] = x
        return -np.sum((out - observed) ** 2)

    return log_density, rng.normal(size=3)


def table(n):
    where = rng.integers(0, n, size=n)

    def log_density(z):
        x, logp = z.reshape(n, 3), 0.0
        for t in range(n):
            logp -= (x[t, 0] * np.exp(x[t, 1]) - x[where[t], 2]) ** 2
        return logp

    return log_density, 0.3 * rng.normal(size=3 * n)


SCALAR = [stochastic_volatility, garch, hidden_markov, autoregression, lotka_volterra, random_walk]
ARRAY = [filled_array, kalman, three_states, trajectory, table]

# --- random programs --------------------------------------------------------------------------------------------------
# Operations that stay in bounds, so that rounding does not grow.
UNARY = [np.tanh, np.sin, np.negative, lambda a: np.exp(-np.abs(a)), lambda a: np.sqrt(1 + a**2)]
BINARY = [np.add, np.subtract, np.multiply, np.logaddexp, np.maximum, lambda a, b: np.where(a > b, a, -b)]
DIM = 60
DATA = rng.normal(size=200)
PLACES = rng.integers(0, DIM, size=200)

operands = st.one_of(
    st.tuples(st.just("before"), st.integers(1, 6)),  # in the same iteration, or at the end of the last one
    st.tuples(st.just("state"), st.integers(1, 3)),  # so many iterations ago
    st.tuples(st.just("fixed"), st.integers(0, 3)),
    st.tuples(st.just("data"), st.integers(0, 5)),
    st.tuples(st.just("same"), st.sampled_from([2.0, -0.5, 1])),
    st.tuples(st.just("element"), st.integers(0, 3), st.sampled_from([1, 2, -1])),
    st.tuples(st.just("gather"), st.integers(0, 3)),
    st.tuples(st.just("column"), st.integers(0, 3), st.sampled_from([1, -1]), st.booleans()),
)
statements = st.one_of(
    st.tuples(st.integers(0, len(UNARY) - 1), operands), st.tuples(st.integers(0, len(BINARY) - 1), operands, operands)
)
bodies = st.lists(statements, min_size=1, max_size=6)
random_loops = st.fixed_dictionaries(
    {
        "n": st.integers(1, 18),
        "body": bodies,
        "inner": st.one_of(st.none(), st.tuples(st.integers(2, 3), bodies)),
        "asks": st.booleans(),
        "odd": st.one_of(st.none(), st.tuples(st.integers(0, 17), statements)),  # one iteration has another statement
        "sums": st.sampled_from([None, "add", "subtract", "twice"]),
    }
)
random_programs = st.lists(random_loops, min_size=1, max_size=3)


def random_function(program):
    """The function that a random program describes."""

    def run(z):
        total, columns = z[0] * 1.0, []
        for loop in program:
            total, column = run_loop(loop, z, total, columns)
            columns.append(column)
        tail = np.sum(np.stack(columns[-1])) if len(columns[-1]) > 1 else 0.0
        return total + 0.1 * tail + 0.1 * columns[0][-1]

    return run


def run_loop(loop, z, total, columns):
    states = [z[1], z[2], z[3]]
    values = [z[4], z[5], z[6], z[7], z[8], z[9]]
    column = []

    def read(operand, t):
        kind, k, *rest = operand
        if kind == "before":
            return values[-k]
        if kind == "state":
            return states[-k]
        if kind == "fixed":
            return z[10 + k]
        if kind == "data":
            return DATA[7 * k + t]
        if kind == "same":
            return k
        if kind == "element":
            return z[(12 * k + rest[0] * t) % DIM]
        if kind == "gather":
            return z[PLACES[31 * k + t]]
        step, from_end = rest
        if not columns:
            return z[20 + k]
        source = columns[-1]
        place = (len(source) - 1 - k if from_end else k) + step * t
        return source[place % len(source)]

    def carry_out(statement, t):
        op, *read_from = statement
        table = UNARY if len(read_from) == 1 else BINARY
        values.append(np.tanh(table[op](*[read(x, t) for x in read_from])) + 0 * z[0])

    for t in range(loop["n"]):
        for statement in loop["body"]:
            carry_out(statement, t)
        if loop["inner"]:
            times, body = loop["inner"]
            for _ in range(times):
                for statement in body:
                    carry_out(statement, t)
        if loop["odd"] and loop["odd"][0] == t:
            carry_out(loop["odd"][1], t)
        state = values[-1]
        if loop["asks"] and state > 0.3:
            state = 0.5 * state
        states.append(state)
        column.append(state)
        if loop["sums"]:
            total = total - state if loop["sums"] == "subtract" else total + state
        if loop["sums"] == "twice":
            total = total - state * DATA[t]
    return total, column
