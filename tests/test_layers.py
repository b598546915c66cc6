"""The floors hold, and the test that says so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.layers import public_api_violations, violations

ROOT = Path(__file__).parents[1]


def test_the_floors_hold():
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_models_examples_and_benchmarks_use_the_public_api():
    found = public_api_violations(ROOT)
    assert not found, "\n".join(found)


PLANTED = {
    "upward": ("probad/ad/core.py", "from probad.dist import Normal", "upward, from floor 1 to floor 5"),
    "upward relative": ("probad/ad/core.py", "from ..model import effects", "upward, from floor 1 to floor 6"),
    "upward inside a function": ("probad/tree.py", "def f():\n    import probad.output", "upward, from floor 0"),
    "through the face": ("probad/ad/core.py", "import probad", "upward, from floor 1 to floor 9"),
    "forbidden pair": ("probad/dist/real.py", "from probad.ad import grad", "dist never imports ad"),
    "samplers and models": ("probad/mcmc/nuts.py", "from probad.model import Model", "mcmc never imports model"),
    "single place": ("probad/mcmc/nuts.py", "import arviz as az", "arviz is imported in output only"),
    "llvmlite": ("probad/ad/core.py", "from llvmlite import ir", "llvmlite is imported in codegen only"),
    "cupy": ("probad/ad/core.py", "def f():\n    import cupy", "cupy is imported in codegen only"),
    "at run time": ("probad/ad/core.py", "x = __import__('probad.dist')", "an import by name at run time"),
    "inference and models": ("probad/vi/fit.py", "from probad import mcmc", "vi never imports mcmc"),
    "assert": ("probad/tree.py", "assert True", "assert in the package"),
    "vague name": ("probad/ad/utils.py", "", "a name that says nothing"),
    "unknown floor": ("probad/basement.py", "", "no floor is known"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_caught_with_file_and_line(name, tmp_path):
    file, source, words = PLANTED[name]
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    (tmp_path / "probad" / "__init__.py").write_text("")
    path.write_text(f"{source}\n")
    found = violations(tmp_path)
    assert len(found) == 1
    assert words in found[0]
    assert found[0].startswith(file if source in ("",) else f"{file}:") or "no floor" in found[0]


def test_a_circle_is_caught(tmp_path):
    folder = tmp_path / "probad" / "ad"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("from probad.ad import b\n")
    (folder / "b.py").write_text("from probad.ad.c import x\n")
    (folder / "c.py").write_text("import probad.ad.a\n")
    (found,) = violations(tmp_path)
    assert "a circle of imports" in found
    assert "probad.ad.a -> probad.ad.b -> probad.ad.c -> probad.ad.a" in found


def test_reaching_past_the_public_api_is_caught(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.py").write_text("import probad as pb\nfrom probad.ad.core import Box\n")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "b.py").write_text("from probad import nuts, output\n")
    (tmp_path / "probad").mkdir()
    (tmp_path / "probad" / "__init__.py").write_text("from probad import output\n__all__ = ['nuts']\n")
    assert public_api_violations(tmp_path) == [
        "models/m.py:2: probad.ad.core is not part of the public API",
        "benchmarks/b.py:1: probad.output is not part of the public API",
    ]


def test_a_circle_of_relative_imports_is_caught(tmp_path):
    folder = tmp_path / "probad" / "vi"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from .fit import fit\n")
    (folder / "fit.py").write_text("def fit():\n    from . import adam\n")
    (folder / "adam.py").write_text("from .fit import fit\n")
    found = violations(tmp_path)
    assert any("probad.vi.fit" in line and "a circle of imports" in line for line in found)
