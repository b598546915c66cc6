"""Mistakes in models: each is a clear error that names site, index, value and the way out."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from probad import dist
from probad.errors import (
    ArgumentError,
    ConversionError,
    DataError,
    DuplicateSiteError,
    InPlaceError,
    ModelError,
    ParameterError,
    ShapeError,
)
from probad.model import deterministic, factor, model, sample
from tests.tolerances import EXACT


def latent(name="mu", **options):
    return sample(name, dist.Normal(0.0, 1.0), **options)


def observe(distribution, y, **options):
    return lambda: (latent(), sample("y", distribution, obs=y, **options))


CALLS = []


def hidden_state():
    CALLS.append(latent())
    factor("count", -0.1 * len(CALLS))


def same_name():
    for _ in range(2):
        latent("x")


def observed_latent():
    mu = latent()
    sample("y", dist.Normal(0.0, 1.0), obs=mu - 1.0)


def writes_to_data(y):
    y[0] = 3.0
    observe(dist.Normal(0.0, 1.0), y)()


def condition_on_an_array():
    x = latent("x", shape=2)
    return x if x > 0 else -x


def random_numbers():
    factor("noise", np.random.default_rng().normal() * (1.0 + latent()))


NORMAL = dist.Normal(0.0, 1.0)
EIGHT = dist.Normal(np.zeros(8), 1.0)
PAIR = dist.MvNormal(np.zeros(2), np.eye(2))

MISTAKES = {
    # data
    "nan": (observe(NORMAL, [1.0, np.nan]), DataError, ["nan at index 1", "site 'y'", "Leave missing values out"]),
    "None": (observe(NORMAL, np.array([1.0, None], dtype=float)), DataError, ["nan at index 1", "'y'"]),
    "masked": (observe(NORMAL, np.ma.masked_array([1.0, 2.0], [False, True])), DataError, ["nan at index 1", "'y'"]),
    "nan where the support moves": (
        lambda: sample("y", dist.Uniform(0.0, latent() ** 2 + 1.0), obs=[np.nan]),
        DataError,
        ["nan at index 0", "'y'"],
    ),
    "negative count": (observe(dist.Poisson(1.0), [2, -1]), DataError, ["integer >= 0", "-1 at index 1", "'y'"]),
    "half a count": (observe(dist.Poisson(1.0), [2, 0.5]), DataError, ["integer >= 0", "0.5 at index 1", "'y'"]),
    "outside": (observe(dist.Uniform(0.0, 1.0), [0.5, 2.0]), DataError, ["2.0 at index 1", "'y'"]),
    "strings": (observe(NORMAL, ["a", "b"]), DataError, ["numbers", "'y'"]),
    "computed data": (observed_latent, ModelError, ["'y'", "latent variables", "pb.factor"]),
    "writes to data": ((writes_to_data, np.zeros(3)), InPlaceError, ["read-only", "y.copy()"]),
    "complex": ((lambda y: latent(), np.ones(2) * 1j), DataError, ["'y'", "complex"]),
    # shapes
    "column": (observe(EIGHT, np.zeros((8, 1))), ShapeError, ["'y'", "(8, 1)", "(8,)", "(8, 8)", "y[:, 0]"]),
    "column with dims": (
        observe(EIGHT, np.zeros((8, 1)), dims=("school", "one")),
        ShapeError,
        ["'y'", "(8, 1)", "dims ('school', 'one')", "y[:, 0]"],
    ),
    "other length": (observe(EIGHT, np.zeros(7)), ShapeError, ["'y'", "(7,)", "(8,)", "do not broadcast"]),
    "one datum": (observe(EIGHT, 1.0), ShapeError, ["'y'", "()", "(8,)", "repeating"]),
    "event": (observe(PAIR, np.zeros((5, 3))), ShapeError, ["'y'", "(2,)", "(5, 3)"]),
    "declared shape": (observe(NORMAL, np.zeros(3), shape=4), ShapeError, ["'y'", "shape=(4,)", "(3,)"]),
    "small shape": (lambda: sample("x", EIGHT, shape=4), ShapeError, ["'x'", "shape=(4,)", "(8,)"]),
    "half a shape": (lambda: latent(shape=2.5), ArgumentError, ["shape", "2.5", "'mu'"]),
    "negative shape": (lambda: latent(shape=(2, -1)), ArgumentError, ["shape", "-1", "'mu'"]),
    "parameters": (
        lambda: sample("x", dist.Normal(np.zeros(3), np.ones(4))),
        ShapeError,
        ["'x'", "loc (3,)", "scale (4,)"],
    ),
    "in user code": (lambda: latent("x", shape=3) + np.zeros(4), ShapeError, ["'x'", "(3,) (4,)"]),
    "matmul": (lambda: np.zeros((2, 3)) @ latent("x", shape=2), ShapeError, ["'x'", "matmul"]),
    "too few dims": (observe(EIGHT, np.zeros((2, 8)), dims="school"), ShapeError, ["'y'", "1 of 2 axes", "(2, 8)"]),
    "unknown dim": (lambda: latent(dims="scool"), ShapeError, ["'mu'", "'scool'", "coords=", "Did you mean 'school'?"]),
    "dims and coords": (
        observe(NORMAL, np.zeros(7), dims="school"),
        ShapeError,
        ["'y'", "'school'", "8 labels", "length 7", "axis 0"],
    ),
    "dims and an earlier site": (
        lambda: (latent("a", shape=3, dims="g"), latent("b", shape=4, dims="g")),
        ShapeError,
        ["'b'", "'g'", "3 entries at an earlier site", "length 4"],
    ),
    "one dim twice": (lambda: latent(dims=("school", "school")), ModelError, ["different", "'mu'"]),
    "dims of numbers": (lambda: latent(dims=3), ModelError, ["dims", "3", "'mu'"]),
    "dim draw": (lambda: latent(shape=2, dims="draw"), ModelError, ["'draw'", "'mu'"]),
    "site named as a dimension": (lambda: latent("school", dims="school"), ModelError, ["'school'", "two names"]),
    # structure
    "same name": (same_name, DuplicateSiteError, ["'x'", "test_mistakes.py:", "loop", 'f"x{i}"']),
    "no name": (lambda: latent(""), ModelError, ["name", "''"]),
    "swapped": (lambda: sample(NORMAL, "x"), ModelError, ["name", "Normal"]),
    "slash": (lambda: latent("a/b"), ModelError, ["'a/b'", "Rename"]),
    "class": (lambda: sample("x", dist.Normal), ModelError, ["'x'", "Normal(...)"]),
    "scipy distribution": (lambda: sample("x", scipy.stats.norm()), ModelError, ["'x'", "probad.dist", "scipy"]),
    "discrete": (lambda: sample("k", dist.Poisson(3.0)), ModelError, ["'k'", "discrete", "obs=", "logsumexp"]),
    "text": (lambda: deterministic("d", "text"), ModelError, ["'d'", "str"]),
    "array condition": (condition_on_an_array, ModelError, ["'x'", "np.where"]),
    "random numbers": (random_numbers, ModelError, ["differ", "random numbers"]),
    "hidden state": (hidden_state, ModelError, ["differ", "outside itself"]),
    "iterator": ((lambda values: latent(), iter([1.0, 2.0])), DataError, ["'values'", "list(values)"]),
    # parameters
    "constant scale": (lambda: sample("x", dist.Normal(0.0, -1.0)), ParameterError, ["scale", "> 0", "-1.0", "'x'"]),
    "latent scale": (
        lambda: sample("x", dist.Normal(0.0, -np.exp(latent()))),
        ParameterError,
        ["scale", "> 0", "-1.0", "'x'", "np.exp"],
    ),
    "one of many": (
        lambda: sample("x", dist.Normal(0.0, [1.0, 2.0, -3.0])),
        ParameterError,
        ["-3.0 at index 2", "'x'"],
    ),
    # what only derivatives meet
    "float": (lambda: float(latent()), ConversionError, ["float(x)"]),
    "math": (lambda: math.exp(latent()), ConversionError, ["np.exp(x), not math.exp(x)"]),
    "scipy.stats": (lambda: scipy.stats.norm.logpdf(latent()), ConversionError, ["scipy.stats", "dist.Normal"]),
    "rng": (lambda: np.random.default_rng(1).normal(latent()), ConversionError, ["rng.normal(x)"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_in_a_model(case):
    body, error, words = MISTAKES[case]
    body, *args = body if isinstance(body, tuple) else (body,)
    with pytest.raises(error) as caught:
        model(body)(*args, coords={"school": list("ABCDEFGH")})
    for word in words:
        assert word in str(caught.value)


def test_errors_say_where_in_the_model_they_happened():
    def named():
        latent("alpha")
        float(latent("beta"))

    with pytest.raises(ConversionError) as caught:
        model(named)()
    assert caught.value.__notes__ == ["While differentiating model 'named', after site 'beta'."]


def test_both_lines_of_a_duplicate_are_named():
    def twice():
        latent("x")
        latent("y")
        sample("x", NORMAL)

    with pytest.raises(DuplicateSiteError, match=r"test_mistakes.py:\d+ and test_mistakes.py:\d+"):
        model(twice)()


@model
def accepts(sigma, y=None, *, n_groups=3):
    latent()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: accepts(1.0, sgima=2.0), ["accepts() has no argument 'sgima'", "'sigma'", "sigma, y=None", "coords="]),
        (lambda: accepts(1.0, cords={}), ["'cords'", "Did you mean 'coords'?"]),
        (lambda: accepts(1.0, whatever=2.0), ["'whatever'", "It takes accepts(sigma, y=None, *, n_groups=3, coords="]),
        (lambda: accepts(), ["misses its argument 'sigma'", "It takes"]),
        (lambda: accepts(1.0, 2.0, 3.0), ["too many positional arguments", "It takes"]),
        (lambda: accepts(1.0, sigma=2.0), ["multiple values", "'sigma'"]),
        (lambda: accepts(1.0, coords=["A"]), ["coords", "dict", "list"]),
        (lambda: accepts(1.0, coords={"school": "ABC"}), ["coords['school']", "'ABC'"]),
        (lambda: accepts(1.0, coords={"school": 2.5}), ["coords['school']", "2.5"]),
    ],
)
def test_mistake_in_a_call(call, words):
    with pytest.raises(ArgumentError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_coords_that_look_like_a_misspelt_dimension():
    def body(y):
        sample("y", dist.Normal(latent(), 1.0), obs=y, dims="school")

    with pytest.raises(ArgumentError, match=r"'schools'.*Did you mean 'school'"):
        model(body)(np.zeros(2), coords={"schools": ["a", "b"]})
    bound = model(body)(np.zeros(2), coords={"year": [1, 2], "mu": [1]})  # one set of coords may serve many models
    assert {dim: list(labels) for dim, labels in bound.coords.items()} == {"school": [0, 1]}


def test_coords_belong_to_the_outer_call():
    with pytest.raises(ArgumentError, match="outer call"):
        model(lambda: accepts(1.0, coords={}))()


@pytest.mark.parametrize(
    ("decorate", "words"),
    [
        (lambda: model(3.0), ["decorates a function", "3.0"]),
        (lambda: model(dist.Normal), ["decorates a function"]),
        (lambda: model(lambda coords: None), ["'coords'", "Rename"]),
        (lambda: model(lambda: (yield)), ["yield"]),
    ],
)
def test_what_is_not_a_model(decorate, words):
    with pytest.raises(ModelError) as caught:
        decorate()
    for word in words:
        assert word in str(caught.value)


def test_a_model_without_latent_variables_has_no_density():
    bound = model(lambda: sample("y", NORMAL, obs=1.0))()
    with pytest.raises(ModelError, match="no latent variable"):
        bound.density()


def test_mistakes_of_numpy_users_that_work():
    """What NumPy and SciPy's ufuncs do on traced values is not a mistake."""

    def body():
        x = latent("x", shape=3)
        factor("f", np.sum(scipy.special.gammaln(np.exp(x))) + np.float64(2.0) * x[0] + np.asarray([1.0, 2.0, 3.0]) @ x)

    z = np.array([0.1, 0.2, 0.3])
    expected = scipy.stats.norm.logpdf(z).sum() + scipy.special.gammaln(np.exp(z)).sum() + 2 * z[0] + z @ [1, 2, 3]
    assert model(body)().density().logp(z) == pytest.approx(expected, rel=EXACT)


def test_a_layout_that_fails_says_where_a_nan_begins():
    def body(y):
        a = sample("a", dist.Normal(0.0, 1.0), shape=3)
        rate = np.log(-np.abs(a)) + sample("b", dist.HalfNormal(1.0))
        sample("y", dist.Normal(rate, 1.0), obs=y)

    with pytest.raises(ParameterError, match=r"loc=\.\.\.\) must be a finite number; got -inf at index 0") as error:
        model(body)(np.zeros(3))
    first, second = error.value.__notes__
    assert second.endswith("after site 'b'.")
    assert first.startswith("It begins with log(-0) = -inf at index 0, in body, test_mistakes.py:")
    assert first.endswith('rate = np.log(-np.abs(a)) + sample("b", dist.HalfNormal(1.0)).')


def test_a_layout_that_fails_by_a_finite_number_says_no_more():
    with pytest.raises(ParameterError) as error:
        model(lambda: sample("y", dist.Normal(0.0, -np.abs(latent())), obs=1.0))()
    assert [note.partition(", ")[2] for note in error.value.__notes__] == ["after site 'mu'."]
