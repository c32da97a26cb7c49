"""What a question would settle: against the posterior that an answer of that curvature leaves."""

import numpy as np
import pytest

import prefq
from prefq.questions.acquisition import fisher_information
from prefq.questions.explanation import settled_shares
from prefq.vocabulary import Gaussian, ResponseModel


def test_shares_are_the_fall_of_each_variance() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.3, -0.4], [1.0, 0.5], [0.0, 2.0]], [(0, 1), (0, 2)])
    belief = Gaussian([0.4, -0.2], [[2.0, 0.3], [0.3, 1.0]])
    model = ResponseModel(0.4)
    for question_id in ("0-1", "2-0"):
        question = pool.question(question_id)
        difference = pool.features[question.first.item] - pool.features[question.second.item]
        curvature = fisher_information(np.array([difference @ belief.mean]), model)[0]
        after = np.linalg.inv(np.linalg.inv(belief.covariance) + curvature * np.outer(difference, difference))
        expected = 1 - np.diag(after) / np.diag(belief.covariance)
        np.testing.assert_allclose(settled_shares(pool, question, belief, model), expected, atol=1e-12)


def test_a_question_about_one_axis_settles_only_that() -> None:
    pool = prefq.CandidatePool.from_arrays([[0.0, 0.0], [3.0, 0.0]], [(0, 1)])
    shares = settled_shares(pool, pool.question("0-1"), Gaussian([0.0, 0.0], np.eye(2)), ResponseModel())
    # k = 1/4, variance 9: 9/4 of precision gained on 1.
    assert shares.tolist() == pytest.approx([2.25 / 3.25, 0.0])
