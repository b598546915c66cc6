"""Settle the shape of a site from its distribution, its data, ``shape=`` and ``dims=``, or say which do not fit."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import numpy as np

from probad.errors import ArgumentError, ModelError, ShapeError, did_you_mean
from probad.model.effects import Site

Shape = tuple[int, ...]
Dims = tuple[str, ...] | None


def latent_shape(site: Site, lengths: dict[str, int], coords: Mapping) -> tuple[Shape, Dims]:
    """Shape and dims of a latent site.

    Parameters
    ----------
    site : Site
    lengths : dict of str to int
        Lengths of dimensions known so far; new ones are added.
    coords : mapping
        The user's coords, for messages.

    Returns
    -------
    shape : tuple of int
        Batch and event axes.
    dims : tuple of str or None

    Raises
    ------
    ShapeError
        If they do not fit.
    """
    dist = site.dist
    natural = dist.shape
    if site.shape is None:
        dims = as_dims(site)
        if dims is None or len(dims) < len(natural):
            shape = natural
        else:
            shape = _shape_from_dims(site, dims, natural, dist.event_ndim, lengths, coords)
    else:
        shape = as_shape(site) + dist.event_shape
        batch = shape[: len(shape) - dist.event_ndim]
        if _broadcast(dist.batch_shape, batch) != batch:
            raise ShapeError(
                f"Site '{site.name}': shape={as_shape(site)} does not hold {dist!r} of batch shape {dist.batch_shape}."
            )
    return shape, named_axes(site, shape, lengths, coords)


def data_shape(site: Site, shape: Shape, lengths: dict[str, int], coords: Mapping) -> tuple[Shape, Dims]:
    """Shape and dims of an observed site, which are those of its data."""
    dist = site.dist
    event, batch = _split(shape, dist.event_ndim)
    if event != dist.event_shape:
        raise ShapeError(
            f"Site '{site.name}': one draw of {dist!r} has shape {dist.event_shape}, but the data have shape {shape}"
            f"{_dims_text(site)}. The last {'axis' if dist.event_ndim == 1 else f'{dist.event_ndim} axes'} must agree."
        )
    if site.shape is not None and as_shape(site) + event != shape:
        raise ShapeError(
            f"Site '{site.name}': shape={as_shape(site)} was declared, but the data have shape "
            f"{shape}{_dims_text(site)}."
        )
    dims = named_axes(site, shape, lengths, coords)
    both = _broadcast(dist.batch_shape, batch)
    if both != batch:
        raise ShapeError(_clash(site, shape, batch, both))
    return shape, dims


def _clash(site: Site, shape: Shape, batch: Shape, both: Shape | None) -> str:
    """Data and distribution that do not fit, and the likely way out."""
    dist = site.dist
    text = (
        f"Site '{site.name}': the data have shape {shape}{_dims_text(site)}, but {dist!r} has batch shape "
        f"{dist.batch_shape}. "
    )
    if both is None:
        return text + "They do not broadcast: check that data and parameters have one entry per observation."
    if _squeeze(batch) == _squeeze(dist.batch_shape):
        return text + f"Together they would broadcast to {both}. Drop the axis of length 1, as in y[:, 0] or y.ravel()."
    return text + f"They would broadcast to {both}, repeating the data. Pass data of shape {both + dist.event_shape}."


def _shape_from_dims(site, dims, natural, event_ndim, lengths, coords) -> Shape:
    """The shape that named axes give: lengths come from coords, then from the distribution."""
    padded = (None,) * (len(dims) - len(natural)) + natural
    shape = []
    for axis, (dim, length) in enumerate(zip(dims, padded, strict=True)):
        known = lengths.get(dim)
        stretches = length is None or (length == 1 and axis < len(dims) - event_ndim)
        if known is not None and stretches:
            length = known
        if length is None:
            raise ShapeError(
                f"Site '{site.name}': the dimension '{dim}' has no length.{_near(dim, coords)} Pass "
                f"coords={{'{dim}': [...]}} when you call the model, or give the site a shape=."
            )
        shape.append(length)
    return tuple(shape)


def named_axes(site: Site, shape: Shape, lengths: dict[str, int], coords: Mapping) -> Dims:
    """Check the names of a site's axes against its shape, and note the lengths of new ones."""
    dims = as_dims(site)
    if dims is None:
        return None
    if len(dims) != len(shape):
        raise ShapeError(
            f"Site '{site.name}': dims={dims} names {len(dims)} of {len(shape)} axes; the shape is {shape}. "
            "Name every axis, those of one draw included."
        )
    for axis, (dim, length) in enumerate(zip(dims, shape, strict=True)):
        known = lengths.setdefault(dim, length)
        if known != length:
            source = "labels in coords" if dim in coords else "entries at an earlier site"
            what = "data have" if site.obs is not None else "value has"
            raise ShapeError(
                f"Site '{site.name}': the dimension '{dim}' has {known} {source}, but the {what} length {length} along "
                f"axis {axis} (shape {shape}, dims {dims})."
            )
    return dims


def as_dims(site: Site) -> Dims:
    """What the user gave for ``dims=`` as a tuple."""
    dims = site.dims
    if dims is None:
        return None
    dims = (dims,) if isinstance(dims, str) else tuple(dims) if isinstance(dims, tuple | list) else (None,)
    if not all(isinstance(d, str) and d for d in dims):
        raise ModelError(f"dims must be a string or a tuple of strings; got {site.dims!r} at site '{site.name}'.")
    if len(set(dims)) != len(dims):
        raise ModelError(f"dims must be different from each other; got {site.dims!r} at site '{site.name}'.")
    return dims


def as_shape(site: Site) -> Shape:
    """What the user gave for ``shape=`` as a tuple."""
    shape = site.shape
    try:
        sizes = tuple(operator.index(n) for n in (shape if np.ndim(shape) else (shape,)))
    except TypeError:
        sizes = (-1,)
    if any(n < 0 for n in sizes):
        raise ArgumentError(
            f"shape must be an int or a tuple of ints, none negative; got {shape!r} at site '{site.name}'."
        )
    return sizes


def _broadcast(a: Shape, b: Shape) -> Shape | None:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None


def _split(shape: Shape, event_ndim: int) -> tuple[Shape, Shape]:
    n_batch = max(len(shape) - event_ndim, 0)
    return shape[n_batch:], shape[:n_batch]


def _squeeze(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)


def _dims_text(site: Site) -> str:
    return f" and dims {as_dims(site)}" if site.dims is not None else ""


def _near(dim: str, coords: Mapping) -> str:
    hint = did_you_mean(dim, coords)
    return hint if "Did you mean" in hint else ""
