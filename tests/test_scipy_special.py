"""SciPy comes when one of its functions is called, and its ufuncs are known whoever imported them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import special as scipy_special

from probad.normal import quantile
from probad.scipy_special import Late, Special

WAYS = {
    "a ufunc of the user": "from scipy import special\nprint(pb.grad(special.gammaln)(2.5))",
    "by keyword": "from scipy import special\nprint(pb.grad(lambda x: special.gammaln(x, dtype=float))(2.5))",
    "a rule that calls one": "import numpy as np\nprint(pb.grad(pb.grad(lambda x: np.logaddexp(x, 0.0)))(2.5))",
    "a density": "from probad import dist\nprint(pb.grad(lambda x: dist.Gamma(x, 1.0).logp(1.5))(2.5))",
    "several outputs": "from scipy import special\nprint(pb.grad(lambda x: special.sici(x)[0])(2.5))",
    "a batch": "import numpy as np\nfrom scipy import special\nprint(pb.vmap(special.gammasgn)(np.array([2.5]))[0])",
}
EXPECTED = {
    "a ufunc of the user": scipy_special.psi(2.5),
    "by keyword": scipy_special.psi(2.5),
    "a rule that calls one": scipy_special.expit(2.5) * scipy_special.expit(-2.5),
    "a density": np.log(1.5) - scipy_special.psi(2.5),
    "several outputs": np.sin(2.5) / 2.5,
    "a batch": 1.0,
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_needs_scipy_first_has_it(way):
    code = f"import sys\nimport probad as pb\nprint('scipy' in sys.modules)\n{WAYS[way]}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    was_there, value = done.stdout.split()
    assert was_there == "False"
    assert float(value) == pytest.approx(EXPECTED[way], rel=1e-13)


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


def test_quantiles_are_those_of_scipy():
    p = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 10_001), 10.0 ** -np.arange(1.0, 300.0)])
    np.testing.assert_allclose(quantile(p), scipy_special.ndtri(p), rtol=2e-15, atol=1e-18)
    assert quantile(np.array([[0.5]])).tolist() == [[0.0]]
