"""Log densities in 50-digit arithmetic, written from the textbook formulas: the oracle of the contract tests.

Each function takes a value (a number, or a list for vectors) and the parameters by name, all mpmath numbers or nested
lists of them, and nothing else: they share no code and no rearrangement with the package.
"""

from mpmath import mp, mpf


def _logistic(x):
    return 1 / (1 + mp.exp(-x))


def _p(probs, logits):
    return _logistic(logits) if probs is None else probs


def normal(x, loc, scale):
    return -((x - loc) ** 2) / (2 * scale**2) - mp.log(scale * mp.sqrt(2 * mp.pi))


def student_t(x, df, loc, scale):
    constant = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(scale * mp.sqrt(df * mp.pi))
    return constant - (df + 1) / 2 * mp.log(1 + ((x - loc) / scale) ** 2 / df)


def cauchy(x, loc, scale):
    return -mp.log(mp.pi * scale * (1 + ((x - loc) / scale) ** 2))


def half_normal(x, scale):
    return mp.log(2) + normal(x, mpf(0), scale)


def half_cauchy(x, scale):
    return mp.log(2) + cauchy(x, mpf(0), scale)


def exponential(x, rate):
    return mp.log(rate) - rate * x


def gamma(x, concentration, rate):
    a, b = concentration, rate
    return a * mp.log(b) - mp.loggamma(a) + (a - 1) * mp.log(x) - b * x


def inverse_gamma(x, concentration, scale):
    return gamma(1 / x, concentration, scale) - 2 * mp.log(x)


def log_normal(x, loc, scale):
    return normal(mp.log(x), loc, scale) - mp.log(x)


def uniform(x, low, high):
    return -mp.log(high - low)


def beta(x, alpha, beta):
    log_beta = mp.loggamma(alpha) + mp.loggamma(beta) - mp.loggamma(alpha + beta)
    return (alpha - 1) * mp.log(x) + (beta - 1) * mp.log(1 - x) - log_beta


def bernoulli(k, probs=None, logits=None):
    p = _p(probs, logits)
    return mp.log(p if k == 1 else 1 - p)


def binomial(k, total_count, probs=None, logits=None):
    p, n = _p(probs, logits), total_count
    choose = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1)
    return choose + k * mp.log(p) + (n - k) * mp.log(1 - p)


def poisson(k, rate=None, log_rate=None):
    rate = mp.exp(log_rate) if rate is None else rate
    return k * mp.log(rate) - rate - mp.loggamma(k + 1)


def negative_binomial(k, mu=None, alpha=None, log_mu=None, n_successes=None, probs=None, logits=None):
    mu = mp.exp(log_mu) if log_mu is not None else mu
    n = alpha if n_successes is None else n_successes
    p = n / (n + mu) if mu is not None else _p(probs, logits)
    choose = mp.loggamma(k + n) - mp.loggamma(k + 1) - mp.loggamma(n)
    return choose + n * mp.log(p) + k * mp.log(1 - p)


def categorical(k, probs=None, logits=None):
    if probs is not None:
        return mp.log(probs[int(k)])
    return logits[int(k)] - mp.log(mp.fsum(mp.exp(v) for v in logits))


def mv_normal(x, loc, scale_tril):
    factor = mp.matrix(scale_tril)
    difference = mp.matrix([a - b for a, b in zip(x, loc, strict=True)])
    precision = mp.inverse(factor * factor.T)
    log_det = mp.log(mp.det(factor * factor.T))
    return -((difference.T * precision * difference)[0] + log_det + len(x) * mp.log(2 * mp.pi)) / 2


def dirichlet(x, concentration):
    constant = mp.loggamma(mp.fsum(concentration)) - mp.fsum(mp.loggamma(a) for a in concentration)
    return constant + mp.fsum((a - 1) * mp.log(v) for a, v in zip(concentration, x, strict=True))


LOG_DENSITIES = {
    "Normal": normal,
    "StudentT": student_t,
    "Cauchy": cauchy,
    "HalfNormal": half_normal,
    "HalfCauchy": half_cauchy,
    "Exponential": exponential,
    "Gamma": gamma,
    "InverseGamma": inverse_gamma,
    "LogNormal": log_normal,
    "Uniform": uniform,
    "Beta": beta,
    "Bernoulli": bernoulli,
    "Binomial": binomial,
    "Poisson": poisson,
    "NegativeBinomial": negative_binomial,
    "Categorical": categorical,
    "MvNormal": mv_normal,
    "Dirichlet": dirichlet,
}
