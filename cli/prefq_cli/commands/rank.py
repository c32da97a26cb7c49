"""prefq rank: responses to a prompt, the one a person would rather get first."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from prefq_cli.settings import EncoderOption, JsonOption, PlainOption, StoreOption, UserOption, read_settings

STANDARD_INPUT = "-"


def rank(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="Each holds one response; - reads standard input, one a line or a JSON list."
        ),
    ],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="What the responses answer.")],
    rewards: Annotated[
        str | None,
        typer.Option(
            "--rewards",
            envvar="PREFQ_REWARDS",
            metavar="R",
            help="Folder of the base rewards that the pool was built with; not needed for bundled ones.",
        ),
    ] = None,
    encoder: EncoderOption = None,
    user: UserOption = None,
    store: StoreOption = None,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Order responses by a profile, best first.

    "best" is the probability that a response is the best of them for this person; the score is in logits, and only
    differences between scores mean something.

    \b
    Examples:
      prefq rank --prompt "How do I fall asleep?" short.txt long.txt
      printf 'Read a book.\\nTake a walk.\\n' | prefq rank --user ada --prompt "How do I fall asleep?" -
      prefq rank --rewards my-rewards --prompt "How do I fall asleep?" short.txt long.txt
    """
    import prefq
    from prefq.errors import InputError, MismatchError
    from prefq.profiles.evidence import score_sentence
    from prefq.storage.sql import SqlStore
    from prefq_cli.console import tell, write_json, write_table
    from prefq_cli.evidence import evidence_of, load_with_session
    from prefq_cli.opening import user_name

    settings = read_settings(store=store, plain=plain, as_json=as_json)
    names, texts = _responses(files)
    if encoder is not None and rewards is None:
        raise InputError("--encoder says where the encoder of some rewards is; say with --rewards of which.")
    known = None if rewards is None else prefq.load_rewards(rewards, encoder=encoder)
    with SqlStore.open(settings.store, create=not settings.store_is_named) as opened:
        profile, session = load_with_session(opened, user_name(user))
    try:
        ranked = prefq.rank(profile, prompt, texts, rewards=known)
    except MismatchError as error:
        hint = (
            "give the ones they came from with --rewards"
            if known is None
            else "give those with --rewards, and their encoder with --encoder"
        )
        raise MismatchError(f"{str(error).rpartition(';')[0]}; {hint}.") from error
    score = evidence_of(session).score
    if score is not None and score.n_decided and not score.backs_profile:
        tell(score_sentence(score))
    if as_json:
        responses = [
            {
                "source": names[each.index],
                "index": each.index,
                "text": each.text,
                "mean": each.mean,
                "sd": each.sd,
                "probability_best": each.probability_best,
            }
            for each in ranked
        ]
        return write_json({"user_id": profile.user_id, "prompt": prompt, "responses": responses})
    rows = [
        (f"{place}", f"{each.probability_best:.0%}", f"{each.mean:+z.2f} ±{each.sd:.2f}", names[each.index], each.text)
        for place, each in enumerate(ranked, 1)
    ]
    return write_table(rows, ("", "best", "score", "from", "response"), settings)


def _responses(files: Sequence[str]) -> tuple[list[str], list[str]]:
    """Where each response is from, and its text."""
    from prefq.errors import InputError
    from prefq_cli.texts import standard_input

    names: list[str] = []
    texts: list[str] = []
    for file in files:
        if file != STANDARD_INPUT:
            names.append(file)
            texts.append(_read(file))
            continue
        given = _lines_or_list(standard_input())
        names += [f"line {i}" for i in range(1, len(given) + 1)]
        texts += given
    empty = next((name for name, text in zip(names, texts, strict=True) if not text.strip()), None)
    if empty is not None:
        raise InputError(f"the response from {empty!r} is empty; give a text.")
    if not texts:
        raise InputError("standard input holds no responses; give one a line, or a JSON list of texts.")
    return names, texts


def _read(file: str) -> str:
    from prefq.errors import InputError, NotFoundError

    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {file!r}; give files that hold one response each.") from None
    except UnicodeDecodeError:
        raise InputError(f"file {file!r} is not UTF-8 text; give files that hold one response each.") from None
    except OSError as error:
        raise InputError(f"file {file!r} cannot be read ({error.strerror}).") from error


def _lines_or_list(text: str) -> list[str]:
    from prefq.errors import InputError

    if text.lstrip().startswith("["):
        try:
            given = json.loads(text)
        except ValueError:
            given = None  # lines that begin with a bracket
        if isinstance(given, list):
            if not all(isinstance(each, str) for each in given):
                raise InputError(
                    "the JSON list on standard input holds something else than texts; give a list of texts."
                )
            return given
    return [line.strip() for line in text.splitlines() if line.strip()]
