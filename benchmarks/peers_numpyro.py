"""NumPyro's NUTS, on the models of `models/` with the same priors and data, and on targets computed with JAX.

Names of sites are those of probad's models, so that effective sample sizes are of the same variables.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.stats import norm
from numpyro.infer import MCMC, NUTS, init_to_uniform

from benchmarks.systems import N_CHAINS, N_DRAWS, N_WARMUP, Draws, SampleFn, timed
from benchmarks.targets import TARGETS

jax.config.update("jax_enable_x64", True)
numpyro.set_host_device_count(N_CHAINS)


def eight_schools(sigma, y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0).expand([len(y)]))
    theta = numpyro.deterministic("theta", mu + tau * effect)
    numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def kidiq(mom_hs, mom_iq, score):
    beta = numpyro.sample("beta", dist.Normal(0.0, 1000.0).expand([3]))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    numpyro.sample("score", dist.Normal(beta[0] + beta[1] * mom_hs + beta[2] * mom_iq, sigma), obs=score)


def radon(county, floor, log_radon):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(2.5))
    sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
    effect = numpyro.sample("effect", dist.Normal(0.0, 1.0).expand([int(county.max()) + 1]))
    intercept = numpyro.deterministic("intercept", mu + tau * effect)
    numpyro.sample("log_radon", dist.Normal(intercept[county] + slope * floor, sigma), obs=log_radon)


def logistic(x, y):
    alpha = numpyro.sample("alpha", dist.Normal(0.0, 1.0))
    beta = numpyro.sample("beta", dist.Normal(0.0, 1.0).expand([x.shape[1]]))
    numpyro.sample("y", dist.Bernoulli(logits=alpha + x @ beta), obs=y)


def stochastic_volatility(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    phi = numpyro.sample("phi", dist.Uniform(-1.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    innovation = numpyro.sample("innovation", dist.Normal(0.0, 1.0).expand([len(y)]))

    def step(h, e):
        h = mu + phi * (h - mu) + sigma * e
        return h, h

    first = mu + sigma / jnp.sqrt(1 - phi**2) * innovation[0]
    _, rest = jax.lax.scan(step, first, innovation[1:])
    h = jnp.concatenate([first[None], rest])
    numpyro.sample("y", dist.Normal(0.0, jnp.exp(h / 2)), obs=y)


def garch(y, sigma1):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1000.0))
    alpha0 = numpyro.sample("alpha0", dist.HalfNormal(1000.0))
    alpha1 = numpyro.sample("alpha1", dist.Uniform(0.0, 1.0))
    beta1 = numpyro.sample("beta1", dist.Uniform(0.0, 1 - alpha1))
    numpyro.factor("triangle", jnp.log1p(-alpha1))

    def step(sigma, last):
        sigma = jnp.sqrt(alpha0 + alpha1 * (last - mu) ** 2 + beta1 * sigma**2)
        return sigma, sigma

    _, rest = jax.lax.scan(step, jnp.asarray(sigma1), y[:-1])
    numpyro.sample("y", dist.Normal(mu, jnp.concatenate([jnp.array([sigma1]), rest])), obs=y)


def gp_regression(x, y):
    rho = numpyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    distance = (x[:, None] - x) / rho
    covariance = alpha**2 * jnp.exp(-0.5 * distance**2) + sigma * jnp.eye(len(x))
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), covariance), obs=y)


def irt(n_persons, n_items, correct):
    ability = numpyro.sample("ability", dist.Normal(0.0, 1.0).expand([n_persons]))
    difficulty = numpyro.sample("difficulty", dist.Normal(0.0, 2.0).expand([n_items]))
    discrimination = numpyro.sample("discrimination", dist.LogNormal(0.0, 0.5).expand([n_items]))
    numpyro.sample("correct", dist.Bernoulli(logits=discrimination * (ability[:, None] - difficulty)), obs=correct)


def gauss_mix(y):
    low = numpyro.sample("low", dist.Normal(0.0, 2.0))
    gap = numpyro.sample("gap", dist.Exponential(1.0))
    high = low + gap
    numpyro.factor("high", dist.Normal(0.0, 2.0).log_prob(high) - dist.Exponential(1.0).log_prob(gap))
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]))
    theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))
    numpyro.deterministic("mu", jnp.stack([low, high]))
    first = jnp.log(theta) + norm.logpdf(y, low, sigma[0])
    second = jnp.log1p(-theta) + norm.logpdf(y, high, sigma[1])
    numpyro.factor("y", jnp.logaddexp(first, second).sum())


# --- sampling --------------------------------------------------------------------------------------------------------
def sample_model(name: str) -> SampleFn:
    """A function of a seed that samples the model `name`; the first call compiles it."""
    from models import MODELS

    arguments = MODELS[name].data()
    del arguments["coords"]
    return _sample_fn(NUTS(globals()[name], init_strategy=init_to_uniform), arguments)


def sample_target(name: str) -> SampleFn:
    """A function of a seed that samples a target; starts are uniform in (-2, 2), as probad's."""
    logp, dim = TARGETS[name]
    kernel = NUTS(potential_fn=lambda z: -logp(z, jnp))
    sample = _sample_fn(kernel, {}, lambda rng: jnp.asarray(rng.uniform(-2.0, 2.0, (N_CHAINS, dim))))
    return lambda seed: _named(sample(seed))


def _named(draws: Draws) -> Draws:
    (values,) = draws.values.values()
    return Draws({"z": values}, draws.seconds, draws.n_gradients, draws.n_warmup_gradients, draws.n_divergent)


def _sample_fn(kernel: NUTS, arguments: dict, start_fn=None) -> SampleFn:
    """All chains at one time, each on a device of its own, as NumPyro advises for processors."""
    mcmc = MCMC(kernel, num_warmup=N_WARMUP, num_samples=N_DRAWS, num_chains=N_CHAINS, progress_bar=False)
    fields = ("num_steps", "diverging")

    def sample(seed: int, *, plain: bool = False) -> Draws:
        start = {} if start_fn is None else {"init_params": start_fn(np.random.default_rng(seed))}

        def both():
            if plain:
                mcmc.run(jax.random.PRNGKey(seed), extra_fields=fields, **start, **arguments)
                return 0, jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
            mcmc.warmup(jax.random.PRNGKey(seed), extra_fields=fields, collect_warmup=True, **start, **arguments)
            n_warmup = int(mcmc.get_extra_fields()["num_steps"].sum())
            mcmc.run(mcmc.post_warmup_state.rng_key, extra_fields=fields, **start, **arguments)
            return n_warmup, jax.block_until_ready(mcmc.get_samples(group_by_chain=True))

        (n_warmup, found), seconds = timed(both)
        values = {k: np.asarray(v) for k, v in (found.items() if isinstance(found, dict) else [("z", found)])}
        extra = mcmc.get_extra_fields()
        return Draws(values, seconds, int(extra["num_steps"].sum()), n_warmup, int(extra["diverging"].sum()))

    return sample
