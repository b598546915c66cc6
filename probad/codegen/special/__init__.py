"""Elementary and special functions as native code, without branches: the same source for one double and for four.

Only exponentials and logarithms of one double go another way, by tables (`tables`).

Sources: the reductions are those of Cody and Waite (1980) and of fdlibm; the coefficients are made by
``scripts/make_coefficients.py``. Accuracies are measured in ``docs/native_functions.md``.
"""

from probad.codegen.special import (
    circular,
    exponential,
    gamma,
    hyperbolic,
    logarithm,
    losses,
    normal,
    polygamma,
    power,
    quantile,
)
from probad.codegen.special.registry import call_written, emitter, written

MODULES = (circular, exponential, gamma, hyperbolic, logarithm, losses, normal, polygamma, power, quantile)

__all__ = ["MODULES", "call_written", "emitter", "written"]
