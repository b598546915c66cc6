"""How close is close: the three kinds of agreement the tests ask for."""

EXACT = 1e-12  # the same formula in another way: rounding alone
GRADIENT = 1e-6  # a derivative against differences of the function
MONTE_CARLO = 4.5  # a mean of draws against the truth, in standard errors
