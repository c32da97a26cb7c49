"""The synthetic worlds are what their page says: populations, replies, noise, groups and frozen tests."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import prefq
from prefq.errors import InputError, NotFoundError
from prefq.inference.likelihood import sigmoid
from prefq.inference.population import pooled_coefficients
from prefq.inference.predictive import preference_probability
from prefq.pool.starter import declared_levels
from prefq.simulation.panels import Panel
from prefq.simulation.scenes import draw, gaussian_population, gaussian_scene
from prefq.simulation.synthetic import WORLDS, make_world, mean_reliability, unlike_loudness, world_name
from prefq.simulation.worlds import StarterTexts
from prefq.vocabulary import Array, Gaussian

ALL = (*WORLDS, "agree(0)", "agree(1)", "noisy(0.2, known=1)")
LOGISTIC_WORLDS = tuple(name for name in WORLDS if name not in ("noisy", "no_signal"))


PAGE = Path(__file__).parents[2] / "docs" / "maths" / "worlds.md"


def texts() -> StarterTexts:
    return StarterTexts(prefq.load_pool("starter"), declared_levels())


def make(name: str, *, n_users: int = 20, seed: int = 1, n_pool: int = 400) -> Panel:
    return make_world(name, n_users=n_users, rng=np.random.default_rng(seed), n_pool=n_pool, texts=texts)


def tastes(panel: Panel) -> Array:
    """Coefficients (n_users, n_features), read off the utilities of candidates."""
    assert panel.candidates is not None
    features, utilities = panel.candidates
    rows = features.reshape(-1, features.shape[-1])
    solved, *_ = np.linalg.lstsq(rows, utilities.reshape(len(utilities), -1).T, rcond=None)
    return np.asarray(solved.T)


def differences(panel: Panel) -> Array:
    return np.asarray((panel.first - panel.second)[0])


def arrays(panel: Panel) -> list[NDArray[Any]]:
    group = [part for part in panel.group if part is not None]
    return [panel.first, panel.outcomes, panel.test_first, panel.test_truth, *group]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gaussian", "gaussian(6)"),
        ("gaussian:16", "gaussian(16)"),
        (" gaussian( d = 16 ) ", "gaussian(16)"),
        ("agree(1, 60)", "agree(1, n_group_users=60)"),
        ("raters:.6", "raters(0.6)"),
        ("noisy(ties=0)", "noisy(0.1, ties=0)"),
        ("drift()", "drift(15)"),
        ("unlike_noise", "unlike_noise"),
    ],
)
def test_a_name_may_carry_parameters_and_is_shown_in_full(text: str, name: str) -> None:
    assert world_name(text) == name
    assert world_name(name) == name
    assert make(text, n_users=1, n_pool=20).name == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gausian", "there is no world 'gausian'; did you mean 'gaussian'? there are gaussian, unlike_noise,"),
        ("reality", "there is no world 'reality'; there are gaussian, unlike_noise,"),
        ("gaussian(", "the world is 'gaussian('; give a name such as 'gaussian(6)' or 'agree:0.5'."),
        ("gaussian(2.5)", "d of the world 'gaussian' is '2.5'; give a whole number from 1 to 128."),
        ("agree(2)", "p of the world 'agree' is '2'; give a number from 0 to 1."),
        ("agree(nan)", "p of the world 'agree' is 'nan'; give a number from 0 to 1."),
        ("agree(q=1)", "'q=1' is no parameter of the world 'agree', or given twice; it has p, n_group_users."),
        ("agree(1, p=1)", "'p=1' is no parameter of the world 'agree', or given twice; it has p, n_group_users."),
        ("clustered(3)", "'3' is no parameter of the world 'clustered', or given twice; it has none."),
        ("noisy(0.9)", "a share of 0.2 ties is below what 0.9 lapses bring alone, a third of them;"),
    ],
)
def test_a_wrong_name_has_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises((InputError, NotFoundError)) as caught:
        make(text)
    assert str(caught.value).startswith(sentence)


def test_every_world_and_its_parameters_are_on_the_page() -> None:
    headings = dict(re.findall(r"^## `(\w+)(?:\(([^)]*)\))?`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {name: [parameter.name for parameter in generator.parameters] for name, generator in WORLDS.items()}
    assert {name: re.findall(r"\w+", inside) for name, inside in headings.items()} == named


def test_counts_and_texts_are_asked_for() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="n_users is 0; give 1 or more"):
        make_world("gaussian", n_users=0, rng=rng)
    with pytest.raises(InputError, match="the world 'starter' needs the starter pool's texts"):
        make_world("starter", n_users=1, rng=rng)


@pytest.mark.parametrize("name", ALL)
def test_a_seed_makes_one_world_and_another_seed_another(name: str) -> None:
    one, again, other = make(name), make(name), make(name, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(again), strict=True))
    assert not np.array_equal(one.test_first, other.test_first)
    assert not np.array_equal(one.outcomes, other.outcomes)


@pytest.mark.parametrize("name", ALL)
def test_no_item_of_a_test_task_or_a_candidate_can_be_asked_about(name: str) -> None:
    panel = make(name)
    asked = {row.tobytes() for row in np.concatenate([panel.first[0], panel.second[0]])}
    kept = {row.tobytes() for row in np.concatenate([panel.test_first[0], panel.test_second[0]])}
    assert len(kept) > 50
    assert not asked & kept
    if panel.candidates is not None:
        features = panel.candidates.features
        assert not asked & {row.tobytes() for row in features.reshape(-1, features.shape[-1])}


@pytest.mark.parametrize("name", ALL)
def test_the_group_is_there_before_the_users_and_is_not_made_of_them(name: str) -> None:
    few, many = make(name, n_users=2), make(name, n_users=9)
    for part, same in zip(few.group, many.group, strict=True):
        np.testing.assert_array_equal(part, same)
    # Nobody of the group has answered like one of the users wherever both were asked.
    rows = {row.tobytes(): place for place, row in enumerate(differences(many))}
    places = np.array([rows[row.tobytes()] for row in many.group.differences])
    same = many.outcomes[:, places] == many.group.outcomes
    agreed = np.array([same[:, many.group.users == user].all(axis=1) for user in np.unique(many.group.users)])
    n_answers = np.bincount(many.group.users)
    assert agreed[n_answers >= 20].mean() < 0.05


@pytest.mark.parametrize("name", LOGISTIC_WORLDS)
def test_replies_come_with_the_probability_of_their_margins(name: str) -> None:
    panel = make(name, n_users=200)
    assert panel.margins is not None
    chances = sigmoid(panel.margins)
    surplus = (panel.outcomes == 1) - chances
    # Too many firsts, and too many or too few replies that go with the taste.
    for weights in (np.ones_like(chances), np.sign(panel.margins), panel.margins):
        error = np.sqrt((weights**2 * chances * (1 - chances)).sum())
        assert abs((surplus * weights).sum()) < 4 * error


@pytest.mark.parametrize("name", ["gaussian(6)", "equal_norm(6)", "clustered", "text_factors", "raters(0.3)", "drift"])
def test_margins_and_test_tasks_follow_the_tastes_that_judge_candidates(name: str) -> None:
    panel = make(name)
    weights = tastes(panel)
    assert panel.margins is not None
    np.testing.assert_allclose(panel.margins, weights @ differences(panel).T, atol=1e-9)
    tests = (panel.test_first - panel.test_second)[0]
    np.testing.assert_allclose(panel.test_truth, sigmoid(weights @ tests.T), atol=1e-9)


@pytest.mark.parametrize("name", ["gaussian(6)", "gaussian(3)", "text_factors", "wrong_prior", "raters(0.5)"])
def test_users_come_from_the_population_that_the_panel_names(name: str) -> None:
    panel = make(name, n_users=4000, n_pool=30)
    assert panel.true_prior is not None
    whitened = np.linalg.solve(
        np.linalg.cholesky(panel.true_prior.covariance), (tastes(panel) - panel.true_prior.mean).T
    )
    np.testing.assert_allclose(whitened.mean(axis=1), 0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(np.cov(whitened), np.eye(len(whitened)), atol=4 * np.sqrt(2 / 4000))


@pytest.mark.parametrize(("name", "sign"), [("gaussian(6)", 1), ("text_factors", 1), ("wrong_prior", -1)])
def test_the_group_replies_as_its_population_would(name: str, sign: int) -> None:
    panel = make(name)
    assert panel.true_prior is not None
    asked, outcomes, users, _ = panel.group
    mean = sign * (asked @ panel.true_prior.mean)
    variance = ((asked @ panel.true_prior.covariance) * asked).sum(axis=1)
    chances = preference_probability(mean, variance)
    each = np.bincount(users, ((outcomes == 1) - chances) * np.sign(mean))
    assert abs(each.mean()) < 4 * each.std() / np.sqrt(len(each))
    assert sign * (pooled_coefficients(panel.group.differences, panel.group.outcomes) @ panel.true_prior.mean) > 0


def test_people_state_their_tastes_with_a_correlation_of_six_tenths() -> None:
    panel = make("gaussian(6)", n_users=4000, n_pool=30)
    assert panel.stated is not None
    for stated, weighed in zip(panel.stated.readings.T, tastes(panel).T, strict=True):
        assert np.corrcoef(stated, weighed)[0, 1] == pytest.approx(0.6, abs=4 * 0.64 / np.sqrt(4000))


def test_pairs_of_gaussian_differ_in_spread_and_those_of_equal_norm_do_not() -> None:
    def norms(name: str) -> Array:
        return np.asarray(np.linalg.norm(differences(make(name, n_pool=2000)), axis=1))

    assert norms("gaussian(6)").std() / norms("gaussian(6)").mean() > 0.3
    np.testing.assert_allclose(norms("equal_norm(6)"), 1, rtol=1e-12)


def test_mean_reliability_is_that_of_drawn_users() -> None:
    rng = np.random.default_rng(3)
    population, pairs = gaussian_population(6, rng), gaussian_scene(6, 300, rng).differences
    loudness = rng.random(300)
    drawn = sigmoid(np.abs(draw(population, 20000, rng) @ pairs.T) * loudness).mean(axis=1)
    expected = mean_reliability(population, pairs, loudness)
    assert drawn.mean() == pytest.approx(expected, abs=4 * drawn.std() / np.sqrt(20000))


def test_replies_to_unlike_pairs_are_noisier_at_the_same_mean_reliability() -> None:
    panels = [make(name, n_users=400, n_pool=2000, seed=5) for name in ("gaussian", "unlike_noise")]
    plain, noisy = panels  # the same population, pool and users: the noise draws nothing
    np.testing.assert_array_equal(tastes(plain).round(9), tastes(noisy).round(9))
    assert plain.margins is not None
    right = [panel.outcomes == np.sign(plain.margins) for panel in panels]
    difference = right[1].mean(axis=1) - right[0].mean(axis=1)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(400)
    # Equal margins, unlike items: those further apart are answered worse, and worse than without the noise.
    norms = np.broadcast_to(np.linalg.norm(differences(plain), axis=1), plain.outcomes.shape)
    alike_margins = np.abs(np.abs(plain.margins) - 2) < 0.5
    near, far = (alike_margins & (norms < 2)), (alike_margins & (norms > 4))
    assert right[1][near].mean() > right[1][far].mean() + 0.1
    assert right[0][near].mean() == pytest.approx(right[0][far].mean(), abs=0.02)


def test_the_noise_of_unlike_pairs_follows_its_formula_also_in_test_tasks() -> None:
    rng = np.random.default_rng(4)
    population, pairs = gaussian_population(6, rng), gaussian_scene(6, 2000, rng).differences
    loudness = unlike_loudness(population, pairs)
    radius = np.sqrt((pairs**2).sum(axis=1).mean())
    unit = np.eye(6)[0]
    assert loudness(2 * radius * unit) / loudness(0 * unit) == pytest.approx(np.exp(-1))
    assert mean_reliability(population, pairs, loudness(pairs)) == pytest.approx(
        mean_reliability(population, pairs, np.ones(len(pairs))), abs=1e-5
    )
    panel = make("unlike_noise", n_pool=2000)
    assert isinstance(panel.true_prior, Gaussian)
    louder = unlike_loudness(panel.true_prior, differences(panel))
    tests = (panel.test_first - panel.test_second)[0]
    np.testing.assert_allclose(panel.test_truth, sigmoid(tastes(panel) @ tests.T * louder(tests)), atol=1e-9)


def test_a_group_of_encodings_gives_six_thousand_answers_however_many_give_them() -> None:
    for n_group_users in (15, 300, 1500):
        counts = np.bincount(make(f"text_factors({n_group_users})", n_users=1, n_pool=500).group.users)
        assert counts.tolist() == [6000 // n_group_users] * n_group_users
    uneven = np.bincount(make("raters", n_users=1, n_pool=500).group.users)
    assert uneven.sum() == 6000
    assert uneven.tolist() == [858, 857, 857, 857, 857, 857, 857]


def test_raters_agree_as_often_as_the_name_says() -> None:
    alike, opposed, half = (tastes(make(name, n_users=1000)) for name in ("agree(1)", "agree(0)", "agree(0.5)"))
    np.testing.assert_allclose(alike, np.tile(alike[0], (1000, 1)), atol=1e-9)
    sides = opposed @ opposed[0] / (opposed[0] @ opposed[0])
    np.testing.assert_allclose(opposed, sides[:, None] * opposed[0], atol=1e-9)
    np.testing.assert_allclose(np.abs(sides), 1)
    assert abs(sides.mean()) < 4 / np.sqrt(1000)
    _, counts = np.unique(half.round(6), axis=0, return_counts=True)
    assert len(counts) == 3
    assert counts.max() / 1000 == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(1000))


@pytest.mark.parametrize("c", [0.0, 0.6, 1.0])
def test_raters_share_so_much_of_their_variance(c: float) -> None:
    pairs = np.array([tastes(make(f"raters({c})", n_users=2, seed=seed, n_pool=500)) for seed in range(80)])
    products, squares = (pairs[:, 0] * pairs[:, 1]).sum(axis=1), (pairs**2).sum(axis=2).mean(axis=1)
    error = (products - c * squares).std() / np.sqrt(80)
    assert abs((products - c * squares).mean()) <= 4 * error


def test_clusters_are_three_and_tight() -> None:
    weights = tastes(make("clustered", n_users=600))
    centres = [weights[0]]
    for _ in range(2):  # the user furthest from the centres so far
        centres.append(weights[np.min([np.linalg.norm(weights - c, axis=1) for c in centres], axis=0).argmax()])
    nearest = np.argmin([np.linalg.norm(weights - c, axis=1) for c in centres], axis=0)
    inner = np.concatenate([weights[nearest == k] - weights[nearest == k].mean(axis=0) for k in range(3)])
    assert inner.std() == pytest.approx(0.4, abs=0.02)
    assert np.bincount(nearest).min() / 600 == pytest.approx(1 / 3, abs=0.08)


@pytest.mark.parametrize(("lapses", "ties", "bias"), [(0.1, 0.2, 0.3), (0.2, 0.2, 0.3), (0.0, 0.4, -0.5)])
def test_noisy_replies_have_the_lapses_ties_and_bias_of_the_name(lapses: float, ties: float, bias: float) -> None:
    panel = make(f"noisy({lapses}, {ties}, {bias}, known=1)", n_users=400)
    assert panel.margins is not None
    known, outcomes, margins = panel.response_model, panel.outcomes, panel.margins
    assert (known.position_bias, known.lapse_rate) == (bias, lapses)
    by_user = (outcomes == 0).mean(axis=1)
    assert by_user.mean() == pytest.approx(ties, abs=4 * by_user.std() / np.sqrt(400) + 0.005)
    # Rao and Kupper with a lapse, written out; six bins of margins, three replies.
    first = 1 / (1 + np.exp(-(margins + bias - known.tie_threshold)))
    second = 1 / (1 + np.exp(margins + bias + known.tie_threshold))
    for low, high in ((-40, -8), (-8, -2), (-2, 0), (0, 2), (2, 8), (8, 40)):
        there = (margins >= low) & (margins < high)
        for outcome, clean in ((1, first), (0, 1 - first - second), (-1, second)):
            chance = ((1 - lapses) * clean + lapses / 3)[there]
            error = np.sqrt((chance * (1 - chance)).sum()) / there.sum()
            assert (outcomes[there] == outcome).mean() == pytest.approx(chance.mean(), abs=4 * error + 1e-9)


def test_what_prefq_assumes_of_noisy_replies_is_said() -> None:
    told, untold = make("noisy(known=1)"), make("noisy")
    np.testing.assert_array_equal(told.outcomes, untold.outcomes)
    assert untold.response_model == prefq.vocabulary.ResponseModel()
    assert (told.response_model_known, untold.response_model_known) == (True, False)
    assert "told how people reply" in told.notes[0]
    assert "is fitted on the group" in untold.notes[0]


def test_coin_flippers_say_nothing_anywhere() -> None:
    panel = make("no_signal", n_users=200, n_pool=2000)
    assert panel.stated is not None
    assert panel.candidates is None
    assert set(np.unique(panel.test_truth)) == {0.0, 1.0}
    tests = (panel.test_first - panel.test_second)[0]
    for values, features in ((panel.outcomes, differences(panel)), (2 * panel.test_truth - 1, tests)):
        slopes = values @ features / np.sqrt((features**2).sum(axis=0))  # standard normal each
        assert np.abs(slopes.mean(axis=0)).max() < 4 / np.sqrt(200)
        assert slopes.std() == pytest.approx(1, abs=0.1)
    sums = panel.group.outcomes @ panel.group.differences / np.sqrt((panel.group.differences**2).sum(axis=0))
    assert np.abs(sums).max() < 4
    # What they state of themselves does not help to predict a reply.
    agreement = (panel.outcomes * np.sign(panel.stated.readings @ differences(panel).T)).mean(axis=1)
    assert abs(agreement.mean()) < 4 * agreement.std() / np.sqrt(200)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_share_of_the_taste_lies_outside_the_features(share: float) -> None:
    panel = make(f"outside_span({share})", n_users=1000)
    assert panel.margins is not None
    seen = differences(panel)
    assert seen.shape[1] == 6
    fitted, *_ = np.linalg.lstsq(seen, panel.margins.T, rcond=None)
    unexplained = ((panel.margins - (seen @ fitted).T) ** 2).mean() / (panel.margins**2).mean()
    assert unexplained == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_share_of_the_taste_lies_in_products_of_features(share: float) -> None:
    panel = make(f"interactions({share})", n_users=1000)
    assert panel.margins is not None
    one, other = np.triu_indices(6, 1)
    first, second = panel.first[0], panel.second[0]
    products = first[:, one] * first[:, other] - second[:, one] * second[:, other]

    def unexplained(features: Array) -> float:
        assert panel.margins is not None
        fitted, *_ = np.linalg.lstsq(features, panel.margins.T, rcond=None)
        return float(((panel.margins - (features @ fitted).T) ** 2).mean() / (panel.margins**2).mean())

    assert unexplained(first - second) == pytest.approx(share, abs=0.04)
    assert unexplained(np.hstack([first - second, products])) < 1e-12


def test_a_drifting_user_turns_round_at_the_answer_of_the_name() -> None:
    panel = make("drift(4)")
    rows = np.arange(20)
    np.testing.assert_array_equal(panel.replies(rows, 4), -panel.replies(rows, 3))
    np.testing.assert_array_equal(panel.replies(rows, 3), panel.outcomes[rows, rows])
    np.testing.assert_allclose(panel.truth(4), 1 - panel.truth(3))


def test_the_starter_world_knows_what_its_questions_cost_and_keeps_prompts_apart() -> None:
    pool, panel = prefq.load_pool("starter"), make("starter(3)", n_users=500)
    assert pool.responses is not None
    assert pool.prompts is not None
    assert pool.prompt_codes is not None
    assert panel.words is not None
    item_of = {row.tobytes(): item for item, row in enumerate(pool.features)}
    first, second = (np.array([item_of[row.tobytes()] for row in side[0]]) for side in (panel.first, panel.second))
    read = " ".join([pool.prompts[first[7]], pool.responses[first[7]], pool.responses[second[7]]])
    assert panel.words[0, 7] == len(read.split())
    tested = {pool.prompt_codes[item_of[row.tobytes()]] for row in panel.test_first[0]}
    assert len(tested) == 14
    assert not tested & set(pool.prompt_codes[first])
    assert first.size + panel.test_first.shape[1] == pool.n_questions
    assert 0.4 < (first < second).mean() < 0.6


def test_the_starter_world_has_the_margins_and_readings_it_promises() -> None:
    panel = make("starter(3)", n_users=1500)
    assert panel.margins is not None
    assert panel.stated is not None
    assert np.sqrt((panel.margins**2).mean()) == pytest.approx(3, rel=0.06)
    # Measured features explain most of the taste, not all: a tenth is hidden, and measuring errs.
    seen = differences(panel)
    fitted, *_ = np.linalg.lstsq(seen, panel.margins.T, rcond=None)
    unexplained = ((panel.margins - (seen @ fitted).T) ** 2).mean() / 9
    assert 0.1 < unexplained < 0.6
    correlations = [np.corrcoef(panel.stated.readings[:, axis], fitted[axis])[0, 1] for axis in range(8)]
    assert min(correlations) > 0.3
