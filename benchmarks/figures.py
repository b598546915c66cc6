"""Write the numbers of a figure and the figure itself to ``benchmarks/results``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


def save(name: str, columns: dict[str, list], draw_fn: Callable) -> Path:
    """Print the columns, write them to ``<name>.csv``, and let ``draw_fn(axes)`` draw ``<name>.png``."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    FOLDER.mkdir(exist_ok=True)
    rows = list(zip(*columns.values(), strict=True))
    text = ["\t".join(columns), *("\t".join(f"{v:.4g}" for v in row) for row in rows)]
    print("\n".join(text))
    (FOLDER / f"{name}.csv").write_text("\n".join(line.replace("\t", ",") for line in text) + "\n")
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    draw_fn(axes)
    figure.savefig(FOLDER / f"{name}.png", dpi=150)
    plt.close(figure)
    return FOLDER / f"{name}.png"
