"""Models that the tests and benchmarks run: one file each, in one form.

A file holds the model function, ``data()`` for the arguments of its call, and ``reference()`` for what the posterior
is known to be: ``{name: (mean, sd)}`` by a method other than probad's samplers. ``REFERENCE_ESS`` is the least number
of effective draws behind these, where they are from draws. `MODELS` names them all. Files with a ``POSTERIOR`` take
data and reference from posteriordb, and are of use where `is_available` says so.
"""

from types import ModuleType

from models import (
    eight_schools,
    garch,
    gauss_mix,
    gp_regression,
    irt,
    kidiq,
    logistic,
    posteriordb,
    radon,
    stochastic_volatility,
)

MODELS: dict[str, ModuleType] = {
    "eight_schools": eight_schools,
    "kidiq": kidiq,
    "radon": radon,
    "logistic": logistic,
    "stochastic_volatility": stochastic_volatility,
    "garch": garch,
    "gp_regression": gp_regression,
    "irt": irt,
    "gauss_mix": gauss_mix,
}


def is_available(name: str) -> bool:
    """Whether the data of a model can be read here."""
    return not hasattr(MODELS[name], "POSTERIOR") or posteriordb.FOLDER.is_dir()
