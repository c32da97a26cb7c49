"""Panel: users, what each can be asked and would reply, and what each is tested on; and Study, what a strategy sees.

Simulated worlds and records of real people become the same thing here, so that one harness measures both. The test
tasks are part of the panel: they are frozen before the first question and are the same for every strategy.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefq.errors import InputError
from prefq.vocabulary import Array, Coefficients, Gaussian, PopulationPrior, ResponseModel, require_instance

Outcomes = NDArray[np.int8]
Rows = NDArray[np.intp]
Start = Coefficients | PopulationPrior
"""Where new users start: a fitted prior with its response model, or coefficients to go with the panel's."""


class GroupAnswers(NamedTuple):
    """Answers of other people, to learn a prior from.

    differences (n, n_features), outcomes (n,) int8 as in `Comparisons`, users (n,) numbers of the users; first
    (n, n_features), features of the item shown first, where the items are known and not only their differences.
    """

    differences: Array
    outcomes: Outcomes
    users: Rows
    first: Array | None = None


class Stated(NamedTuple):
    """What people said about themselves: readings (n_users, n_features) of their coefficients, sd (n_features,)."""

    readings: Array
    sd: Array


class Candidates(NamedTuple):
    """Answers to choose the best of, for each user.

    features (1 or n_users, n_prompts, n_candidates, n_features) as prefq sees them, utilities (n_users, n_prompts,
    n_candidates) in logits as the users feel them.
    """

    features: Array
    utilities: Array


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Users with their questions, replies and test tasks.

    Arrays whose first axis may be 1 are then shared by all users. Sides are oriented at random, so that the side
    tells nothing.

    Parameters
    ----------
    name
        Of the world or the set.
    first, second : (1 or n_users, n_questions, n_features)
        Features of the two items of each question, as prefq sees them.
    open : (n_users, n_questions) bool
        Which questions the user can be asked.
    outcomes : (n_users, n_questions) int8
        What the user replies if asked, in the sides' order: +1, 0 or -1.
    test_first, test_second : (1 or n_users, n_tests, n_features)
        Features of the two items of each test task; what a belief is given of them is `tests`.
    test_truth : (n_users, n_tests)
        Probability that the user prefers the first: 0 or 1 where a choice was recorded, NaN where there is no task.
    group
        Answers of other people.
    response_model
        How replies arise, as far as the panel tells; what strategies assume is fitted on the group, unless it is known.
    candidates
        Answers to choose the best of, where utilities are known.
    margins : (n_users, n_questions), optional
        True margins of the questions in logits, where they are known; no strategy sees them.
    stated
        What the users said about themselves, where they did.
    words : (1 or n_users, n_questions), optional
        Words that each question makes a person read.
    flips_at
        Number of answers after which every taste turns into its opposite; None for people who stay as they are.
    user_ids
        Names of the users; numbers by default.
    true_prior
        The population that simulated users were drawn from, for ablations that say so.
    notes
        Sentences that a table of this panel must carry.
    test_stretch
        Factor of a margin in the log-odds of a test reply: 1, or 2σ(τ) where ties, with threshold τ, were left out of
        the tests.
    response_model_known
        Whether strategies are told `response_model`, so that it is not fitted.
    true_heads : (n_dims, n_factors), optional
        Where features are encodings, of which base rewards are to be learned: those that tastes weigh, as
        encodings @ true_heads.

    Raises
    ------
    InputError
        When shapes do not fit together.
    """

    name: str
    first: Array
    second: Array
    open: NDArray[np.bool_]
    outcomes: Outcomes
    test_first: Array
    test_second: Array
    test_truth: Array
    group: GroupAnswers
    response_model: ResponseModel = field(default_factory=ResponseModel)
    candidates: Candidates | None = None
    margins: Array | None = None
    stated: Stated | None = None
    words: Array | None = None
    flips_at: int | None = None
    user_ids: tuple[str, ...] = ()
    true_prior: Coefficients | None = None
    notes: tuple[str, ...] = ()
    test_stretch: float = 1.0
    response_model_known: bool = False
    true_heads: Array | None = None

    def __post_init__(self) -> None:
        require_instance(self.response_model, ResponseModel, "response_model")
        n_users, n_questions = self.outcomes.shape
        n_features = self.first.shape[-1]
        wanted = {
            "first": ((1, n_users), n_questions, n_features),
            "second": ((1, n_users), n_questions, n_features),
            "open": ((n_users,), n_questions),
            "test_first": ((1, n_users), self.test_truth.shape[1], n_features),
            "test_second": ((1, n_users), self.test_truth.shape[1], n_features),
            "test_truth": ((n_users,), self.test_truth.shape[1]),
        }
        for name, (users, *rest) in wanted.items():
            shape = getattr(self, name).shape
            if shape[0] not in users or list(shape[1:]) != rest:
                raise InputError(
                    f"{name} of panel {self.name!r} has shape {shape}; expected {(n_users, *rest)}"
                    f"{' or one row of users for all' if 1 in users else ''}."
                )
        if not self.user_ids:
            object.__setattr__(self, "user_ids", tuple(str(user) for user in range(n_users)))

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.outcomes)

    @property
    def tests(self) -> tuple[Array, Array]:
        """Features of the two items of each test task as a belief is given them: stretched, alike for every strategy.

        A belief predicts σ(margin). Given that a reply is no tie, its odds at margin m and threshold τ are
        (1 + e^(τ + m)) / (1 + e^(τ − m)), which is e^(2σ(τ) m) to second order in m.
        """
        return self.test_first * self.test_stretch, self.test_second * self.test_stretch

    def replies(self, rows: Rows, n_answers: int) -> Outcomes:
        """What the users reply to the questions in these rows (n_users,) after `n_answers` answers; 0 in row -1."""
        given = np.take_along_axis(self.outcomes, np.maximum(rows, 0)[:, None], axis=1)[:, 0]
        if self.flips_at is not None and n_answers >= self.flips_at:
            given = -given
        return np.where(rows < 0, 0, given).astype(np.int8)

    def truth(self, n_answers: int) -> Array:
        """`test_truth` as it is after so many answers."""
        return 1 - self.test_truth if self.flips_at is not None and n_answers >= self.flips_at else self.test_truth

    def users(self, rows: slice) -> "Panel":
        """The panel of some of its users."""

        def part(values: Array) -> Array:
            return values if len(values) == 1 and self.n_users > 1 else values[rows]

        candidates, stated = self.candidates, self.stated
        return Panel(
            self.name,
            part(self.first),
            part(self.second),
            self.open[rows],
            self.outcomes[rows],
            part(self.test_first),
            part(self.test_second),
            self.test_truth[rows],
            self.group,
            self.response_model,
            None if candidates is None else Candidates(part(candidates.features), candidates.utilities[rows]),
            None if self.margins is None else self.margins[rows],
            None if stated is None else Stated(stated.readings[rows], stated.sd),
            None if self.words is None else part(self.words),
            self.flips_at,
            self.user_ids[rows],
            self.true_prior,
            self.notes,
            self.test_stretch,
            self.response_model_known,
            self.true_heads,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What a strategy may know before the first answer: no reply, no test task, no true taste.

    Parameters
    ----------
    first, second : (1 or n_users, n_questions, n_features)
        Features of the two items of each question.
    open : (n_users, n_questions) bool
        Which questions each user can be asked.
    n_questions_asked
        How many will be asked.
    prior
        Fitted on the group: one Gaussian or a mixture.
    response_model
        How replies are assumed to arise: fitted with the prior, unless it is known.
    group
        Answers of other people.
    stated
        What the users said about themselves, where they did.
    words : (1 or n_users, n_questions), optional
        Words that each question makes a person read.
    impersonal
        Number of the prior's component that says that a user has no taste of their own, where it has one.
    test_stretch
        Factor that the features of test tasks carry, as in `Panel.tests`.
    true_prior
        The population that simulated users were drawn from: for ablations that say so, and for no other strategy.
    true_heads : (n_dims, n_factors), optional
        What tastes weigh where features are encodings: for ablations that say so.
    """

    first: Array
    second: Array
    open: NDArray[np.bool_]
    n_questions_asked: int
    prior: Coefficients
    response_model: ResponseModel
    group: GroupAnswers
    stated: Stated | None = None
    words: Array | None = None
    impersonal: int | None = None
    test_stretch: float = 1.0
    true_prior: Coefficients | None = None
    true_heads: Array | None = None

    @classmethod
    def of(cls, panel: Panel, start: Start, n_questions_asked: int) -> "Study":
        """What strategies may see of a panel."""
        study = cls(
            panel.first,
            panel.second,
            panel.open,
            n_questions_asked,
            start.coefficients if isinstance(start, PopulationPrior) else start,
            panel.response_model,
            panel.group,
            panel.stated,
            panel.words,
            test_stretch=panel.test_stretch,
            true_prior=panel.true_prior,
            true_heads=panel.true_heads,
        )
        return study.starting_from(start)

    def starting_from(self, start: Start) -> "Study":
        """The study as it would be with another prior; coefficients alone leave the response model as it is."""
        if not isinstance(start, PopulationPrior):
            return replace(self, prior=start, impersonal=None)
        return replace(self, prior=start.coefficients, response_model=start.response_model, impersonal=start.impersonal)

    @property
    def gaussian(self) -> Gaussian:
        """The prior as one Gaussian of its mean and covariance, for recipes that know no mixtures."""
        return Gaussian(self.prior.mean, self.prior.covariance)

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.open)

    @property
    def differences(self) -> Array:
        """First minus second of each question (1 or n_users, n_questions, n_features)."""
        return self.first - self.second


class History(NamedTuple):
    """What has been asked and replied: rows (n_users, n_answers), -1 where nothing was left to ask, and outcomes."""

    rows: Rows
    outcomes: Outcomes

    @classmethod
    def empty(cls, n_users: int) -> "History":
        """Before the first question."""
        return cls(np.empty((n_users, 0), dtype=np.intp), np.empty((n_users, 0), dtype=np.int8))

    def with_answers(self, rows: Rows, outcomes: Outcomes) -> "History":
        """The history, one answer longer for every user."""
        return History(np.column_stack([self.rows, rows]), np.column_stack([self.outcomes, outcomes]))

    def of(self, values: Array) -> Array:
        """What was asked of values (1 or n_users, n_questions, …), 0 where nothing was: (n_users, n_answers, …)."""
        users = np.zeros(1, dtype=np.intp) if len(values) == 1 else np.arange(len(self.rows))
        taken = values[users[:, None], np.maximum(self.rows, 0)]
        asked = (self.rows >= 0).reshape(*self.rows.shape, *(1,) * (taken.ndim - 2))
        return np.asarray(np.where(asked, taken, 0.0))

    def left(self, open_rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the open questions (n_users, n_questions) have not been asked."""
        left = open_rows.copy()
        users, answers = np.nonzero(self.rows >= 0)
        left[users, self.rows[users, answers]] = False
        return left
