"""The prior fitted on a group: near the population it came from, in any units, and sane where there is little."""

import numpy as np
import pytest
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.inference.ep import fit_posterior_ep
from prefq.inference.groups import Group
from prefq.inference.laplace import fit_posterior
from prefq.inference.mixture_em import Population, evidence_of, search
from prefq.inference.population import fit_population_prior, fit_population_prior_with_info, pooled_coefficients
from prefq.vocabulary import Array, Comparisons, FeatureSpace, Gaussian, PopulationPrior, ResponseModel

PLAIN = ResponseModel()
Answers = tuple[Array, NDArray[np.int8], NDArray[np.intp]]


def replies(margins: Array, rng: np.random.Generator, model: ResponseModel = PLAIN) -> NDArray[np.int8]:
    """Drawn by the definition of the response model, with no code of its likelihood."""
    noise = rng.logistic(size=margins.shape)
    felt = margins + model.position_bias + noise
    outcomes = np.where(felt > model.tie_threshold, 1, np.where(felt < -model.tie_threshold, -1, 0))
    by_chance = rng.choice(model.outcomes, size=margins.shape)
    return np.where(rng.random(margins.shape) < model.lapse_rate, by_chance, outcomes).astype(np.int8)


def answers_of(
    tastes: Array, n_answers: int, rng: np.random.Generator, model: ResponseModel = PLAIN, spread: float = 1.0
) -> Answers:
    n_users, n_features = tastes.shape
    users = np.repeat(np.arange(n_users), n_answers)
    differences = spread * rng.normal(size=(len(users), n_features))
    return differences, replies((differences * tastes[users]).sum(axis=1), rng, model), users


def personal(prior: PopulationPrior) -> Gaussian:
    return prior.coefficients.components[0]


def test_it_finds_the_population() -> None:
    rng = np.random.default_rng(1)
    mean, covariance = np.array([1.0, -0.5, 0.0]), np.array([[2.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    fits = [
        personal(
            fit_population_prior(
                *answers_of(rng.multivariate_normal(mean, covariance, size=200), 20, rng),
                response_model=PLAIN,
                shrinkage=2,
            )
        )
        for _ in range(3)
    ]
    # The mean of three groups: of 600 users a mean is known to .05 at best, a variance of 2 to .1, and not so well by
    # twenty answers each.
    np.testing.assert_allclose(np.mean([fit.mean for fit in fits], axis=0), mean, atol=0.2)
    np.testing.assert_allclose(np.mean([fit.covariance for fit in fits], axis=0), covariance, atol=0.45)


def test_the_search_ends_where_the_evidence_is_highest() -> None:
    rng = np.random.default_rng(2)
    group = Group.of(*answers_of(1.5 * rng.normal(size=(150, 1)) + 1, 12, rng))
    start = Population(np.ones(1), (Gaussian([0.0], [[1.0]]),))
    found = search(group, PLAIN, start, shrinkage=0.1, converged=1e-4).population.gaussians[0]
    grid = np.linspace(-8, 8, 801)
    curves = [
        -np.logaddexp(0, -np.outer(group.differences[group.owners == user, 0], grid) * outcomes[:, None]).sum(axis=0)
        for user in range(group.n_users)
        for outcomes in [group.outcomes[group.owners == user]]
    ]

    def evidence(mean: float, variance: float) -> float:
        """Of all answers, by a sum over a grid; with what is guessed of the variance and the mean beforehand."""
        mass = np.exp(-((grid - mean) ** 2) / (2 * variance))
        logs = np.log(np.exp(curves) @ (mass / mass.sum()))
        return float(logs.sum() - (np.log(variance) + 2.25 / variance) - mean**2 / 8)

    mean, variance = float(found.mean[0]), float(found.covariance[0, 0])
    at = evidence(mean, variance)
    around = [(mean + 0.2, variance), (mean - 0.2, variance), (mean, 1.2 * variance), (mean, variance / 1.2)]
    assert all(at > evidence(*place) for place in around)


def test_the_evidence_of_a_user_is_the_integral() -> None:
    rng = np.random.default_rng(3)
    group = Group.of(*answers_of(rng.normal(size=(6, 1)), 7, rng))
    population = Population(np.array([0.6, 0.4]), (Gaussian([0.3], [[2.0]]),))
    grid = np.linspace(-12, 12, 4001)
    mass = np.exp(-((grid - 0.3) ** 2) / 4)
    for user, found in enumerate(evidence_of(group, PLAIN, population)):
        own = group.owners == user
        likelihood = np.exp(
            -np.logaddexp(0, -np.outer(group.differences[own, 0], grid) * group.outcomes[own, None]).sum(axis=0)
        )
        point = np.exp(-np.logaddexp(0, -group.differences[own, 0] * 0.3 * group.outcomes[own]).sum())
        expected = np.log(0.6 * (likelihood @ mass) / mass.sum() + 0.4 * point)
        assert found == pytest.approx(expected, abs=0.02)  # of expectation propagation, in nats


def test_people_who_agree_are_called_so() -> None:
    rng = np.random.default_rng(4)
    prior = fit_population_prior(
        *answers_of(np.tile([1.5, -1.0], (150, 1)), 20, rng), response_model=PLAIN, shrinkage=2
    )
    assert prior.impersonal == 1
    assert prior.coefficients.weights[1] > 0.7
    np.testing.assert_allclose(prior.coefficients.mean, [1.5, -1.0], atol=0.2)


def test_coin_flippers_have_no_taste_of_their_own() -> None:
    rng = np.random.default_rng(5)
    prior = fit_population_prior(*answers_of(np.zeros((200, 4)), 20, rng), response_model=PLAIN, shrinkage=2)
    posteriors = [
        fit_posterior_ep(prior.coefficients, Comparisons(*answers_of(np.zeros((1, 4)), 10, rng)[:2]))[0]
        for _ in range(40)
    ]
    assert np.mean([each.weights[1] for each in posteriors]) > 0.8


def test_people_who_differ_have_one() -> None:
    rng = np.random.default_rng(6)
    prior = fit_population_prior(*answers_of(2 * rng.normal(size=(80, 3)), 15, rng), response_model=PLAIN, shrinkage=2)
    assert prior.coefficients.weights[1] < 0.1


def test_the_mean_is_as_uncertain_as_it_says() -> None:
    rng, off = np.random.default_rng(19), []
    for _ in range(30):
        tastes = np.array([1.0, -0.5]) + 1.2 * rng.normal(size=(40, 2))
        prior = fit_population_prior(*answers_of(tastes, 12, rng), response_model=PLAIN, shrinkage=2)
        mean = prior.coefficients.components[1]
        off.append((mean.mean - [1.0, -0.5]) / mean.sd)
    # Of 60 standard normals the root mean square lies within .18 of 1 in 19 of 20 cases.
    assert 0.75 < np.sqrt(np.square(off).mean()) < 1.3


def test_the_common_taste_is_as_uncertain_as_a_regression() -> None:
    rng = np.random.default_rng(20)
    differences, outcomes, users = answers_of(np.tile([0.5, 0.0], (200, 1)), 20, rng)
    prior = fit_population_prior(differences, outcomes, users, response_model=PLAIN, shrinkage=2)
    assert prior.coefficients.weights[1] > 0.9
    chances = 1 / (1 + np.exp(-0.5 * differences[:, 0]))
    information = (differences * (chances * (1 - chances))[:, None]).T @ differences
    np.testing.assert_allclose(prior.coefficients.components[1].sd, np.diag(information) ** -0.5, rtol=0.1)


def test_what_two_people_share_is_not_everybodys() -> None:
    rng = np.random.default_rng(21)
    tastes = np.array([2.0, 1.5]) * np.ones((2, 1))
    prior = fit_population_prior(*answers_of(tastes, 30, rng), response_model=PLAIN)
    many = fit_population_prior(*answers_of(np.tile(tastes, (40, 1)), 30, rng), response_model=PLAIN)
    assert (personal(prior).sd > 0.7).all()
    assert (prior.coefficients.sd > 3 * many.coefficients.sd).all()


def test_camps_are_found_and_a_single_one_is_left_whole() -> None:
    rng = np.random.default_rng(7)
    side = np.where(np.arange(120) % 2 == 0, 1.0, -1.0)[:, None]
    camps = answers_of(side * [2.5, 1.5] + 0.3 * rng.normal(size=(120, 2)), 15, rng)
    prior, info = fit_population_prior_with_info(*camps, n_components="auto", response_model=PLAIN)
    assert info.n_components == 2
    one, other = (each.mean for each in prior.coefficients.components[:2])
    np.testing.assert_allclose(one, -other, atol=0.8)
    assert abs(one[0]) == pytest.approx(2.5, abs=0.7)
    shares, components = prior.coefficients.weights[:2], prior.coefficients.components
    np.testing.assert_allclose(components[2].mean, shares / shares.sum() @ np.stack([one, other]), atol=1e-9)
    whole = answers_of(1.5 * rng.normal(size=(80, 2)) + 1, 10, rng)
    _, info = fit_population_prior_with_info(*whole, n_components="auto", response_model=PLAIN)
    assert info.n_components == 1


@pytest.mark.parametrize("units", [1e6, 1e-6])
def test_it_follows_the_units_of_the_features(units: float) -> None:
    rng = np.random.default_rng(8)
    differences, outcomes, users = answers_of(rng.normal(size=(40, 2)), 8, rng)
    one = fit_population_prior(differences, outcomes, users)
    other = fit_population_prior(differences * units, outcomes, users)
    assert other.response_model == one.response_model
    for mine, theirs in zip(one.coefficients.components, other.coefficients.components, strict=True):
        np.testing.assert_allclose(theirs.mean * units, mine.mean, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(theirs.covariance * units**2, mine.covariance, rtol=1e-6, atol=1e-9)


def test_neither_the_order_of_answers_nor_names_matter() -> None:
    rng = np.random.default_rng(9)
    differences, outcomes, users = answers_of(rng.normal(size=(40, 2)), 8, rng)
    order = rng.permutation(len(users))
    names = [f"user {100 - user}" for user in users[order]]
    one = fit_population_prior(differences, outcomes, users)
    other = fit_population_prior(differences[order], outcomes[order], names)
    np.testing.assert_allclose(other.coefficients.mean, one.coefficients.mean, atol=1e-6)
    np.testing.assert_allclose(other.coefficients.covariance, one.coefficients.covariance, atol=1e-6)


def test_swapping_sides_changes_the_bias_and_nothing_else() -> None:
    rng = np.random.default_rng(10)
    model = ResponseModel(position_bias=0.8)
    differences, outcomes, users = answers_of(1.5 * rng.normal(size=(60, 2)), 20, rng, model)
    one, other = (
        fit_population_prior(differences, outcomes, users),
        fit_population_prior(-differences, -outcomes, users),
    )
    assert one.response_model.position_bias == pytest.approx(0.8, abs=0.25)
    assert other.response_model.position_bias == pytest.approx(-one.response_model.position_bias, abs=0.02)
    np.testing.assert_allclose(other.coefficients.mean, one.coefficients.mean, atol=0.02)


def test_how_people_reply_is_fitted() -> None:
    rng = np.random.default_rng(11)
    model = ResponseModel(tie_threshold=0.7, position_bias=0.4, lapse_rate=0.2)
    prior = fit_population_prior(*answers_of(3 * rng.normal(size=(120, 2)), 25, rng, model))
    assert prior.response_model.tie_threshold == pytest.approx(0.7, abs=0.15)
    assert prior.response_model.position_bias == pytest.approx(0.4, abs=0.2)
    assert 0.1 <= prior.response_model.lapse_rate <= 0.3


def test_strengths_tell_their_threshold() -> None:
    rng = np.random.default_rng(12)
    tastes = 2 * rng.normal(size=(80, 2))
    users = np.repeat(np.arange(80), 20)
    differences = rng.normal(size=(1600, 2))
    felt = (differences * tastes[users]).sum(axis=1) + rng.logistic(size=1600)
    strengths = np.where(np.abs(felt) > 1.2, 0.9, 0.3)
    prior = fit_population_prior(differences, np.where(felt > 0, 1, -1), users, strengths=strengths)
    assert prior.response_model.strength_threshold == pytest.approx(1.2, abs=0.2)


def test_a_response_model_that_is_given_stays() -> None:
    rng = np.random.default_rng(13)
    model = ResponseModel(position_bias=0.3, lapse_rate=0.05)
    prior = fit_population_prior(*answers_of(rng.normal(size=(25, 2)), 6, rng, model), response_model=model)
    assert prior.response_model == model


def test_rows_without_a_difference_are_counted_and_left_out() -> None:
    rng = np.random.default_rng(14)
    differences, outcomes, users = answers_of(rng.normal(size=(25, 2)), 6, rng)
    silent = (np.vstack([differences, np.zeros((5, 2))]), np.append(outcomes, [1] * 5), np.append(users, [900] * 5))
    prior, info = fit_population_prior_with_info(*silent)
    assert (info.n_left_out, info.n_answers, prior.n_users) == (5, 150, 25)
    np.testing.assert_allclose(
        prior.coefficients.mean, fit_population_prior(differences, outcomes, users).coefficients.mean, atol=1e-9
    )


def test_the_pooled_regression_is_the_maximum_of_its_likelihood() -> None:
    rng = np.random.default_rng(15)
    differences, outcomes, _ = answers_of(np.tile([0.8, -0.4], (200, 1)), 10, rng)
    pooled = pooled_coefficients(differences, outcomes)
    ridge = np.square(differences).mean(axis=0) / 50

    def loss(w: Array) -> float:
        return float(np.logaddexp(0, -outcomes * (differences @ w)).sum() + (w * w) @ ridge)

    around = [loss(pooled + step) for step in 0.02 * np.vstack([np.eye(2), -np.eye(2)])]
    assert loss(pooled) < min(around)


HARD_GROUPS = {
    "three users, one answer each, five features": (3, 1, 5),
    "one user, one answer": (1, 1, 1),
    "one user, many answers": (1, 30, 2),
    "many users, one answer each": (60, 1, 3),
    "more features than answers": (4, 3, 30),
}


@pytest.mark.parametrize("name", HARD_GROUPS)
@pytest.mark.parametrize("n_components", [1, "auto"])
def test_little_to_learn_from_gives_a_sane_prior(name: str, n_components: int) -> None:
    n_users, n_answers, n_features = HARD_GROUPS[name]
    rng = np.random.default_rng(16)
    answers = answers_of(rng.normal(size=(n_users, n_features)), n_answers, rng)
    prior = fit_population_prior(*answers, n_components=n_components)
    scales = np.sqrt(np.square(answers[0]).mean(axis=0))
    assert np.linalg.norm(prior.coefficients.mean * scales) < 4  # logits, of the margin of a typical difference
    assert 0.3 < np.linalg.norm(prior.coefficients.sd * scales) < 8
    fit_posterior(prior.coefficients, Comparisons(*answers[:2]), response_model=prior.response_model)


def test_of_one_answer_the_units_are_those_that_are_given() -> None:
    one = ([[0.01, 1.0]], [1], ["ada"])
    prior = fit_population_prior(*one, scales=[1.0, 1.0])
    assert (personal(prior).sd < 3).all()
    assert personal(fit_population_prior(*one)).sd[0] > 50  # as if .01 were a difference like others
    thousandfold = fit_population_prior([[10.0, 1.0]], [1], ["ada"], scales=[1000.0, 1.0])
    np.testing.assert_allclose(1000 * personal(thousandfold).sd[0], personal(prior).sd[0], rtol=1e-6)
    with pytest.raises(InputError, match="scales are 1 numbers, the least 1; give a typical difference"):
        fit_population_prior(*one, scales=[1.0])
    with pytest.raises(InputError, match="the least -1"):
        fit_population_prior(*one, scales=[1.0, -1.0])


@pytest.mark.parametrize("n_users", [20, 40, 100])
def test_intervals_of_a_prior_from_few_people_cover_new_ones(n_users: int) -> None:
    covered = []
    for seed in range(6):
        rng = np.random.default_rng([23, seed])
        tastes = 0.5 + 0.6 * rng.normal(size=(n_users + 400, 4))
        prior = personal(fit_population_prior(*answers_of(tastes[:n_users], 12, rng), response_model=PLAIN))
        covered.append((np.abs(tastes[n_users:] - prior.mean) < 1.645 * prior.sd).mean())
    assert np.mean(covered) > 0.84  # of 90 %; .70 to .79 when the covariance was the smallest that fits


@pytest.mark.parametrize("kind", ["all first", "separable", "duplicated", "contradictory"])
def test_odd_answers_give_a_finite_prior(kind: str) -> None:
    rng = np.random.default_rng(17)
    differences, outcomes, users = answers_of(rng.normal(size=(30, 3)), 6, rng)
    if kind == "all first":
        outcomes = np.ones_like(outcomes)
    elif kind == "separable":
        outcomes = np.where(differences[:, 0] > 0, 1, -1).astype(np.int8)
    elif kind == "duplicated":
        differences, outcomes, users = (np.concatenate([each] * 3) for each in (differences, outcomes, users))
    else:
        differences, outcomes = np.concatenate([differences] * 2), np.concatenate([outcomes, -outcomes])
        users = np.concatenate([users] * 2)
    prior = fit_population_prior(differences, outcomes, users)
    sizes = prior.coefficients.sd
    assert np.isfinite(sizes).all()
    assert sizes.max() < 20
    if kind == "all first":
        assert prior.response_model.position_bias == 0
    if kind == "separable":
        assert prior.coefficients.mean[0] > 1
    if kind == "contradictory":
        np.testing.assert_allclose(prior.coefficients.mean, 0, atol=1e-6)


def test_features_that_never_differ_and_copies_of_others() -> None:
    rng = np.random.default_rng(18)
    differences, outcomes, users = answers_of(1.5 * rng.normal(size=(60, 2)), 10, rng)
    alone = fit_population_prior(differences, outcomes, users, response_model=PLAIN)
    wider = np.column_stack([differences, np.zeros(len(users)), differences[:, 0]])
    prior = fit_population_prior(wider, outcomes, users, response_model=PLAIN)
    assert prior.coefficients.mean[2] == pytest.approx(0, abs=1e-12)
    assert 0 < prior.coefficients.sd[2] < 5
    # A feature and its copy stand for one: what they say together is what it said alone.
    together = np.array([[1.0, 0, 0, 1.0], [0, 1.0, 0, 0]])
    np.testing.assert_allclose(together @ prior.coefficients.mean, alone.coefficients.mean, atol=0.15)
    spread = np.sqrt(np.diag(together @ prior.coefficients.covariance @ together.T))
    np.testing.assert_allclose(spread, alone.coefficients.sd, rtol=0.25)


def test_what_cannot_be_fitted_is_refused_in_a_sentence() -> None:
    differences, outcomes, users = np.eye(3), [1, -1, 1], ["ada", "ben", "ada"]
    with pytest.raises(InputError, match="NaN"):
        fit_population_prior(np.full((3, 3), np.nan), outcomes, users)
    with pytest.raises(InputError, match="2 users and 3 rows"):
        fit_population_prior(differences, outcomes, users[:2])
    with pytest.raises(InputError, match="3 features and the feature space 2"):
        fit_population_prior(differences, outcomes, users, feature_space=FeatureSpace(["a", "b"]))
    with pytest.raises(InputError, match="n_components is 3 and only 2 users gave"):
        fit_population_prior(differences, outcomes, users, n_components=3)
    with pytest.raises(InputError, match="give a number of at least 1, or 'auto'"):
        fit_population_prior(differences, outcomes, users, n_components=0)
    with pytest.raises(InputError, match="none of the 3 rows"):
        fit_population_prior(np.zeros((3, 3)), outcomes, users)
    with pytest.raises(InputError, match="users hold NaN"):
        fit_population_prior(differences, outcomes, [1.0, float("nan"), 2.0])
    with pytest.raises(InputError, match="cannot be told apart"):
        fit_population_prior(differences, outcomes, [["a"], ["b"], ["c"]])  # type: ignore[list-item]
    with pytest.raises(InputError, match="above 0"):
        fit_population_prior(differences, outcomes, users, shrinkage=0.0)
    with pytest.raises(InputError, match="other values"):
        fit_population_prior(differences, [1, 2, 3], users)
    for unit in (1e300, 1e-300):
        with pytest.raises(
            InputError, match=r"column 2 of 3 go up to 1e[+-]300, .*; give this feature in another unit"
        ):
            fit_population_prior(differences * [1, unit, 1], outcomes, users)


def test_whoever_watches_can_end_it() -> None:
    def stop(_what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_population_prior(np.eye(2), [1, -1], [0, 1], on_step=stop)
