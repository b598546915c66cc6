"""Checks of parameters, data and shapes: the words of the messages, and what constraints contain."""

from __future__ import annotations

import numpy as np
import pytest

from probad import dist
from probad.ad import grad
from probad.dist import bijectors, constraints
from probad.errors import ArgumentError, DataError, ParameterError, ShapeError

INF, NAN = np.inf, np.nan


# --- constraints ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("constraint", "describe", "members", "others"),
    [
        (constraints.real, "a finite number", [-1e300, 0.0], [INF, -INF, NAN]),
        (constraints.positive, "> 0", [1e-300, 5.0], [0.0, -1.0, INF, NAN]),
        (constraints.nonnegative, ">= 0", [0.0, 5.0], [-1e-300, INF, NAN]),
        (constraints.unit_interval, "in [0, 1]", [0.0, 0.3, 1.0], [-1e-9, 1.0001, NAN]),
        (constraints.open_unit_interval, "in (0, 1), the ends excluded", [0.3], [0.0, 1.0, NAN]),
        (constraints.greater_than(-2.0), "> -2.0", [-1.9], [-2.0, INF, NAN]),
        (constraints.greater_than(1, closed=True), ">= 1", [1.0], [0.9, INF, NAN]),
        (constraints.less_than(3.0), "< 3.0", [2.9], [3.0, -INF, NAN]),
        (constraints.less_than(3.0, closed=True, name="top"), "<= top", [3.0], [3.1, -INF, NAN]),
        (constraints.interval(-1.0, 2.0), "in [-1.0, 2.0]", [-1.0, 2.0], [-1.1, 2.1, NAN]),
        (constraints.integer_interval(0, 4), "an integer in [0, 4]", [0, 4, 2.0], [-1, 5, 0.5, NAN]),
        (constraints.nonnegative_integer, "an integer >= 0", [0, 7, 1e15], [-1, 0.5, INF, NAN]),
        (constraints.boolean, "0 or 1", [0, 1], [0.5, -1, 2, NAN]),
    ],
)
def test_constraints_on_numbers(constraint, describe, members, others):
    assert constraint.describe == describe
    assert describe in repr(constraint)
    assert np.all(constraint.contains(np.array(members)))
    assert not np.any(constraint.contains(np.array(others)))
    values = np.array([*members, *others])
    index, value = constraint.violation(values)
    assert index == (len(members),)
    np.testing.assert_equal(value, others[0])
    assert constraint.violation(np.array(members)) is None


@pytest.mark.parametrize(
    ("constraint", "member", "other", "index", "value"),
    [
        (constraints.simplex, [0.5, 0.0, 0.5], [0.6, -0.1, 0.5], (1,), -0.1),
        (constraints.simplex, [1.0], [0.5, 0.25], (), "a sum of 0.75"),
        (constraints.open_simplex, [0.5, 0.5], [0.0, 1.0], (0,), 0.0),
        (constraints.ordered, [-1.0, 0.0, 7.0], [0.0, 2.0, 2.0], (2,), 2.0),
        (constraints.ordered, [5.0], [0.0, NAN], (1,), NAN),
        (constraints.real_vector, [1.0, -1.0], [0.0, INF], (1,), INF),
        (constraints.positive_vector, [1.0, 2.0], [3.0, 0.0], (1,), 0.0),
        (constraints.lower_cholesky, [[2.0, 0.0], [-5.0, 1.0]], [[2.0, 0.5], [-5.0, 1.0]], (0, 1), 0.5),
        (constraints.lower_cholesky, [[1.0]], [[2.0, 0.0], [-5.0, -1.0]], (1, 1), -1.0),
        (constraints.lower_cholesky, [[1.0]], [[2.0, 0.0], [NAN, 1.0]], (1, 0), NAN),
        (constraints.lower_cholesky, [[1.0]], [[2.0, 0.0, 0.0]], (), "a matrix of 1 rows and 3 columns"),
    ],
)
def test_constraints_on_vectors_and_matrices(constraint, member, other, index, value):
    member, other = np.array(member), np.array(other)
    assert constraint.contains(member).shape == ()
    assert constraint.contains(np.stack([member, member])).tolist() == [True, True]
    assert constraint.contains(member)
    assert not constraint.contains(other)
    assert constraint.violation(member) is None
    found = constraint.violation(other)
    assert found[0] == index
    np.testing.assert_equal(found[1], value)


def test_an_interval_never_rounds_past_its_end():
    rng = np.random.default_rng(0)
    lower, upper = -rng.random(2000), rng.random(2000)
    constraint = constraints.interval(lower, upper)
    x = constraint.bijector().forward(np.full(2000, 60.0))
    assert np.all(constraint.contains(x))
    assert np.any(lower + (upper - lower) > upper), "the example must be one that would round"


def test_the_centre_of_the_simplex_is_zero():
    np.testing.assert_allclose(bijectors.StickBreaking().forward(np.zeros(4)), np.full(5, 0.2), rtol=1e-14)


# --- messages -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("d", "message"),
    [
        (
            dist.Normal(0.0, -1.0),
            (
                "Normal(scale=...) must be > 0; got -1.0 at site 'tau'. If it depends on a latent x, map it there: "
                "np.exp(x)."
            ),
        ),
        (dist.Normal([0.0, NAN], 1.0), "Normal(loc=...) must be a finite number; got nan at index 1 at site 'tau'."),
        (
            dist.Bernoulli([[0.1], [1.2]]),
            (
                "Bernoulli(probs=...) must be in [0, 1]; got 1.2 at index (1, 0) at site 'tau'. If it depends on a "
                "latent x, map it there: scipy.special.expit(x)."
            ),
        ),
        (
            dist.Categorical([0.5, 0.4]),
            (
                "Categorical(probs=...) must be a simplex (entries >= 0 that sum to 1); got a sum of 0.9 at site "
                "'tau'. "
                "If it depends on a latent x, map it there: np.exp(x) divided by its sum."
            ),
        ),
        (dist.Binomial(2.5, 0.5), "Binomial(total_count=...) must be an integer >= 0; got 2.5 at site 'tau'."),
        (dist.Uniform(1.0, 0.0), "Uniform(high=...) must be > low; got 0.0 at site 'tau'."),
        (dist.Normal("a", 1.0), "Normal(loc=...) must be a number or an array of numbers; got a at site 'tau'."),
    ],
)
def test_messages_about_parameters(d, message):
    with pytest.raises(ParameterError) as error:
        d.validate(site="tau")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("d", "data", "message"),
    [
        (dist.Poisson(2.0), [3, -1], "Data of Poisson must be an integer >= 0; got -1 at index 1 at site 'y'."),
        (
            dist.Normal(0.0, 1.0),
            [[0.0, NAN]],
            (
                "Data of Normal are missing; got nan at index (0, 1) at site 'y'. Leave missing values out, or make "
                "them latent variables of the model."
            ),
        ),
        (
            dist.Binomial([3, 5], 0.5),
            [4, 4],
            "Data of Binomial must be an integer in [0, total_count]; got 4 at index 0 at site 'y'.",
        ),
        (
            dist.Categorical([0.5, 0.5]),
            [0, 2],
            "Data of Categorical must be an integer in [0, 1]; got 2 at index 1 at site 'y'.",
        ),
        (dist.Gamma(1.0, 1.0), [1.0, 0.0], "Data of Gamma must be > 0; got 0.0 at index 1 at site 'y'."),
        (dist.Uniform(0.0, 1.0), 1.5, "Data of Uniform must be in [low, high]; got 1.5 at site 'y'."),
        (dist.Normal(0.0, 1.0), ["a"], "Data of Normal must be numbers; got type <U1 at site 'y'."),
    ],
)
def test_messages_about_data(d, data, message):
    with pytest.raises(DataError) as error:
        d.check_value(data, site="y")
    assert str(error.value) == message


def test_messages_about_shapes():
    with pytest.raises(ShapeError, match=r"Normal do not broadcast: loc \(3,\), scale \(2,\)"):
        dist.Normal(np.zeros(3), np.ones(2)).validate()
    with pytest.raises(ShapeError, match=r"shape \(4,\) does not broadcast with Normal.* of batch shape \(3,\)"):
        dist.Normal(np.zeros(3), 1.0).log_prob(np.zeros(4))
    with pytest.raises(ShapeError, match=r"One draw of Dirichlet has shape \(3,\); got a value of shape \(2,\)"):
        dist.Dirichlet(np.ones(3)).log_prob([0.5, 0.5])
    with pytest.raises(ShapeError, match=r"One draw of Dirichlet has shape \(3,\); got a value of shape \(\)"):
        dist.Dirichlet(np.ones(3)).log_prob(0.5)
    with pytest.raises(ShapeError, match=r"at site 'w'"):
        dist.Dirichlet(np.ones(3)).check_shape(np.zeros(2), site="w")


def test_messages_about_alternatives():
    with pytest.raises(ArgumentError) as error:
        dist.Bernoulli()
    assert str(error.value) == "Write Bernoulli(probs=) or Bernoulli(logits=); got none of these."
    with pytest.raises(ArgumentError) as error:
        dist.Binomial(3, probs=0.5, logits=0.0)
    assert str(error.value) == (
        "Write Binomial(total_count=, probs=) or Binomial(total_count=, logits=); got total_count, probs, logits."
    )


# --- printing and tracing -------------------------------------------------------------------------------------------
def test_repr():
    assert repr(dist.Normal(0, 5.0)) == "Normal(loc=0, scale=5.0)"
    assert repr(dist.Normal([1.0, 2.0], np.ones(8))) == "Normal(loc=[1.0, 2.0], scale=<array (8,)>)"
    assert repr(dist.Bernoulli(logits=1.5)) == "Bernoulli(logits=1.5)"
    seen = []

    def look(x):
        seen.append(repr(dist.Normal(x[0], np.exp(x))))
        return np.sum(x)

    grad(look)(np.zeros(3))
    assert seen == ["Normal(loc=<traced>, scale=<traced (3,)>)"]


def test_traced_values_pass_all_checks():
    def density(x):
        d = dist.Normal(0.0, x)
        d.validate()
        d.check_value(x)
        dist.HalfNormal(1.0).check_value(x)
        return d.log_prob(1.0)

    assert grad(density)(2.0) == pytest.approx(-0.5 + 1 / 8)


def test_the_registry_keeps_the_built_in_class():
    built_in = dist.DISTRIBUTIONS["Cauchy"]
    type("Cauchy", (dist.Normal,), {})
    assert dist.DISTRIBUTIONS["Cauchy"] is built_in
