"""Item response theory: 500 persons answer 40 questions; two parameters per question (Birnbaum 1968); synthetic."""

from __future__ import annotations

import numpy as np

import probad as pb
from models.tables import numbers
from probad import dist

N_PERSONS, N_ITEMS, SEED = 500, 40, 20240104
REFERENCE_ESS = 5_000
DIFFICULTY_MEAN = """
0.74203 1.72818 0.32147 -0.61216 0.78763 0.26228 -0.47146 -0.61198 1.0216 1.57677 -0.48229 0.17422 0.47468 0.34328
-2.23897 -1.02706 -1.76706 0.4453 -2.05605 -0.44409 1.21543 0.97505 0.33348 0.35219 0.05821 -1.99327 -0.49005 0.85393
0.98098 -0.7582 -0.42537 -0.97937 -0.49622 0.30229 1.88528 -0.5504 1.52663 -1.86759 -1.02631 -1.41477
"""
DIFFICULTY_SD = """
0.12191 0.21811 0.10992 0.12349 0.13184 0.1082 0.21728 0.13623 0.13958 0.23128 0.10631 0.12763 0.10894 0.1005 0.32401
0.17848 0.22911 0.10139 0.30933 0.13587 0.25299 0.12316 0.10169 0.1144 0.15405 0.22466 0.08399 0.12748 0.17231 0.16877
0.10424 0.15527 0.1636 0.13317 0.29602 0.08421 0.186 0.28973 0.14172 0.15164
"""
DISCRIMINATION_MEAN = """
1.14285 1.1134 1.0587 1.04253 1.04262 1.06514 0.49636 0.92469 1.13778 0.88411 1.199 0.83741 1.13348 1.19125 0.92775
0.83636 1.04588 1.26236 0.83519 0.85047 0.61801 1.31454 1.19246 1.00966 0.66302 1.37644 1.8054 1.1396 0.85773 0.75067
1.21316 0.98319 0.69568 0.82228 0.77179 1.87268 1.17766 0.8052 1.13136 1.42397
"""
DISCRIMINATION_SD = """
0.1435 0.16198 0.13233 0.13272 0.13424 0.13316 0.09207 0.12392 0.14579 0.13188 0.1418 0.11588 0.13847 0.14208 0.14957
0.11887 0.15185 0.15031 0.13266 0.11801 0.10476 0.16156 0.14376 0.12746 0.10521 0.20376 0.20071 0.14439 0.12389
0.11186 0.14429 0.13142 0.1075 0.11584 0.12325 0.21019 0.16447 0.12704 0.14482 0.18536
"""


@pb.model
def irt(n_persons, n_items, correct=None):
    """Whether each person answers each question correctly."""
    ability = pb.sample("ability", dist.Normal(0.0, 1.0), shape=n_persons, dims="person")
    difficulty = pb.sample("difficulty", dist.Normal(0.0, 2.0), shape=n_items, dims="item")
    discrimination = pb.sample("discrimination", dist.LogNormal(0.0, 0.5), shape=n_items, dims="item")
    logits = discrimination * (ability[:, None] - difficulty)
    pb.sample("correct", dist.Bernoulli(logits=logits), obs=correct, dims=("person", "item"))


def data() -> dict:
    """Arguments of the model call."""
    rng = np.random.default_rng(SEED)
    ability = rng.normal(size=N_PERSONS)
    difficulty = rng.normal(size=N_ITEMS)
    discrimination = np.exp(0.3 * rng.normal(size=N_ITEMS))
    logits = discrimination * (ability[:, None] - difficulty)
    correct = (rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype(int)
    return {
        "n_persons": N_PERSONS,
        "n_items": N_ITEMS,
        "correct": correct,
        "coords": {"person": N_PERSONS, "item": N_ITEMS},
    }


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from a long run of another program and another density.

    NumPyro 0.22, NUTS, double precision, 4 chains of 1000 + 6000 iterations, PRNGKey(7), on the model of
    `benchmarks/peers_numpyro.py`; the largest R-hat was 1.0015.
    """
    return {
        "difficulty": (numbers(DIFFICULTY_MEAN), numbers(DIFFICULTY_SD)),
        "discrimination": (numbers(DISCRIMINATION_MEAN), numbers(DISCRIMINATION_SD)),
    }
