"""Where a chain keeps its numbers: the rows, scalars and counts that its kernels share.

All vectors of a chain are rows of one array, all scalars and counters are places in two more, so that a kernel takes
the same few arrays whatever it does, and a chain can be stored and resumed by storing them. Kernels see each array
flat: element i of a row is found at ``row * dim + i``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from probad.mcmc.rows import padded

# --- rows: vectors of length dim ------------------------------------------------------------------------------------
# The state of the chain. Momenta and forces, which are gradients, are whitened; see `probad.mcmc.metrics`.
POSITION, GRADIENT, FORCE, MOMENTUM = 0, 1, 2, 3
LEFT_POSITION, LEFT_FORCE, LEFT_MOMENTUM = 4, 5, 6  # the two ends of a trajectory
RIGHT_POSITION, RIGHT_FORCE, RIGHT_MOMENTUM = 7, 8, 9
WALK_GRADIENT = 10  # gradient at the end where the trajectory grows
NEAR_MOMENTUM = 11  # momentum at that end before it grows
CANDIDATE_POSITION, CANDIDATE_GRADIENT = 12, 13  # the state chosen from the part of the trajectory being built
CHOSEN_POSITION, CHOSEN_GRADIENT = 14, 15  # the state chosen from the whole trajectory, if it is not the first
INVERSE_MASS = 16  # the inverse mass matrix, or its diagonal
SCALE = 17  # square root of the inverse mass: the scale of each coordinate, where the metric is diagonal
TREE_RHO = 18  # sum of the momenta over the trajectory
STACK = 19  # subtrees under construction: three rows each
BEGIN, END, RHO = 0, 1, 2  # first and last momentum in the order of the walk, and the sum of all momenta
ROWS_PER_LEVEL = 3

# --- scalars --------------------------------------------------------------------------------------------------------
LOGP, WALK_LOGP, CANDIDATE_LOGP, CHOSEN_LOGP = 0, 1, 2, 3
STEP_SIZE, LOG_STEP_AVERAGE, LOG_STEP_CENTRE, ACCEPTANCE_GAP = 4, 5, 6, 7
START_ENERGY, CANDIDATE_ENERGY, CHOSEN_ENERGY = 8, 9, 10
ACCEPTANCE_SUM, MAX_ENERGY_ERROR = 11, 12
LOG_WEIGHT, SUBTREE_WEIGHT, SUBTREE_SHIFT = 13, 14, 15  # the weight of a subtree is SUBTREE_WEIGHT exp(SUBTREE_SHIFT)
TARGET_ACCEPT, STEP_SIZE_USED = 16, 17
SYMMETRIC_SUM = 18  # as ACCEPTANCE_SUM, of the acceptance that warm-up by draws and gradients aims at
TRAJECTORY_LENGTH, JITTER, REFRESHMENT = 19, 20, 21
LEAST_CURVATURE, LARGEST_CURVATURE = 22, 23  # what a choice between samplers has found
SOFTENING, TOLERANCE = 24, 25  # of a Riemannian metric, and of its implicit steps
WORTHWHILE = 26  # how much longer than wide a posterior must be for a metric with correlations to pay
WHOLE_DEPTH = 27  # of the trees of late, but for those of trajectories that were cut short
N_SCALARS = 28

# --- counts ---------------------------------------------------------------------------------------------------------
ITERATION, N_DRAWS, N_WARMUP = 0, 1, 2
AVERAGED = 3
N_STEPS, TREE_DEPTH, DIVERGING, SATURATED = 4, 5, 6, 7  # of the present trajectory; a step is one gradient
MAX_TREE_DEPTH, MAX_STEPS = 8, 9
ALGORITHM, FORM, ADAPTATION = 10, 11, 12
STOP = 13  # not 0: give up the present iteration; written by another thread while kernels run
DECISION = 14  # iteration from which, and for some time, the metric may take the form of ROOM if that pays; or -1
CLIMBING, ARRIVED = 15, 16  # whether the chain is on its way to the posterior, and the first iteration after that
SAME_METRIC = 17  # step sizes averaged since the metric was learnt
MAX_ITERATIONS = 18  # of an implicit step
N_FIELDS, N_CONTRACTIONS = 19, 20  # evaluations of a geometry, in the whole run
ROOM = 21  # the form that there is room for, which the metric has or may take
N_DIRECTIONS = 22  # of a low-rank metric, filled up to a multiple of 4
INTEGRATOR = 23  # of a Riemannian sampler
SHORT_FROM, SHORT_UNTIL = 24, 25  # iterations of warm-up between which most trajectories are cut short
N_COUNTS = 26

NUTS, HMC, MAMS, METROPOLIS, ELLIPTICAL, RIEMANNIAN, MANIFOLD_MALA = 0, 1, 2, 3, 4, 5, 6  # values of ALGORITHM
DIAGONAL, DENSE, LOW_RANK = 0, 1, 2  # values of FORM: that of the metric
LEAPFROG, MIDPOINT = 0, 1  # values of INTEGRATOR: the generalised leapfrog, the implicit midpoint rule
FIXED, BY_DRAWS, BY_DRAWS_AND_GRADIENTS = 0, 1, 2  # values of ADAPTATION: what the metric is learnt from

# --- a low-rank metric ------------------------------------------------------------------------------------------------
RANK = 16  # directions that it has at most, a multiple of 4
# Places in `metric`, in units of dim: directions of length 1 in the scale of the coordinates, the same in their units,
# and by how much each of them is stretched.
UNIT_DIRECTIONS, DIRECTIONS, STRETCHES = 0, RANK, 2 * RANK

# --- what a kernel returns ------------------------------------------------------------------------------------------
FINE, FAILED, NO_STEP_SIZE, STOPPED = 0, 2, 3, 4  # FAILED is the status of a density that failed

# --- columns of the statistics, by ArviZ's names ----------------------------------------------------------------------
STATISTICS = (
    "lp",
    "acceptance_rate",
    "step_size",
    "step_size_nom",
    "tree_depth",
    "n_steps",
    "diverging",
    "energy",
    "energy_error",
    "max_energy_error",
    "reached_max_treedepth",
)
INTEGERS = ("tree_depth", "n_steps")
FLAGS = ("diverging", "reached_max_treedepth")
N_STATISTICS = 11

MAX_DELTA_ENERGY = 1000.0  # an energy error beyond this is a divergence


@dataclass
class Workspace:
    """The numbers of one chain.

    Attributes
    ----------
    rows : (n_rows, dim) float64 array
    scalars : (N_SCALARS,) float64 array
    counts : (N_COUNTS,) int64 array
    random : (4,) uint64 array
        State of the random number generator.
    schedule : (n_warmup,) int64 array
        The first iteration from which each warm-up iteration renews the metric, if it does; see `probad.mcmc.windows`.
    metric : (dim * (dim + 2 * padded),) or (2 * RANK * dim + RANK,) float64 array, or (1,)
        The factor of a dense inverse mass, and again by rows and by columns that are padded to multiples of 8; the
        directions and stretches of a low-rank one; nothing if there is room for a diagonal one only.
    draws : (n_iterations, dim) float64 array, unconstrained
    gradients : (n_warmup, dim) float64 array, or (1, dim)
        Of the log density at the warm-up draws, if the metric is learnt from them.
    statistics : (n_iterations, N_STATISTICS) float64 array
    work : float64 array
        Scratch of the estimates of the metric; nothing in it outlives them.
    """

    rows: np.ndarray
    scalars: np.ndarray
    counts: np.ndarray
    random: np.ndarray
    schedule: np.ndarray
    metric: np.ndarray
    draws: np.ndarray
    gradients: np.ndarray
    statistics: np.ndarray
    work: np.ndarray

    @classmethod
    def allocate(
        cls,
        dim: int,
        *,
        n_draws: int,
        schedule: np.ndarray,
        random: np.ndarray,
        max_tree_depth: int,
        form: int = DIAGONAL,
        adaptation: int = FIXED,
        decision: int = -1,
        more_rows: int = 0,
    ):
        """A workspace for a chain over `dim` coordinates, with the unit metric.

        With a `decision`, an iteration that renews the metric, it is diagonal till then at least.
        """
        n_iterations = n_draws + len(schedule)
        counts = np.zeros(N_COUNTS, np.int64)
        counts[N_DRAWS], counts[N_WARMUP], counts[MAX_TREE_DEPTH] = n_draws, len(schedule), max_tree_depth
        counts[FORM], counts[ADAPTATION] = form if decision < 0 else DIAGONAL, adaptation
        counts[DECISION], counts[ROOM] = decision, form
        workspace = cls(
            rows=np.zeros((STACK + ROWS_PER_LEVEL * (max_tree_depth + 1) + more_rows, dim)),
            scalars=np.zeros(N_SCALARS),
            counts=counts,
            random=random,
            schedule=schedule,
            metric=_metric(form, dim),
            draws=np.empty((n_iterations, dim)),
            gradients=np.zeros((len(schedule) if adaptation == BY_DRAWS_AND_GRADIENTS else 1, dim)),
            statistics=np.empty((n_iterations, N_STATISTICS)),
            work=np.empty(_scratch(form, dim)),
        )
        workspace.rows[INVERSE_MASS] = 1.0
        workspace.rows[SCALE] = 1.0
        return workspace

    def take_inverse_mass(self, inverse_mass: np.ndarray) -> None:
        """Adopt an inverse mass of the workspace's form."""
        if self.counts[FORM] == DIAGONAL:
            self.rows[INVERSE_MASS] = inverse_mass
            self.rows[SCALE] = np.sqrt(inverse_mass)
            return
        self.metric[:] = _packed(np.linalg.cholesky(inverse_mass))

    def inverse_mass(self) -> np.ndarray:
        """The inverse mass: a (dim, dim) matrix if it is dense, else its (dim,) diagonal."""
        diagonal, dim = self.rows[INVERSE_MASS], self.rows.shape[1]
        if self.counts[FORM] == DENSE:
            factor = self.metric[: dim * dim].reshape(dim, dim)
            return factor @ factor.T
        if self.counts[FORM] == LOW_RANK:
            directions, eigenvalues = self._directions()
            return diagonal * (1.0 + (eigenvalues - 1.0) @ directions**2)
        return diagonal.copy()

    def masses(self, vectors: np.ndarray) -> np.ndarray:
        """The product of the mass matrix, the inverse of the inverse mass, with vectors of shape (n, dim)."""
        if self.counts[FORM] == DENSE:
            return np.linalg.solve(self.inverse_mass(), vectors.T).T
        if self.counts[FORM] == LOW_RANK:
            scale = self.rows[SCALE]
            directions, eigenvalues = self._directions()
            scaled = vectors / scale
            return (scaled + scaled @ directions.T * (1.0 / eigenvalues - 1.0) @ directions) / scale
        return vectors / self.rows[INVERSE_MASS]

    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit directions of a low-rank metric, (n, dim), and its eigenvalues in them."""
        n, dim = int(self.counts[N_DIRECTIONS]), self.rows.shape[1]
        stretches = self.metric[STRETCHES * dim :][:n]
        return self.metric[: n * dim].reshape(n, dim), (1.0 + stretches) ** 2

    def to_lists(self) -> tuple:
        """The arrays flat, in the order in which the kernels take them, for kernels that run in Python.

        Python computes with the elements of a list four times faster than with those of an array, and twice as fast as
        with those of a memory view. What is written once, or seldom read, are views of the arrays; the rest are copies
        for `take_back`.
        """
        lists = self.rows, self.scalars, self.counts, self.random, self.schedule, self.metric
        views = self.draws, self.gradients, self.statistics, self.work
        return (*(a.ravel().tolist() for a in lists), *(memoryview(a.ravel()) for a in views))

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The arrays in the order in which the kernels take them."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def take_back(self, rows: list, scalars: list, counts: list, random: list, _schedule, metric: list, *_) -> None:
        """Copy what kernels have done to the lists back into the arrays, the count of finished iterations last."""
        self.rows.ravel()[:] = rows
        self.scalars[:] = scalars
        self.random[:] = random
        self.metric[:] = metric
        self.counts[:] = counts


def _metric(form: int, dim: int) -> np.ndarray:
    """Room for what a metric has besides its diagonal, with that of the unit metric."""
    if form == DENSE:
        return _packed(np.eye(dim))
    return np.zeros(STRETCHES * dim + RANK if form == LOW_RANK else 1)


def _packed(factor: np.ndarray) -> np.ndarray:
    """What `metric` holds of a dense metric."""
    dim = len(factor)
    padding = np.zeros((dim, padded(dim) - dim))
    parts = factor, np.concatenate([factor, padding], axis=1), np.concatenate([factor.T, padding], axis=1)
    return np.concatenate([part.ravel() for part in parts])


def _scratch(form: int, dim: int) -> int:
    """How many numbers the estimate of a metric of some form takes."""
    few = (7 + 3 * RANK) * dim + 4 * RANK + 4 * (2 * RANK) ** 2  # also asked whether a dense one pays
    return {DIAGONAL: 11 * dim, LOW_RANK: few, DENSE: max(few, 11 * dim + 3 * dim * dim)}[form]
