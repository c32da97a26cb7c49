"""The check of first answers against the prior: rarely wrong about the group's people, and heard by the posterior."""

import numpy as np

from prefq.inference.laplace import fit_posterior
from prefq.inference.surprise import FALSE_ALARMS, Surprise, checked_prior
from prefq.vocabulary import Array, Comparisons, FeatureSpace, Gaussian, GaussianMixture, PopulationPrior, ResponseModel

MEAN = np.array([3.0, 0.0])
PRIOR = PopulationPrior(
    GaussianMixture([0.9, 0.1], [Gaussian(MEAN, 0.5 * np.eye(2)), Gaussian(MEAN, np.zeros((2, 2)))]),
    FeatureSpace(["a", "b"]),
    n_users=40,
    impersonal=1,
)


def answers_of(taste: Array, n_answers: int, rng: np.random.Generator) -> Comparisons:
    differences = rng.normal(size=(n_answers, 2))
    chances = 1 / (1 + np.exp(-differences @ taste))
    return Comparisons(differences, np.where(rng.random(n_answers) < chances, 1, -1))


def test_of_the_groups_people_few_are_ever_surprising() -> None:
    rng = np.random.default_rng(1)
    alarms = []
    for taste in rng.multivariate_normal(MEAN, 0.5 * np.eye(2), size=300):
        answers = answers_of(taste, 12, rng)
        early = [Comparisons(answers.differences[:n], answers.outcomes[:n]) for n in (3, 6, 12)]
        alarms.append(any(checked_prior(PRIOR, each)[1] is not None for each in early))
    assert np.mean(alarms) <= FALSE_ALARMS + 0.01  # a standard error of 300 people is .008


def test_opposite_people_are_found_and_heard() -> None:
    rng = np.random.default_rng(2)
    found, nearer = 0, 0
    for taste in rng.multivariate_normal(-MEAN, 0.5 * np.eye(2), size=40):
        answers = answers_of(taste, 10, rng)
        widened, surprise = checked_prior(PRIOR, answers)
        if surprise is None:
            continue
        found += 1
        with_it, _ = fit_posterior(widened.coefficients, answers)
        without, _ = fit_posterior(PRIOR.coefficients, answers)
        nearer += bool(np.linalg.norm(with_it.mean - taste) < np.linalg.norm(without.mean - taste))
    assert found >= 38
    assert nearer >= 0.95 * found


def test_components_keep_their_places_and_the_sentence_says_why() -> None:
    answers = Comparisons([[1.0, 0.0]] * 5, [-1] * 5)
    widened, surprise = checked_prior(PRIOR, answers)
    assert surprise is not None
    assert widened.impersonal == 1
    assert widened.coefficients.components[:2] == PRIOR.coefficients.components
    np.testing.assert_allclose(widened.coefficients.components[2].mean, 0)
    np.testing.assert_allclose(
        widened.coefficients.components[2].covariance, np.diag([9.5, 0.5]) - [[0.05, 0], [0, 0.05]]
    )
    assert "The first 5 answers" in str(surprise)


def test_the_sentence_has_a_number_that_can_be_read() -> None:
    assert "400 times" in str(Surprise(np.log(400.4), 7))
    assert "e+" not in str(Surprise(1000.0, 7))


def test_answers_that_fit_change_nothing() -> None:
    fitting = Comparisons([[1.0, 0.0]] * 5, [1] * 5)
    assert checked_prior(PRIOR, fitting) == (PRIOR, None)
    assert checked_prior(PRIOR, Comparisons(np.empty((0, 2)), [])) == (PRIOR, None)


def test_it_does_not_depend_on_sides() -> None:
    rng = np.random.default_rng(3)
    model = ResponseModel(position_bias=0.7)
    prior = PopulationPrior(PRIOR.coefficients, PRIOR.feature_space, model, 40, 1)
    mirrored = PopulationPrior(prior.coefficients, prior.feature_space, ResponseModel(position_bias=-0.7), 40, 1)
    answers = answers_of(-MEAN, 8, rng)
    turned = Comparisons(-answers.differences, -answers.outcomes)
    one, other = checked_prior(prior, answers)[1], checked_prior(mirrored, turned)[1]
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.log_bayes_factor, other.log_bayes_factor, rtol=1e-6)
