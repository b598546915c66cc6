"""Numbers that are kept as text, many on a line."""

from __future__ import annotations

import numpy as np


def numbers(text: str) -> np.ndarray:
    """The numbers of a text as a vector."""
    return np.array(text.split(), dtype=float)
