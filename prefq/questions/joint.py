"""What several questions tell together, averaged over simulated people and what they would reply.

Replies are independent once the coefficients are known, so that what one more question adds to others is the
information gain under what each person's replies to these leave possible (docs/maths/stopping.md, eqs. 1 to 3).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.inference.lattice import coefficients_at, lattice_points, normal_draws
from prefq.inference.likelihood import reply_probabilities
from prefq.inference.predictive import entropy
from prefq.pool.candidate_pool import Rows
from prefq.questions.search import TIE_TOLERANCE
from prefq.vocabulary import Array, Coefficients, ResponseModel

# Primes, in whose lattices no two columns are equal up to 256 features and questions together; from about 125 features
# on some are each other's mirror images.
N_PEOPLE = 257
N_POINTS = 1019  # half the draws that stand for what a person may be
NOTHING_LEFT = -1


class Audience(NamedTuple):
    """People of a belief, what they would reply, and draws of coefficients that stand for what is known of each."""

    differences: Array  # (n_questions, n_features), as felt
    response_model: ResponseModel
    people: Array  # (n_people, n_features)
    chances: Array  # (n_people, n_steps): each decides a reply
    replies: Array  # (n_replies, n_draws, n_questions): probabilities
    noise: Array  # (n_draws, n_questions): entropy of the reply at known coefficients

    @classmethod
    def begun(
        cls,
        differences: Array,
        belief: Coefficients,
        n_steps: int,
        response_model: ResponseModel,
        n_people: int,
        n_points: int,
    ) -> "Audience":
        """People of whom nothing was heard yet.

        Parameters
        ----------
        differences : (n_questions, n_features)
            Of the questions that may be chosen, as felt. Without a position bias sides are turned to one direction, so
            that which item stands first decides nothing.
        belief
            What is known about the coefficients: a prior, or a posterior.
        n_steps
            How many questions will be chosen.
        response_model
            How replies arise.
        n_people, n_points
            Primes: simulated people, and half the draws that stand for what is known of each.
        """
        n_features = belief.n_features
        if response_model.position_bias == 0:
            leading = np.take_along_axis(differences, (differences != 0).argmax(axis=1)[:, None], axis=1)
            differences = np.where(leading < 0, -differences, differences)
        points = lattice_points(n_people, 1 + n_features + n_steps)
        people = coefficients_at(belief, points[:, 0], points[:, 1 : 1 + n_features])
        replies = reply_probabilities(normal_draws(belief, n_points) @ differences.T, response_model)
        noise = entropy(replies)
        replies = np.ascontiguousarray(np.moveaxis(replies, -1, 0))
        return cls(differences, response_model, people, points[:, 1 + n_features :], replies, noise)

    def nothing_heard(self) -> Array:
        """Log-weights of the draws for each person (n_people, n_draws) before the first reply."""
        return np.zeros((len(self.people), len(self.noise)))

    def heard_from(self, row: int, step: int) -> Array:
        """What each person's reply to a question adds to the log-weights."""
        of_people = reply_probabilities(self.people @ self.differences[row], self.response_model)
        given = (self.chances[:, step, None] > np.cumsum(of_people, axis=1)[:, :-1]).sum(axis=1)
        with np.errstate(divide="ignore"):  # a reply that a draw rules out
            return np.asarray(np.log(self.replies[:, :, row])[given])

    def gains(self, heard: Array) -> Array:
        """Information that a reply to each question is expected to bring now (n_questions,), in nats."""
        weights = np.exp(heard - heard.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        told = [weights @ probabilities for probabilities in self.replies[:-1]]
        told.append(np.maximum(1 - np.sum(told, axis=0), 0.0))
        gains = (entropy(np.stack(told, axis=-1)) - weights @ self.noise).mean(axis=0)
        return np.asarray(np.maximum(gains, 0.0))


def most_informative_rows(
    differences: Array,
    prior: Coefficients,
    n_questions: int,
    *,
    response_model: ResponseModel,
    is_open: NDArray[np.bool_] | None = None,
    topics: Rows | None = None,
    n_people: int = N_PEOPLE,
    n_points: int = N_POINTS,
) -> tuple[Rows, Array]:
    """Rows of the questions that together tell most, each chosen after those before it.

    Parameters
    ----------
    differences : (n_questions_of_pool, n_features)
        First minus second.
    prior
        Of the coefficients.
    n_questions
        How many are wanted.
    response_model
        How replies arise.
    is_open : (n_questions_of_pool,) bool, optional
        Which may be chosen; all by default.
    topics : (n_questions_of_pool,), optional
        A number for what each question is about: one that came more often than another must wait.
    n_people, n_points
        Primes: simulated people whose replies are averaged over, and half the draws that stand for what is known of
        each.

    Returns
    -------
    rows : (n_questions,)
        -1 once all open questions are in it.
    information : (n_questions,)
        What each adds to those before it, in nats; 0 where there is none.
    """
    audience = Audience.begun(response_model.felt(differences), prior, n_questions, response_model, n_people, n_points)
    left = np.ones(len(differences), dtype=bool) if is_open is None else is_open.copy()
    topics = np.zeros(len(differences), dtype=np.int64) if topics is None else np.unique(topics, return_inverse=True)[1]
    times, heard = np.zeros(topics.max(initial=0) + 1), audience.nothing_heard()
    rows, information = np.full(n_questions, NOTHING_LEFT, dtype=np.int64), np.zeros(n_questions)
    for step in range(n_questions):
        if not left.any():
            break
        fresh = np.flatnonzero(left & (times[topics] == times[topics[left]].min()))
        gains = audience.gains(heard[:1] if step == 0 else heard)[fresh]  # before the first reply all people are alike
        best = int(np.argmax(gains >= gains.max() - TIE_TOLERANCE * abs(gains.max())))
        rows[step], information[step] = fresh[best], gains[best]
        left[rows[step]] = False
        times[topics[rows[step]]] += 1
        heard += audience.heard_from(rows[step], step)
    return rows, information
