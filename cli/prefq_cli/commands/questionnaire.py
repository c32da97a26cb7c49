"""prefq pool questionnaire and prefq pool answers: the same questions for everybody on paper, and back from it."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.exit_codes import ExitCode
from prefq_cli.settings import DEFAULT_POOL, JsonOption, StoreOption, program, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prefq.pool.candidate_pool import CandidatePool
    from prefq.storage.sql import SqlStore
    from prefq.vocabulary import PopulationPrior
    from prefq_cli.questionnaire.answers import Refused, Sheet
    from prefq_cli.questionnaire.files import Questionnaire

PoolArgument = Annotated[str, typer.Argument(metavar="POOL", help="'starter' (bundled) or a folder.")]
SHEET_HTML, SHEET_TEXT, TABLE = "sheet.html", "sheet.txt", "answers.csv"


def questionnaire(
    out: Annotated[
        str, typer.Option("--out", metavar="FOLDER", help="New or empty folder for the sheet and its files.")
    ],
    pool: PoolArgument = DEFAULT_POOL,
    n_questions: Annotated[int, typer.Option("--n", metavar="N", help="Questions on the sheet.")] = 10,
    prior: Annotated[
        str | None, typer.Option("--prior", metavar="FILE", help="Choose against this prior instead of the pool's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Fixes which answer is printed first.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make a questionnaire for paper: the same questions for everybody.

    Chooses the questions that together tell most about a person, before anyone has answered, and writes a sheet to
    print (sheet.html, for A4 and Letter), the same as plain text, an empty table for the answers of many people, and
    the file from which prefq pool answers reads them back.

    \b
    Examples:
      prefq pool questionnaire starter --n 10 --out sheets
      prefq pool answers sheets answers.csv
    """
    import prefq
    from prefq.questions.static import design_with_info
    from prefq_cli.console import write, write_json
    from prefq_cli.opening import pool_name
    from prefq_cli.prior_files import read_prior
    from prefq_cli.questionnaire.files import Questionnaire

    folder = Path(out)
    _require_new(folder)
    loaded = prefq.load_pool(pool)
    _require_texts(loaded, pool)
    questions, info = design_with_info(
        loaded, prior=None if prior is None else read_prior(prior), n_questions=n_questions, seed=seed
    )
    made = Questionnaire(
        pool_name(pool),
        loaded.digest(),
        info.prior,
        tuple(question.id for question in questions),
        tuple(info.information.round(6).tolist()),
    )
    _write_files(folder, made, loaded)
    total, words = float(info.information.sum()), _words(loaded, made)
    if as_json:
        return write_json(
            {
                "questionnaire": made.id,
                "folder": str(folder),
                "questions": list(made.questions),
                "information": list(made.information),
                "words": words,
                "pool_digest": made.pool_digest,
                "prior": made.prior,
            }
        )
    return write(
        f"Questionnaire {made.id}: {len(questions)} questions, {words} words to read, {total:.2f} nats expected.\n"
        f"Print {folder / SHEET_HTML}. Enter answers in {folder / TABLE}, then: {_then(folder, prior)}"
    )


def answers(
    questionnaire: Annotated[
        str, typer.Argument(metavar="QUESTIONNAIRE", help="Folder that prefq pool questionnaire wrote.")
    ],
    table: Annotated[
        str | None,
        typer.Argument(metavar="ANSWERS", help="CSV of many people, '-' for standard input; else they are typed in."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Take one person's answers, those of --answers.")
    ] = None,
    line: Annotated[
        str | None, typer.Option("--answers", metavar="LINE", help="Answers of --user, such as '1a 2b 3= 4x'.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option("--pool", metavar="POOL", help="Where the questionnaire's pool lies now.")
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option("--prior", metavar="FILE", help="What the questionnaire was made with, if not the pool's prior."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read the answers to a questionnaire back: one session and one profile a person.

    Answers are codes: a, b, = about the same, x both bad, - left out. A table has a column user, and either one column
    for each question or a column answers with a line such as 1a 2b 3=. Rows that cannot be taken are reported, and all
    others are stored; the same table can be read again once they are mended.

    \b
    Examples:
      prefq pool answers sheets answers.csv
      prefq pool answers sheets --user ada --answers '1a 2b 3= 4a 5a 6x 7b 8b 9- 10a'
      prefq pool answers sheets
    """
    import prefq
    from prefq.storage.sql import SqlStore
    from prefq_cli.prior_files import read_prior
    from prefq_cli.questionnaire.files import read_questionnaire

    made = read_questionnaire(questionnaire)
    loaded = prefq.load_pool(pool or made.pool_name)
    made.require_pool(loaded)
    settings = read_settings(store=store, as_json=as_json)
    name = made.pool_name if pool is None else pool
    start = None if prior is None else loaded.starting_point(read_prior(prior))  # refused before anything is typed in
    made.require_prior(start or loaded.starting_point(), loaded)
    sheets = _sheets(made, table, user, line)
    with SqlStore.open(settings.store) as opened:
        outcome = _Outcome(made, start, as_json)
        for sheet in sheets:
            outcome.take(sheet, opened, loaded, name)
    outcome.report()


def _then(folder: Path, prior: str | None) -> str:
    """The command that reads the answers back."""
    words = [program(), "pool", "answers", *map(shlex.quote, (str(folder), str(folder / TABLE)))]
    return " ".join(words if prior is None else [*words, "--prior", shlex.quote(prior)])


class _Outcome:
    """What became of each sheet, told as it happens."""

    def __init__(self, questionnaire: "Questionnaire", prior: "PopulationPrior | None", as_json: bool) -> None:
        self.questionnaire, self.prior, self.as_json = questionnaire, prior, as_json
        self.stored: list[dict[str, Any]] = []
        self.already: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []

    def take(self, sheet: "Sheet | Refused", store: "SqlStore", pool: "CandidatePool", pool_name: str) -> None:
        """Store a sheet, or say why not."""
        from prefq.errors import InputError
        from prefq.vocabulary import Choice
        from prefq_cli.opening import now
        from prefq_cli.opening import pool_name as full_name
        from prefq_cli.questionnaire.answers import Refused, session_of, store_sheet

        if isinstance(sheet, Refused):
            return self._refuse(sheet.line, sheet.user, sheet.problem)
        time = now()
        name = full_name(pool_name)
        session = session_of(sheet, self.questionnaire, pool, pool_name=name, time=time, prior=self.prior)
        try:
            new = store_sheet(store, session, pool, time=time)
        except InputError as error:
            return self._refuse(sheet.line, sheet.user, str(error))
        n_answers = sum(choice is not Choice.SKIP for choice in sheet.choices)
        told = {"user_id": sheet.user, "session_id": session.id, "n_answers": n_answers}
        (self.stored if new else self.already).append(told)
        if not self.as_json:
            from prefq_cli.console import write
            from prefq_cli.texts import one_line

            note = "" if new else ", stored before"
            write(f"{one_line(sheet.user)}: {n_answers} of {len(sheet.choices)} answered{note}; session {session.id}")
        return None

    def report(self) -> None:
        """The whole as JSON if wanted; exit code 2 if a row was refused."""
        from prefq_cli.console import tell, write_json

        if self.as_json:
            told = {"questionnaire": self.questionnaire.id, "stored": self.stored, "already_stored": self.already}
            write_json({**told, "refused": self.refused})
        if self.refused:
            n_refused, n_taken = len(self.refused), len(self.stored) + len(self.already)
            were = "sheet was" if n_refused == 1 else "sheets were"
            tell(f"{n_refused} {were} not taken, {n_taken} were; mend what is wrong and give the same again.")
            raise typer.Exit(ExitCode.USAGE)

    def _refuse(self, line: int, user: str, problem: str) -> None:
        from prefq_cli.console import tell
        from prefq_cli.texts import one_line

        self.refused.append({"line": line, "user_id": user, "problem": problem})
        where = f"line {line}" if line else one_line(user)
        tell(f"Not taken, {where}: {one_line(problem)}")


def _sheets(
    made: "Questionnaire", table: str | None, user: str | None, line: str | None
) -> "Iterable[Sheet | Refused]":
    """The sheets from where the arguments say they come from."""
    from prefq.errors import InputError
    from prefq_cli.opening import user_name
    from prefq_cli.questionnaire.answers import Sheet, choices_of, sheets_in

    if (user is None) != (line is None) or (user is not None and table is not None):
        raise InputError("give a table of answers, or --user NAME with --answers LINE, or neither to type them in.")
    if user is not None and line is not None:
        return [Sheet(user_name(user), choices_of(line, len(made.questions)))]
    if table is not None:
        return list(sheets_in(_read_table(table), made))
    if not sys.stdin.isatty():
        raise InputError("standard input is not a terminal; give a table of answers, '-' to read it from there.")
    return _typed(made)


def _typed(made: "Questionnaire") -> "Iterator[Sheet]":
    """Sheets as someone types them; an empty name ends."""
    from prefq.errors import InputError
    from prefq_cli.console import tell
    from prefq_cli.opening import user_name
    from prefq_cli.questionnaire.answers import Sheet, choices_of

    tell(f"Questionnaire {made.id}, {len(made.questions)} questions. An empty name ends.")
    while True:
        try:
            name = typer.prompt("Name or code", default="", show_default=False, err=True)
            if not name.strip():
                return
            line = typer.prompt("Answers, such as 1a 2b 3=", default="", show_default=False, err=True)
            yield Sheet(user_name(name), choices_of(line, len(made.questions)))
        except typer.Abort:
            return
        except InputError as error:
            tell(f"Not taken: {error}")


def _read_table(path: str) -> str:
    from prefq.errors import InputError, NotFoundError
    from prefq_cli.texts import standard_input

    if path == "-":
        return standard_input()
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"there is no table {path!r}; give a CSV file, or '-' for standard input.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"table {path!r} cannot be read ({error}); give a CSV file in UTF-8.") from None


def _require_new(folder: Path) -> None:
    """Raise InputError if there is something at that place, which may be people's answers."""
    from prefq.errors import InputError

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; give a new folder.")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"folder {str(folder)!r} is not empty; give a new one, so that no sheet or answer is lost.")


def _require_texts(pool: "CandidatePool", name: str) -> None:
    from prefq.errors import InputError

    if pool.responses is None:
        raise InputError(f"pool {name!r} has no texts to print; give a pool with responses.")


def _write_files(folder: Path, made: "Questionnaire", pool: "CandidatePool") -> None:
    from prefq.errors import StorageError
    from prefq_cli.questionnaire.files import FILE
    from prefq_cli.questionnaire.paper import html_sheet, text_sheet

    questions = [pool.question(each) for each in made.questions]
    heading = ",".join(["user", *map(str, range(1, len(questions) + 1))])
    files = {
        SHEET_HTML: html_sheet(questions, made.id),
        SHEET_TEXT: text_sheet(questions, made.id),
        TABLE: heading + "\n",
        FILE: made.to_json(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"folder {folder} cannot be written ({error.strerror}); give another.") from error


def _words(pool: "CandidatePool", made: "Questionnaire") -> int:
    questions = [pool.question(each) for each in made.questions]
    return sum(len(f"{each.prompt} {each.first.text} {each.second.text}".split()) for each in questions)
