"""SciPy comes when one of its functions is called, and its ufuncs are known whoever imported them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import special as scipy_special

from probad.normal import quantile
from probad.scipy_special import LOGISTIC, Late, Special

WAYS = {
    "a ufunc of the user": "from scipy import special\nprint(pb.grad(special.gammaln)(2.5))",
    "by keyword": "from scipy import special\nprint(pb.grad(lambda x: special.gammaln(x, dtype=float))(2.5))",
    "a rule that calls one": "import numpy as np\nprint(pb.grad(pb.grad(lambda x: np.logaddexp(x, 0.0)))(2.5))",
    "a density": "from probad import dist\nprint(pb.grad(lambda x: dist.Gamma(x, 1.0).logp(1.5))(2.5))",
    "several outputs": "from scipy import special\nprint(pb.grad(lambda x: special.sici(x)[0])(2.5))",
    "a batch": "import numpy as np\nfrom scipy import special\nprint(pb.vmap(special.gammasgn)(np.array([2.5]))[0])",
}
WITHOUT_IT = {
    "a logistic function": "from probad.scipy_special import special\nprint(pb.grad(special.expit)(2.5))",
    "its second derivative": "from probad.scipy_special import special\n"
    "print(pb.grad(pb.grad(special.log_expit))(2.5))",
    "a bounded variable": "from probad import dist\nu = dist.Uniform(0.0, 3.0).support.bijector()\n"
    "print(pb.grad(u.forward)(2.5) / 3.0)",
}
EXPECTED = {
    "a ufunc of the user": scipy_special.psi(2.5),
    "by keyword": scipy_special.psi(2.5),
    "a rule that calls one": scipy_special.expit(2.5) * scipy_special.expit(-2.5),
    "a density": np.log(1.5) - scipy_special.psi(2.5),
    "several outputs": np.sin(2.5) / 2.5,
    "a batch": 1.0,
}


def _printed(*lines: str) -> list[str]:
    """The words that a new process prints."""
    code = "\n".join(["import sys", "import probad as pb", *lines])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("way", WAYS)
def test_whatever_needs_scipy_first_has_it(way):
    was_there, value = _printed("print('scipy' in sys.modules)", WAYS[way])
    assert was_there == "False"
    assert float(value) == pytest.approx(EXPECTED[way], rel=1e-13)


@pytest.mark.parametrize("way", WITHOUT_IT)
def test_logistic_functions_do_without_scipy(way):
    value, is_there = _printed(WITHOUT_IT[way], "print('scipy' in sys.modules)")
    assert is_there == "False"
    slope = scipy_special.expit(2.5) * scipy_special.expit(-2.5)
    assert float(value) == pytest.approx(-slope if "second" in way else slope, rel=1e-13)


def test_functions_are_scipys_own_once_it_is_loaded():
    special, seen = Special(), []
    late = special.psi
    assert isinstance(late, Late)
    assert (late.__name__, repr(late)) == ("psi", "<scipy.special.psi>")
    special.when_loaded(seen.append)
    assert not seen
    assert late(2.5) == scipy_special.psi(2.5)
    assert special.psi is late.now() is scipy_special.psi
    special.when_loaded(seen.append)
    assert seen == [scipy_special, scipy_special]
    with pytest.raises(AttributeError):
        special.no_such_function  # noqa: B018


@pytest.mark.parametrize("name", LOGISTIC)
def test_logistic_functions_of_few_numbers_are_scipys_to_the_last_bit_without_it(name):
    def never():
        raise AssertionError("SciPy was imported")

    late, scipys = Late(name, never), getattr(scipy_special, name)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-320, -1e-320, 700.0, -700.0, 36.7, -36.7, 745.0]
    rng = np.random.default_rng(0)
    numbers = np.concatenate(
        [edges, rng.normal(size=2000), 30 * rng.normal(size=2000), 10.0 ** rng.uniform(-300, 2, 500)]
    )
    for x in numbers:
        if not (name == "expit" and x < -709.7):
            found = late(x)
            assert type(found) is type(scipys(x))
            np.testing.assert_array_equal(found, scipys(x))
    for x in (np.array(0.5), np.zeros((0,)), rng.normal(size=(4, 4)), rng.normal(size=(4, 8))[:, ::2]):
        np.testing.assert_array_equal(late(x), scipys(x))
        assert np.shape(late(x)) == np.shape(scipys(x))
    code = f"import sys, numpy as np\nfrom probad.scipy_special import special\nspecial.{name}(np.array([1.0, -2.0]))\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "print('scipy' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr


def test_what_is_not_a_few_doubles_is_left_to_scipy():
    for x in (np.zeros(17), np.float32(1.0), 3, np.array([1, 2]), [0.5], -800.0):
        np.testing.assert_array_equal(Late("expit", lambda: scipy_special)(x), scipy_special.expit(x))
    out = np.empty(2)
    assert Late("expit", lambda: scipy_special)(np.ones(2), out=out) is out


def test_quantiles_are_those_of_scipy():
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 10_001), 10.0 ** -np.arange(1.0, 300.0)])
    np.testing.assert_allclose(quantile(p), scipy_special.ndtri(p), rtol=2e-15, atol=1e-18)
    assert quantile(np.array([[0.5]])).tolist() == [[0.0]]
