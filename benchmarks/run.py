"""Run benchmarks and print their tables: ``python -m benchmarks.run`` for all, or with names, as in ``... run ad``.

A benchmark is a file ``bench_<question>.py`` with ``cases()``, the names of its cases, and ``run(case)``, a dict of
figures. It may have ``conclude(figures)``, which draws plots of all of them. Times inside are minima or medians of
repeats; read ratios within one run, not absolute times. With ``--json FILE`` the figures are written to a file as well,
with ``--only TEXT``, once or more, cases without any such text in their names are left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The questions that have a benchmark."""
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def table(rows: dict[str, dict[str, float]]) -> str:
    """Figures by case as an aligned table."""
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    cells = [["case", *columns]]
    cells += [[case, *(f"{row[c]:.4g}" if c in row else "-" for c in columns)] for case, row in rows.items()]
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(w) if k == 0 else text.rjust(w) for k, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Run benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"questions, of {', '.join(names())}; all by default")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--only", action="append", metavar="TEXT", help="only cases with this text in their names")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names()):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    figures = {}
    for name in options.names or names():
        benchmark = importlib.import_module(f"benchmarks.bench_{name}")
        print(f"\n{name}: {benchmark.__doc__.splitlines()[0]}", flush=True)
        chosen = [c for c in benchmark.cases() if options.only is None or any(text in c for text in options.only)]
        figures[name] = {case: benchmark.run(case) for case in chosen}
        print(table(figures[name]), flush=True)
        if hasattr(benchmark, "conclude") and options.only is None:
            benchmark.conclude(figures[name])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    main()
