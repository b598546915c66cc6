"""Data and reference summaries of posteriordb, from a pack that lies beside the repository and is no part of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1].parent / "shared" / "posteriordb"
REFERENCE_ESS = 10_000  # independent draws behind each reference summary


def data(name: str) -> dict:
    """The data set `name` as it is published: numbers, and lists of numbers, by field."""
    return json.loads((FOLDER / "data" / f"{name}.json").read_text())


def reference(posterior: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Means and standard deviations of the reference draws, by variable; those of vectors as arrays.

    Parameters
    ----------
    posterior : str
        ``"<data>-<model>"``, as in posteriordb.
    """
    summary = json.loads((FOLDER / "reference" / "summary.json").read_text())[posterior]
    moments: dict[str, list] = {}
    for key, row in summary.items():  # "beta[2]" follows "beta[1]"
        moments.setdefault(key.partition("[")[0], []).append((row["mean"], row["sd"]))
    scalars = {key for key in summary if "[" not in key}
    columns = {name: np.array(rows).T for name, rows in moments.items()}
    return {name: (m[0], s[0]) if name in scalars else (m, s) for name, (m, s) in columns.items()}
