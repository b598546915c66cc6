"""Print the sites of a model as a table."""

from __future__ import annotations

import math
import re

from probad.model.layout import Layout, SiteInfo

N_ROWS = 60  # of longer tables, the middle is left out
WIDTH = 32  # of a cell
HEADER = ("site", "kind", "distribution", "support", "shape", "dims")


def site_table(name: str, layout: Layout) -> str:
    """Lay out one row per site, with totals above.

    Parameters
    ----------
    name : str
        Of the model.
    layout : Layout

    Returns
    -------
    str
    """
    sites = list(layout.sites.values())
    n_obs = sum(math.prod(s.batch_shape) for s in sites if s.kind == "observed")
    title = f"{name}: {_count(layout.dim, 'unconstrained dimension')}, {_count(n_obs, 'observation')}"
    shown, left_out = sites, 0
    if len(sites) > N_ROWS:
        shown, left_out = sites[: N_ROWS // 2] + sites[-N_ROWS // 2 :], len(sites) - N_ROWS
    rows = [HEADER, *(_row(s) for s in shown)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if left_out:
        lines.insert(1 + N_ROWS // 2, f"... {left_out} more")
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _row(site: SiteInfo) -> tuple[str, ...]:
    shape = "scalar" if site.shape == () else " x ".join(map(str, site.shape))
    support = "real" if site.support == "a finite number" else re.sub(r" \([a-z].*\)$", "", site.support)
    if len(support) > WIDTH:
        support = support[: WIDTH - 3] + "..."
    return site.name, site.kind, site.distribution, support, shape, ", ".join(site.dims or ())


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
