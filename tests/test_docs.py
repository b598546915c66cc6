"""The documentation tells the truth: its code runs, its tables are current, its links lead somewhere."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

import probad as pb
from probad.errors import ConvergenceWarning, SamplingWarning
from tests.documents import broken_links, read_blocks, run_blocks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHORT = {"nuts": {"draws": 50, "warmup": 50}, "hmc": {"draws": 50, "warmup": 50}, "vi": {"steps": 200}}


@pytest.fixture
def short_runs(monkeypatch, tmp_path):
    """Inference takes a moment instead of a minute, and deserves its warnings; files go to a temporary folder."""
    for name, options in SHORT.items():
        fn = getattr(pb, name)
        monkeypatch.setattr(
            pb,
            name,
            lambda model, fn=fn, options=options, **given: fn(model, **{**given, **options, "progress": False}),
        )
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        # ArviZ 0.2x announces 1.x once on import, and asks for a newer pandas or xarray as they come
        warnings.filterwarnings("ignore", category=FutureWarning, module="arviz")
        yield


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_code_on_a_page_does_what_the_page_says(page, short_runs):
    differences = run_blocks(read_blocks(page.read_text(), str(page)), {"__name__": page.stem})
    assert not differences, "\n".join(differences)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert not broken_links(page)


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "index.md").read_text()
    names = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:]]
    assert not [name for name in names if name != "index.md" and f"({name})" not in index]


def test_the_second_command_of_the_readme_is_what_is_run_before_a_change_is_accepted():
    commands = re.findall(r"^ *(python -m venv .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("examples/eight_schools.py")
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def table_of_distributions() -> str:
    """The table in docs/distributions.md, from the registry."""
    rows = []
    for name, cls in pb.dist.DISTRIBUTIONS.items():
        support = cls(**cls.examples[0]).support.describe
        parameters = ", ".join(cls.parameters)
        kind = "discrete" if cls.discrete else ("vector" if cls.event_ndim else "continuous")
        rows.append(f"| `{name}({parameters})` | {kind} | {support} |")
    return "\n".join(["| distribution | values | support |", "|---|---|---|", *sorted(rows)])


def test_the_table_of_distributions_is_current():
    page = (ROOT / "docs" / "distributions.md").read_text()
    assert table_of_distributions() in page, f"docs/distributions.md needs:\n{table_of_distributions()}"


# --- the runner itself ----------------------------------------------------------------------------------------------
PAGE = """
```python
x = 1.0
print("x is", x, [1, 2])
```

```text
x is   1.0
[1, ...]
```

```python
raise ValueError(f"no {x}")
```

```text
ValueError: no 1.0
```

```bash
not python
```
"""


def test_blocks_share_names_and_keep_promises():
    assert run_blocks(read_blocks(PAGE), {}) == []


@pytest.mark.parametrize(
    ("right", "wrong"), [("x is   1.0", "x is 2.0"), ("no 1.0", "no"), ("[1, ...]", "[1, ...] and"), ("[1, ", "[2, ")]
)
def test_a_broken_promise_is_noticed(right, wrong):
    (head, _, tail) = PAGE.rpartition(right)
    (difference,) = run_blocks(read_blocks(head + wrong + tail), {})
    assert "promises" in difference


def test_an_error_that_is_not_promised_is_raised():
    with pytest.raises(ValueError, match=r"no 1\.0"):
        run_blocks(read_blocks(PAGE.replace("```text\nValueError: no 1.0\n```", "")), {})


def test_a_broken_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[one](page.md#x) [two](missing.md) ![three](https://example.org/x.png)")
    assert broken_links(page) == ["page.md: missing.md"]
