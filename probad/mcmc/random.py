"""Random numbers inside the kernels: xoshiro256++, uniforms with 53 bits, normals by the polar method.

Each chain has a stream of its own, which depends on the seed and the number of the chain alone.
"""

from __future__ import annotations

import math

import numpy as np

from probad.mcmc.intrinsics import rotate_left, shift_right, wrap

UNIT = 1.0 / 9007199254740992.0  # 2^-53


def stream(seed: int, chain: int) -> np.ndarray:
    """The state of chain number `chain`: four unsigned integers that NumPy's SeedSequence makes of both numbers."""
    return np.random.SeedSequence(seed, spawn_key=(chain,)).generate_state(4, np.uint64)


def next_integer(random):
    """The next 64 random bits.

    `random` holds the four words of the state, in Python as a list of integers.

    Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021), xoshiro256++.
    """
    s0 = random[0]
    s1 = random[1]
    s2 = random[2] ^ s0
    s3 = random[3] ^ s1
    result = wrap(rotate_left(wrap(s0 + random[3]), 23) + s0)
    random[0] = s0 ^ s3
    random[1] = s1 ^ s2
    random[2] = s2 ^ wrap(s1 << 17)
    random[3] = rotate_left(s3, 45)
    return result


def uniform(random):
    """A uniform number in [0, 1)."""
    return float(shift_right(next_integer(random), 11)) * UNIT


def fill_normal(random, rows, row, dim):
    """Fill a row with standard normal numbers, two at a time.

    Source: Marsaglia and Bray, SIAM Review 6 (1964) 260, the polar method.
    """
    start = row * dim
    i = 0
    while i < dim:
        u = 2.0 * uniform(random) - 1.0
        v = 2.0 * uniform(random) - 1.0
        s = u * u + v * v
        if s < 1.0 and s > 0.0:
            scale = math.sqrt(-2.0 * math.log(s) / s)
            rows[start + i] = u * scale
            if i + 1 < dim:
                rows[start + i + 1] = v * scale
            i = i + 2
