"""Expectation propagation for users whose sites do not settle by themselves: steps mixed from several earlier ones.

Contradicting answers and replies that may be lapses make renewed sites swing to and fro. Anderson's mixing (1965;
Walker and Ni 2011) finds the combination of the last steps whose swings cancel, and goes on from there; where all sites
agree it changes nothing, so what is found is a fixed point of expectation propagation like any other.
"""

import numpy as np

from prefq.inference.sites import Approximation, Margins, Renewal, Sites, approximation, renew, step
from prefq.vocabulary import Array

MEMORY = 6  # earlier steps that are mixed
SHARES = (1.0, 0.5, 0.25)  # of a step that is taken; the next one where one does not settle
MAX_SWEEPS = 150  # with each of them
NEGLIGIBLE = 1e-8  # singular values of the differences between steps below this share of the largest


def mixed_sites(margins: Margins, start: Sites, tolerance: float) -> tuple[Sites, int]:
    """Sites of one user that agree with the answers up to the tolerance, and the sweeps that took.

    Those that came closest to it where none do. The first search begins at `start`, further ones at empty sites.
    """
    n_sweeps, closest, least, sites = 0, start, np.inf, start
    for share in SHARES:
        at, history = approximation(margins, sites), _History()
        for _ in range(MAX_SWEEPS):
            renewal, n_sweeps = renew(margins, at, sites), n_sweeps + 1
            if (change := float(renewal.change[0])) < least:
                closest, least = sites, change
            if change <= tolerance:
                return sites, n_sweeps
            sites, at = _next(margins, at, sites, renewal, history, share)
        sites = Sites.empty(*margins.offsets.shape)
    return closest, n_sweeps


class _History:
    """The last steps and where they led, each (2 n_answers,), steps in units in which all sites count alike."""

    def __init__(self) -> None:
        self.steps: list[Array] = []
        self.ends: list[Array] = []

    def mixed(self, step_taken: Array, end: Array) -> Array:
        """End of the combination of this step and the last ones that is shortest."""
        self.steps = [*self.steps[-MEMORY:], step_taken]
        self.ends = [*self.ends[-MEMORY:], end]
        if len(self.steps) == 1:
            return end
        swings = np.array([step_taken - each for each in self.steps[:-1]]).T
        moves = np.array([end - each for each in self.ends[:-1]]).T
        shares = np.linalg.lstsq(swings, step_taken, rcond=NEGLIGIBLE)[0]
        return np.asarray(end - moves @ shares)


def _next(
    margins: Margins, at: Approximation, sites: Sites, renewal: Renewal, history: _History, share: float
) -> tuple[Sites, Approximation]:
    """Where the mixed step leads; where that is no Gaussian, some of the plain step, and the history begins anew."""
    old, new = (np.concatenate(each, axis=1)[0] for each in (sites, renewal.sites))
    units = np.concatenate((at.variance, np.sqrt(at.variance)), axis=1)[0]
    end = history.mixed((new - old) * units, old + share * (new - old))
    mixed = Sites(*np.split(end[None], 2, axis=1))
    try:
        return mixed, approximation(margins, mixed)
    except np.linalg.LinAlgError:
        history.steps, history.ends = [], []
        return step(margins, sites, renewal.sites, np.full((1, 1), share / 2))
