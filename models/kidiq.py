"""Linear regression: test scores of 434 children on their mothers' schooling and IQ, nothing centred (Gelman and Hill).

The intercept and both slopes are strongly correlated, which a diagonal metric cannot see. The published coefficients
have no prior; one more than 100 times as wide as their posterior stands for that.
"""

from __future__ import annotations

import numpy as np

import probad as pb
from models import posteriordb
from probad import dist

POSTERIOR = "kidiq-kidscore_momhsiq"
REFERENCE_ESS = posteriordb.REFERENCE_ESS


@pb.model
def kidiq(mom_hs, mom_iq, score=None):
    """Scores by whether the mother finished high school, and her IQ."""
    beta = pb.sample("beta", dist.Normal(0.0, 1000.0), shape=3, dims="coefficient")
    sigma = pb.sample("sigma", dist.HalfCauchy(2.5))
    pb.sample("score", dist.Normal(beta[0] + beta[1] * mom_hs + beta[2] * mom_iq, sigma), obs=score, dims="child")


def data() -> dict:
    """Arguments of the model call."""
    published = posteriordb.data("kidiq")
    return {
        "score": np.array(published["kid_score"], dtype=float),
        "mom_hs": np.array(published["mom_hs"], dtype=float),
        "mom_iq": np.array(published["mom_iq"], dtype=float),
        "coords": {"coefficient": ["intercept", "mom_hs", "mom_iq"], "child": published["N"]},
    }


def reference() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Posterior means and standard deviations from reference draws of posteriordb."""
    return posteriordb.reference(POSTERIOR)
