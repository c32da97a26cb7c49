"""prefq pool gaps: the most informative question that a pool's items would allow, and how near the pool comes to it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.settings import DEFAULT_POOL, JsonOption

if TYPE_CHECKING:
    from prefq.gp import SynthesizedQuestion
    from prefq.pool.candidate_pool import CandidatePool

PoolArgument = Annotated[str, typer.Argument(metavar="POOL", help="'starter' (bundled) or a folder.")]
MOST_NAMED = 4  # features that a sentence names
LEAST_NAMED = 0.5  # typical differences: less is not worth a name


def gaps(
    pool: PoolArgument = DEFAULT_POOL,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Where the search starts.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show what a pool lacks: the pair that would tell most about a new user.

    Looks for the pair of items, as usual ones as the pool's own, whose comparison would tell most before anything is
    known of a person, and compares it with the questions there are. Needs the extra gp.

    \b
    Examples:
      prefq pool gaps starter
    """
    import numpy as np

    import prefq
    from prefq_cli.console import write, write_json

    try:
        from prefq.gp import linear_model, synthesize_question
    except ImportError as error:
        raise prefq.PrefqError(f"{error}") from error

    loaded = prefq.load_pool(pool)
    start = loaded.starting_point()
    found = synthesize_question(
        loaded,
        linear_model(start.coefficients, loaded.feature_space),
        rng=np.random.default_rng(seed),
        response_model=start.response_model,
    )
    if as_json:
        return write_json({"pool": pool, **_facts(loaded, found)})
    return write("\n".join(_sentences(loaded, found)))


def _differences(pool: "CandidatePool", found: "SynthesizedQuestion") -> list[tuple[str, float]]:
    """Features in which the two items of the ideal pair differ, most first, in typical differences of the pool."""
    scales = pool.feature_scales()
    units = (found.first - found.second) / scales.clip(min=scales.max() * 1e-12)
    named = sorted(zip(pool.feature_space.names, units.tolist(), strict=True), key=lambda each: -abs(each[1]))
    return [(name, round(value, 2)) for name, value in named]


def _question(pool: "CandidatePool", row: int) -> str:
    from prefq.vocabulary import question_id

    first, second = pool.pairs[row].tolist()
    return question_id(first, second)


def _facts(pool: "CandidatePool", found: "SynthesizedQuestion") -> dict[str, Any]:
    return {
        "ideal_nats": found.information,
        "best_nats": found.best_information,
        "best_question": _question(pool, found.best_row),
        "nearest_nats": found.nearest_information,
        "nearest_question": _question(pool, found.nearest_row),
        "reached": found.reached,
        "ideal_differences": dict(_differences(pool, found)),
    }


def _sentences(pool: "CandidatePool", found: "SynthesizedQuestion") -> list[str]:
    differing = [each for each in _differences(pool, found) if abs(each[1]) >= LEAST_NAMED]
    named = ", ".join(f"{name} {value:+.1f}" for name, value in differing[:MOST_NAMED])
    if len(differing) > MOST_NAMED:
        named += f" and {len(differing) - MOST_NAMED} more"
    best, nearest = _question(pool, found.best_row), _question(pool, found.nearest_row)
    return [
        f"A pair of usual items could tell up to {found.information:.2f} nats about a new user.",
        f"The pool's best question, {best}, tells {found.best_information:.2f} ({found.reached:.0%}).",
        f"In units of a typical question's difference, such a pair differs in {named}.",
        f"The question most like it, {nearest}, tells {found.nearest_information:.2f} nats.",
    ]
