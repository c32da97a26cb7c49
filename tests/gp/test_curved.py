"""Curved tastes: exact where an exact answer is known, the linear posterior where the residual is nothing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import prefq
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.likelihood import log_likelihood
from prefq.inference.predictive import predicted_replies
from prefq.vocabulary import Array, Comparisons, FeatureSpace, Gaussian, GaussianMixture, PopulationPrior, ResponseModel

pytest.importorskip("botorch")

import torch

from prefq.gp import CurvedUser, Residual, fit_curved_user
from prefq.gp.curved import Judged
from prefq.gp.kernels import TasteKernel, default_residual

SPACE = FeatureSpace(["warm", "formal"])
PRIOR = Gaussian([0.8, -0.4], [[1.5, 0.3], [0.3, 0.7]])
RESIDUAL = Residual(1.4, [1.0, 1.6])
NONE = Residual(0.0, [1.0, 1.0])


def judged(n_answers: int, *, seed: int = 0, outcomes: tuple[int, ...] = (1, -1)) -> Judged:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, n_answers, 2))
    return Judged(first, second, rng.choice(np.array(outcomes, dtype=np.int8), n_answers))


def user(
    answers: Judged, residual: Residual = RESIDUAL, *, model: ResponseModel | None = None, prior: Any = PRIOR
) -> CurvedUser:
    return CurvedUser.given(PopulationPrior(prior, SPACE, model or ResponseModel()), residual, answers)


def kernel(one: Array, other: Array) -> Array:
    """The kernel of PRIOR and RESIDUAL, written out."""
    squares = np.square((one[:, None] - other) / RESIDUAL.lengthscales).sum(axis=2)
    return np.asarray(one @ PRIOR.covariance @ other.T + RESIDUAL.scale**2 * np.exp(-squares / 2))


def test_the_kernel_is_as_written() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 4, 2))
    found = TasteKernel(PRIOR, RESIDUAL)(torch.tensor(one), torch.tensor(other)).to_dense().numpy()

    np.testing.assert_allclose(found, kernel(one, other), atol=1e-12)


@pytest.mark.parametrize("n_answers", [0, 1, 3, 12])
@pytest.mark.parametrize(
    "model",
    [
        ResponseModel(),
        ResponseModel(0.5, 0.3, 0.1, strength_threshold=0.8),
        ResponseModel(dissimilarity_noise=0.5, dissimilarity_scales=(1.0, 2.0)),
    ],
)
def test_without_a_residual_it_is_the_linear_posterior(n_answers: int, model: ResponseModel) -> None:
    answers, items = judged(n_answers), np.random.default_rng(9).normal(size=(20, 2))
    told = Comparisons(answers.first - answers.second, answers.outcomes)
    expected, info = fit_posterior_ep(PRIOR, told, response_model=model)
    found = user(answers, NONE, model=model)

    scores = found.score(items)
    np.testing.assert_allclose(scores.mean, items @ expected.mean, atol=1e-6)
    np.testing.assert_allclose(scores.sd**2, np.einsum("ni,ij,nj->n", items, expected.covariance, items), rtol=1e-6)
    assert found.log_evidence == pytest.approx(info.log_evidence, abs=1e-6)


def test_it_is_close_to_the_exact_posterior() -> None:
    """Importance sampling from the prior over the few items that count: 400,000 draws weighed by the likelihood."""
    answers, tests = judged(5, seed=3), np.random.default_rng(4).normal(size=(6, 2))
    items = np.concatenate([answers.first, answers.second, tests])
    root = np.linalg.cholesky(kernel(items, items) + 1e-10 * np.eye(len(items)))
    drawn = items @ PRIOR.mean + np.random.default_rng(5).normal(size=(400_000, len(items))) @ root.T
    asked, told = drawn[:, :5] - drawn[:, 5:10], np.broadcast_to(answers.outcomes, (400_000, 5))
    logs = log_likelihood(asked, told, ResponseModel()).value.sum(axis=1)
    weights = np.exp(logs) / np.exp(logs).sum()
    margins = drawn[:, 10:13] - drawn[:, 13:]
    mean = weights @ margins
    sd = np.sqrt(weights @ (margins - mean) ** 2)
    found = user(answers)
    predicted = found.margins(tests[:3], tests[3:])

    np.testing.assert_allclose(predicted.mean, mean, atol=0.02)
    np.testing.assert_allclose(np.sqrt(predicted.variance), sd, rtol=0.02)
    assert found.log_evidence == pytest.approx(np.log(np.exp(logs).mean()), abs=0.02)


@pytest.mark.parametrize(("outcome", "column"), [(1, 0), (0, 1), (-1, 2)])
def test_the_evidence_of_one_answer_is_its_predicted_probability(outcome: int, column: int) -> None:
    model = ResponseModel(0.4, 0.3, 0.1, dissimilarity_noise=0.5, dissimilarity_scales=(1.0, 2.0))
    before, answer = user(judged(0), model=model), judged(1, outcomes=(outcome,))
    margins, loudness = before.margins(answer.first, answer.second), model.loudness(answer.first - answer.second)
    chances = predicted_replies(margins.mean * loudness, margins.variance * loudness**2, model)

    assert user(answer, model=model).log_evidence == pytest.approx(np.log(chances[0, column]), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)), st.lists(st.booleans(), min_size=6, max_size=6))
def test_neither_order_nor_side_matters(order: list[int], swapped: list[bool]) -> None:
    answers, items = judged(6), np.random.default_rng(1).normal(size=(8, 2))
    side = np.array(swapped)[:, None]
    turned = Judged(
        np.where(side, answers.second, answers.first)[order],
        np.where(side, answers.first, answers.second)[order],
        np.where(side[:, 0], -answers.outcomes, answers.outcomes)[order].astype(np.int8),
    )
    one, other = user(answers).score(items), user(turned).score(items)

    np.testing.assert_allclose(one.mean, other.mean, atol=1e-6)
    np.testing.assert_allclose(one.sd, other.sd, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8))
def test_preferences_of_a_pair_and_its_mirror_add_to_one(seed: int, n_answers: int) -> None:
    found, (first, second) = user(judged(n_answers, seed=seed)), np.random.default_rng(seed).normal(size=(2, 5, 2))
    there, back = found.preference_probability(first, second), found.preference_probability(second, first)

    np.testing.assert_allclose(there + back, 1, atol=1e-10)


def test_equal_and_nearly_equal_questions_are_no_special_case() -> None:
    one = judged(1)
    rows = np.zeros(5, dtype=np.intp)
    nudge = 1e-12 * np.arange(5)[:, None]
    five = user(Judged(one.first[rows] + nudge, one.second[rows], one.outcomes[rows]))
    twin = user(Judged(one.first, one.first, one.outcomes))

    assert np.sign(one.outcomes[0]) * (five.margins(one.first, one.second).mean[0]) > 0
    assert five.margins(one.first, one.second).variance[0] < user(one).margins(one.first, one.second).variance[0]
    assert twin.log_evidence == pytest.approx(np.log(0.5), abs=1e-9)  # a coin, which teaches nothing
    np.testing.assert_allclose(twin.score(one.second).mean, one.second @ PRIOR.mean, atol=1e-9)


def test_the_model_for_botorch_says_the_same() -> None:
    found, items = user(judged(7)), np.random.default_rng(2).normal(size=(6, 2))
    with torch.no_grad():
        joint = found.model.posterior(torch.tensor(items))
        pairs = found.model.posterior(torch.tensor(np.stack([items[:3], items[3:]], axis=1)))
    scores, margins = found.score(items), found.margins(items[:3], items[3:])
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64)

    np.testing.assert_allclose(joint.mean[:, 0].numpy(), scores.mean, atol=1e-9)
    np.testing.assert_allclose(joint.variance[:, 0].numpy(), scores.sd**2, atol=1e-7)
    np.testing.assert_allclose((pairs.mean[..., 0] @ signs).numpy(), margins.mean, atol=1e-9)
    spread = signs @ pairs.distribution.covariance_matrix @ signs
    np.testing.assert_allclose(spread.numpy(), margins.variance, atol=1e-7)


def test_a_mixture_counts_as_its_moments() -> None:
    mixture = GaussianMixture([0.4, 0.6], [PRIOR, Gaussian([-1.0, 0.5], np.eye(2))])
    answers, items = judged(4), np.random.default_rng(2).normal(size=(6, 2))
    whole = user(answers, prior=Gaussian(mixture.mean, mixture.covariance)).score(items)

    np.testing.assert_allclose(user(answers, prior=mixture).score(items), whole, atol=1e-12)


def crossed(n: int, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.int8]]:
    """Pairs of which the item is liked better whose two features have one sign: nothing for a linear taste to find."""
    first, second = rng.normal(size=(2, n, 2))
    return first, second, np.where(first.prod(axis=1) > second.prod(axis=1), 1, -1).astype(np.int8)


def test_a_taste_in_products_is_learned_by_the_residual_and_not_by_weights() -> None:
    rng = np.random.default_rng(0)
    answers, (first, second, better) = Judged(*crossed(60, rng)), crossed(400, rng)
    centred = Gaussian([0.0, 0.0], np.eye(2))

    def accuracy(residual: Residual) -> float:
        chances = user(answers, residual, prior=centred).preference_probability(first, second)
        return float(((chances > 0.5) == (better > 0)).mean())

    assert accuracy(NONE) < 0.6
    assert accuracy(Residual(3.0, [1.5, 1.5])) > 0.8


@pytest.fixture(scope="module")
def pool() -> prefq.CandidatePool:
    rng = np.random.default_rng(6)
    return prefq.CandidatePool.from_arrays(rng.normal(size=(60, 2)), np.arange(60).reshape(-1, 2))


def test_it_chooses_through_the_same_calls_as_linear_tastes(pool: prefq.CandidatePool) -> None:
    answers: list[prefq.Answer] = []
    for reply in ("first", "second", "tie", "skip", "first"):
        known = fit_curved_user(pool, answers, residual=RESIDUAL)
        question = prefq.select_next_question(pool, answers, acquisition=known.acquisition())
        assert question is not None
        scores = prefq.score_questions(pool, answers, acquisition=known.acquisition())
        asked = {frozenset(map(int, answer.question_id.split("-"))) for answer in answers}
        left = [row for row, pair in enumerate(pool.pairs.tolist()) if frozenset(pair) not in asked]
        best = pool.pairs[max(left, key=lambda row: scores[row])]
        assert {question.first.item, question.second.item} == set(best.tolist())
        answers.append(question.answer(reply))
    assert fit_curved_user(pool, answers).n_answers == 4


def replies_of(taste: list[float], pool: prefq.CandidatePool, n_answers: int) -> list[prefq.Answer]:
    better = pool.features[pool.pairs] @ np.array(taste)
    return [
        prefq.Answer(f"{first}-{second}", "first" if one > other else "second")
        for (first, second), (one, other) in zip(pool.pairs[:n_answers].tolist(), better.tolist(), strict=False)
    ]


CAMPS = GaussianMixture([0.5, 0.5], [Gaussian([3.0, 1.0], 0.2 * np.eye(2)), Gaussian([-3.0, -1.0], 0.2 * np.eye(2))])


@pytest.mark.parametrize(
    ("prior", "taste", "stated", "surprised"),
    [
        (PopulationPrior(CAMPS, FeatureSpace(["x0", "x1"]), n_users=50), [3.0, 1.0], None, False),
        (PopulationPrior(CAMPS.components[0], FeatureSpace(["x0", "x1"]), n_users=50), [-3.0, -1.0], None, True),
        (PopulationPrior(PRIOR, FeatureSpace(["x0", "x1"])), [0.0, 3.0], {"x0": 1.0, "x1": -1.0}, False),
    ],
    ids=["camp", "opposite of the group", "stated"],
)
def test_without_a_residual_it_says_what_the_profile_says(
    pool: prefq.CandidatePool, prior: PopulationPrior, taste: list[float], stated: Any, surprised: bool
) -> None:
    answers = replies_of(taste, pool, 8)
    said = None if stated is None else prefq.stated_evidence(pool.feature_space, stated, prior=prior)
    profile = prefq.fit_profile(pool, answers, user_id="ada", prior=prior, stated=said)
    found = fit_curved_user(pool, answers, prior=prior, stated=said, residual=NONE)
    first, second = pool.features[pool.pairs.T]
    expected = profile.preference_probability(first, second)

    assert found.surprise == profile.surprise
    assert (found.surprise is not None) is surprised
    # The Gaussian with the moments of a mixture is not the mixture, but near it once the answers have chosen.
    strayed = np.abs(found.preference_probability(first, second) - expected).mean()
    unheard = CurvedUser.given(prior, NONE, found.judged).preference_probability(first, second)
    assert strayed < 0.025
    assert strayed < 0.4 * np.abs(unheard - expected).mean()


def test_stated_evidence_of_other_features_is_refused(pool: prefq.CandidatePool) -> None:
    other = prefq.stated_evidence(SPACE, {"warm": 1.0}, prior=PRIOR)
    with pytest.raises(prefq.MismatchError, match="feature space"):
        fit_curved_user(pool, [], stated=other)


def test_its_information_is_that_of_its_margins(pool: prefq.CandidatePool) -> None:
    model = ResponseModel(0.3, 0.2, 0.1, dissimilarity_noise=0.4, dissimilarity_scales=(1.0, 1.0))
    first, second = pool.features[pool.pairs.T]
    known = fit_curved_user(pool, [prefq.Answer("0-1", "first")], response_model=model, residual=RESIDUAL)
    margins, loudness = known.margins(first, second), model.loudness(first - second)
    expected = prefq.questions.acquisition.information_gain(
        margins.mean * loudness, margins.variance * loudness**2, response_model=model
    )
    found = prefq.score_questions(
        pool, [prefq.Answer("0-1", "first")], response_model=model, acquisition=known.acquisition()
    )

    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bad_input_is_refused_in_a_sentence(pool: prefq.CandidatePool) -> None:
    known = fit_curved_user(pool, [])
    with pytest.raises(prefq.InputError, match=r"features have shape \(1, 3\); expected \(n, 2\), one row a response"):
        known.score(np.zeros((1, 3)))
    with pytest.raises(prefq.InputError, match="there are 2 first and 1 second responses"):
        known.preference_probability(np.zeros((2, 2)), np.zeros((1, 2)))
    with pytest.raises(prefq.InputError, match="'target_variance' asks for more than the margins of a taste"):
        known.acquisition("target_variance")
    with pytest.raises(prefq.NotFoundError, match="no acquisition 'bald'"):
        known.acquisition("bald")
    with pytest.raises(prefq.InputError, match="the residual has scale -1"):
        Residual(-1.0, [1.0])
    with pytest.raises(prefq.InputError, match="give a scale of 0 logits or more and lengthscales above 0"):
        Residual(1.0, [1.0, 0.0])
    with pytest.raises(prefq.InputError, match="1 lengthscales and the prior 2 coefficients"):
        user(judged(0), Residual(1.0, [1.0]))
    other = prefq.CandidatePool.from_arrays(np.eye(3), [[0, 1], [1, 2]])
    with pytest.raises(prefq.MismatchError, match="the user's taste belongs to another feature space"):
        prefq.select_next_question(other, [], acquisition=known.acquisition())


def test_the_default_residual_does_not_depend_on_the_units_of_features() -> None:
    rng, units = np.random.default_rng(8), np.array([1e6, 1e-6])
    first, second = rng.normal(size=(2, 40, 2))
    plain = default_residual(first, second, PRIOR.covariance)
    other = default_residual(first * units, second * units, PRIOR.covariance / np.outer(units, units))

    assert other.scale == pytest.approx(plain.scale)
    np.testing.assert_allclose(other.lengthscales, plain.lengthscales * units)
