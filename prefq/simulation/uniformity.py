"""Whether numbers that should be uniform on [0, 1] are: their empirical distribution inside simultaneous bands.

Säilynoja, Bürkner and Vehtari 2022 (Statistics and Computing 32, 32; arXiv 2103.10522).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, bdtrc

from prefq.errors import InputError
from prefq.vocabulary import Array

N_POINTS = 99  # where the distribution is looked at: the hundredths
N_SIMULATED = 4000  # uniform samples from which the width of the bands is taken
LEVEL = 0.95  # of all uniform samples stay inside the bands everywhere


class EcdfTest(NamedTuple):
    """The empirical distribution of a sample beside its simultaneous bands.

    points, shares, lower, upper (N_POINTS,): where it is looked at, the share of the sample at or below, and between
    what that must lie; p_value is the share of uniform samples that stray at least as far; size that of the sample.
    """

    points: Array
    shares: Array
    lower: Array
    upper: Array
    p_value: float
    size: int

    @property
    def passed(self) -> bool:
        """Whether the sample stays inside the bands at every point."""
        return bool(((self.shares >= self.lower) & (self.shares <= self.upper)).all())


def ecdf_test(values: Array, *, rng: np.random.Generator, level: float = LEVEL) -> EcdfTest:
    """Whether values are uniform on [0, 1].

    At point z a count of N values is binomial (N, z). The bands hold the counts that are not among the most extreme γ
    at their point, and γ is such that a share `level` of uniform samples stays inside at all points together (the
    paper's simulation-based adjustment, sec. 2.2.1).

    Parameters
    ----------
    values : (n,)
        From 0 to 1, such as posterior probabilities below the truth.
    rng
        Draws the uniform samples that set γ.
    level
        Of the bands, above 0 and below 1.

    Raises
    ------
    InputError
        For no values, or values outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> even = (np.arange(200) + 0.5) / 200
    >>> ecdf_test(even, rng=np.random.default_rng(0)).passed, ecdf_test(even**2, rng=np.random.default_rng(0)).passed
    (True, False)
    """
    if not values.size or not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"the {values.size} values are not all from 0 to 1; give probabilities, at least one.")
    n, points = values.size, np.arange(1, N_POINTS + 1) / (N_POINTS + 1)
    likely = _two_sided(n, points)
    simulated = rng.multinomial(n, np.full(N_POINTS + 1, 1 / (N_POINTS + 1)), size=N_SIMULATED)[:, :-1].cumsum(axis=1)
    strayed = np.take_along_axis(likely, simulated, axis=0).min(axis=1)
    gamma = float(np.quantile(strayed, 1 - level))
    counts = (values[:, None] <= points).sum(axis=0)
    p_value = float((strayed <= likely[counts, np.arange(N_POINTS)].min()).mean())
    inside = likely > gamma
    lower, upper = inside.argmax(axis=0), n - inside[::-1].argmax(axis=0)
    return EcdfTest(points, counts / n, lower / n, upper / n, p_value, n)


def _two_sided(n: int, points: Array) -> Array:
    """Two-sided probability (n + 1, N_POINTS) of each count of n values at or below each point."""
    counts = np.arange(n + 1)[:, None]
    at_least = np.where(counts > 0, bdtrc(np.maximum(counts - 1, 0), n, points), 1.0)
    return np.asarray(2 * np.minimum(bdtr(counts, n, points), at_least))
