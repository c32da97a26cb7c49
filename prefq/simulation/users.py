"""SimulatedUser: someone whose taste is known, to test and measure with."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
from prefq.inference.likelihood import reply_probabilities
from prefq.pool.candidate_pool import CandidatePool
from prefq.vocabulary import (
    Answer,
    Array,
    Choice,
    Question,
    ResponseModel,
    parse_question_id,
    real_array,
    rebuilt,
    require_instance,
)

CHOICE_OF_OUTCOME = {1: Choice.FIRST, 0: Choice.TIE, -1: Choice.SECOND}


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedUser:
    """A user with known coefficients who replies after a response model.

    Parameters
    ----------
    coefficients : (n_features,)
        In logits per unit of the features of the pool that `answer` is given.
    response_model
        Default: plain Bradley-Terry, without ties, bias or lapses.

    Raises
    ------
    InputError
        For coefficients that are not one row of finite numbers, or a response model that is none.

    Examples
    --------
    >>> import numpy as np, prefq
    >>> pool = prefq.CandidatePool.from_arrays([[0.0], [1.0]], [[0, 1]])
    >>> user = prefq.SimulatedUser([50.0])
    >>> question = prefq.select_next_question(pool, [])
    >>> user.answer(pool, question, rng=np.random.default_rng(1)).choice == (
    ...     "first" if question.first.item == 1 else "second")
    True
    """

    coefficients: Array
    response_model: ResponseModel | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # what the constructor accepts

        def __init__(self, coefficients: ArrayLike, *, response_model: ResponseModel | None = None) -> None: ...

    def __post_init__(self) -> None:
        coefficients = real_array(self.coefficients, "coefficients", ndim=1)
        if not coefficients.size:
            raise InputError("the user has no coefficients; give one number a feature.")
        model = ResponseModel() if self.response_model is None else self.response_model
        require_instance(model, ResponseModel, "response_model")
        object.__setattr__(self, "coefficients", coefficients)
        object.__setattr__(self, "response_model", model)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt(self)

    def answer(self, pool: CandidatePool, question: Question, *, rng: np.random.Generator) -> Answer:
        """A reply drawn after the response model.

        Parameters
        ----------
        pool
            Its features are what this user's coefficients weigh; they need not be those that prefq sees.
        question
            Of that pool.
        rng
            Draws one number.

        Raises
        ------
        InputError
            When the pool has another number of features, or the question is not in it.
        """
        if pool.n_features != self.coefficients.size:
            raise InputError(
                f"the pool has {pool.n_features} features and the user {self.coefficients.size} coefficients; "
                "they must be as many."
            )
        items = parse_question_id(question.id)
        pool.question_rows([items])
        first, second = pool.features[list(items)].astype(np.float64)
        model = self.response_model or ResponseModel()
        margin = np.array([(first - second) @ self.coefficients])
        probabilities = reply_probabilities(margin, model)[0]
        reply = int(np.searchsorted(np.cumsum(probabilities)[:-1], rng.random(), side="right"))
        return question.answer(CHOICE_OF_OUTCOME[model.outcomes[reply]])
