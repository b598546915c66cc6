"""Random numbers inside the kernels: xoshiro256++, uniforms with 53 bits, normals by the polar method.

Each chain has a stream of its own, which depends on the seed and the number of the chain alone.
"""

from __future__ import annotations

import math

import numpy as np

from probad.mcmc.intrinsics import load, shift_right, wrap

UNIT = 1.0 / 9007199254740992.0  # 2^-53


def stream(seed: int, chain: int) -> np.ndarray:
    """The state of chain number `chain`: four unsigned integers that NumPy's SeedSequence makes of both numbers."""
    return np.random.SeedSequence(seed, spawn_key=(chain,)).generate_state(4, np.uint64)


def rotate_left(x, n):
    """Rotate the 64 bits of `x`."""
    return wrap(x << n) | shift_right(x, 64 - n)


def next_integer(state):
    """The next 64 random bits.

    Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021), xoshiro256++.
    """
    s0, s1, s2, s3 = load(state, 0), load(state, 1), load(state, 2), load(state, 3)
    result = wrap(rotate_left(wrap(s0 + s3), 23) + s0)
    t = wrap(s1 << 17)
    s2 = s2 ^ s0
    s3 = s3 ^ s1
    s1 = s1 ^ s2
    s0 = s0 ^ s3
    s2 = s2 ^ t
    s3 = rotate_left(s3, 45)
    state[0] = s0
    state[1] = s1
    state[2] = s2
    state[3] = s3
    return result


def uniform(state):
    """A uniform number in [0, 1)."""
    return shift_right(next_integer(state), 11) * UNIT


def fill_normal(state, rows, row, dim):
    """Fill a row with standard normal numbers, two at a time (Marsaglia's polar method)."""
    i = 0
    while i < dim:
        u = 2.0 * uniform(state) - 1.0
        v = 2.0 * uniform(state) - 1.0
        s = u * u + v * v
        if s < 1.0 and s > 0.0:
            scale = math.sqrt(-2.0 * math.log(s) / s)
            rows[row, i] = u * scale
            if i + 1 < dim:
                rows[row, i + 1] = v * scale
            i = i + 2
