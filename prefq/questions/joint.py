"""What several questions tell together, averaged over simulated people and what they would reply.

Replies are independent once the coefficients are known, so that what one more question adds to others is the
information gain under what each person's replies to these leave possible (docs/maths/stopping.md, eqs. 1 to 3).
"""

from typing import NamedTuple

import numpy as np

from prefq.inference.lattice import coefficients_at, lattice_points, normal_draws
from prefq.inference.likelihood import reply_probabilities
from prefq.inference.predictive import entropy
from prefq.vocabulary import Array, Coefficients, ResponseModel


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
            Of the questions that may be chosen, as felt.
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
