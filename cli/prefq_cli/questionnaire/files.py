"""The machine file of a questionnaire: which questions were printed, from which pool, against which prior."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefq.errors import InputError, MismatchError, NotFoundError, StorageError
from prefq.vocabulary import digest_of, exact_fields, parse_question_id, real_number, require_text, tuple_of

if TYPE_CHECKING:
    from prefq.pool.candidate_pool import CandidatePool
    from prefq.vocabulary import PopulationPrior

KIND = "prefq questionnaire"
FORMAT_VERSION = 1
FILE = "questionnaire.json"
ID_DIGITS = 8  # hexadecimal: enough to tell sheets apart, few enough to copy by hand


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """Questions that were printed, in their order and with their sides.

    `information` is what each adds to those before it in nats, `prior` the digest of what they were chosen against.
    """

    pool_name: str
    pool_digest: str
    prior: str
    questions: tuple[str, ...]
    information: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("pool_name", "pool_digest", "prior"):
            require_text(getattr(self, name), name)
        questions = tuple_of(self.questions, str, "questions", "ids of questions")
        information = tuple(real_number(each, "information") for each in tuple(self.information))
        if len({frozenset(parse_question_id(each)) for each in questions}) < max(len(questions), 1):
            raise InputError("the questions of a questionnaire must be different ones, and at least one.")
        if len(information) != len(questions):
            raise InputError(f"there are {len(information)} numbers of information for {len(questions)} questions.")
        object.__setattr__(self, "questions", questions)
        object.__setattr__(self, "information", information)

    @property
    def id(self) -> str:
        """What is printed on the sheet: the same for the same questions of the same pool, sides and order included."""
        return digest_of(self.pool_digest, self.prior, *self.questions)[:ID_DIGITS]

    def require_pool(self, pool: "CandidatePool") -> None:
        """Raise MismatchError unless the questions were printed from this pool."""
        if pool.digest() != self.pool_digest:
            raise MismatchError(
                f"questionnaire {self.id} was made from another pool ({self.pool_digest[:8]}, not "
                f"{pool.digest()[:8]}); give that one with --pool."
            )

    def require_prior(self, start: "PopulationPrior", pool: "CandidatePool") -> None:
        """Raise MismatchError unless the questions were chosen against this prior, where answers are to begin."""
        if start.digest() == self.prior:
            return
        way = "leave --prior out" if pool.starting_point().digest() == self.prior else "give that one with --prior FILE"
        raise MismatchError(
            f"questionnaire {self.id} was made with another prior ({self.prior[:8]}, not {start.digest()[:8]}); {way}."
        )

    def to_json(self) -> str:
        """The text of the machine file."""
        fields: dict[str, Any] = {"kind": KIND, "format_version": FORMAT_VERSION, "id": self.id, **asdict(self)}
        return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def read_questionnaire(path: str) -> Questionnaire:
    """The questionnaire of a folder that `prefq pool questionnaire` wrote, or of its machine file.

    Raises
    ------
    NotFoundError
        When there is none.
    InputError
        When the file is none, was changed, or was written by a newer prefq.
    """
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise NotFoundError(f"there is no questionnaire {path!r}; give the folder that prefq pool questionnaire wrote.")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"{file} cannot be read ({error.strerror}); check that it may be read.") from error
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, Mapping) or data.get("kind") != KIND:
        raise InputError(f"{file} is no questionnaire; give the folder that prefq pool questionnaire wrote.")
    if data.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{file} has format version {data.get('format_version')!r} and this prefq reads {FORMAT_VERSION}; "
            "update prefq."
        )
    names = ("pool_name", "pool_digest", "prior", "questions", "information")
    parts = exact_fields(data, ("kind", "format_version", "id", *names), "a questionnaire")
    found = Questionnaire(**{name: parts[name] for name in names})
    if found.id != parts["id"]:
        raise InputError(f"{file} was changed after it was written; make the questionnaire again.")
    return found
