"""Models that the tests and benchmarks run: one file each, in one form.

A file holds the model function, ``data()`` for the arguments of its call, and ``reference()`` for what the posterior
is known to be: ``{name: (mean, sd)}`` by a method other than sampling. `MODELS` names them all.
"""

from models import eight_schools

MODELS = {"eight_schools": eight_schools}
