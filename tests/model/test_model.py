"""Models and bound models: calls, sub-models, data, shapes and dims, the table."""

import collections
import dataclasses

import numpy as np
import pytest
from scipy import stats

from probad import dist
from probad.model import BoundModel, Model, deterministic, factor, model, sample
from tests.tolerances import EXACT


@model
def regression(x, y=None, *, scale=1.0):
    """A line through the data."""
    slope = sample("slope", dist.Normal(0.0, 1.0))
    sample("y", dist.Normal(slope * x, scale), obs=y)
    return slope


# --- calls ------------------------------------------------------------------------------------------------------------
def test_a_model_keeps_what_its_function_says_of_itself():
    assert isinstance(regression, Model)
    assert regression.__name__ == "regression"
    assert regression.__doc__ == "A line through the data."
    assert list(regression.signature.parameters) == ["x", "y", "scale"]
    assert repr(regression) == "<model regression(x, y=None, *, scale=1.0)>"


def test_the_decorator_may_be_called():
    @model()
    def empty():
        sample("x", dist.Normal(0.0, 1.0))

    assert isinstance(empty(), BoundModel)


def test_arguments_are_bound_by_name():
    bound = regression(np.ones(2), y=[1.0, 2.0])
    assert bound.fn is regression
    assert list(bound.args) == ["x", "y", "scale"]
    assert bound.args["scale"] == 1.0


def test_variable_arguments():
    @model
    def sums(*parts, **named):
        mu = sample("mu", dist.Normal(0.0, 1.0))
        for i, part in enumerate(parts):
            sample(f"part{i}", dist.Normal(mu, 1.0), obs=part)
        for name, part in named.items():
            sample(name, dist.Normal(mu, 1.0), obs=part)

    assert [s.name for s in sums([1.0], [2.0, 3.0], extra=4.0).sites] == ["mu", "part0", "part1", "extra"]


def test_a_model_without_data_is_laid_out_too():
    sites = regression(np.ones(4)).sites
    assert [(s.name, s.kind, s.shape) for s in sites] == [("slope", "latent", ()), ("y", "latent", (4,))]


def test_a_model_inside_a_model_is_a_plain_call():
    @model
    def prior(prefix):
        return sample(f"{prefix}.scale", dist.HalfNormal(1.0))

    @model
    def outer(y):
        a, b = prior("a"), prior(prefix="b")
        sample("y", dist.Normal(a, b), obs=y)

    bound = outer([1.0, 2.0])
    assert [s.name for s in bound.sites] == ["a.scale", "b.scale", "y"]
    z = np.array([0.2, -0.3])
    a, b = np.exp(z)
    expected = stats.halfnorm.logpdf([a, b]).sum() + z.sum() + stats.norm.logpdf([1.0, 2.0], a, b).sum()
    assert bound.density().logp(z) == pytest.approx(expected, rel=EXACT)


# --- data -------------------------------------------------------------------------------------------------------------
def test_later_changes_of_the_data_do_not_reach_the_model():
    x, y = np.array([1.0, 2.0]), [0.5, 1.5]
    density = regression(x, y=y).density()
    before = density.logp([0.3])
    x[0], y[0] = 100.0, 100.0
    assert density.logp([0.3]) == before


@dataclasses.dataclass
class Design:
    x: np.ndarray
    label: str


Pair = collections.namedtuple("Pair", "first second")


def test_data_become_float_and_int_arrays_that_cannot_be_written_to():
    def look(**data):
        seen.update(data)
        sample("mu", dist.Normal(0.0, 1.0))

    seen: dict = {}
    model(look)(
        floats=np.ones(2, dtype=np.float32),
        ints=np.ones(2, dtype=np.uint8),
        flags=np.array([True, False]),
        numbers=[1, 2, 3],
        table=[[1.0, 2.0], [3.0, 4.0]],
        ragged=[[1.0], [2.0, 3.0]],
        words=["a", "b"],
        pair=Pair(np.ones(1), 2),
        nested={"x": [1.0]},
        design=Design(np.ones(2), "d"),
        scalar=np.float32(0.5),
        number=3,
        function=len,
    )
    kinds = {"floats": "float64", "ints": "int64", "flags": "bool", "numbers": "int64", "table": "float64"}
    for name, dtype in kinds.items():
        assert seen[name].dtype == dtype
        assert not seen[name].flags.writeable
    assert seen["table"].shape == (2, 2)
    assert isinstance(seen["ragged"], list)
    assert seen["ragged"][1].dtype == np.float64
    assert seen["words"] == ["a", "b"]
    assert isinstance(seen["pair"], Pair)
    assert not seen["pair"].first.flags.writeable
    assert not seen["nested"]["x"].flags.writeable
    assert seen["design"].label == "d"
    assert not seen["design"].x.flags.writeable
    assert isinstance(seen["scalar"], np.float64)
    assert seen["number"] == 3
    assert seen["function"] is len


def test_pandas_columns_are_data():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1.0, 2.0], "y": [0.5, 1.5]})
    expected = regression([1.0, 2.0], y=[0.5, 1.5]).density().logp([0.3])
    assert regression(frame["x"], y=frame["y"]).density().logp([0.3]) == expected


# --- shapes and dims --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("distribution", "options", "shape"),
    [
        (dist.Normal(0.0, 1.0), {}, ()),
        (dist.Normal(0.0, 1.0), {"shape": 3}, (3,)),
        (dist.Normal(np.zeros(3), 1.0), {}, (3,)),
        (dist.Normal(np.zeros(3), 1.0), {"shape": (2, 3)}, (2, 3)),
        (dist.Normal(np.zeros((3, 1)), 1.0), {"shape": (3, 4)}, (3, 4)),
        (dist.MvNormal(np.zeros(2), np.eye(2)), {"shape": 5}, (5, 2)),
        (dist.Normal(0.0, 1.0), {"dims": "school"}, (8,)),
        (dist.Normal(0.0, 1.0), {"dims": ("year", "school")}, (2, 8)),
        (dist.Normal(np.zeros((2, 1)), 1.0), {"dims": ("year", "school")}, (2, 8)),
        (dist.Normal(np.zeros(5), 1.0), {"dims": "other"}, (5,)),
        (dist.Normal(0.0, 1.0), {"dims": "other", "shape": 4}, (4,)),
        (dist.Dirichlet(np.ones(3)), {"dims": ("school", "part")}, (8, 3)),
        (dist.Normal(0.0, 1.0), {"shape": (0,)}, (0,)),
    ],
)
def test_shape_of_a_latent_site(distribution, options, shape):
    coords = {"school": list("ABCDEFGH"), "year": 2}
    (site,) = model(lambda: sample("x", distribution, **options))(coords=coords).sites
    assert site.shape == shape


def test_a_dimension_keeps_its_length_through_the_model():
    def body(y):
        x = sample("x", dist.Normal(0.0, 1.0), shape=3, dims="group")
        z = sample("z", dist.Normal(0.0, 1.0), dims="group")
        deterministic("sum", x + z, dims="group")
        sample("y", dist.Normal(x + z, 1.0), obs=y, dims=("row", "group"))

    bound = model(body)(np.zeros((5, 3)))
    assert {s.name: s.shape for s in bound.sites} == {"x": (3,), "z": (3,), "sum": (3,), "y": (5, 3)}
    assert {name: len(labels) for name, labels in bound.coords.items()} == {"group": 3, "row": 5}


def test_observed_event_shapes():
    def body(y):
        mu = sample("mu", dist.MvNormal(np.zeros(2), np.eye(2)))
        sample("y", dist.MvNormal(mu, np.eye(2)), obs=y)

    y = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    bound = model(body)(y)
    assert "2 unconstrained dimensions, 3 observations" in repr(bound)
    z = np.array([0.5, -0.5])
    expected = stats.norm.logpdf(z).sum() + stats.norm.logpdf(y, z).sum()
    assert bound.density().logp(z) == pytest.approx(expected, rel=EXACT)


def test_a_start_that_breaks_a_rule_is_moved():
    """abs(x) as a scale is 0 at the usual start, and positive elsewhere."""

    def body(y):
        x = sample("x", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal(0.0, abs(x)), obs=y)

    expected = stats.norm.logpdf(0.4) + stats.norm.logpdf([1.0, 2.0], 0.0, 0.4).sum()
    assert model(body)([1.0, 2.0]).density().logp([-0.4]) == pytest.approx(expected, rel=EXACT)


# --- the table --------------------------------------------------------------------------------------------------------
def test_the_table_of_sites():
    @model
    def show(y):
        mu = sample("mu", dist.Normal(0.0, 1.0), dims="school")
        p = sample("p", dist.Dirichlet(np.ones(3)))
        deterministic("total", np.sum(mu))
        factor("soft", -p[0])
        sample("y", dist.Poisson(np.exp(mu)), obs=y, dims=("row", "school"))

    assert repr(show(np.ones((4, 2), dtype=int), coords={"school": 2})).splitlines() == [
        "show: 4 unconstrained dimensions, 8 observations",
        "  site   kind           distribution  support          shape   dims",
        "  mu     latent         Normal        real             2       school",
        "  p      latent         Dirichlet     a simplex        3",
        "  total  deterministic                                 scalar",
        "  soft   factor                                        scalar",
        "  y      observed       Poisson       an integer >= 0  4 x 2   row, school",
    ]


def test_the_middle_of_a_long_table_is_left_out():
    @model
    def long():
        for i in range(100):
            sample(f"x{i}", dist.Normal(0.0, 1.0))

    lines = repr(long()).splitlines()
    assert len(lines) == 63
    assert "... 40 more" in lines[32]
    assert "x29 " in lines[31]
    assert "x70 " in lines[33]
