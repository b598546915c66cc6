"""Sort every public function of NumPy and scipy.special by what it does with a traced value: docs/coverage.md.

Run ``python docs/make_coverage.py`` after a rule has been added. A name that is not sorted is an error, so that a new
function in a new NumPy is noticed; the tests hold every claim of the table to the truth.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy

import probad.ad  # noqa: F401  (registers all rules)
from probad.ad.dispatch import DEFAULT_ADVICE, FUNCTIONS, REPLACEMENTS, UFUNCS
from probad.ad.kinds import CONSTANTS, refusals
from probad.scipy_special import special as late

special = late.load()  # which enrols its functions

PAGE = Path(__file__).parent / "coverage.md"
MODULES = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft, "scipy.special": special}

WORKS, PLAIN, ERROR, NONE = "works", "plain answer", "error", "not applicable"
MEANINGS = {
    WORKS: "the value is NumPy's, and derivatives of every order and mode pass through",
    PLAIN: "piecewise constant, or about shapes and types: the answer is a plain value, and its derivative is zero",
    ERROR: "raises an error that names what to use instead",
    NONE: "has no real array whose derivative could matter: constants, types, counts, files, settings, dates",
}

# Functions about structure, or whose answer is an index, that are not registered as piecewise constant.
STRUCTURE = {"shape", "ndim", "size", "lexsort"}

# Work because they are Python code around functions that work; the value in brackets says in which argument.
THROUGH_OTHERS = {
    "np.array": "an array of traced scalars; np.stack is faster",
    "np.asarray": "as np.array; leave out dtype",
    "np.asanyarray": "as np.array",
    "np.asarray_chkfinite": "as np.array",
    "np.require": "as np.array",
    "np.vectorize": "an array of traced scalars",
    "np.poly1d": "np.polyval is faster",
    "np.full": "an array of traced scalars; np.full_like is faster",
    "scipy.special.zeta": "in both arguments",
    "scipy.special.softplus": "",
    "scipy.special.sinc": "",
    "scipy.special.jvp": "in the argument",
    "scipy.special.yvp": "in the argument",
    "scipy.special.ivp": "in the argument",
    "scipy.special.kvp": "in the argument",
    "scipy.special.assoc_laguerre": "in the argument",
}

# By what they take.
NOT_APPLICABLE = {
    "counts and shapes": """np.arange np.eye np.identity np.zeros np.ones np.empty np.tri np.indices np.tril_indices
        np.triu_indices np.diag_indices np.mask_indices np.ravel_multi_index np.unravel_index np.broadcast_shapes
        np.fromfunction np.bartlett np.blackman np.hamming np.hanning np.kaiser np.fft.fftfreq np.fft.rfftfreq""",
    "text, bytes and files": """np.frombuffer np.fromfile np.fromiter np.fromregex np.fromstring np.genfromtxt np.load
        np.loadtxt np.from_dlpack np.base_repr np.binary_repr np.format_float_positional np.format_float_scientific
        np.bmat""",
    "types and memory": """np.promote_types np.issubdtype np.isdtype np.mintypecode np.typename np.isfortran
        np.ascontiguousarray np.asfortranarray np.asmatrix np.nested_iters np.iterable np.isscalar""",
    "settings and information": """np.geterr np.seterr np.geterrcall np.seterrcall np.getbufsize np.setbufsize
        np.get_printoptions np.set_printoptions np.printoptions np.get_include np.show_config np.show_runtime np.info
        np.test scipy.special.geterr scipy.special.seterr""",
    "dates": "np.busday_count np.busday_offset np.is_busday np.datetime_as_string np.datetime_data",
    "whole numbers": """scipy.special.bernoulli scipy.special.euler scipy.special.stirling2
        scipy.special.riccati_jn scipy.special.riccati_yn scipy.special.mathieu_even_coef
        scipy.special.mathieu_odd_coef scipy.special.lqn scipy.special.lqmn scipy.special.lmbda
        scipy.special.pbdn_seq scipy.special.pbdv_seq scipy.special.pbvv_seq scipy.special.obl_cv_seq
        scipy.special.pro_cv_seq scipy.special.legendre scipy.special.chebyt scipy.special.chebyu scipy.special.chebyc
        scipy.special.chebys scipy.special.jacobi scipy.special.laguerre scipy.special.genlaguerre
        scipy.special.hermite scipy.special.hermitenorm scipy.special.gegenbauer scipy.special.sh_legendre
        scipy.special.sh_chebyt scipy.special.sh_chebyu scipy.special.sh_jacobi scipy.special.lpn
        scipy.special.lpmn scipy.special.clpmn scipy.special.sph_harm""",
}
REASONS = {name: reason for reason, names in NOT_APPLICABLE.items() for name in names.split()}


@dataclass(frozen=True)
class Row:
    """One public name: where it is, what happens to a traced value, and what there is to say about it."""

    module: str
    name: str
    kind: str
    note: str = ""

    @property
    def full_name(self) -> str:
        """The name as one writes it."""
        return f"{self.module}.{self.name}"


def sort(module: str, name: str) -> Row | None:
    """The row of a public name, or None if nobody has said what it does."""
    thing = getattr(MODULES[module], name)
    full_name = f"{module}.{name}"
    if full_name in REASONS:
        return Row(module, name, NONE, REASONS[full_name])
    if full_name in THROUGH_OTHERS:
        return Row(module, name, WORKS, THROUGH_OTHERS[full_name])
    if name == "frompyfunc":
        return Row(module, name, ERROR, DEFAULT_ADVICE)
    if not callable(thing):
        return Row(module, name, NONE, "a constant or a module")
    rule = UFUNCS.get(thing) if isinstance(thing, np.ufunc) else FUNCTIONS.get(thing)
    if rule is not None:
        plain = rule in CONSTANTS.values() or name in STRUCTURE
        return Row(module, name, PLAIN if plain else WORKS, "" if plain else _restriction(name))
    if module == "scipy.special" and (name.endswith("_zeros") or "roots" in name):
        return Row(module, name, NONE, "whole numbers")
    if isinstance(thing, np.ufunc) or name in REPLACEMENTS or module == "scipy.special":
        return Row(module, name, ERROR, advice(thing.__name__ if isinstance(thing, np.ufunc) else name))
    return None


def advice(name: str) -> str:
    """What the error for a name says to use instead."""
    return REPLACEMENTS.get(name) or REPLACEMENTS.get(f"_{name}") or DEFAULT_ADVICE


def _restriction(name: str) -> str:
    refused = refusals({"jn": "jv"}.get(name, name))
    if name == "ellipj":
        return "in u"
    if not any(refused):
        return ""
    return "in the last argument"


def names(module: str) -> list[str]:
    """The public names of a module."""
    if module == "scipy.special":
        hidden = {"SpecialFunctionWarning", "SpecialFunctionError", "errstate", "test"}
        return sorted(n for n in special.__all__ if n not in hidden)
    # row_stack is deprecated; types differ from machine to machine, and say nothing here
    public = sorted(n for n in MODULES[module].__all__ if not n.startswith("_") and n != "row_stack")
    return [n for n in public if not isinstance(getattr(MODULES[module], n), type) or f"{module}.{n}" in THROUGH_OTHERS]


def table() -> tuple[list[Row], list[str]]:
    """All rows, and the names that are not sorted."""
    rows, unsorted = [], []
    for module in MODULES:
        for name in names(module):
            row = sort(module, name)
            if row is None:
                unsorted.append(f"{module}.{name}")
            else:
                rows.append(row)
    return rows, unsorted


def render(rows: list[Row]) -> str:
    """The page."""
    lines = [
        "# What can be differentiated",
        "",
        "Inside a function that is being differentiated the arguments are traced values. This page sorts every public "
        "function of NumPy and `scipy.special` by what it does with them. It is made by `docs/make_coverage.py` from "
        "the engine's own tables; the tests hold every line of it.",
        "",
        "| | np | np.linalg | np.fft | scipy.special | |",
        "|---|---|---|---|---|---|",
    ]
    for kind, meaning in MEANINGS.items():
        counts = [sum(r.kind == kind and r.module == module for r in rows) for module in MODULES]
        lines.append(f"| **{kind}** | {' | '.join(map(str, counts))} | {meaning} |")
    lines += [
        "",
        "Distribution functions of SciPy (`bdtr`, `pdtr`, ...) are piecewise constant in the counts they round down.",
        "Besides these, `probad.numerics` has `logsumexp`, `log_softmax`, `softmax`, `solve_triangular`, `cho_solve`, "
        "`multigammaln`, `polygamma`, `log_diff_exp`, `log1mexp`, `norm`, `rfft`, `irfft` and `fft_convolve`.",
    ]
    for module in MODULES:
        lines += ["", f"## {module}"]
        for kind in (WORKS, PLAIN):
            here = [r for r in rows if r.module == module and r.kind == kind]
            if here:
                listed = ", ".join(f"`{r.name}`" + (f" ({r.note})" if r.note else "") for r in here)
                lines += ["", f"**{kind.capitalize()}**: {listed}."]
        errors = [r for r in rows if r.module == module and r.kind == ERROR]
        if errors:
            lines += ["", "**Error**:", "", "| function | what to do |", "|---|---|"]
            for note in dict.fromkeys(r.note for r in errors):
                lines.append(f"| {', '.join(f'`{r.name}`' for r in errors if r.note == note)} | {note} |")
        if module != "np":
            continue
        lines += ["", "**Not applicable**:", "", "| what they take | functions |", "|---|---|"]
        for reason in dict.fromkeys(r.note for r in rows if r.module == module and r.kind == NONE):
            if reason == "a constant or a module":
                continue
            listed = ", ".join(f"`{r.name}`" for r in rows if r.module == module and r.note == reason)
            lines.append(f"| {reason} | {listed} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page, or with ``--check`` say whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare, and fail if the page is out of date")
    rows, unsorted = table()
    if unsorted:
        raise SystemExit(f"not sorted: {', '.join(unsorted)} (NumPy {np.__version__}, SciPy {scipy.__version__})")
    page = render(rows)
    if parser.parse_args().check:
        raise SystemExit(0 if PAGE.read_text() == page else f"{PAGE.name} is out of date: run {Path(__file__).name}")
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
