"""Replay: panels from answers that people once gave, so that real people meet the same strategies as simulated ones.

A person can be asked only what is on record, and is tested on tasks that are set aside before the first question. All
that is learned — scales, the tie threshold, the prior — comes from other people. Votes, from which item factors are
learned first, are in `votes`; reading files is the business of whoever calls.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from prefq.errors import InputError
from prefq.inference.laplace import fit_posterior
from prefq.inference.likelihood import log_likelihood, sigmoid
from prefq.simulation.panels import GroupAnswers, Outcomes, Panel, Rows
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

TEST_SHARE = 1 / 3  # of a person's tasks: leaves cars_conjoint, with 30 comparisons, 20 to ask
MIN_QUESTIONS = 5  # a person with fewer that can be asked says nothing about asking
MIN_TESTS = 2  # decided test comparisons
WIDE_SD = (
    5.0  # logits a standard deviation of each feature: ridge of the regression that the tie threshold is fitted in
)
MAX_TIE_THRESHOLD = 4.0  # logits: two items that do not differ are then called a tie 96 times in 100


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Answers that people gave, as numbers.

    Parameters
    ----------
    name
        Of the set.
    first, second : (n_answers, n_features)
        Features of the two items compared, in any units.
    outcomes : (n_answers,) int8
        +1 the first was preferred, 0 tie, -1 the second.
    users : (n_answers,)
        Rows of `user_ids`.
    tasks : (n_answers,)
        Numbers of tasks. Answers of one person with the same number are never divided between questions and tests, and
        one of them at most is a test: comparisons that come from one choice tell each other's outcome.
    user_ids
        Names of the people.
    words : (n_answers,), optional
        Words that a comparison makes a person read.
    prompts : (n_answers,), optional
        Numbers of the prompts or conversations that comparisons are about, by which they can be divided.
    items : (n_answers, 2), optional
        Numbers of the two items; only to count how much tests and questions have in common.

    Raises
    ------
    InputError
        When shapes do not fit together, features are not finite, or fewer than two people answered.
    """

    name: str
    first: Array
    second: Array
    outcomes: Outcomes
    users: Rows
    tasks: Rows
    user_ids: tuple[str, ...]
    words: Array | None = None
    prompts: Rows | None = None
    items: Rows | None = None

    def __post_init__(self) -> None:
        n_answers = len(self.outcomes)
        for name in ("first", "second", "users", "tasks", "words", "prompts", "items"):
            values = getattr(self, name)
            if values is not None and len(values) != n_answers:
                raise InputError(
                    f"{name} of {self.name!r} has {len(values)} rows; expected {n_answers}, one for each answer."
                )
        if self.first.shape != self.second.shape or self.first.ndim != 2:
            raise InputError(
                f"first and second of {self.name!r} have shapes {self.first.shape} and {self.second.shape}; expected "
                "one row an answer and one column a feature in both."
            )
        if not (np.isfinite(self.first).all() and np.isfinite(self.second).all()):
            raise InputError(
                f"features of {self.name!r} hold values that are not finite; mend or leave out those rows."
            )
        n_users = len(np.unique(self.users))
        if n_users < 2:
            raise InputError(
                f"{self.name!r} has answers of {n_users} user; replay learns from some people and measures on others, "
                "so it needs at least two, and tens to say anything."
            )


class Division(NamedTuple):
    """Rows of the record that each measured person can be asked and is tested on.

    Parameters
    ----------
    users : (n_users,)
        Who is measured.
    questions, tests
        For each of them: rows of answers (n,), or pairs of rows of votes (n, 2).
    counts
        What became of the people and answers, by name.
    """

    users: Rows
    questions: list[Rows]
    tests: list[Rows]
    counts: dict[str, int]


class Replay(NamedTuple):
    """A panel of recorded people, and how the record was used.

    Parameters
    ----------
    panel
        The people measured; its group are the others.
    question_tasks, test_tasks : (n_users, n)
        Numbers of the tasks (with votes: of the statements) behind the questions and tests, -1 where there is none.
    group_ids
        Names of the people from whose record something was learned.
    counts
        What became of the people and answers of this fold, by name.
    """

    panel: Panel
    question_tasks: Rows
    test_tasks: Rows
    group_ids: tuple[str, ...]
    counts: dict[str, int]


def draw_folds(n_users: int, n_folds: int, *, rng: np.random.Generator) -> Rows:
    """Fold of each user (n_users,), drawn at random, sizes differing by at most one.

    Raises
    ------
    InputError
        When there are fewer than two folds or more folds than users.
    """
    if not 2 <= n_folds <= n_users:
        raise InputError(f"there are {n_folds} folds for {n_users} users; give from 2 folds to as many as users.")
    return rng.permutation(np.arange(n_users) % n_folds).astype(np.intp)


def divide(
    recorded: Recorded,
    measured: NDArray[np.bool_],
    *,
    n_questions: int,
    rng: np.random.Generator,
    apart: Rows | None = None,
    min_questions: int = MIN_QUESTIONS,
    test_share: float = TEST_SHARE,
    once: bool = False,
) -> Division:
    """Divide the tasks of each measured person at random into some to ask about and some to test on.

    Recorded ties are replies; ties among the tests are left out, since they tell no preference. Of the other test
    comparisons of a task one is drawn at random: the item that several have in common would be known as the one that
    was chosen. A test whose items have the features of a question's is left out, too. People with fewer than
    `min_questions` comparisons to ask about or fewer than two tests are left out and counted.

    Parameters
    ----------
    recorded
        Answers of everybody.
    measured : (n_users,)
        Who is to be measured, one value for each of `recorded.user_ids`.
    n_questions
        How many will be asked; only to count who has fewer.
    rng
        Draws which tasks are tests.
    apart : (n_answers,), optional
        Numbers by which answers are divided in place of tasks, such as `recorded.prompts`: of a person none is on both
        sides. A task that is about several of them is a test where one is.
    min_questions
        At least 1.
    test_share
        Of each person's tasks, or numbers in `apart`.
    once
        Whether only independent comparisons (`independent_rows`) can be asked; tests are the same either way.
    """
    users, questions, tests = [], [], []
    found = dict.fromkeys(("test_ties_left_out", "tests_like_questions", "test_repeats_set_aside"), 0)
    people = [user for user in np.flatnonzero(measured) if (recorded.users == user).any()]
    for user in people:
        rows = np.flatnonzero(recorded.users == user)
        asked, test = _divided(rows, recorded.tasks, recorded.tasks if apart is None else apart, test_share, rng)
        decided = test[recorded.outcomes[test] != 0]
        unlike = decided[~np.isin(_pair_keys(recorded, decided), _pair_keys(recorded, asked))]
        one_a_task = _one_of_each(unlike, recorded.tasks, rng)
        if once:
            asked = independent_rows(recorded, asked, rng=rng.spawn(1)[0])
        if len(asked) >= min_questions and len(one_a_task) >= MIN_TESTS:
            users.append(user)
            questions.append(asked)
            tests.append(one_a_task)
            steps = (test, decided, unlike, one_a_task)
            for name, before, after in zip(found, steps, steps[1:], strict=False):
                found[name] += len(before) - len(after)
    counts = {
        "people": len(people),
        "measured": len(users),
        "left_out": len(people) - len(users),
        "fewer_than_asked": sum(len(each) < n_questions for each in questions),
        "questions": sum(map(len, questions)),
        "question_ties": sum(int((recorded.outcomes[each] == 0).sum()) for each in questions),
        "tests": sum(map(len, tests)),
        **found,
        **_in_common(recorded, measured, questions, tests),
    }
    return Division(np.array(users, dtype=np.intp), questions, tests, counts)


def replay_panel(
    recorded: Recorded, measured: NDArray[np.bool_], division: Division, *, rng: np.random.Generator
) -> Replay:
    """A panel of the people of a division, everything else learned from all who are not measured.

    Features are standardised by the items that these others compared. Tie threshold, prior and pooled regression are
    fitted on their independent answers (`independent_rows`): comparisons of one choice, counted as if they were
    independent, look like a taste of the person who made it.

    Parameters
    ----------
    recorded
        Answers of everybody.
    measured : (n_users,)
        Who is not to be learned from, whether or not the division kept them.
    division
        From `divide`.
    rng
        Draws the sides, and which comparison of a choice the group is heard by.

    Raises
    ------
    InputError
        When the others are fewer than two, or nobody is measured.
    """
    require_people(recorded.name, division)
    in_group = np.flatnonzero(~measured[recorded.users])
    group_users = np.unique(recorded.users[in_group])
    if len(group_users) < 2:
        raise InputError(
            f"{len(group_users)} of the {len(recorded.user_ids)} users of {recorded.name!r} are left to learn a prior "
            "from; at least two are needed, so bring more users or take more folds."
        )
    first, second, outcomes = _with_random_sides(recorded, rng)
    shown = np.concatenate([first[in_group], second[in_group]])
    mean, sd = shown.mean(axis=0), shown.std(axis=0)
    first, second = ((side - mean) / np.where(sd > 0, sd, 1.0) for side in (first, second))
    heard = independent_rows(recorded, in_group, rng=rng)
    group = GroupAnswers((first - second)[heard], outcomes[heard], recorded.users[heard], first[heard])
    counts = {
        **division.counts,
        "group_people": len(group_users),
        "group_answers": len(group.outcomes),
        "group_ties": int((group.outcomes == 0).sum()),
    }
    questions, tests = padded(division.questions), padded(division.tests)
    panel = panel_of_rows(
        recorded.name,
        first,
        second,
        outcomes,
        questions,
        tests,
        group=group,
        user_ids=tuple(recorded.user_ids[user] for user in division.users),
        words=recorded.words,
    )
    group_ids = tuple(recorded.user_ids[user] for user in group_users)
    return Replay(panel, _taken(recorded.tasks, questions), _taken(recorded.tasks, tests), group_ids, counts)


def independent_rows(recorded: Recorded, rows: Rows, *, rng: np.random.Generator) -> Rows:
    """Of rows of answers as many as tell each other's outcome of nobody: in their order, drawn at random.

    Of a person's comparisons of one task no two that are kept have an item in common; where items are not known, one is
    kept of each task. A choice among several, told as the chosen item against each of the others, so counts once, and
    has the likelihood of one comparison: which of the others it is told against does not depend on who was chosen.
    """
    kept, taken = [], set[tuple[int, ...]]()
    for row in rng.permutation(rows):
        task = int(recorded.users[row]), int(recorded.tasks[row])
        parts = {task} if recorded.items is None else {(*task, int(item)) for item in recorded.items[row]}
        if taken.isdisjoint(parts):
            kept.append(row)
            taken |= parts
    return np.sort(np.array(kept, dtype=np.intp))


def require_people(name: str, division: Division) -> None:
    """Raise InputError when nobody is left to measure on."""
    if not len(division.users):
        raise InputError(
            f"none of the {division.counts['people']} users of {name!r} who were to be measured has enough answers to "
            f"ask about and {MIN_TESTS} decided tests in other tasks; lower --min-questions, or bring users with more."
        )


def panel_of_rows(
    name: str,
    first: Array,
    second: Array,
    outcomes: Outcomes,
    questions: Rows,
    tests: Rows,
    *,
    group: GroupAnswers,
    user_ids: tuple[str, ...],
    words: Array | None = None,
) -> Panel:
    """A panel from rows of answers, padded with -1: questions (n_users, n_questions) and tests (n_users, n_tests).

    The tie threshold τ is fitted on the group. Tests are decided, so their stretch (`Panel.tests`) is 2σ(τ), which
    makes σ(margin) the chance of the first given that the reply is no tie; without ties it is 1.
    """
    truth = np.where(tests >= 0, (1.0 + outcomes[np.maximum(tests, 0)]) / 2, np.nan)
    model = ResponseModel(tie_threshold=fit_tie_threshold(group))
    return Panel(
        name,
        first[np.maximum(questions, 0)],
        second[np.maximum(questions, 0)],
        questions >= 0,
        np.where(questions >= 0, outcomes[np.maximum(questions, 0)], 0).astype(np.int8),
        first[np.maximum(tests, 0)],
        second[np.maximum(tests, 0)],
        truth,
        group,
        model,
        words=None if words is None else np.where(questions >= 0, words[np.maximum(questions, 0)], 0.0),
        user_ids=user_ids,
        test_stretch=float(2 * sigmoid(np.array(model.tie_threshold))),
    )


def padded(rows: list[Rows]) -> Rows:
    """Rows of different lengths as one array (n_users, longest), -1 where a user has no more."""
    table = np.full((len(rows), max((len(each) for each in rows), default=0)), -1, dtype=np.intp)
    for line, each in zip(table, rows, strict=True):
        line[: len(each)] = each
    return table


def fit_tie_threshold(group: GroupAnswers) -> float:
    """The tie threshold, in logits, under which a group's answers are likeliest given one regression for everybody.

    0 for a group without ties.
    """
    if not (group.outcomes == 0).any():
        return 0.0
    scales = np.sqrt(np.square(group.differences).mean(axis=0))
    prior = Gaussian(np.zeros(scales.size), np.diag((WIDE_SD / np.where(scales > 0, scales, 1.0)) ** 2))
    comparisons = Comparisons(group.differences, group.outcomes)

    def surprise(threshold: float) -> float:
        model = ResponseModel(tie_threshold=float(threshold))
        pooled, _ = fit_posterior(prior, comparisons, response_model=model)
        value, _, _ = log_likelihood(group.differences @ pooled.mean, group.outcomes, model)
        return -float(value.sum())

    return float(
        minimize_scalar(surprise, bounds=(1e-3, MAX_TIE_THRESHOLD), method="bounded", options={"xatol": 1e-3}).x
    )


def _divided(rows: Rows, tasks: Rows, apart: Rows, test_share: float, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Rows of answers to ask about, and rows to test on; both empty where a person did only one task."""
    own = rng.permutation(np.unique(apart[rows]))
    if len(own) < 2:
        return rows[:0], rows[:0]
    n_tests = min(max(1, round(test_share * len(own))), len(own) - 1)
    tested = np.isin(apart[rows], own[:n_tests])
    asked = ~tested & ~np.isin(tasks[rows], tasks[rows[tested]])
    return rows[asked], rows[tested]


def _one_of_each(rows: Rows, tasks: Rows, rng: np.random.Generator) -> Rows:
    """Of the rows of each task one at random."""
    shuffled = rng.permutation(rows)
    _, places = np.unique(tasks[shuffled], return_index=True)
    return np.sort(shuffled[places])


def _pair_keys(recorded: Recorded, rows: Rows) -> NDArray[np.object_]:
    """Equal for pairs of items with the same features, whatever the sides."""
    sides = (recorded.first[rows] + 0.0, recorded.second[rows] + 0.0)  # nought added, so that -0 is 0
    keys = [b"".join(sorted(side.tobytes() for side in pair)) for pair in zip(*sides, strict=True)]
    return np.array(keys, dtype=object)


def _in_common(
    recorded: Recorded, measured: NDArray[np.bool_], questions: list[Rows], tests: list[Rows]
) -> dict[str, int]:
    """Tests with an item or prompt of the person's own questions, and tests whose pair other people judged."""
    counts = {}
    if recorded.prompts is not None:
        prompts = recorded.prompts
        counts["tests_sharing_prompt"] = sum(
            int(np.isin(prompts[test], prompts[asked]).sum()) for asked, test in zip(questions, tests, strict=True)
        )
    if recorded.items is not None:
        items = np.sort(recorded.items, axis=1)
        pairs = items[:, 0] * (items.max() + 1) + items[:, 1]
        others = pairs[~measured[recorded.users]]
        counts["tests_sharing_item"] = sum(
            int(np.isin(items[test], items[asked]).any(axis=1).sum())
            for asked, test in zip(questions, tests, strict=True)
        )
        counts["tests_judged_by_others"] = sum(int(np.isin(pairs[test], others).sum()) for test in tests)
    return counts


def _with_random_sides(recorded: Recorded, rng: np.random.Generator) -> tuple[Array, Array, Outcomes]:
    """First, second and outcomes with sides exchanged in half of the answers: the side tells nothing."""
    swap = rng.random(len(recorded.outcomes)) < 0.5
    first = np.where(swap[:, None], recorded.second, recorded.first)
    second = np.where(swap[:, None], recorded.first, recorded.second)
    return first, second, np.where(swap, -recorded.outcomes, recorded.outcomes).astype(np.int8)


def _taken(tasks: Rows, rows: Rows) -> Rows:
    return np.where(rows >= 0, tasks[np.maximum(rows, 0)], -1)
