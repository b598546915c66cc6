"""Write the numbers of a figure and the figure itself to ``benchmarks/results``."""

from __future__ import annotations

import json
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


def save_json(name: str, figures: dict) -> Path:
    """Write figures to ``<name>.json``."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(figures, indent=1))
    return path


def save_panels(name: str, titles: list[str], draw_fn: Callable) -> Path:
    """Let ``draw_fn(axes, title)`` draw panels side by side in ``<name>.png``, with one legend."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    FOLDER.mkdir(exist_ok=True)
    figure, panels = plt.subplots(
        1, len(titles), figsize=(3.2 * len(titles) + 1.6, 3.4), layout="constrained", squeeze=False, sharey=True
    )
    for axes, title in zip(panels[0], titles, strict=True):
        draw_fn(axes, title)
        axes.label_outer()
    figure.legend(*panels[0, 0].get_legend_handles_labels(), fontsize="small", loc="outside right center")
    figure.savefig(FOLDER / f"{name}.png", dpi=150)
    plt.close(figure)
    return FOLDER / f"{name}.png"
