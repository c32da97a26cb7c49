"""What base rewards are worth to people held out, as the figures of a report; beside one reward everybody shares.

Figures of few people depend on which of their prompts are heard and which are tests. So each person's are divided
several times, and what is said of a person is the mean.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.rewards.group import GroupComparisons
from prefq.rewards.held_out import AFTER, HeldOutCurve, curve_of, divided
from prefq.rewards.shared_reward import fit_shared_reward
from prefq.vocabulary import Array, Comparisons, PopulationPrior

DIVISIONS = 10
MOST_DIVIDED = 1000  # people times divisions, about a second: of many people a draw matters less, and takes longer


class Divisions(NamedTuple):
    """Answers of people held out, divided n times into those that are learned from and those that are tests.

    people (n_trials,) are their numbers, each of them once a division; own and tests hold rows of their answers for
    each trial, the former in order, as `divided` gives them.
    """

    n: int
    people: NDArray[np.int64]
    own: Sequence[NDArray[np.int64]]
    tests: Sequence[NDArray[np.int64]]

    @classmethod
    def of(
        cls, group: GroupComparisons, *, heard: NDArray[np.bool_] | None = None, rng: np.random.Generator
    ) -> "Divisions":
        """`DIVISIONS` of the answers of a group, fewer where there are more than 100 people.

        Of a person's comparisons of one task those without a response in common are drawn anew each time.

        Parameters
        ----------
        group
            People who were held out.
        heard : (n_comparisons,), optional
            As `divided` takes it.
        rng
            Draws the divisions.
        """
        occasions = group.occasions()
        n = max(1, min(DIVISIONS, MOST_DIVIDED // max(len(np.unique(group.users)), 1)))
        people, own, tests = list[NDArray[np.int64]](), list[NDArray[np.int64]](), list[NDArray[np.int64]]()
        for _ in range(n):
            rows = np.flatnonzero(group.independent(rng))
            may_be_heard = None if heard is None else heard[rows]
            found = divided(group.users[rows], occasions[rows], most=max(AFTER), heard=may_be_heard, rng=rng)
            people.append(found[0])
            own += [rows[each] for each in found[1]]
            tests += [rows[each] for each in found[2]]
        return cls(n, np.concatenate(people), own, tests)

    def curve(
        self,
        differences: Array,
        outcomes: NDArray[np.int8],
        prior: PopulationPrior,
        *,
        after: tuple[int, ...] = AFTER,
    ) -> HeldOutCurve:
        """Each person's mean over the divisions in which they can be tested.

        Of the group's comparisons, differences (n_comparisons, n_features) and outcomes (n_comparisons,); prior, after
        and errors are those of `curve_of`.
        """
        told = Comparisons(differences, outcomes)
        return curve_of(told, prior, self.people, self.own, self.tests, after=after).by_person()


def figures(curve: HeldOutCurve, divisions: Divisions) -> dict[str, Any]:
    """What reports say of people held out, as JSON values: means over people and their standard errors.

    told is how many answers were used on average: fewer than `after` says where people gave fewer. log_loss is in nats
    an answer.
    """
    losses, hits = curve.errors
    return {
        "n_people": len(curve.people),
        "n_divisions": divisions.n,
        "after": list(curve.after),
        "told": curve.told.mean(axis=0).tolist(),
        "log_loss": curve.log_loss.tolist(),
        "log_loss_error": losses.tolist(),
        "accuracy": curve.accuracy.tolist(),
        "accuracy_error": hits.tolist(),
    }


def tested(
    encodings: NDArray[np.floating[Any]],
    heads: Array,
    prior: PopulationPrior,
    group: GroupComparisons,
    tests: GroupComparisons,
    seed: int,
) -> dict[str, Any] | None:
    """Figures of test users after 0, 5, 10 and 20 answers, and of the reward that all share; None without any users.

    The divisions are the same for both, and those of ``prefq rewards evaluate`` with this seed.
    """
    divisions = Divisions.of(tests, rng=np.random.default_rng(seed))
    try:
        curve = divisions.curve(tests.feature_differences(encodings, heads), tests.outcomes, prior)
    except InputError:  # nobody has enough answers
        return None
    head, prior_of_shared = fit_shared_reward(encodings, group, rng=np.random.default_rng(seed))
    shared = divisions.curve(tests.feature_differences(encodings, head), tests.outcomes, prior_of_shared, after=(0,))
    gain = shared.log_losses - curve.log_losses
    root = np.sqrt(max(len(gain) - 1, 1))
    return figures(curve, divisions) | {
        "shared_log_loss": float(shared.log_loss[0]),
        "shared_accuracy": float(shared.accuracy[0]),
        "gain_over_shared": gain.mean(axis=0).tolist(),
        "gain_error": (gain.std(axis=0) / root).tolist(),
    }
