"""Every public NumPy function and SciPy special function is sorted, and what the table claims of it is so."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy import special

from docs import make_coverage
from probad.ad import PRIMITIVES, check_grads, grad, is_traced, jvp
from probad.ad.kinds import DOMAINS
from probad.errors import ConversionError, InPlaceError, UnsupportedFunctionError
from tests.contracts import oracles

X = np.array([[0.3, -1.2, 2.0], [0.7, 1.1, -0.4]])
V = np.array([0.5, -0.3, 0.9, 1.4])
W = np.array([1.0, 2.0, 0.5])
SQUARE = np.array([[2.0, 0.3, 0.1], [0.4, 1.5, -0.2], [0.1, -0.5, 1.1]])
BATCH = np.stack([SQUARE, SQUARE.T + 1.0])
TALL = np.array([[1.0, 0.2], [0.4, -1.3], [0.7, 2.0]])
HOLES = np.array([[0.3, np.nan, 2.0], [0.7, 1.1, np.nan]])
SPD = SQUARE @ SQUARE.T + np.eye(3)
MASK = np.array([[True, False, True], [False, True, True]])


def _symmetric(f):
    return lambda a: f(a @ np.swapaxes(a, -1, -2) + np.diag([0.0, 2.0, 5.0]))


def _written(function, *args, **kwargs):
    """What an array holds after a function has written to it."""

    def f(x):
        a = x * 1.0
        function(a, *[arg(x) if callable(arg) else arg for arg in args], **kwargs)
        return a

    return f


# For each function: a point (the array that is differentiated), then what is computed from it, in one or more ways.
FUNCTIONS = {
    "np.amax": (X, lambda x: np.amax(x, 1)),
    "np.amin": (X, lambda x: np.amin(x, 1)),
    "np.append": (X, lambda x: np.append(x, x[:1], axis=0), lambda x: np.append(x, 3.0)),
    "np.array_split": (V, lambda x: np.array_split(x, 3)),
    "np.astype": (V, lambda x: np.astype(x, float)),
    "np.atleast_1d": (V, lambda x: np.atleast_1d(x[0])),
    "np.atleast_2d": (V, lambda x: np.atleast_2d(x)),
    "np.atleast_3d": (V, lambda x: list(np.atleast_3d(x, x[0], np.outer(x, x)))),
    "np.average": (X, lambda x: np.average(x, axis=1, weights=W), lambda x: np.average(x, weights=np.exp(x))),
    "np.bincount": (V, lambda x: np.bincount(np.array([0, 2, 2, 1]), weights=x, minlength=5)),
    "np.block": (V, lambda x: np.block([[np.outer(x, x), x[:, None]], [x, 1.0]]), lambda x: np.block([x, 2.0])),
    "np.broadcast_arrays": (V, lambda x: list(np.broadcast_arrays(x, np.ones((2, 1))))),
    "np.broadcast_to": (V, lambda x: np.broadcast_to(x, (2, 4))),
    "np.choose": (X, lambda x: np.choose(np.array([0, 1, 0]), [x[0], x[1] * 2])),
    "np.clip": (X, lambda x: np.clip(x, -0.5, 1.0), lambda x: np.clip(x, x[0] - 1, x[0] + 0.2)),
    "np.column_stack": (V, lambda x: np.column_stack([x, x * x])),
    "np.compress": (X, lambda x: np.compress([True, False, True], x, axis=1), lambda x: np.compress([False, True], x)),
    "np.concat": (X, lambda x: np.concat([x, 2 * x])),
    "np.concatenate": (X, lambda x: np.concatenate([x, 2 * x], axis=-1)),
    "np.convolve": (
        V,
        lambda x: np.convolve(x, x[:3]),
        lambda x: np.convolve(x, x[:3], "same"),
        lambda x: np.convolve(x[:3], x, "valid"),
        lambda x: np.convolve(x, x[:2], "same"),
    ),
    "np.copy": (V, lambda x: np.copy(x)),
    "np.copyto": (V, _written(np.copyto, lambda x: x[0] * x), _written(np.copyto, 2.0, where=np.array([True] * 4))),
    "np.corrcoef": (X, lambda x: np.corrcoef(x), lambda x: np.corrcoef(x[0], x[1] ** 2)),
    "np.correlate": (
        V,
        lambda x: np.correlate(x, x[:3], "full"),
        lambda x: np.correlate(x, x[:3]),
        lambda x: np.correlate(x, x[1:], "same"),
        lambda x: np.correlate(x[:2], x, "same"),
        lambda x: np.correlate(x[:2], x, "valid"),
    ),
    "np.cov": (X, lambda x: np.cov(x), lambda x: np.cov(x[0], x[1], bias=True), lambda x: np.cov(x, rowvar=False)),
    "np.cross": (X, lambda x: np.cross(x[0], x[1]), lambda x: np.cross(x, x[::-1] ** 2), lambda x: np.cross(W, x)),
    "np.cumprod": (X, lambda x: np.cumprod(x), lambda x: np.cumprod(x, axis=1), np.multiply.accumulate),
    "np.cumsum": (X, lambda x: np.cumsum(x, axis=1), np.add.accumulate),
    "np.cumulative_prod": (X, lambda x: np.cumulative_prod(x, axis=1, include_initial=True)),
    "np.cumulative_sum": (X, lambda x: np.cumulative_sum(x, axis=-1, include_initial=True)),
    "np.delete": (X, lambda x: np.delete(x, [0, 2], axis=1), lambda x: np.delete(x, 1)),
    "np.diag": (SQUARE, lambda x: np.diag(x, 1), lambda x: np.diag(x[0], -1)),
    "np.diagflat": (X, lambda x: np.diagflat(x, 1)),
    "np.diagonal": (BATCH, lambda x: np.diagonal(x, 1, 1, 2)),
    "np.diff": (X, lambda x: np.diff(x, n=2), lambda x: np.diff(x, axis=0, prepend=0.0, append=x[:1])),
    "np.dot": (SQUARE, lambda x: np.dot(x, x), lambda x: np.dot(BATCH, x), lambda x: np.dot(x, 2.0)),
    "np.dsplit": (BATCH, lambda x: np.dsplit(x, 3)),
    "np.dstack": (V, lambda x: np.dstack([x, x * x])),
    "np.ediff1d": (X, lambda x: np.ediff1d(x), lambda x: np.ediff1d(x, to_end=[1.0], to_begin=x[0, 0])),
    "np.einsum": (
        SQUARE,
        lambda x: np.einsum("ij,jk,kl->il", x, x, x),
        lambda x: np.einsum("ij,kj", x, x),
        lambda x: np.einsum("ii", x),
        lambda x: np.einsum("ii->i", x),
        lambda x: np.einsum("ij->j", x),
        lambda x: np.einsum("...ij,...j->...i", BATCH, x[:2]),
        lambda x: np.einsum("ij,ij->ij", x[:1], x),
        lambda x: np.einsum(x, [0, 1], x, [1, 2], [0, 2]),
        lambda x: np.einsum(x, [0, 1], x, [1, 2]),
        lambda x: np.einsum("i,i,i->", x[0], x[1], x[2]),
        lambda x: np.einsum("ij,k->ikj", x, x[0]),
    ),
    "np.empty_like": (V, lambda x: _filled(np.empty_like(x), x)),
    "np.expand_dims": (X, lambda x: np.expand_dims(x, (0, 2))),
    "np.extract": (X, lambda x: np.extract(MASK, x)),
    "np.fft.fftshift": (X, lambda x: np.fft.fftshift(x), lambda x: np.fft.fftshift(x, axes=1)),
    "np.fft.ifftshift": (X, lambda x: np.fft.ifftshift(x), lambda x: np.fft.ifftshift(x, axes=(0,))),
    "np.fill_diagonal": (SQUARE, _written(np.fill_diagonal, lambda x: x[0]), _written(np.fill_diagonal, 3.0)),
    "np.flip": (X, lambda x: np.flip(x), lambda x: np.flip(x, 1)),
    "np.fliplr": (X, np.fliplr),
    "np.flipud": (X, np.flipud),
    "np.full_like": (V, lambda x: np.full_like(x, x[0]), lambda x: np.full_like(x, 2.0) * x),
    "np.geomspace": (W, lambda x: np.geomspace(x[0], x[1], 4)),
    "np.gradient": (
        V,
        lambda x: np.gradient(x),
        lambda x: np.gradient(x, 0.3, edge_order=2),
        lambda x: np.gradient(np.outer(x, x), 0.5, np.array([0.0, 0.2, 0.7, 1.5])),
        lambda x: np.gradient(np.sin(x), np.cumsum(np.exp(x)), edge_order=2),
        lambda x: np.gradient(np.outer(x, x), axis=1),
    ),
    "np.hsplit": (X, lambda x: np.hsplit(x, [1, 2]), lambda x: np.hsplit(x[0], 3)),
    "np.hstack": (V, lambda x: np.hstack([x, 1.0, x[:2]]), lambda x: np.hstack([x[:, None], x[:, None]])),
    "np.i0": (V, np.i0),
    "np.inner": (X, lambda x: np.inner(x, x), lambda x: np.inner(x, 2.0)),
    "np.insert": (
        X,
        lambda x: np.insert(x, 1, x[:, 0], axis=1),
        lambda x: np.insert(x, [0, 2], x[:, :2], axis=1),
        lambda x: np.insert(x, [3, 1], 5.0),
        lambda x: np.insert(x[0], 1, x[1]),
    ),
    "np.interp": (
        V,
        lambda x: np.interp(x, np.array([0.0, 0.6, 1.0]), W),
        lambda x: np.interp(np.array([-1.0, 0.2, 0.55, 5.0]), np.sort(x), x, left=x[0]),
    ),
    "np.ix_": (V, lambda x: list(np.ix_(x, x[:2]))),
    "np.kron": (X, lambda x: np.kron(x, x[:1]), lambda x: np.kron(W, x), lambda x: np.kron(x[0], x[1])),
    "np.linalg.cholesky": (
        SPD,
        _symmetric(np.linalg.cholesky),
        _symmetric(lambda a: np.linalg.cholesky(a, upper=True)),
    ),
    "np.linalg.cond": (SQUARE, np.linalg.cond, lambda x: np.linalg.cond(x, 1), lambda x: np.linalg.cond(x, -2)),
    "np.linalg.cross": (X, lambda x: np.linalg.cross(x, W)),
    "np.linalg.det": (BATCH, np.linalg.det),
    "np.linalg.diagonal": (BATCH, lambda x: np.linalg.diagonal(x, offset=1)),
    "np.linalg.eigh": (
        BATCH,
        _symmetric(lambda a: list(np.linalg.eigh(a))),
        _symmetric(lambda a: np.linalg.eigh(a, "U").eigenvalues),
    ),
    "np.linalg.eigvalsh": (BATCH, _symmetric(np.linalg.eigvalsh)),
    "np.linalg.inv": (BATCH, np.linalg.inv),
    "np.linalg.lstsq": (
        TALL,
        lambda x: [part for i, part in enumerate(np.linalg.lstsq(x, W)) if i != 2],
        lambda x: np.linalg.lstsq(x.T, np.stack([x[0], x[1]]))[0],
        lambda x: np.linalg.lstsq(np.array(TALL), x * x)[1],
    ),
    "np.linalg.matmul": (BATCH, lambda x: np.linalg.matmul(x, x)),
    "np.linalg.matrix_norm": (BATCH, lambda x: np.linalg.matrix_norm(x), lambda x: np.linalg.matrix_norm(x, ord="nuc")),
    "np.linalg.matrix_power": (
        BATCH,
        lambda x: np.linalg.matrix_power(x, 5),
        lambda x: np.linalg.matrix_power(x, -2),
        lambda x: np.linalg.matrix_power(x, 0),
    ),
    "np.linalg.matrix_transpose": (BATCH, np.linalg.matrix_transpose),
    "np.linalg.multi_dot": (
        SQUARE,
        lambda x: np.linalg.multi_dot([x, TALL, TALL.T, x]),
        lambda x: np.linalg.multi_dot([x[0], x, x, x[1]]),
    ),
    "np.linalg.norm": (
        SQUARE,
        *(lambda x, p=p: np.linalg.norm(x, p) for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
        *(lambda x, p=p: np.linalg.norm(x[0], p) for p in (None, 1, 2, 3, 0.5, -1.5, np.inf, -np.inf)),
        lambda x: np.linalg.norm(x, axis=1, keepdims=True),
        lambda x: np.linalg.norm(x, 3, axis=0),
        lambda x: np.linalg.norm(BATCH * x, 2, axis=(0, 2), keepdims=True),
    ),
    "np.linalg.outer": (V, lambda x: np.linalg.outer(x, x)),
    "np.linalg.pinv": (TALL, np.linalg.pinv, lambda x: np.linalg.pinv(x.T)),
    "np.linalg.qr": (
        TALL,
        lambda x: list(np.linalg.qr(x)),
        lambda x: list(np.linalg.qr(x.T)),
        lambda x: np.linalg.qr(x, "r"),
        lambda x: np.linalg.qr(x.T, "complete").R,
    ),
    "np.linalg.slogdet": (BATCH, lambda x: np.linalg.slogdet(x).logabsdet),
    "np.linalg.solve": (
        BATCH,
        lambda x: np.linalg.solve(x, x[0]),
        lambda x: np.linalg.solve(x, x[0, 0]),
        lambda x: np.linalg.solve(SQUARE, x),
    ),
    "np.linalg.svd": (
        TALL,
        lambda x: list(np.linalg.svd(x, full_matrices=False)),
        lambda x: list(np.linalg.svd(x.T, full_matrices=False)),
        lambda x: np.linalg.svd(x, compute_uv=False),
        lambda x: list(np.linalg.svd(x[:2])),
    ),
    "np.linalg.svdvals": (BATCH, np.linalg.svdvals),
    "np.linalg.tensordot": (SQUARE, lambda x: np.linalg.tensordot(x, x, axes=1)),
    "np.linalg.tensorinv": (np.eye(4) + 0.1, lambda x: np.linalg.tensorinv(x.reshape(4, 2, 2), ind=1)),
    "np.linalg.tensorsolve": (
        np.eye(4) + 0.1,
        lambda x: np.linalg.tensorsolve(x.reshape(2, 2, 2, 2), np.eye(2) + x[0, 1]),
    ),
    "np.linalg.trace": (BATCH, lambda x: np.linalg.trace(x, offset=1)),
    "np.linalg.vecdot": (BATCH, lambda x: np.linalg.vecdot(x, x[0])),
    "np.linalg.vector_norm": (X, lambda x: np.linalg.vector_norm(x), lambda x: np.linalg.vector_norm(x, axis=0, ord=3)),
    "np.linspace": (V, lambda x: np.linspace(x[0], x[1], 5), lambda x: np.linspace(x, 2.0, 3, endpoint=False, axis=1)),
    "np.logspace": (V, lambda x: np.logspace(x[0], x[1], 5, base=2.0)),
    "np.matmul": (BATCH, lambda x: np.matmul(x, x[0]), lambda x: x @ W, lambda x: W @ x),
    "np.matrix_transpose": (BATCH, lambda x: np.matrix_transpose(x), lambda x: x.mT),
    "np.matvec": (BATCH, lambda x: np.matvec(x, x[0, 0])),
    "np.max": (X, lambda x: np.max(x, axis=1), lambda x: np.max(x, axis=0, where=MASK, initial=-1.0)),
    "np.mean": (X, lambda x: np.mean(x, axis=1), lambda x: np.mean(x, where=MASK)),
    "np.median": (X, lambda x: np.median(x), lambda x: np.median(x, axis=1, keepdims=True), lambda x: np.median(x, 0)),
    "np.meshgrid": (
        V,
        lambda x: list(np.meshgrid(x, x[:2])),
        lambda x: list(np.meshgrid(x, W, indexing="ij", sparse=True)),
    ),
    "np.min": (X, lambda x: np.min(x, axis=1), lambda x: np.min(x, initial=-2.0)),
    "np.moveaxis": (BATCH, lambda x: np.moveaxis(x, 0, -1)),
    "np.nan_to_num": (V, lambda x: np.nan_to_num(x / np.array([1.0, 0.0, 2.0, 3.0]), posinf=3.0, neginf=-3.0)),
    "np.nancumprod": (X, lambda x: np.nancumprod(x + HOLES, axis=1)),
    "np.nancumsum": (X, lambda x: np.nancumsum(x + HOLES)),
    "np.nanmax": (X, lambda x: np.nanmax(x + HOLES, axis=1)),
    "np.nanmean": (X, lambda x: np.nanmean(x + HOLES, axis=0)),
    "np.nanmedian": (X, lambda x: np.nanmedian(x + HOLES, axis=1)),
    "np.nanmin": (X, lambda x: np.nanmin(x + HOLES)),
    "np.nanpercentile": (X, lambda x: np.nanpercentile(x + HOLES, [20.0, 60.0], axis=1)),
    "np.nanprod": (X, lambda x: np.nanprod(x + HOLES, axis=1, where=MASK)),
    "np.nanquantile": (X, lambda x: np.nanquantile(x + HOLES, 0.3, axis=0)),
    "np.nanstd": (X, lambda x: np.nanstd(x + HOLES, axis=1)),
    "np.nansum": (X, lambda x: np.nansum(x + HOLES, axis=1, initial=2.0)),
    "np.nanvar": (X, lambda x: np.nanvar(x + HOLES, ddof=1)),
    "np.ones_like": (V, lambda x: np.ones_like(x) * x),
    "np.outer": (V, lambda x: np.outer(x, x)),
    "np.pad": (
        X,
        *(lambda x, m=m: np.pad(x, ((1, 2), (0, 3)), mode=m) for m in ("edge", "reflect", "symmetric", "wrap")),
        lambda x: np.pad(x, 1),
        lambda x: np.pad(x, ((0, 1), (2, 0)), constant_values=3.0),
        lambda x: np.pad(x[0], (1, 2), constant_values=(1.0, 2.0)),
    ),
    "np.partition": (V, lambda x: np.partition(x, 2)[2]),
    "np.percentile": (X, lambda x: np.percentile(x, 30.0), lambda x: np.percentile(x, [10, 80], axis=1)),
    "np.permute_dims": (BATCH, lambda x: np.permute_dims(x, (2, 0, 1))),
    "np.piecewise": (X, lambda x: np.piecewise(x, [x < 0, x > 1], [np.sin, np.cos, 2.0])),
    "np.place": (X, _written(np.place, MASK, lambda x: x[0] * 2)),
    "np.poly": (V, np.poly),
    "np.polyadd": (V, lambda x: np.polyadd(x, x[:2])),
    "np.polyder": (V, lambda x: np.polyder(x, 2)),
    "np.polyfit": (V, lambda x: np.polyfit(x, np.sin(x), 2)),
    "np.polyint": (V, lambda x: np.polyint(x, 2, k=[1.0, 2.0])),
    "np.polymul": (V, lambda x: np.polymul(x, x[:2])),
    "np.polysub": (V, lambda x: np.polysub(x[:2], x)),
    "np.polyval": (V, lambda x: np.polyval(x, x[:2])),
    "np.prod": (X, lambda x: np.prod(x, axis=0), lambda x: np.prod(x, where=MASK, initial=2.0)),
    "np.ptp": (X, lambda x: np.ptp(x, axis=1)),
    "np.put": (X, _written(np.put, [0, 4], lambda x: x[0, :2] * 2), _written(np.put, [0, 8], 1.5, mode="wrap")),
    "np.put_along_axis": (X, _written(np.put_along_axis, np.array([[0], [2]]), lambda x: x[:, :1] * 2, 1)),
    "np.putmask": (X, _written(np.putmask, MASK, lambda x: x[0] * 2)),
    "np.quantile": (
        X,
        lambda x: np.quantile(x, 0.3),
        lambda x: np.quantile(x, [[0.1], [0.8]], axis=1, keepdims=True),
        lambda x: np.quantile(x, 0.37, axis=(0, 1), method="hazen"),
        lambda x: np.quantile(x, 0.37, method="inverted_cdf"),
    ),
    "np.ravel": (X, lambda x: np.ravel(x)),
    "np.real": (X, np.real),
    "np.real_if_close": (X, lambda x: np.real_if_close(x)),
    "np.repeat": (X, lambda x: np.repeat(x, 2), lambda x: np.repeat(x, [1, 0, 2], axis=1)),
    "np.reshape": (X, lambda x: np.reshape(x, (3, -1))),
    "np.resize": (V, lambda x: np.resize(x, (2, 5))),
    "np.roll": (X, lambda x: np.roll(x, 2), lambda x: np.roll(x, (1, 2), axis=(0, 1)), lambda x: np.roll(x, 1, (0, 1))),
    "np.rollaxis": (BATCH, lambda x: np.rollaxis(x, 2), lambda x: np.rollaxis(x, 0, 2)),
    "np.rot90": (X, *(lambda x, k=k: np.rot90(x, k) for k in range(4)), lambda x: np.rot90(x, 1, (1, 0))),
    "np.select": (X, lambda x: np.select([x < 0, x > 1], [x * x, np.sin(x)], default=3.0)),
    "np.sinc": (V, np.sinc),
    "np.sort": (X, lambda x: np.sort(x), lambda x: np.sort(x, axis=None)),
    "np.split": (V, lambda x: np.split(x, 2), lambda x: np.split(x, [1, 3])),
    "np.squeeze": (X[:, None], lambda x: np.squeeze(x), lambda x: np.squeeze(x, 1)),
    "np.stack": (V, lambda x: np.stack([x, 2 * x], axis=-1)),
    "np.std": (X, lambda x: np.std(x, axis=1, ddof=1)),
    "np.sum": (X, lambda x: np.sum(x, axis=1), lambda x: np.sum(x, where=MASK, initial=1.0)),
    "np.swapaxes": (BATCH, lambda x: np.swapaxes(x, 0, 2)),
    "np.take": (X, lambda x: np.take(x, [0, 2, 0], axis=1), lambda x: np.take(x, [[4], [1]])),
    "np.take_along_axis": (X, lambda x: np.take_along_axis(x, np.array([[0, 2], [1, 1]]), axis=1)),
    "np.tensordot": (BATCH, lambda x: np.tensordot(x, X, axes=([2], [1])), lambda x: np.tensordot(x, x, 3)),
    "np.tile": (X, lambda x: np.tile(x, (2, 1, 2)), lambda x: np.tile(x, 2)),
    "np.trace": (BATCH, lambda x: np.trace(x, 1, 1, 2)),
    "np.transpose": (BATCH, lambda x: np.transpose(x), lambda x: np.transpose(x, (1, 0, 2))),
    "np.trapezoid": (
        X,
        lambda x: np.trapezoid(x, dx=0.5),
        lambda x: np.trapezoid(x, axis=0),
        lambda x: np.trapezoid(x, np.cumsum(np.exp(x), axis=1)),
        lambda x: np.trapezoid(x, W),
    ),
    "np.tril": (SQUARE, lambda x: np.tril(x, -1), lambda x: np.tril(x[0]), lambda x: np.tril(BATCH * x[:2, :1, None])),
    "np.trim_zeros": (V, lambda x: np.trim_zeros(np.concatenate([[0.0], x, [0.0, 0.0]]))),
    "np.triu": (SQUARE, lambda x: np.triu(x), lambda x: np.triu(x, 2)),
    "np.unique": (V, lambda x: np.unique(np.concatenate([x, x])), lambda x: np.unique(x, return_counts=True)[0]),
    "np.unique_all": (V, lambda x: np.unique_all(x).values),
    "np.unique_counts": (V, lambda x: np.unique_counts(x).values),
    "np.unique_inverse": (V, lambda x: np.unique_inverse(x).values),
    "np.unique_values": (V, lambda x: np.sort(np.unique_values(x))),
    "np.unstack": (X, lambda x: list(np.unstack(x, axis=1))),
    "np.unwrap": (V * 5, lambda x: np.unwrap(x)),
    "np.vander": (V, lambda x: np.vander(x, 3), lambda x: np.vander(x, increasing=True)),
    "np.var": (X, lambda x: np.var(x, axis=1, ddof=1)),
    "np.vdot": (X, lambda x: np.vdot(x, x)),
    "np.vecdot": (BATCH, lambda x: np.vecdot(x, x[0]), lambda x: np.vecdot(x, x[0], axis=-1)),
    "np.vecmat": (BATCH, lambda x: np.vecmat(x[0, 0], x)),
    "np.vsplit": (X, lambda x: np.vsplit(x, 2)),
    "np.vstack": (V, lambda x: np.vstack([x, 2 * x])),
    "np.where": (X, lambda x: np.where(x > 0, np.sin(x), x * x)),
    "np.zeros_like": (V, lambda x: _filled(np.zeros_like(x), x)),
}  # fmt: skip


def _filled(a, x):
    a[...] = x
    return a


def _check(x, f, *, tolerance=1e-7):
    """The value is NumPy's, and so is the shape; the derivative agrees with differences in both modes."""
    with np.errstate(all="ignore"):
        found, _ = jvp(f, (x,), (x,))
        expected = f([np.array(v) for v in x] if isinstance(x, list) else np.array(x))
        assert isinstance(found, list) == isinstance(expected, list)
        for a, b in zip(found, expected, strict=True) if isinstance(found, list) else [(found, expected)]:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
            assert np.shape(a) == np.shape(b)
        check_grads(f, x, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_numpys_value_and_the_right_derivative(name):
    if not hasattr(np, name.split(".")[1]):
        pytest.skip(f"{name} came with a later NumPy")
    x, *ways = FUNCTIONS[name]
    for f in ways:
        _check(x, f)


# --- ufuncs ---------------------------------------------------------------------------------------------------------
# Ufuncs that are not one elementwise primitive: what is computed from a point, like FUNCTIONS.
UFUNCS = {
    "np.conj": (V, np.conj),
    "np.conjugate": (V, np.conjugate),
    "np.divmod": (W, lambda x: np.divmod(x * 3.3, x)[1]),
    "np.float_power": (W, lambda x: np.float_power(x, x)),
    "np.frexp": (V, lambda x: np.frexp(x)[0]),
    "np.ldexp": (V, lambda x: np.ldexp(x, 3)),
    "np.modf": (V, lambda x: np.modf(x * 3)[0]),
    "np.nextafter": (V, lambda x: np.nextafter(x, 9.0)),
    "np.positive": (V, np.positive),
    "np.fabs": (V, np.fabs),
    "scipy.special.airy": (W, lambda x: list(special.airy(x))),
    "scipy.special.ellipj": (V, lambda x: list(special.ellipj(x, 0.3))),
    "scipy.special.fresnel": (V, lambda x: list(special.fresnel(x))),
    "scipy.special.jn": (W, lambda x: special.jn(2, x)),
    "scipy.special.shichi": (W, lambda x: list(special.shichi(x))),
    "scipy.special.sici": (W, lambda x: list(special.sici(x))),
    "scipy.special.chdtr": (W, lambda x: special.chdtr(x, x[::-1])),
    "scipy.special.chdtrc": (W, lambda x: special.chdtrc(x, x[::-1])),
    "scipy.special.chdtri": (W, lambda x: special.chdtri(x, x / 3)),
    "scipy.special.gdtr": (W, lambda x: special.gdtr(x, x[::-1], 2 * x)),
    "scipy.special.gdtrc": (W, lambda x: special.gdtrc(x, x[::-1], 2 * x)),
    "scipy.special.gdtria": (W, lambda x: special.gdtria(x / 3, x + 1, x[::-1])),
    "scipy.special.gdtrix": (W, lambda x: special.gdtrix(x, x + 1, x / 3)),
    "scipy.special.pdtr": (W, lambda x: special.pdtr(2.0, x)),
    "scipy.special.pdtrc": (W, lambda x: special.pdtrc(2.0, x)),
    "scipy.special.pdtri": (W, lambda x: special.pdtri(2, x / 3)),
    "scipy.special.fdtr": (W, lambda x: special.fdtr(x, x + 2, x[::-1])),
    "scipy.special.fdtrc": (W, lambda x: special.fdtrc(x, x + 2, x[::-1])),
    "scipy.special.fdtri": (W, lambda x: special.fdtri(x + 1, x + 2, x / 3)),
    "scipy.special.bdtr": (W, lambda x: special.bdtr(2.0, 5, x / 3)),
    "scipy.special.bdtrc": (W, lambda x: special.bdtrc(2.0, 5, x / 3)),
    "scipy.special.bdtri": (W, lambda x: special.bdtri(2.0, 5, x / 3)),
    "scipy.special.nbdtr": (W, lambda x: special.nbdtr(2, 5, x / 3)),
    "scipy.special.nbdtrc": (W, lambda x: special.nbdtrc(2, 5, x / 3)),
    "scipy.special.nbdtri": (W, lambda x: special.nbdtri(2, 5, x / 3)),
    "scipy.special.nrdtrimn": (W, lambda x: special.nrdtrimn(x / 3, x, 2.0)),
    "scipy.special.nrdtrisd": (W, lambda x: special.nrdtrisd(x, x / 5, 3.0)),
    "scipy.special.zeta": (W, lambda x: special.zeta(x + 1.2, x), lambda x: special.zeta(x + 1.2)),
    "scipy.special.softplus": (V, lambda x: special.softplus(x)),
    "scipy.special.sinc": (V, special.sinc),
    "scipy.special.jvp": (W, lambda x: special.jvp(0.5, x)),
    "scipy.special.yvp": (W, lambda x: special.yvp(0.5, x)),
    "scipy.special.ivp": (W, lambda x: special.ivp(0.5, x, 2)),
    "scipy.special.kvp": (W, lambda x: special.kvp(0.5, x)),
    "scipy.special.assoc_laguerre": (W, lambda x: special.assoc_laguerre(x, 3, 0.5)),
    "np.array": (V, lambda x: np.exp(np.array([x[0], x[1]])).sum()),
    "np.asarray": (V, lambda x: np.asarray(x).sum()),
    "np.asanyarray": (V, lambda x: np.asanyarray(x).sum()),
    "np.full": (V, lambda x: np.full((2, 2), x[0]).sum()),
    "np.asarray_chkfinite": (V, lambda x: np.asarray_chkfinite(x).sum()),
    "np.require": (V, lambda x: np.require(x).sum()),
    "np.poly1d": (V, lambda x: np.poly1d(x)(x[0])),
    "np.vectorize": (V, lambda x: np.vectorize(lambda v: v * v)(x).sum()),
}  # fmt: skip
ALIASES = {"pow": "power", "abs": "absolute", "mod": "remainder", "true_divide": "divide", "degrees": "rad2deg",
           "radians": "deg2rad", "acos": "arccos", "asin": "arcsin", "atan": "arctan", "acosh": "arccosh",
           "asinh": "arcsinh", "atanh": "arctanh", "atan2": "arctan2", "digamma": "psi"}  # fmt: skip


def _elementwise_case(row):
    """A case for a ufunc that is one primitive, from the domain its row in the rules gives."""
    ufunc = getattr(make_coverage.MODULES[row.module], row.name)
    primitive = PRIMITIVES.get(ALIASES.get(row.name, row.name)) if isinstance(ufunc, np.ufunc) else None
    if primitive is None or primitive.name not in DOMAINS:
        return None
    args, _ = primitive.examples(np.random.default_rng(3))[1]
    positions = oracles.free(primitive, args)

    def f(values):
        full = list(args)
        for k, value in zip(positions, values, strict=True):
            full[k] = value
        return ufunc(*full)

    return [args[k] for k in positions], f


ROWS, UNSORTED = make_coverage.table()


def _rows(kind):
    return [pytest.param(row, id=row.full_name) for row in ROWS if row.kind == kind]


def test_every_public_name_is_sorted():
    assert not UNSORTED


def test_the_page_is_current():
    assert make_coverage.PAGE.read_text() == make_coverage.render(ROWS), "run docs/make_coverage.py"


@pytest.mark.parametrize("row", _rows(make_coverage.WORKS))
def test_what_works_works(row):
    if row.full_name in FUNCTIONS:
        return  # tested above
    if row.full_name in UFUNCS:
        x, *ways = UFUNCS[row.full_name]
        for f in ways:
            _check(x, f)
        return
    case = _elementwise_case(row)
    assert case is not None, f"{row.full_name} is said to work, but no case shows it"
    _check(*case)


BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor")
INVERSIONS = ("bitwise_not", "bitwise_invert", "invert")
# How to call what has a plain answer, where it is not f(x) or f(x, x).
PLAIN = {
    "np.angle": np.angle,
    "np.can_cast": lambda x: np.can_cast(x.dtype, np.float64),
    "np.common_type": lambda x: np.common_type(x),
    "np.einsum_path": lambda x: np.einsum_path("i,i", x, x)[0][1],
    "np.isin": lambda x: np.isin(x, [0.5, 2.0]),
    "np.lexsort": lambda x: np.lexsort((x, x)),
    "np.argpartition": lambda x: np.argpartition(x, 1)[1],
    "np.digitize": lambda x: np.digitize(x, [0.0, 1.0]),
    "np.searchsorted": lambda x: np.searchsorted(np.sort(x), 0.7),
    "np.diag_indices_from": lambda x: np.diag_indices_from(np.outer(x, x)),
    "np.tril_indices_from": lambda x: np.tril_indices_from(np.outer(x, x)),
    "np.triu_indices_from": lambda x: np.triu_indices_from(np.outer(x, x)),
    "np.linalg.matrix_rank": lambda x: np.linalg.matrix_rank(np.outer(x, x)),
    **{f"np.{name}": lambda x, name=name: getattr(np, name)(x > 0, x < 1) for name in BITWISE},
    **{f"np.{name}": lambda x, name=name: getattr(np, name)(x > 0) for name in INVERSIONS},
}
TWICE = {"allclose", "array_equal", "array_equiv", "isclose", "may_share_memory", "shares_memory"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # np.fix
@pytest.mark.parametrize("row", _rows(make_coverage.PLAIN))
def test_plain_answers_are_numpys(row):
    function = getattr(make_coverage.MODULES[row.module], row.name)
    n = function.nin if isinstance(function, np.ufunc) else 2 if row.name in TWICE else 1
    f = PLAIN.get(row.full_name, lambda x: function(*(x,) * n))
    kept = []
    grad(lambda x: kept.append(f(x)) or np.sum(x))(V)
    for found, expected in zip(np.atleast_1d(kept[0]), np.atleast_1d(f(V)), strict=True):
        assert not is_traced(found)
        np.testing.assert_array_equal(found, expected)


# How to call what raises, where it is not a ufunc.
ERRORS = {
    "np.apply_along_axis": lambda x: np.apply_along_axis(np.sum, 0, x),
    "np.apply_over_axes": lambda x: np.apply_over_axes(np.sum, x, [0]),
    "np.frompyfunc": lambda x: np.frompyfunc(np.sin, 1, 1)(x),
    "np.histogram2d": lambda x: np.histogram2d(x, x),
    "np.polydiv": lambda x: np.polydiv(x, x),
    "np.save": lambda x: np.save(io.BytesIO(), x),
    "np.savetxt": lambda x: np.savetxt(io.StringIO(), x),
    "np.savez": lambda x: np.savez(io.BytesIO(), x),
    "np.savez_compressed": lambda x: np.savez_compressed(io.BytesIO(), x),
    "scipy.special.comb": lambda x: special.comb(x, 2),
    "scipy.special.perm": lambda x: special.perm(x, 2),
    "scipy.special.diric": lambda x: special.diric(x, 2),
    "scipy.special.ellip_harm": lambda x: special.ellip_harm(5.0, 8.0, 1, 1, x[0]),
    "scipy.special.ellip_harm_2": lambda x: special.ellip_harm_2(5.0, 8.0, 1, 1, x[0]),
    "scipy.special.ellip_normal": lambda x: special.ellip_normal(5.0, x[3], 1, 1),
    "scipy.special.factorialk": lambda x: special.factorialk(x, 3),
    "scipy.special.h1vp": lambda x: special.h1vp(1, x),
    "scipy.special.h2vp": lambda x: special.h2vp(1, x),
    "scipy.special.multigammaln": lambda x: special.multigammaln(x, 2),
    "scipy.special.polygamma": lambda x: special.polygamma(1, x),
    "scipy.special.softmax": special.softmax,
    **{
        f"scipy.special.{name}": lambda x, name=name: getattr(special, name)(1, x)
        for name in ("spherical_jn", "spherical_yn", "spherical_in", "spherical_kn", "legendre_p", "legendre_p_all")
    },
    **{
        f"scipy.special.{name}": lambda x, name=name: getattr(special, name)(1, 1, x)
        for name in ("assoc_legendre_p", "assoc_legendre_p_all", "sph_legendre_p", "sph_legendre_p_all")
    },
    **{
        f"scipy.special.{name}": lambda x, name=name: getattr(special, name)(1, 1, x, x)
        for name in ("sph_harm_y", "sph_harm_y_all")
    },
}  # fmt: skip
TWO_SETS = {"intersect1d", "setdiff1d", "setxor1d", "union1d"}


@pytest.mark.parametrize("row", _rows(make_coverage.ERROR))
def test_errors_name_what_to_use_instead(row):
    function = getattr(make_coverage.MODULES[row.module], row.name)
    n = function.nin if isinstance(function, np.ufunc) else 2 if row.name in TWO_SETS else 1
    shape = (2, 2) if row.name in ("eig", "eigvals", "fft2", "ifft2", "rfft2", "irfft2") else (4,)
    f = ERRORS.get(row.full_name, lambda x: function(*(x,) * n))
    with pytest.raises((UnsupportedFunctionError, ConversionError, InPlaceError)) as caught:
        grad(lambda x: f(x))(V.reshape(shape))
    assert row.note in str(caught.value)
