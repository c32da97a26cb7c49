"""Base rewards are learned once, from the group alone, and questions and predictions are those of the base rewards."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError
from prefq.inference.population import pooled_coefficients
from prefq.rewards.factorization.base import Factorization, FactorizationInfo, OnStep
from prefq.rewards.group import GroupComparisons
from prefq.rewards.learning import METHODS
from prefq.simulation import learned_strategies
from prefq.simulation.ablations import BY_NAME_ONLY
from prefq.simulation.controls import CONTROLS, begin_random
from prefq.simulation.curves import MEASURES, learning_curve
from prefq.simulation.guards import check_strategy, side_swapped
from prefq.simulation.learned_strategies import (
    LEARNED,
    Basis,
    as_found,
    by,
    comparisons_of,
    every_dimension,
    from_points,
    learned,
    moments,
    oriented,
    projected,
    unfolded,
)
from prefq.simulation.panels import GroupAnswers, History, Panel, Study
from prefq.simulation.rules import most_informative
from prefq.simulation.starts import fitted_start
from prefq.simulation.strategies import OURS, Strategy, listening
from prefq.simulation.summary import summarise
from prefq.simulation.synthetic import make_world
from prefq.vocabulary import Array, Gaussian, PopulationPrior
from prefq_cli.bench.strategies import choose, load

STRATEGIES = {strategy.name: strategy for strategy in (*OURS, *CONTROLS, *BY_NAME_ONLY)}
PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"
WORLD = "text_factors(40)"
PRIOR = Gaussian(np.linspace(0.5, -0.5, 6), np.diag(np.linspace(1.0, 2.0, 6)))
INFO = FactorizationInfo("spy", 1, (), (), 1, "it is one")


def make(name: str = f"encoded_{WORLD}", n_users: int = 6) -> Panel:
    return make_world(name, n_users=n_users, n_pool=150, rng=np.random.default_rng(2))


class Spy:
    """A method that keeps what it was given, and learns the pooled regression."""

    def __init__(self) -> None:
        self.seen: list[tuple[Array, GroupComparisons, GroupComparisons]] = []

    def __call__(
        self,
        encodings: Array,
        group: GroupComparisons,
        n_features: int,
        *,
        rng: np.random.Generator,
        validation: GroupComparisons,
        checkpoints: Path | None,
        on_step: OnStep,
    ) -> Factorization:
        self.seen.append((encodings, group, validation))
        head = pooled_coefficients(group.differences(encodings), group.outcomes)
        return Factorization(head[:, None], np.ones((group.n_users, 1)), INFO)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    found = Spy()
    monkeypatch.setattr(learned_strategies, "method_of", lambda name: found)
    return found


def curve_of(strategy: Strategy, panel: Panel, start: Any = None) -> Any:
    start = start or Gaussian(np.zeros(panel.first.shape[-1]), np.eye(panel.first.shape[-1]))
    return learning_curve(strategy, panel, start, n_questions=4, rng=np.random.default_rng(0))


def test_on_the_true_heads_it_is_the_strategy_on_the_true_features() -> None:
    encoded, plain = make(), make(WORLD)
    heads = encoded.true_heads
    assert heads is not None
    begin = learned(lambda study: Basis(heads, PRIOR), listening(most_informative))

    found = curve_of(Strategy("x", begin, ""), encoded)
    expected = curve_of(STRATEGIES["information_gain"], plain, PRIOR)

    np.testing.assert_array_equal(found.history.rows, expected.history.rows)
    for measure in ("log_loss", "accuracy", "auc", "best_of_n", "regret", "swapped_log_loss"):
        np.testing.assert_allclose(found.measures[measure], expected.measures[measure], atol=1e-9)


def test_a_fitted_prior_knows_the_population_of_the_true_features() -> None:
    curve = curve_of(STRATEGIES["true_features"], make(n_users=40))
    accuracy = curve.measures["accuracy"].mean(axis=0)

    assert accuracy[0] > 0.6  # a mean taste off zero
    assert accuracy[4] > accuracy[0] + 0.03
    assert np.isfinite(curve.measures["no_personal_taste"]).all()


def test_true_features_are_refused_where_nobody_knows_them() -> None:
    panel = make(WORLD)
    with pytest.raises(InputError, match="worlds whose name begins with 'encoded_'"):
        STRATEGIES["true_features"].begin(Study.of(panel, PRIOR, 1), rng=np.random.default_rng(0))


def test_comparisons_are_the_answers_and_equal_differences_are_one_pair() -> None:
    differences = np.array([[1.0, 2.0], [3.0, -1.0], [1.0, 2.0], [0.5, 0.0]])
    answers = GroupAnswers(differences, np.array([1, -1, -1, 0], dtype=np.int8), np.array([9, 4, 4, 9]))
    encodings, group = comparisons_of(answers)

    np.testing.assert_array_equal(group.differences(encodings), differences)
    assert group.outcomes.tolist() == [1, -1, -1, 0]
    assert [group.user_ids[user] for user in group.users] == ["9", "4", "4", "9"]
    assert (group.pairs[0] == group.pairs[2]).all()
    assert len(encodings) == 6
    np.testing.assert_allclose(encodings.sum(axis=0), 0)


def test_which_side_was_shown_first_does_not_matter_to_what_is_learned_from() -> None:
    panel = make()
    one, other = oriented(panel.group), oriented(side_swapped(panel).group)

    np.testing.assert_array_equal(one.differences, other.differences)
    np.testing.assert_array_equal(one.outcomes, other.outcomes)
    margins = (panel.group.differences * panel.group.outcomes[:, None]).sum(axis=1)
    np.testing.assert_allclose((one.differences * one.outcomes[:, None]).sum(axis=1), margins)
    assert not np.signbit(oriented(GroupAnswers(-np.eye(2), one.outcomes[:2], one.users[:2])).differences).any()


def test_a_pull_to_the_first_side_is_that_of_the_sides_that_were_shown() -> None:
    """Answers that base rewards are learned from say of none; what is learned of users is learned beside the pull."""
    panel = make("noisy(0.2)")
    study = Study.of(panel, fitted_start(panel), 1)
    pull = study.response_model.position_bias
    start = every_dimension(study).start
    assert isinstance(start, PopulationPrior)
    assert pull > 0.1 > abs(start.response_model.position_bias)

    def believed(of: Study) -> Array:
        """Mean scores of three directions by each user who always replied the first."""
        learner = learned(every_dimension, listening(most_informative))(of, rng=np.random.default_rng(0))
        rows = np.tile(np.arange(10), (len(of.open), 1))
        return learner(History(rows, np.ones_like(rows, dtype=np.int8))).score(np.eye(of.first.shape[-1])[None, :3])

    seen = projected(study, every_dimension(study))
    assert seen.response_model == replace(start.response_model, position_bias=pull)
    unbiased = replace(study, response_model=replace(study.response_model, position_bias=0.0))
    assert np.abs(believed(study) - believed(unbiased)).max() > 0.01


def test_pairs_of_a_tenth_are_held_out_and_all_answers_are_used(spy: Spy) -> None:
    panel = make()
    by("spy", how=unfolded)(Study.of(panel, fitted_start(panel), 1))
    ((encodings, group, validation),) = spy.seen

    assert not set(group.pairs[:, 0]) & set(validation.pairs[:, 0])
    assert group.n_comparisons + validation.n_comparisons == len(panel.group.outcomes)
    share = len(set(validation.pairs[:, 0])) / (len(encodings) / 2)
    assert share == pytest.approx(0.1, abs=4 * 0.3 / np.sqrt(len(encodings) / 2))


def test_a_group_is_learned_from_once_whoever_begins(spy: Spy) -> None:
    panel = make("encoded_text_factors(30)")  # that no other test learns from
    start = fitted_start(panel)
    for begin in (listening(most_informative), begin_random):
        for users in (slice(0, 3), slice(3, 6)):
            learned(by("spy", how=unfolded), begin)(
                Study.of(panel.users(users), start, 1), rng=np.random.default_rng(1)
            )
    assert len(spy.seen) == 1
    other = replace(panel, group=panel.group._replace(outcomes=-panel.group.outcomes))
    learned(by("spy", how=unfolded), begin)(Study.of(other, start, 1), rng=np.random.default_rng(1))
    assert len(spy.seen) == 2


def test_moments_of_point_estimates_worked_by_hand() -> None:
    found = moments(np.array([[1.0, 2.0], [3.0, 2.0], [np.nan, np.nan], [2.0, 5.0]]))

    np.testing.assert_allclose(found.mean, [2.0, 3.0])
    np.testing.assert_allclose(found.covariance, [[1.0, 0.0], [0.0, 3.0]], atol=1e-5)


def test_what_is_made_of_a_methods_heads_without_the_product(spy: Spy) -> None:
    panel = make("encoded_text_factors(20)")
    study = Study.of(panel, fitted_start(panel), 1)
    points, plain, fitted = (by("spy", 1, how=how)(study) for how in (from_points, as_found, unfolded))

    assert len(spy.seen) == 1
    assert points.heads is plain.heads
    assert isinstance(plain.start, Gaussian)
    assert plain.start.covariance.tolist() == [[1.0]]
    assert isinstance(points.start, Gaussian)
    assert points.start.mean.tolist() == [1.0]
    # Standardised: the same direction with differences of root mean square 1 over the group.
    assert np.corrcoef(fitted.heads[:, 0], plain.heads[:, 0])[0, 1] == pytest.approx(1)
    values = panel.group.differences @ fitted.heads
    assert np.sqrt(np.square(values).mean()) == pytest.approx(1)


def test_the_average_reward_is_close_to_the_pooled_regression_and_passes_every_guard() -> None:
    panel = make(n_users=30)
    start, strategy = fitted_start(panel), STRATEGIES["learned_average"]
    pooled = curve_of(STRATEGIES["pooled"], panel, start).measures["accuracy"]
    average = curve_of(strategy, panel, start).measures["accuracy"]

    assert abs(average[:, 0].mean() - pooled[:, 0].mean()) < 0.02
    findings = check_strategy(lambda _: strategy, panel, start, n_questions=3, rng=np.random.default_rng(3))
    assert [finding.sentence for finding in findings if not finding.passed] == []


def test_all_run_by_name_only_and_each_method_has_its_own() -> None:
    names = [strategy.name for strategy in LEARNED]

    assert len({*names, *STRATEGIES}) == len(STRATEGIES)
    assert not {*names} & {strategy.name for strategy in (*OURS, *CONTROLS)}
    assert {f"learned_{method}" for method in METHODS} <= {*names}
    assert "learned_pref_6" in names
    assert "learned_average_6" not in names


def test_one_name_stands_for_all_that_learn_and_what_they_must_beat() -> None:
    names = [each.name for each in choose(["learned"], None)]

    assert names == ["pooled", *(each.name for each in LEARNED if each.kind == "ours")]
    assert {f"learned_{method}" for method in METHODS} < {*names}
    assert not {*names[1:]} & {each.name for each in choose(None, None)}


def test_recipes_of_others_see_the_base_rewards_of_their_own_method() -> None:
    panel = make("encoded_text_factors(20)")
    study = Study.of(panel, fitted_start(panel), 4)
    chosen = {each.name: each for each in choose(["rfm"], PEERS)}
    chosen |= {each.name: each for each in choose(["rfm_learned"], PEERS / "learned")}
    plain, on_learned = load(chosen["rfm"].address), load(chosen["rfm_learned"].address)
    basis = by("rfm", 8, how=as_found)(study)
    assert basis.heads.shape == (64, 8)

    history = History(np.array([[3, 5, 9]] * 6), panel.outcomes[:, [3, 5, 9]])
    belief = on_learned.begin(study, rng=np.random.default_rng(1))(history)
    by_hand = plain.begin(projected(study, basis), rng=np.random.default_rng(1))(history)
    items = [features @ basis.heads for features in panel.tests]

    np.testing.assert_array_equal(belief.predict(*panel.tests), by_hand.predict(*items))
    np.testing.assert_array_equal(belief.next_rows(), by_hand.next_rows())
    np.testing.assert_allclose(belief.score(panel.test_first), by_hand.score(items[0]))


def test_the_default_that_learns_is_compared_with_all_that_learn_otherwise() -> None:
    losses = {"learned_bayes": 0.5, "learned_pref": 0.6, "pooled": 0.7, "true_features": 0.4}
    rows = [(world, name, at) for world in range(3) for name in losses for at in (0, 1)]
    columns = {name: np.zeros(len(rows)) for name in MEASURES}
    columns["log_loss"] = np.array([losses[name] + 0.01 * world for world, name, _ in rows])
    about = {
        "world": np.array([world for world, _, _ in rows]),
        "user": np.array(["0"] * len(rows)),
        "strategy": np.array([name for _, name, _ in rows]),
        "n_answers": np.array([at for _, _, at in rows]),
    }
    chosen = [STRATEGIES[name] for name in losses]
    found = summarise({**about, **columns}, chosen, rng=np.random.default_rng(0))["comparisons"]

    gains = {
        (each["strategy"], each["reference"]): each["difference"] for each in found if each["measure"] == "log_loss"
    }
    assert gains["learned_bayes", "learned_pref"] == pytest.approx(0.1)
    assert gains["learned_bayes", "true_features"] == pytest.approx(-0.1)
    assert gains["learned_pref", "pooled"] == pytest.approx(0.1)
    assert ("learned_pref", "learned_bayes") not in gains
