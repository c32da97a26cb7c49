"""From answers on paper to sessions: code lines, tables of many people, and the store."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from prefq.errors import InputError
from prefq.vocabulary import Choice, digest_of
from prefq_cli.opening import user_name
from prefq_cli.questionnaire.files import Questionnaire

if TYPE_CHECKING:
    from prefq.pool.candidate_pool import CandidatePool
    from prefq.session import Session
    from prefq.storage.sql import SqlStore
    from prefq.vocabulary import PopulationPrior

CODES: Mapping[str, Choice] = MappingProxyType(
    {
        "a": Choice.FIRST,
        "b": Choice.SECOND,
        "=": Choice.TIE,
        "x": Choice.BOTH_BAD,
        "-": Choice.SKIP,
        "": Choice.SKIP,
        **{choice.value: choice for choice in Choice},
    }
)
KNOWN = "a, b, = (about the same), x (both bad), or - (no answer)"
ASKED_BY = "questionnaire"  # stands in the log of a session for the acquisition function
USER, LINE, SHEET = "user", "answers", "questionnaire"  # columns of a table, besides one for each question
DELIMITERS = ",;\t"
_TOKEN = re.compile(r"(\d+)\s*[.:)]?\s*([a-z_]+|=|-)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One person's answers: whose, in which line of a table (0 without one), and a choice for each question."""

    user: str
    choices: tuple[Choice, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of a table that was not taken, and why, in one sentence."""

    line: int
    user: str
    problem: str


def choices_of(line: str, n_questions: int) -> tuple[Choice, ...]:
    """What a code line such as ``1a 2b 3= 4x`` says (n_questions,); questions it does not name are skipped.

    Raises
    ------
    InputError
        For a question that is not on the sheet, two answers to one, a code that is none, or no answer at all.
    """
    rest = _TOKEN.sub(" ", line).replace(",", " ").replace(";", " ").split()
    if rest:
        raise InputError(f"{rest[0]!r} is no answer; write each as number and code, such as 1a 2b 3=.")
    given: dict[int, Choice] = {}
    for number, code in _TOKEN.findall(line):
        place = int(number)
        if not 1 <= place <= n_questions:
            raise InputError(f"there is no question {place} on this sheet; it has questions 1 to {n_questions}.")
        if place in given:
            raise InputError(f"question {place} is answered twice; give one answer to each.")
        given[place] = _choice(code, place)
    return _answered(tuple(given.get(place, Choice.SKIP) for place in range(1, n_questions + 1)))


def sheets_in(text: str, questionnaire: Questionnaire) -> Iterator[Sheet | Refused]:
    """Each row of a table of many people, as a sheet or with why it is none.

    The table has a heading with `user`, and either `answers`, a code line, or one column for each question, 1, 2, …. A
    column `questionnaire` with the id printed on the sheets is checked if there is one; others are left unread.

    Raises
    ------
    InputError
        When the table has no such heading.
    """
    rows = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text))
    heading = [name.strip().lower() for name in next(rows, [])]
    _require_heading(heading, len(questionnaire.questions))
    seen: dict[str, int] = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        line = rows.line_num
        cells = dict(zip(heading, (cell.strip() for cell in row), strict=False))
        try:
            if len(row) > len(heading):
                raise InputError(f"the row has {len(row)} cells and the heading {len(heading)}; put it right.")
            sheet = _sheet(cells, line, questionnaire)
            if sheet.user in seen:
                raise InputError(f"{sheet.user!r} has a row already, line {seen[sheet.user]}; keep one of them.")
        except InputError as error:
            yield Refused(line, cells.get(USER, ""), str(error))
            continue
        seen[sheet.user] = line
        yield sheet


def session_of(
    sheet: Sheet,
    questionnaire: Questionnaire,
    pool: "CandidatePool",
    *,
    pool_name: str,
    time: str,
    prior: "PopulationPrior | None" = None,
) -> "Session":
    """The finished session that a sheet amounts to; its id depends on the person and the questionnaire alone.

    The person starts where the prior says, if there is one, else where the pool does.
    """
    from prefq.events import Answered, Asked, Event, Stopped
    from prefq.session import Session
    from prefq.settings import SessionSettings

    n_questions = len(questionnaire.questions)
    begun = Session.start(
        f"sheet-{questionnaire.id}-{digest_of(sheet.user)[:8]}",
        sheet.user,
        pool,
        time=time,
        pool_name=pool_name,
        settings=SessionSettings(max_questions=n_questions),
        prior=prior,
    )
    events: list[Event] = []
    for question, choice, told in zip(questionnaire.questions, sheet.choices, questionnaire.information, strict=True):
        events.append(Asked(time, question, ASKED_BY, told, questionnaire.prior))
        events.append(Answered(time, pool.question(question).answer(choice)))
    events.append(Stopped(time, f"questionnaire {questionnaire.id} of {n_questions} questions was handed in."))
    return replace(begun, events=tuple(events))


def store_sheet(store: "SqlStore", session: "Session", pool: "CandidatePool", *, time: str) -> bool:
    """Store a session and its profile; False if the same answers are there already.

    Raises
    ------
    InputError
        When other answers of this person to this questionnaire are stored; nothing is changed.
    """
    if any(stored.id == session.id for stored in store.list_sessions(session.user_id)):
        if store.load_session(session.id).answers == session.answers:
            return False
        raise InputError(
            f"other answers of {session.user_id!r} to this questionnaire are stored (session {session.id}); delete "
            "them first with prefq profile delete, or enter these under another name."
        )
    store.save_session(session)
    store.save_profile(session.profile(pool, created=time), session_id=session.id)
    return True


def _choice(code: str, place: int) -> Choice:
    choice = CODES.get(code.strip().lower())
    if choice is None:
        raise InputError(f"question {place} is answered {code!r}; give {KNOWN}.")
    return choice


def _answered(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    if all(choice is Choice.SKIP for choice in choices):
        raise InputError("no question is answered; leave this sheet out.")
    return choices


def _delimiter(text: str) -> str:
    """What divides the cells of the heading."""
    heading = text.split("\n", 1)[0]
    return max(DELIMITERS, key=heading.count)


def _require_heading(heading: Sequence[str], n_questions: int) -> None:
    numbers = [name for name in heading if name.isdecimal()]
    wanted = [str(place) for place in range(1, n_questions + 1)]
    if USER not in heading or len(set(heading)) < len(heading):
        raise InputError(
            f"the heading of the table is {', '.join(heading)!r}; it needs a column 'user', and no name twice."
        )
    if LINE in heading and not numbers:
        return
    if numbers != wanted or LINE in heading:
        raise InputError(
            f"the table has columns for questions {', '.join(numbers) or 'none'}; give a column 'answers' with code "
            f"lines such as 1a 2b 3=, or one for each question, 1 to {n_questions}."
        )


def _sheet(cells: Mapping[str, str], line: int, questionnaire: Questionnaire) -> Sheet:
    n_questions = len(questionnaire.questions)
    if not cells.get(USER):
        raise InputError("the row names no user; give whose answers they are.")
    user = user_name(cells[USER])
    if cells.get(SHEET) and cells[SHEET].lower() != questionnaire.id:
        raise InputError(f"the sheet is of questionnaire {cells[SHEET]}, not {questionnaire.id}; read it with its own.")
    if LINE in cells:
        return Sheet(user, choices_of(cells[LINE], n_questions), line)
    places = range(1, n_questions + 1)
    return Sheet(user, _answered(tuple(_choice(cells.get(str(place), ""), place) for place in places)), line)
