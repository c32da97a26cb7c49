"""SessionSettings: how a session asks, fixed when it starts and stored with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from prefq.errors import InputError
from prefq.events import field_names
from prefq.questions.balance import Constraint, exposure_limit, topic_quota
from prefq.questions.batches import RANDOM
from prefq.questions.scoring import require_acquisition
from prefq.questions.selection import MAX_QUESTIONS
from prefq.questions.stopping import SURE, required_share
from prefq.questions.stopping_names import SETTLED, require_stopping
from prefq.vocabulary import exact_fields, real_number, require_text, shown, whole_number


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session asks; fixed when it starts.

    Parameters
    ----------
    max_questions
        Budget of questions; skips do not count.
    acquisition
        Name of the acquisition function.
    test_questions
        Questions drawn at random before the first, mixed in among the others and asked in addition to the budget; what
        the other answers predict about them tells how much these taught.
    random_share
        Share of sessions, from 0 to below 1, that are asked at random instead of by `acquisition`; which ones is
        decided by a hash of their id.
    per_minute
        Whether questions are chosen by what they tell for each second of reading (``prefq.questions.costs``), and not
        by what they tell; where chance decides that a session is asked at random, it is.
    topic_quota
        Most questions about one prompt; 0 for no limit.
    max_exposure
        Share of people, at most 1, who may be asked any one question; 0 for no limit.
    stop
        Name of a rule that may end the session before its budget (``prefq.questions.stopping_names``): ``"settled"`` or
        ``"little_left"``; empty for none.
    sure
        For ``"settled"``: share of the pool's pairs, above one half and below 1, whose order must be expected to be
        right; 0 for the default, 0.8.

    Raises
    ------
    InputError
        For a count or a share out of range, a share of sessions whose acquisition is random anyway, or `sure` without
        the rule that it is for.
    NotFoundError
        For an unknown acquisition function or stopping rule.
    """

    max_questions: int = MAX_QUESTIONS
    acquisition: str = "information_gain"
    test_questions: int = 0
    random_share: float = 0.0
    per_minute: bool = False
    topic_quota: int = 0
    max_exposure: float = 0.0
    stop: str = ""
    sure: float = 0.0

    def __post_init__(self) -> None:
        limit = whole_number(self.max_questions, "max_questions", "a budget of at least 1 question", least=1)
        object.__setattr__(self, "max_questions", limit)
        require_text(self.acquisition, "acquisition")
        require_acquisition(self.acquisition)
        n_tests = whole_number(self.test_questions, "test_questions", "a count of 0 or more", least=0)
        object.__setattr__(self, "test_questions", n_tests)
        share = real_number(self.random_share, "random_share")
        if not 0 <= share < 1:
            raise InputError(f"random_share is {share}; give a share from 0 to below 1.")
        if share and self.acquisition == RANDOM:
            raise InputError("every session is asked at random by its acquisition; give no random_share with it.")
        object.__setattr__(self, "random_share", share)
        if not isinstance(self.per_minute, bool):
            raise InputError(f"per_minute is {shown(self.per_minute)}; give True or False.")
        quota = whole_number(self.topic_quota, "topic_quota", "a quota of 1 question or more, or 0 for none", least=0)
        object.__setattr__(self, "topic_quota", quota)
        exposure = real_number(self.max_exposure, "max_exposure")
        if not 0 <= exposure <= 1:
            raise InputError(f"max_exposure is {exposure}; give a share of people up to 1, or 0 for no limit.")
        object.__setattr__(self, "max_exposure", exposure)
        self._check_stop()

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What may be asked at all, as these settings say."""
        quota = (topic_quota(self.topic_quota),) if self.topic_quota else ()
        return (*quota, exposure_limit(self.max_exposure)) if self.max_exposure else quota

    def _check_stop(self) -> None:
        require_text(self.stop, "stop")
        if self.stop:
            require_stopping(self.stop)
        if self.sure and self.stop != SETTLED:
            raise InputError(f"sure is {self.sure}, which only stop={SETTLED!r} takes; give both or neither.")
        object.__setattr__(self, "sure", required_share(self.sure or SURE) if self.stop == SETTLED else 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values, those left out that earlier versions did not have and that say nothing."""
        return {name: value for name, value in asdict(self).items() if value or name not in _LATER_SETTINGS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SessionSettings":
        """Settings from the dictionary that `to_dict` writes, now or in earlier versions; InputError if it is none."""
        names = [name for name in field_names(cls) if name not in _LATER_SETTINGS]
        return cls(**exact_fields(data, names, "session settings", later=_LATER_SETTINGS))


_LATER_SETTINGS: Mapping[str, Any] = MappingProxyType(  # what they are where they are not stored
    {
        "test_questions": 0,
        "random_share": 0,
        "per_minute": False,
        "topic_quota": 0,
        "max_exposure": 0,
        "stop": "",
        "sure": 0,
    }
)
