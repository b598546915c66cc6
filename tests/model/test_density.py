"""Densities of models against formulas written by hand, SciPy, and differences; constrain and unconstrain."""

import threading

import numpy as np
import pytest
from scipy import special, stats

from probad import dist
from probad.ad import hvp
from probad.ad.checks import richardson
from probad.errors import ArgumentError, DataError, ModelError, ShapeError
from probad.model import deterministic, factor, model, sample
from probad.stress import stress
from tests.tolerances import EXACT, GRADIENT

Y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
SIGMA = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


@model
def eight_schools(sigma, y=None):
    """Effects of coaching in eight schools."""
    mu = sample("mu", dist.Normal(0.0, 5.0))
    tau = sample("tau", dist.HalfCauchy(5.0))
    theta = sample("theta", dist.Normal(mu, tau), dims="school")
    sample("y", dist.Normal(theta, sigma), obs=y, dims="school")


def bound_schools():
    return eight_schools(SIGMA, y=Y, coords={"school": list("ABCDEFGH")})


def check_gradient(density, points, tolerance=GRADIENT):
    """The gradient agrees with extrapolated central differences in every coordinate."""
    for z in points:
        _, grad_logp = density.logp_and_grad(z)
        expected = [richardson(lambda t, e=e, z=z: density.logp(z + t * e), 1e-2)[0] for e in np.eye(density.dim)]
        np.testing.assert_allclose(grad_logp, expected, rtol=tolerance, atol=tolerance)


# --- values -----------------------------------------------------------------------------------------------------------
def test_eight_schools_is_the_sum_of_scipy_densities_and_the_log_jacobian():
    rng = np.random.default_rng(1)
    density = bound_schools().density()
    assert density.names == ["mu", "tau", *(f"theta[{i}]" for i in range(8))]
    for _ in range(20):
        z = rng.normal(size=10)
        mu, tau, theta = z[0], np.exp(z[1]), z[2:]
        expected = (
            stats.norm.logpdf(mu, 0, 5)
            + stats.halfcauchy.logpdf(tau, scale=5)
            + z[1]
            + stats.norm.logpdf(theta, mu, tau).sum()
            + stats.norm.logpdf(Y, theta, SIGMA).sum()
        )
        assert density.logp(z) == pytest.approx(expected, rel=EXACT)
        assert density.logp_and_grad(z)[0] == pytest.approx(expected, rel=EXACT)


def test_eight_schools_keeps_the_contract():
    assert stress(bound_schools().density()).gradient_error < 1e-8


def test_supports_and_event_shapes():
    rng = np.random.default_rng(2)
    counts = np.array([[3, 0, 2], [1, 1, 4]])

    @model
    def many(counts):
        p = sample("p", dist.Dirichlet(np.array([1.0, 2.0, 3.0])))
        b = sample("b", dist.Beta(2.0, 3.0), shape=2)
        m = sample("m", dist.MvNormal(np.zeros(2), np.eye(2)), shape=3)
        sample("counts", dist.Poisson(10 * p + b[:, None] + np.exp(m[:, 0])), obs=counts)

    density = many(counts).density()
    assert density.dim == 2 + 2 + 6
    assert density.names == ["p[0]", "p[1]", "b[0]", "b[1]", *(f"m[{i},{j}]" for i in range(3) for j in range(2))]
    z = rng.normal(size=10)
    values = density.constrain(z)
    p, b, m = values["p"], values["b"], values["m"]
    np.testing.assert_allclose(b, special.expit(z[2:4]), rtol=EXACT)
    np.testing.assert_array_equal(m, z[4:].reshape(3, 2))

    def simplex(u):
        parts = special.expit(u - np.log([2.0, 1.0]))
        return np.array([parts[0], (1 - parts[0]) * parts[1], (1 - parts[0]) * (1 - parts[1])])

    np.testing.assert_allclose(p, simplex(z[:2]), rtol=EXACT)
    step = 1e-6
    jacobian = np.stack([(simplex(z[:2] + step * e) - simplex(z[:2] - step * e))[:2] / (2 * step) for e in np.eye(2)])
    expected = (
        stats.dirichlet.logpdf(p, [1.0, 2.0, 3.0])
        + np.linalg.slogdet(jacobian)[1]
        + np.sum(stats.beta.logpdf(b, 2, 3) + np.log(b * (1 - b)))
        + stats.norm.logpdf(m).sum()
        + stats.poisson.logpmf(counts, 10 * p + b[:, None] + np.exp(m[:, 0])).sum()
    )
    assert density.logp(z) == pytest.approx(expected, rel=1e-8)
    stress(density)


def test_factor_adds_its_sum():
    @model
    def with_factor(y):
        mu = sample("mu", dist.Normal(0.0, 1.0))
        factor("scalar", -3.0 * mu)
        factor("array", -0.5 * (y - mu) ** 2)
        factor("list", [mu, 2.0])

    y = np.array([1.0, 2.0])
    expected = stats.norm.logpdf(0.4) - 1.2 - 0.5 * np.sum((y - 0.4) ** 2) + 0.4 + 2.0
    density = with_factor(y).density()
    assert density.logp([0.4]) == pytest.approx(expected, rel=EXACT)
    assert density.logp_and_grad([0.4])[1][0] == pytest.approx(-0.4 - 3.0 + np.sum(y - 0.4) + 1.0, rel=EXACT)


def test_support_that_moves_with_a_latent_variable():
    @model
    def nested():
        top = sample("top", dist.HalfNormal(2.0))
        sample("x", dist.Uniform(0.0, top), shape=2)

    density = nested().density()
    z = np.array([0.3, -1.0, 0.7])
    top = np.exp(0.3)
    expected = stats.halfnorm.logpdf(top, scale=2) + 0.3
    expected += np.sum(-np.log(top) + np.log(top * special.expit(z[1:]) * special.expit(-z[1:])))
    assert density.logp(z) == pytest.approx(expected, rel=EXACT)
    check_gradient(density, [z, -z])
    values = density.constrain(np.stack([z, -z]))
    np.testing.assert_allclose(values["x"][0], top * special.expit(z[1:]), rtol=EXACT)
    np.testing.assert_allclose(density.unconstrain({"top": top, "x": values["x"][0]}), z, rtol=EXACT)
    with pytest.raises(DataError, match=r"in \[low, high\].*99\.0 at index 1 at site 'x'"):
        density.unconstrain({"top": 1.0, "x": [0.5, 99.0]})


def test_density_can_be_differentiated_twice():
    density = bound_schools().density()
    z, v = np.linspace(-1, 1, 10), np.cos(np.arange(10.0))
    step = 1e-5
    expected = (density.logp_and_grad(z + step * v)[1] - density.logp_and_grad(z - step * v)[1]) / (2 * step)
    np.testing.assert_allclose(hvp(density.logp, z, v), expected, rtol=1e-6, atol=1e-8)


# --- control flow -----------------------------------------------------------------------------------------------------
def test_if_on_a_latent_value():
    @model
    def branch(y):
        mu = sample("mu", dist.Normal(0.0, 1.0))
        # `if` on a latent value: the two halves have slopes of their own
        mean = 2.0 * mu + mu**2 if mu > 0 else np.sin(mu)
        sample("y", dist.Normal(mean, 1.0), obs=y)

    density = branch(np.array([0.5, 1.5])).density()
    check_gradient(density, [np.array([0.7]), np.array([-0.7]), np.array([0.05]), np.array([-0.05])])
    for mu in (0.7, -0.7):
        mean = 2 * mu + mu**2 if mu > 0 else np.sin(mu)
        expected = stats.norm.logpdf(mu) + stats.norm.logpdf([0.5, 1.5], mean).sum()
        assert density.logp([mu]) == pytest.approx(expected, rel=EXACT)


def test_while_on_a_latent_value():
    @model
    def loop(y):
        rate = sample("rate", dist.HalfNormal(1.0))
        total, term, n = 1.0, 1.0, 0
        while term > 1e-3:  # the number of rounds depends on the latent value
            n += 1
            term = term * rate / n
            total = total + term
        sample("y", dist.Normal(total, 1.0), obs=y)

    density = loop(3.0).density()
    points = [np.array([z]) for z in (-1.0, 0.2, 1.0)]
    check_gradient(density, points)
    rounds = set()
    for z in points:
        rate, total, term, n = np.exp(z[0]), 1.0, 1.0, 0
        while term > 1e-3:
            n += 1
            term *= rate / n
            total += term
        rounds.add(n)
        expected = stats.halfnorm.logpdf(rate) + z[0] + stats.norm.logpdf(3.0, total)
        assert density.logp(z) == pytest.approx(expected, rel=EXACT)
    assert len(rounds) == 3


def test_recursion_on_a_latent_value():
    def halved(x, scale):
        return x if x < 1.0 else scale * halved(x / 2, scale)

    @model
    def recursive(y):
        x = sample("x", dist.LogNormal(1.0, 1.0))
        scale = sample("scale", dist.Normal(1.0, 0.5))
        sample("y", dist.Normal(halved(x, scale), 0.5), obs=y)

    density = recursive([0.1, 0.9]).density()
    check_gradient(density, [np.array([z, 0.8]) for z in (-0.5, 0.3, 1.7, 3.0)])


def test_sites_in_loops_and_recursion():
    @model
    def walk(y):
        def step(i, before):
            x = sample(f"x{i}", dist.Normal(before, 0.5))
            return [x] if i == len(y) - 1 else [x, *step(i + 1, x)]

        for i, x in enumerate(step(0, 0.0)):
            sample(f"y{i}", dist.Normal(x, 1.0), obs=y[i])

    y = np.array([0.3, 0.1, -0.4, 2.0])
    density = walk(y).density()
    z = np.array([0.1, 0.2, -0.3, 0.5])
    expected = stats.norm.logpdf(np.diff(z, prepend=0.0), scale=0.5).sum() + stats.norm.logpdf(y, z).sum()
    assert density.logp(z) == pytest.approx(expected, rel=EXACT)
    check_gradient(density, [z])


def test_the_order_of_sites_may_depend_on_latent_values():
    @model
    def either(y):
        a = sample("a", dist.Normal(0.0, 1.0))
        for name in ("b", "c") if a > 0 else ("c", "b"):
            sample(name, dist.Normal(a, 2.0))
        if a > 1:
            factor("penalty", -a)

    density = either(0.0).density()
    for a in (-0.5, 0.5, 1.5):
        expected = stats.norm.logpdf(a) + stats.norm.logpdf([1.0, 2.0], a, 2.0).sum() - (a if a > 1 else 0.0)
        assert density.logp([a, 2.0, 1.0]) == pytest.approx(expected, rel=EXACT)


def test_latent_values_take_writes_in_place_and_lists():
    @model
    def built(y):
        rho = sample("rho", dist.Uniform(-1.0, 1.0))
        x = np.zeros_like(rho * y)
        for t in range(1, len(y)):
            x[t] = rho * y[t - 1]
        loc = np.array([x[i] for i in range(len(y))])
        sample("y", dist.Normal(loc, 1.0), obs=y)

    y = np.array([0.3, 1.0, -0.5])
    density = built(y).density()
    rho = 2 * special.expit(0.4) - 1
    expected = np.log(special.expit(0.4) * special.expit(-0.4)) + stats.norm.logpdf(y, [0, *rho * y[:-1]]).sum()
    assert density.logp([0.4]) == pytest.approx(expected, rel=EXACT)
    check_gradient(density, [np.array([0.4])])


def test_writing_into_a_latent_value_changes_neither_draws_nor_density():
    @model
    def zero_sum(y):
        x = sample("x", dist.Normal(0.0, 1.0), shape=3)
        x[2] = -x[0] - x[1]
        deterministic("closed", x)
        sample("y", dist.Normal(x, 1.0), obs=y)

    density = zero_sum([0.1, 0.2, 0.3]).density()
    draws = np.array([[0.5, -0.3, 0.9], [1.0, 2.0, 3.0]])
    kept = draws.copy()
    values = density.constrain(draws)
    np.testing.assert_array_equal(draws, kept)
    np.testing.assert_array_equal(values["x"], kept)
    np.testing.assert_allclose(values["closed"][:, 2], -kept[:, 0] - kept[:, 1], rtol=EXACT)
    np.testing.assert_array_equal(density.unconstrain({"x": kept[0]}), kept[0])
    expected = stats.norm.logpdf(kept[0]).sum() + stats.norm.logpdf([0.1, 0.2, 0.3], [0.5, -0.3, -0.2]).sum()
    assert density.logp(kept[0]) == pytest.approx(expected, rel=EXACT)
    check_gradient(density, draws)


# --- constrain and unconstrain ----------------------------------------------------------------------------------------
@model
def derived(y):
    mu = sample("mu", dist.Normal(0.0, 1.0))
    tau = sample("tau", dist.HalfNormal(1.0), dims="group")
    deterministic("ratio", mu / tau, dims="group")
    deterministic("sign", 1 if mu > 0 else -1)
    sample("y", dist.Normal(mu, tau), obs=y, dims="group")


def bound_derived():
    return derived([1.0, 2.0], coords={"group": ["a", "b"]})


def test_constrain_gives_latent_and_deterministic_values():
    bound = bound_derived()
    density = bound.density()
    assert [(v.name, v.shape, v.dims, v.kind) for v in density.variables] == [
        ("mu", (), None, "latent"),
        ("tau", (2,), ("group",), "latent"),
        ("ratio", (2,), ("group",), "deterministic"),
        ("sign", (), None, "deterministic"),
    ]
    draws = np.random.default_rng(4).normal(size=(2, 5, 3))
    values = bound.constrain(draws)
    np.testing.assert_allclose(values["tau"], np.exp(draws[..., 1:]), rtol=EXACT)
    np.testing.assert_allclose(values["ratio"], draws[..., :1] / np.exp(draws[..., 1:]), rtol=EXACT)
    np.testing.assert_array_equal(values["sign"], np.where(draws[..., 0] > 0, 1, -1))
    one = bound.constrain(draws[1, 2])
    np.testing.assert_array_equal(one["ratio"], values["ratio"][1, 2])
    np.testing.assert_allclose(bound.unconstrain(one), draws[1, 2], rtol=EXACT)
    stress(density)


def test_constrain_of_a_model_without_deterministic_sites_is_the_same_in_one_go():
    density = bound_schools().density()
    draws = np.random.default_rng(5).normal(size=(3, 10))
    together = density.constrain(draws)
    for i, z in enumerate(draws):
        for name, value in density.constrain(z).items():
            np.testing.assert_array_equal(together[name][i], value)
    together["mu"][:] = np.nan  # the caller's own
    assert np.isfinite(draws).all()


def test_constrain_of_no_draws():
    assert bound_derived().constrain(np.zeros((0, 3)))["ratio"].shape == (0, 2)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"mu": 0.0}, ArgumentError, ["'tau'", "(2,)", "missing"]),
        ({"mu": 0.0, "tua": [1.0, 1.0]}, ArgumentError, ["'tua'", "'tau'"]),
        ({"mu": 0.0, "tau": 1.0}, ShapeError, ["'tau'", "(2,)", "()"]),
        ({"mu": 0.0, "tau": [1.0, -2.0]}, DataError, [">= 0", "-2.0", "index 1", "'tau'"]),
        ({"mu": 0.0, "tau": [1.0, 0.0]}, DataError, ["edge", "'tau'"]),
        ([0.0, 1.0], ArgumentError, ["dict", "list"]),
    ],
)
def test_unconstrain_names_mistakes(params, error, words):
    with pytest.raises(error) as caught:
        bound_derived().unconstrain(params)
    for word in words:
        assert word in str(caught.value)


def test_data_behind_the_density():
    density = bound_schools().density()
    np.testing.assert_array_equal(density.observed_data["y"], Y)
    assert list(density.constant_data) == ["sigma"]
    assert density.data_dims == {"y": ("school",)}
    np.testing.assert_array_equal(density.coords["school"], list("ABCDEFGH"))


# --- robustness -------------------------------------------------------------------------------------------------------
def test_threads_are_independent():
    density = bound_schools().density()
    points = np.random.default_rng(6).normal(size=(20, 10))
    expected = [density.logp_and_grad(z) for z in points]
    failures = []

    def work(fork):
        for _ in range(5):
            for z, (logp, grad_logp) in zip(points, expected, strict=True):
                found = fork.logp_and_grad(z)
                if found[0] != logp or not np.array_equal(found[1], grad_logp):
                    failures.append(z)

    threads = [threading.Thread(target=work, args=(density.fork(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("kind", ["missing", "new", "deterministic"])
def test_sites_that_come_and_go(kind):
    @model
    def unsteady():
        a = sample("a", dist.Normal(0.0, 1.0))
        b = sample("b", dist.Normal(0.0, 1.0)) if a < 0.5 or kind != "missing" else 0.0
        if a > 0.5 and kind == "new":
            sample("c", dist.Normal(0.0, 1.0))
        if a < 0.5 or kind != "deterministic":
            deterministic("d", a + b)

    density = unsteady().density()
    assert np.isfinite(density.logp([0.0, 0.0]))
    name = {"missing": "b", "new": "c", "deterministic": "d"}[kind]
    with pytest.raises(ModelError, match=rf"'{name}' \(test_density.py:\d+\) is not declared on every path"):
        density.logp([1.0, 0.0])
    with pytest.raises(ModelError, match=f"'{name}'"):
        density.constrain([1.0, 0.0])
    logp_out, grad_out = np.zeros(1), np.zeros(2)
    assert density.evaluate(0, np.array([1.0, 0.0]), logp_out, grad_out) == 2
    assert f"'{name}'" in str(density.failure)


def test_a_site_declared_twice_on_one_path_only():
    @model
    def twice():
        a = sample("a", dist.Normal(0.0, 1.0))
        for _ in range(2 if a > 0.5 else 1):
            sample("b", dist.Normal(0.0, 1.0))

    with pytest.raises(ModelError, match="'b' is declared twice"):
        twice().density().logp([1.0, 0.0])


@pytest.mark.parametrize("which", ["value", "data", "kind"])
def test_shapes_and_kinds_must_not_move(which):
    @model
    def moving():
        a = sample("a", dist.Normal(0.0, 1.0))
        far = bool(a > 0.5)
        sample("b", dist.Normal(np.zeros(3) if far and which == "value" else 0.0, 1.0))
        data = np.zeros(4 if far and which == "data" else 2)
        sample("y", dist.Normal(a, 1.0), obs=None if far and which == "kind" else data)

    density = moving().density()
    with pytest.raises(
        ModelError, match={"value": r"\(3,\) here, but \(\)", "data": r"\(4,\)", "kind": "latent"}[which]
    ):
        density.logp([1.0, 0.0])


def test_distribution_may_change_with_a_branch_if_the_support_fits():
    @model
    def mixed():
        a = sample("a", dist.Normal(0.0, 1.0))
        sample("b", dist.Normal(0.0, 1.0) if a < 0.5 else dist.Exponential(1.0))

    density = mixed().density()
    assert density.logp([0.0, 0.3]) == pytest.approx(stats.norm.logpdf([0.0, 0.3]).sum(), rel=EXACT)
    expected = stats.norm.logpdf(1.0) + stats.expon.logpdf(np.exp(0.3)) + 0.3
    assert density.logp([1.0, 0.3]) == pytest.approx(expected, rel=EXACT)
    check_gradient(density, [np.array([0.0, 0.3]), np.array([1.0, 0.3])])


# --- explain ----------------------------------------------------------------------------------------------------------
def explanation(body, *args, z):
    return model(body)(*args).density().explain(z)


def test_explain_names_parameter_rule_index_and_parents():
    def body():
        mu = sample("mu", dist.Normal(0.0, 1.0))
        sample("x", dist.Normal(0.0, np.stack([mu + 2.0, mu])), obs=np.zeros(2))

    text = explanation(body, z=[-1.0])
    for word in ("Normal(scale=...) must be > 0", "got -1.0 at index 1", "site 'x'", "mu = -1"):
        assert word in text


def test_explain_names_data_outside_a_moving_support():
    def body(y):
        top = sample("top", dist.HalfNormal(1.0))
        sample("y", dist.Uniform(0.0, top), obs=y)

    text = explanation(body, [0.1, 0.7], z=[np.log(0.5)])
    for word in ("site 'y'", "0.7 at index 1", "[low, high]", "high = 0.5", "top = 0.5"):
        assert word in text


def test_explain_names_a_density_that_underflows():
    def body():
        mu = sample("mu", dist.Normal(0.0, 1.0))
        sample("y", dist.Normal([0.0, mu], 1e-200), obs=np.zeros(2))

    text = explanation(body, z=[1.0])
    for word in ("-inf at site 'y'", "value 0 at index 1", "loc = 1", "scale = 1e-200"):
        assert word in text


def test_explain_names_a_broken_rule_that_goes_unnoticed():
    """The lower triangle alone is read, so that the density of a full matrix is finite."""

    def body():
        mu = sample("mu", dist.Normal(0.0, 1.0))
        full = np.eye(2) + mu * np.array([[0.0, 1.0], [0.0, 0.0]])
        sample("y", dist.MvNormal(np.zeros(2), scale_tril=full), obs=np.ones(2))

    assert "gradient is finite" in explanation(body, z=[0.0])
    text = explanation(body, z=[1.0])
    for word in ("finite here, but it is wrong", "lower-triangular", "site 'y'", "mu = 1"):
        assert word in text


def test_explain_names_a_value_that_overflows():
    text = explanation(lambda: sample("s", dist.HalfNormal(1.0), shape=2), z=[0.0, 800.0])
    assert "latent site 's' at index 1 is inf" in text


def test_explain_names_a_factor_an_exception_and_a_derivative():
    def penalty():
        factor("penalty", np.log(sample("x", dist.Normal(0.0, 1.0))))

    assert "factor 'penalty' is nan" in explanation(penalty, z=[-1.0])

    def broken():
        if sample("x", dist.Normal(0.0, 1.0)) > 1:
            raise RuntimeError("too far")

    text = explanation(broken, z=[2.0])
    assert "RuntimeError after site 'x': too far, in test_density.py:" in text
    assert 'raise RuntimeError("too far"). Latent values: x = 2.' in text

    def cusp():
        factor("cusp", -np.sqrt(abs(sample("x", dist.Normal(0.0, 1.0)) - 1.0)))

    text = explanation(cusp, z=[1.0])
    assert "derivative by 'x' is nan. The derivative of sqrt is not finite" in text
    assert 'factor("cusp", -np.sqrt(' in text
    assert "gradient is finite" in explanation(cusp, z=[2.0])


def growth(y):
    """Of four latent sites, two enter the failing one; a third enters one of those alone."""
    mean = sample("mean", dist.Normal(0.0, 1.0))
    start = sample("start", dist.Normal(mean, 1.0), shape=3)
    sample("other", dist.Normal(0.0, 1.0))
    shift = sample("shift", dist.Normal(0.0, 1.0))
    rate = np.log(start + 2.0)
    level = 2.0 * rate + shift
    sample("y", dist.Normal(level, 1.0), obs=y)


def test_explain_names_the_first_operation_and_the_parents_of_the_site():
    text = explanation(growth, np.zeros(3), z=[0.1, 1.0, -4.0, 3.0, 0.3, 0.5])
    assert (
        "got nan at index 1 at site 'y'. It begins with log(-2) = nan at index 1, in growth, test_density.py:" in text
    )
    assert ": rate = np.log(start + 2.0). Site 'y' (test_density.py:" in text
    assert text.endswith(") depends on start = [ 1. -4.  3.], shift = 0.5.")


def test_explain_names_the_operation_of_a_value_that_overflows():
    def body():
        low = sample("low", dist.Normal(0.0, 1.0))
        sample("x", dist.Uniform(low, low + 1.0))
        sample("s", dist.HalfNormal(1.0), shape=2)

    text = explanation(body, z=[0.0, 0.3, 0.0, 800.0])
    assert "It begins with exp(800) = inf at index 1, in body, " in text
    assert "Site 's' (test_density.py:" in text and text.endswith("depends on no latent value.")


def test_explain_does_not_blame_a_branch_that_was_not_taken():
    def body(y):
        x = sample("x", dist.Normal(0.0, 1.0))
        safe = np.where(x > 0, np.log(x), 0.0)
        sample("y", dist.Normal(safe, np.exp(-1e3 * safe) - 1.0), obs=y)

    text = explanation(body, [1.0], z=[-1.0])
    assert "Normal(scale=...) must be > 0; got 0.0 at site 'y'" in text
    assert "begins" not in text
    assert text.endswith("depends on x = -1.")


def test_explain_names_what_a_factor_depends_on():
    def body():
        x, a, _ = (sample(name, dist.Normal(0.0, 1.0)) for name in "xab")
        factor("penalty", np.sum(np.stack([x, a])) * np.inf)

    text = explanation(body, z=[1.0, 2.0, 3.0])
    assert "factor 'penalty' is inf. It begins with multiply(3, inf) = inf, in body, " in text
    assert text.endswith("depends on x = 1, a = 2.")
