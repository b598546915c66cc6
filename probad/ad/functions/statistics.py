"""Moments and order statistics, and the reductions that leave NaN out."""

from __future__ import annotations

import numpy as np

from probad.ad.box import Box, holds, peel
from probad.ad.dispatch import implements
from probad.ad.functions import reductions as red
from probad.ad.functions.elements import sort
from probad.ad.functions.joining import concatenate, stack
from probad.ad.functions.operands import as_operand, axes_of
from probad.ad.functions.shapes import atleast_2d, reshape, squeeze, transpose
from probad.ad.rules import elementwise as e
from probad.errors import UnsupportedFunctionError


# --- without NaN ----------------------------------------------------------------------------------------------------
def _leaving_out_nan(numpy_function, function, *, empty=None):
    """The version of a reduction that skips NaN; `empty` is the answer where nothing is left."""

    def reduce(a, axis=None, *, keepdims=False, where=None, **options):
        a = as_operand(a)
        kept = ~np.isnan(peel(a))
        a = e.where(a, 0.0, condition=kept)
        if where is not None and where is not np._NoValue and where is not True:
            kept = kept & peel(where)
        out = function(a, axis, keepdims=keepdims, where=kept, **options)
        if empty is None:
            return out
        return e.where(out, empty, condition=np.any(kept, axis=axis, keepdims=keepdims is True))

    return implements(numpy_function)(reduce)


_leaving_out_nan(np.nansum, red.sum)
_leaving_out_nan(np.nanprod, red.prod)
_leaving_out_nan(np.nanmax, red.max, empty=np.nan)
_leaving_out_nan(np.nanmin, red.min, empty=np.nan)
_leaving_out_nan(np.nanmean, red.mean)
_leaving_out_nan(np.nanvar, red.var)
_leaving_out_nan(np.nanstd, red.std)


@implements(np.nancumsum)
def nancumsum(a, axis=None):
    return red.cumsum(e.where(a, 0.0, condition=~np.isnan(peel(a))), axis)


@implements(np.nancumprod)
def nancumprod(a, axis=None):
    return red.cumprod(e.where(a, 1.0, condition=~np.isnan(peel(a))), axis)


# --- order statistics -----------------------------------------------------------------------------------------------
def _lanes(a, axis):
    """The reduced axes lined up as the last one, and the shapes of the result without and with them."""
    n = len(a.shape)
    axes = axes_of(axis, n)
    rest = tuple(i for i in range(n) if i not in axes)
    shape = tuple(a.shape[i] for i in rest)
    lanes = reshape(transpose(a, rest + axes), (*shape, int(np.prod([a.shape[i] for i in axes]))))
    return lanes, shape, tuple(1 if i in axes else a.shape[i] for i in range(n))


def _place(n: int, q, method: str):
    """Where the quantile lies among `n` sorted numbers: every method interpolates between two neighbours."""
    return np.quantile(np.arange(n, dtype=float), q, method=method)


def _quantile(lanes, q, method: str):
    ordered = sort(lanes, -1)
    place = _place(lanes.shape[-1], q, method)
    low = np.floor(place).astype(int)
    lower, upper = ordered[..., low], ordered[..., np.ceil(place).astype(int)]
    out = lower + (upper - lower) * (place - low)
    valid = ~np.isnan(peel(ordered[..., -1]))
    return out if holds(valid) else e.where(out, np.nan, condition=valid[(..., *(None,) * np.ndim(q))])


def _quantile_without_nan(lanes, q, method: str):
    flat = reshape(lanes, (-1, lanes.shape[-1]))
    parts = []
    for k in range(flat.shape[0]):
        kept = flat[k][~np.isnan(peel(flat[k]))]
        parts.append(_quantile(kept, q, method) if kept.shape[0] else np.full(np.shape(q), np.nan))
    return reshape(stack(parts), lanes.shape[:-1] + np.shape(q))


def _quantiles(numpy_function, lane_fn, *, scale=1.0):
    def quantile(a, q, axis=None, *, method="linear", keepdims=False):
        if type(q) is Box:
            raise UnsupportedFunctionError(
                f"np.{numpy_function.__name__} has no derivative in q. Pass pb.stop_gradient(q)."
            )
        q, a = np.asarray(q, dtype=float) / scale, as_operand(a)
        lanes, shape, kept = _lanes(a, axis)
        out = lane_fn(lanes, q, method)
        n, m = len(shape), q.ndim
        if m:
            out = transpose(out, (*range(n, n + m), *range(n)))
        return reshape(out, q.shape + kept) if keepdims is True else out

    return implements(numpy_function)(quantile)


_quantiles(np.quantile, _quantile)
_quantiles(np.percentile, _quantile, scale=100.0)
_quantiles(np.nanquantile, _quantile_without_nan)
_quantiles(np.nanpercentile, _quantile_without_nan, scale=100.0)


@implements(np.median)
def median(a, axis=None, *, keepdims=False):
    lanes, _, kept = _lanes(as_operand(a), axis)
    out = _quantile(lanes, 0.5, "linear")
    return reshape(out, kept) if keepdims is True else out


@implements(np.nanmedian)
def nanmedian(a, axis=None, *, keepdims=False):
    lanes, _, kept = _lanes(as_operand(a), axis)
    out = _quantile_without_nan(lanes, 0.5, "linear")
    return reshape(out, kept) if keepdims is True else out


# --- covariances ----------------------------------------------------------------------------------------------------
@implements(np.cov)
def cov(m, y=None, rowvar=True, bias=False, ddof=None):
    x = _variables(m, rowvar)
    if y is not None:
        x = concatenate([x, _variables(y, rowvar)], 0)
    ddof = (0 if bias else 1) if ddof is None else ddof
    centred = x - red.mean(x, 1, keepdims=True)
    return squeeze(centred @ transpose(centred) / (x.shape[1] - ddof))


def _variables(m, rowvar: bool):
    x = atleast_2d(as_operand(m))
    return x if rowvar or x.shape[0] == 1 else transpose(x)


@implements(np.corrcoef)
def corrcoef(x, y=None, rowvar=True):
    c = cov(x, y, rowvar)
    if not c.shape:
        return c / c
    n = np.arange(c.shape[0])
    scale = e.sqrt(c[n, n])
    return c / scale[:, None] / scale
