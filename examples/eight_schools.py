"""Eight schools from data to plots: fit, summarise, save, draw.

Run with ``python examples/eight_schools.py``; it writes ``eight_schools.nc`` and two pictures beside the place where it
is called.
"""

from __future__ import annotations

import warnings

import matplotlib as mpl
import numpy as np

import probad as pb
from probad import dist

mpl.use("Agg")


@pb.model
def eight_schools(sigma, y=None):
    """Effects of coaching in eight schools, with known standard errors."""
    mu = pb.sample("mu", dist.Normal(0.0, 5.0))
    tau = pb.sample("tau", dist.HalfCauchy(5.0))
    effect = pb.sample("effect", dist.Normal(0.0, 1.0), dims="school")
    theta = pb.deterministic("theta", mu + tau * effect, dims="school")
    pb.sample("y", dist.Normal(theta, sigma), obs=y, dims="school")


def plot(post) -> None:
    """Write a trace plot and a forest plot, with either generation of ArviZ."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz as az
        import matplotlib.pyplot as plt

        names = ["mu", "tau", "theta"]
        if az.__version__.startswith("0."):
            az.plot_trace(post, var_names=names, compact=True, figsize=(10, 6))
            plt.tight_layout()
            plt.savefig("eight_schools_trace.png", dpi=110)
            az.plot_forest(post, var_names=names, combined=True, hdi_prob=0.9, figsize=(7, 5))
            plt.tight_layout()
            plt.savefig("eight_schools_forest.png", dpi=110)
        else:
            az.plot_trace_dist(post, var_names=names).savefig("eight_schools_trace.png", dpi=110)
            az.plot_forest(post, var_names=names, combined=True, ci_probs=(0.5, 0.9)).savefig(
                "eight_schools_forest.png", dpi=110
            )


def main() -> None:
    """Fit the model and show the posterior."""
    y = np.array([28, 8, -3, 7, -1, 1, 18, 12])
    sigma = np.array([15, 10, 16, 11, 9, 11, 10, 18])
    model = eight_schools(sigma, y=y, coords={"school": ["A", "B", "C", "D", "E", "F", "G", "H"]})
    print(model, end="\n\n")

    post = pb.nuts(model, draws=500, warmup=500, chains=4, seed=1, target_accept=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ 0.2x announces 1.x on import
        import arviz as az

        print(az.summary(post, var_names=["mu", "tau", "theta"]).to_string())
    post.to_netcdf("eight_schools.nc")
    plot(post)
    print("\nWrote eight_schools.nc, eight_schools_trace.png and eight_schools_forest.png.")


if __name__ == "__main__":
    main()
