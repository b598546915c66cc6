"""The random numbers of the kernels: a known stream, and the distributions they claim."""

from __future__ import annotations

import numpy as np
from scipy import stats

from probad.mcmc.random import fill_normal, next_integer, stream, uniform

MASK = 2**64 - 1


def _xoshiro(state, n):
    """xoshiro256++ written from its published definition."""

    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & MASK

    s = [int(v) for v in state]
    out = []
    for _ in range(n):
        out.append((rotl((s[0] + s[3]) & MASK, 23) + s[0]) & MASK)
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
    return out


def test_the_first_numbers_of_a_known_state():
    """Output of the authors' C program for the state 1, 2, 3, 4."""
    state = np.array([1, 2, 3, 4], np.uint64)
    assert [next_integer(state) for _ in range(4)] == [41943041, 58720359, 3588806011781223, 3591011842654386]


def test_the_stream_is_xoshiro_plus_plus():
    state = stream(7, 3)
    expected = _xoshiro(state, 1000)
    assert [next_integer(state) for _ in range(1000)] == expected


def test_chains_have_streams_of_their_own():
    states = {tuple(stream(seed, chain)) for seed in range(20) for chain in range(20)}
    assert len(states) == 400


def test_uniforms_and_normals_have_their_distributions():
    state = memoryview(stream(1, 0))
    u = np.array([uniform(state) for _ in range(20_000)])
    assert u.min() >= 0 and u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    rows = np.zeros((1, 20_001))
    fill_normal(state, memoryview(rows), 0, 20_001)
    assert stats.kstest(rows[0], "norm").pvalue > 1e-3
    assert abs(np.corrcoef(rows[0, :-1], rows[0, 1:])[0, 1]) < 0.03
