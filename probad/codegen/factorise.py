"""Cholesky factors and their reverse rule as loops over blocks of four rows, without a library.

Up to some hundred rows a library spends more time on its way to the numbers than with them. Matrices are copied to
where their rows are whole vectors: behind the last row and column stand those of a unit matrix, which change nothing.
"""

from __future__ import annotations

import itertools

from probad.codegen.places import LANES, WORK, Buffer, Place

MOST = 200  # rows up to which this is faster than LAPACK
SIDE = range(LANES)


class Square:
    """A square matrix in working memory, with rows of whole vectors."""

    def __init__(self, calls):
        self.program, self.fn = calls.program, calls.fn
        self.n = calls.out.shape[0]
        self.width = -(-self.n // LANES) * LANES
        self.buffer = self.program.in_memory(Buffer(WORK, self.width**2))

    def at(self, row, column):
        """The position of an element; numbers or values."""
        return row * self.width + column

    def get(self, row, column, lanes: int = 1):
        """Elements of a row."""
        return self.program.load(self.buffer, 0, self.at(row, column), lanes)

    def put(self, row, column, value) -> None:
        """Write elements of a row."""
        self.program.store(self.buffer, 0, self.at(row, column), value)

    def take(self, place: Place, diagonal: float) -> None:
        """Copy the lower triangle of a matrix in C order; what is right of the diagonal may be anything.

        `diagonal` is what stands on the diagonal of the rows behind the last.
        """
        program, fn, n = self.program, self.fn, self.n
        whole = n // LANES * LANES
        fn.module.declare("declare i64 @llvm.smin.i64(i64, i64)")
        with fn.loop(0, n, 1) as rows:
            end = fn.write(f"call i64 @llvm.smin.i64(i64 {(rows.index + 1).name}, i64 {whole})", "i64")
            with fn.loop(0, end, LANES) as columns:
                k = columns.index
                self.put(rows.index, k, program.load(place.buffer, place.offset, rows.index * n + k, LANES))
            for k in range(whole, n):
                self.put(rows.index, k, program.load(place.buffer, place.offset, rows.index * n + k))
            for k in range(n, self.width):
                self.put(rows.index, k, fn.constant(0.0))
        for row in range(n, self.width):
            for k in range(0, self.width, LANES):
                self.put(row, k, fn.vector([fn.constant(diagonal if k + j == row else 0.0) for j in SIDE]))


class Cholesky:
    """The lower factor: each block of rows is factorised, and taken out of the rows below.

    Source: Golub and Van Loan, "Matrix Computations" (4th edition), section 4.2.5, with blocks of four.
    """

    def __init__(self, calls):
        self.calls, self.program, self.fn = calls, calls.program, calls.fn
        self.matrix = Square(calls)
        self.columns = self.program.in_memory(Buffer(WORK, LANES * self.matrix.width))  # of the block, one by one

    def emit(self) -> None:
        """Write the loops; a matrix that is not positive definite ends the program."""
        calls, program, fn, matrix = self.calls, self.program, self.fn, self.matrix
        source = calls.in_order(0)
        for buffer in (source.buffer, calls.out.buffer, matrix.buffer, self.columns):
            program.address(buffer)
        matrix.take(source, 1.0)
        fn.store(fn.status(1), program.status)
        with fn.loop(0, matrix.width, LANES) as blocks:
            j = blocks.index
            factor, inverses = self.diagonal_block(j)
            with fn.loop(j + LANES, matrix.width, 1) as below:
                self.solve_row(j, below.index, factor, inverses)
            with fn.loop(j + LANES, matrix.width, 1) as below:
                self.update_row(j, below.index)
        self.write()

    def diagonal_block(self, j):
        """Factorise four rows on the diagonal; their elements below it, and one over those on it."""
        fn, matrix = self.fn, self.matrix
        factor, inverses = {}, []
        for q in SIDE:
            for p in range(q + 1):
                x = matrix.get(j + q, j + p)
                for k in range(p):
                    x = -factor[q, k].fma(factor[p, k], -x)
                if p == q:
                    fn.leave_if(x.gt(0.0).negate(), self.program.failed)
                    x = x.sqrt()
                    inverses.append(fn.constant(1.0) / x)
                else:
                    x = x * inverses[p]
                factor[q, p] = x
                matrix.put(j + q, j + p, x)
        return factor, inverses

    def solve_row(self, j, i, factor, inverses) -> None:
        """Four elements of a row below the block, kept in the row and in columns."""
        matrix, found = self.matrix, []
        for q in SIDE:
            x = matrix.get(i, j + q)
            for p in range(q):
                x = -found[p].fma(factor[q, p], -x)
            found.append(x * inverses[q])
        matrix.put(i, j, self.fn.vector(found))
        for q, x in enumerate(found):
            self.program.store(self.columns, q * matrix.width, i, x)

    def update_row(self, j, i) -> None:
        """Take the block out of a row below it, up to the diagonal."""
        fn, matrix = self.fn, self.matrix
        found = [-fn.splat(matrix.get(i, j + q), LANES) for q in SIDE]
        with fn.loop(j + LANES, i + 1, LANES) as columns:
            k = columns.index
            x = matrix.get(i, k, LANES)
            for q in SIDE:
                x = found[q].fma(self.program.load(self.columns, q * matrix.width, k, LANES), x)
            matrix.put(i, k, x)

    def write(self) -> None:
        """Copy the factor to the result, with zeros right of the diagonal."""
        program, fn, n, out = self.program, self.fn, self.matrix.n, self.calls.out
        with fn.loop(0, n, 1) as rows:
            with fn.loop(0, rows.index + 1, 1) as left:
                value = self.matrix.get(rows.index, left.index)
                program.store(out.buffer, out.offset, rows.index * n + left.index, value)
            with fn.loop(rows.index + 1, n, 1) as right:
                program.store(out.buffer, out.offset, rows.index * n + right.index, fn.constant(0.0))


class CholeskyPull:
    """The reverse rule of the factorisation: its blocks are taken out again, from the last to the first.

    Of the factor, D is the block on the diagonal, R what is left of it, C what is below it, and B what is below R;
    cotangents of all four are changed in place.

    Source: Murray, "Differentiation of the Cholesky decomposition" (2016), sections 3.1 and 3.2.
    """

    def __init__(self, calls):
        self.calls, self.program, self.fn = calls, calls.program, calls.fn
        self.factor, self.cotangent = Square(calls), Square(calls)

    def emit(self) -> None:
        """Write the loops."""
        calls, program, fn, width = self.calls, self.program, self.fn, self.factor.width
        places = calls.in_order(1), calls.in_order(0)
        for buffer in (*(p.buffer for p in places), calls.out.buffer, self.factor.buffer, self.cotangent.buffer):
            program.address(buffer)
        self.factor.take(places[0], 1.0)
        self.cotangent.take(places[1], 0.0)
        with fn.loop(0, width, LANES) as blocks:
            j = blocks.index * -1 + (width - LANES)
            block = {(q, p): self.factor.get(j + q, j + p) for q in SIDE for p in range(q + 1)}
            spread = self.rows_below(j, block)
            weights = self.diagonal_block(j, block, spread)
            with fn.loop(0, j, LANES) as columns:
                self.columns(j, columns.index, weights)
        self.write()

    def rows_below(self, j, block):
        """C-bar becomes C-bar D^-1; what that takes from D-bar, C-bar' C, by rows."""
        fn = self.fn
        sums = [fn.alloca(LANES) for _ in SIDE]
        for total in sums:
            fn.store(fn.splat(fn.constant(0.0), LANES), total)
        inverses = [fn.constant(1.0) / block[q, q] for q in SIDE]
        with fn.loop(j + LANES, self.factor.width, 1) as below:
            i, found = below.index, {}
            for q in reversed(SIDE):
                x = self.cotangent.get(i, j + q)
                for p in range(q + 1, LANES):
                    x = -found[p].fma(block[p, q], -x)
                found[q] = x * inverses[q]
            self.cotangent.put(i, j, fn.vector([found[q] for q in SIDE]))
            row = self.factor.get(i, j, LANES)
            for q in SIDE:
                fn.store(fn.splat(found[q], LANES).fma(row, fn.load(sums[q], LANES)), sums[q])
        return [fn.load(total, LANES) for total in sums]

    def diagonal_block(self, j, block, spread):
        """D-bar, row by row from the last; returns the symmetric matrix of what R-bar loses in multiples of R."""
        fn, bar = self.fn, {}
        for q, p in block:
            bar[q, p] = self.cotangent.get(j + q, j + p) - spread[q].lane(p)
        for q in reversed(SIDE):
            inverse, dot = fn.constant(1.0) / block[q, q], fn.constant(0.0)
            for i in range(q + 1, LANES):
                dot = block[i, q].fma(bar[i, q], dot)
                bar[i, q] = bar[i, q] * inverse
            d = (bar[q, q] - dot * inverse) * inverse
            bar[q, q] = d * 0.5
            for p in range(q):
                r = bar[q, p] - d * block[q, p]
                for i in range(q + 1, LANES):
                    r = r - bar[i, q] * block[i, p]
                    bar[i, p] = bar[i, p] - bar[i, q] * block[q, p]
                bar[q, p] = r
        for (q, p), value in bar.items():
            self.cotangent.put(j + q, j + p, value)
        full = {(q, q): bar[q, q] + bar[q, q] for q in SIDE}
        for q, p in itertools.combinations(SIDE, 2):
            full[q, p] = full[p, q] = bar[p, q]
        return full

    def columns(self, j, k, weights) -> None:
        """Four columns: B-bar -= C-bar R and R-bar -= C-bar' B + (D-bar + D-bar') R."""
        fn = self.fn
        left = [self.factor.get(j + q, k, LANES) for q in SIDE]
        totals = [fn.alloca(LANES) for _ in SIDE]
        for q in SIDE:
            total = self.cotangent.get(j + q, k, LANES)
            for p in SIDE:
                total = total - fn.splat(weights[q, p], LANES) * left[p]
            fn.store(total, totals[q])
        with fn.loop(j + LANES, self.factor.width, 1) as below:
            i = below.index
            row, bar = self.factor.get(i, k, LANES), self.cotangent.get(i, k, LANES)
            for q in SIDE:
                weight = fn.splat(self.cotangent.get(i, j + q), LANES)
                bar = bar - weight * left[q]
                fn.store(fn.load(totals[q], LANES) - weight * row, totals[q])
            self.cotangent.put(i, k, bar)
        for q in SIDE:
            self.cotangent.put(j + q, k, fn.load(totals[q], LANES))

    def write(self) -> None:
        """The result is symmetric: what belongs to a pair of elements is shared between them."""
        program, n, out = self.program, self.factor.n, self.calls.out

        def put(position, value):
            program.store(out.buffer, out.offset, position, value)

        with self.fn.loop(0, n, 1) as rows:
            i = rows.index
            with self.fn.loop(0, i, 1) as left:
                value = self.cotangent.get(i, left.index) * 0.5
                put(i * n + left.index, value)
                put(left.index * n + i, value)
            put(i * n + i, self.cotangent.get(i, i))
