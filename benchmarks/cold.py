"""One cold process: sample a model by a system, print the figures as JSON; ``python -m benchmarks.cold SYSTEM MODEL``.

Two more arguments are the time at which the process was started, in seconds since the epoch, and for how many seconds
to go on: further runs with other seeds tell the speed of sampling when all is compiled.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.systems import SYSTEMS, Draws, largest_r_hat, least_ess

MOST_RUNS = 5
OPTIMISING = 4.0  # seconds after the first runs in which code may still be optimised, on one of the cores


def main(system: str, model: str, start: float, at_most: float) -> dict[str, float]:
    """Figures of the first run from the start of the process, and medians of the further ones."""
    if SYSTEMS[system].package != "probad":
        start += _import_of_models()
    sample = SYSTEMS[system].sample_model(model)
    draws = sample(1, plain=True)
    least_ess(draws.values)
    figures = {"cold": time.time() - start}
    rows, spent = [], 0.0
    if not SYSTEMS[system].compiles_in_first_run:
        rows, spent = [_figures(draws)], draws.seconds
    elif at_most > 0.0:
        sample(1)  # what counts the gradients of warm-up may have to be compiled as well
        time.sleep(OPTIMISING)
    while len(rows) < MOST_RUNS and spent < at_most:
        draws = sample(len(rows) + 2)
        rows.append(_figures(draws))
        spent += draws.seconds
    if rows:
        figures |= {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    return figures


def _import_of_models() -> float:
    """Seconds of what a peer needs probad for: the data of the models, and figures of draws. They are not counted."""
    begin = time.perf_counter()
    import models  # noqa: F401
    import probad.convergence  # noqa: F401

    return time.perf_counter() - begin


def _figures(draws: Draws) -> dict[str, float]:
    ess = least_ess(draws.values)
    n_all = draws.n_gradients + draws.n_warmup_gradients
    return {
        "sampling": draws.seconds,
        "us / gradient": 1e6 * draws.seconds / n_all,
        "ESS": ess,
        "ESS / s": ess / draws.seconds,
        "ESS / 1000": 1000 * ess / n_all,
        "R-hat": largest_r_hat(draws.values),
        "divergent": draws.n_divergent,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))))
