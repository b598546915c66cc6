"""NUTS and Stan's warm-up written the slow, obvious way: recursion over NumPy arrays in the usual momenta."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp


def leapfrog(density, q, p, step, inverse_mass):
    """One step in the usual (not whitened) momenta."""
    half = p + 0.5 * step * density.logp_and_grad(q)[1]
    moved = q + step * inverse_mass * half
    return moved, half + 0.5 * step * density.logp_and_grad(moved)[1]


def turns(p_begin, p_end, rho, inverse_mass):
    """The generalised criterion: an end does not move along the summed momenta."""
    return not (p_begin @ (inverse_mass * rho) > 0 and p_end @ (inverse_mass * rho) > 0)


def joined_turn(a, b, inverse_mass):
    """Two adjacent lists of momenta in walking order: the whole, and each with the nearest state of the other."""
    rho_a, rho_b = np.sum(a, axis=0), np.sum(b, axis=0)
    return (
        turns(a[0], b[-1], rho_a + rho_b, inverse_mass)
        or turns(a[0], b[0], rho_a + b[0], inverse_mass)
        or turns(a[-1], b[-1], rho_b + a[-1], inverse_mass)
    )


@dataclass
class Trajectory:
    """What one NUTS transition does for a given start, momentum and directions.

    `states` are the positions that can be chosen, `probabilities` the chances of each.
    """

    depth: int
    n_steps: int
    diverging: bool
    saturated: bool
    acceptance: float
    states: np.ndarray
    probabilities: np.ndarray


class _Walk:
    """Builds subtrees by recursion from one end of the trajectory."""

    def __init__(self, density, inverse_mass, start_energy):
        self.density, self.inverse_mass, self.start_energy = density, inverse_mass, start_energy
        self.n_steps, self.acceptance, self.diverging = 0, 0.0, False

    def subtree(self, q, p, step, depth):
        """Whether the subtree of 2^depth states is valid, and its states as (q, p, log weight) in walking order."""
        if depth == 0:
            with np.errstate(all="ignore"):
                q, p = leapfrog(self.density, q, p, step, self.inverse_mass)
                error = 0.5 * p @ (self.inverse_mass * p) - self.density.logp(q) - self.start_energy
            self.n_steps += 1
            if not error <= 1000:
                self.diverging = True
                return False, []
            self.acceptance += math.exp(min(0.0, -error))
            return True, [(q, p, -error)]
        valid, a = self.subtree(q, p, step, depth - 1)
        if not valid:
            return False, a
        valid, b = self.subtree(a[-1][0], a[-1][1], step, depth - 1)
        if not valid:
            return False, a + b
        return not joined_turn([s[1] for s in a], [s[1] for s in b], self.inverse_mass), a + b


def trajectory(density, q, p, step, signs, inverse_mass, max_depth) -> Trajectory:
    """A NUTS trajectory from (q, p) that grows in the directions `signs`."""
    walk = _Walk(density, inverse_mass, 0.5 * p @ (inverse_mass * p) - density.logp(q))
    states, chances = [(q, p, 0.0)], [1.0]
    depth, growing = 0, True
    while growing and depth < max_depth:
        sign = signs[depth]
        end = states[-1] if sign > 0 else states[0]
        growing, new = walk.subtree(end[0], end[1], sign * step, depth)
        depth += 1
        if not growing:
            break
        weights = np.array([s[2] for s in new])
        total = logsumexp(weights)
        move = math.exp(min(0.0, total - logsumexp([s[2] for s in states])))
        old_chances, new_chances = [c * (1 - move) for c in chances], list(move * np.exp(weights - total))
        old = states if sign > 0 else states[::-1]
        growing = not joined_turn([s[1] for s in old], [s[1] for s in new], inverse_mass)
        if sign > 0:
            states, chances = states + new, old_chances + new_chances
        else:
            states, chances = new[::-1] + states, new_chances[::-1] + old_chances
    positions = np.array([s[0] for s in states])
    rate = walk.acceptance / walk.n_steps
    return Trajectory(depth, walk.n_steps, walk.diverging, growing, rate, positions, np.array(chances))


def stan_windows(n_warmup, init_buffer=75, term_buffer=50, base_window=25) -> list[int]:
    """Iterations after which Stan renews the metric: ``windowed_adaptation.hpp``, line by line."""
    if n_warmup < 20:
        return []
    if init_buffer + base_window + term_buffer > n_warmup:
        init_buffer, term_buffer = int(0.15 * n_warmup), int(0.10 * n_warmup)
        base_window = n_warmup - (init_buffer + term_buffer)
    counter, size, next_window = 0, base_window, init_buffer + base_window - 1
    last = n_warmup - term_buffer - 1
    ends = []
    for counter in range(n_warmup):
        if counter == next_window and counter != n_warmup:
            ends.append(counter)
            if next_window == last:
                continue
            size *= 2
            next_window = counter + size
            if next_window == last:
                continue
            if next_window + 2 * size >= n_warmup - term_buffer:
                next_window = last
    return ends


class DualAveraging:
    """Stan's ``stepsize_adaptation.hpp``: step size and its average after a sequence of acceptance statistics."""

    def __init__(self, step_size, target, gamma=0.05, t0=10.0, kappa=0.75):
        self.mu, self.target = math.log(10 * step_size), target
        self.gamma, self.t0, self.kappa = gamma, t0, kappa
        self.n, self.s_bar, self.x_bar = 0, 0.0, 0.0

    def update(self, acceptance):
        self.n += 1
        eta = 1.0 / (self.n + self.t0)
        self.s_bar = (1.0 - eta) * self.s_bar + eta * (self.target - min(1.0, acceptance))
        x = self.mu - self.s_bar * math.sqrt(self.n) / self.gamma
        x_eta = self.n ** (-self.kappa)
        self.x_bar = (1.0 - x_eta) * self.x_bar + x_eta * x
        return math.exp(x), math.exp(self.x_bar)
