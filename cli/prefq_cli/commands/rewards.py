"""prefq rewards: what base rewards measure, how well they predict people, and other names for them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prefq_cli.commands.data import named_pairs
from prefq_cli.exit_codes import ExitCode
from prefq_cli.outputs import ForceOption
from prefq_cli.score_columns import of_known_texts
from prefq_cli.settings import EncoderOption, JsonOption, PlainOption, Settings, read_settings
from prefq_cli.training_figure import PlotOption, draw, require_plot
from prefq_cli.training_report import people, show_figures, show_report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from prefq.rewards.base import BaseRewards
    from prefq.rewards.group import GroupComparisons
    from prefq.rewards.logs import TextComparisons

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Show and rename base rewards; test them on people held out."
)
RewardsArgument = Annotated[str, typer.Argument(metavar="R", help="'starter' (bundled) or a folder of rewards.")]

TEST, NEW_PROMPTS, VALIDATION, ALL = "test", "new-prompts", "validation", "all"
PARTS = f"'{TEST}', '{NEW_PROMPTS}', '{VALIDATION}' or '{ALL}'"
N_EXAMPLES = 3  # texts shown at each end of an axis
EXCERPT = 160  # characters shown of a text


@app.command()
def show(
    rewards: RewardsArgument,
    plot: PlotOption = None,
    force: ForceOption = False,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what each base reward separates, how far tastes reach along it, and how the rewards were learned.

    \b
    Examples:
      prefq rewards show my-rewards
      prefq rewards show my-rewards --json
    """
    import prefq
    from prefq_cli.console import write_json

    require_plot(plot, force=force)
    facts = _facts(prefq.load_rewards(rewards))
    if as_json:
        write_json({"rewards": rewards, **facts})
    else:
        _show(facts, read_settings(plain=plain))
    draw(facts.get("report", {}), plot)


@app.command()
def rename(
    rewards: Annotated[str, typer.Argument(metavar="R", help="A folder of rewards that were learned.")],
    names: Annotated[list[str], typer.Argument(metavar="OLD=NEW", help="What to call a base reward; again for each.")],
    opposite: Annotated[
        str | None, typer.Option("--opposite", metavar="NAME", help="What to call the other end of a single one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give base rewards other names. Pools and profiles made before still fit, and keep the names they were made with.

    \b
    Examples:
      prefq rewards rename my-rewards reward2=formal --opposite casual
    """
    import prefq
    from prefq.errors import InputError
    from prefq.rewards.base import STARTER
    from prefq.rewards.linear import LinearRewards
    from prefq_cli.console import tell, write_json

    wanted = named_pairs(names, "OLD=NEW", "the name it has and the name it gets")
    if opposite is not None and len(wanted) != 1:
        raise InputError(f"--opposite names the other end of one base reward, and {len(wanted)} get names; give one.")
    if rewards == STARTER:
        raise InputError("the bundled rewards 'starter' cannot be renamed; give a folder of rewards that were learned.")
    found = prefq.load_rewards(rewards)
    if not isinstance(found, LinearRewards):
        raise InputError(f"the rewards in {rewards!r} cannot be renamed; give a folder of rewards that were learned.")
    changed = found.renamed(wanted, {} if opposite is None else dict.fromkeys(wanted, opposite))
    changed.save(rewards)
    if as_json:
        space = changed.feature_space
        return write_json({"rewards": rewards, "names": list(space.names), "opposites": list(space.opposites)})
    return tell(f"Renamed in {rewards}: {', '.join(f'{old} is {new}' for old, new in wanted.items())}.")


@app.command()
def evaluate(
    rewards: RewardsArgument,
    data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="What prefq data import wrote.")],
    part: Annotated[str, typer.Option("--part", metavar="PART", help=f"Whose answers to what: {PARTS}.")] = TEST,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="FOLDER", help="Keep or find encodings here; by default where train keeps them."
        ),
    ] = None,
    encoder: EncoderOption = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Which answers are learned from.")] = 0,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Test base rewards on people held out: after 0, 5, 10 and 20 of their answers, their others are predicted.

    Log loss is in nats an answer (.693 is a guess); errors are standard errors over people. People of the part 'test'
    took no part in training; with 'new-prompts' they are predicted on prompts that took none, either, after answers to
    others. 'validation' and 'all' are people whom training knew.

    \b
    Examples:
      prefq rewards evaluate my-rewards --data comparisons
      prefq rewards evaluate my-rewards --data comparisons --part new-prompts --json
    """
    import numpy as np

    import prefq
    from prefq.rewards.logs import load_comparisons
    from prefq.rewards.tested import Divisions, figures
    from prefq_cli.console import tell, write_json

    _require_part(part)
    known, comparisons = prefq.load_rewards(rewards, encoder=encoder), load_comparisons(data)
    cache = cache or data.with_name(f"{data.name}-encodings")
    group, heard = _of_part(part, comparisons, known, data)
    try:
        items = np.unique(group.pairs)
        features = np.zeros((group.n_items, known.feature_space.n_features))
        features[items] = _features(known, comparisons, items, cache)
        divisions = Divisions.of(group, heard=heard, rng=np.random.default_rng(seed))
        curve = divisions.curve(group.differences(features), group.outcomes, _prior(known, features, group.pairs))
    except KeyboardInterrupt:
        tell(f"Interrupted: encodings that were written are kept in {cache}.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    found = figures(curve, divisions)
    if as_json:
        write_json({"rewards": rewards, "comparisons": str(data), "part": part, **found})
    else:
        who = people(found["n_people"], "test " if part in (TEST, NEW_PROMPTS) else "")
        show_figures(
            found, f"{who}, on prompts that are new, too" if part == NEW_PROMPTS else who, read_settings(plain=plain)
        )
    if part not in (TEST, NEW_PROMPTS):
        tell(
            "Note: rewards that were trained on these comparisons know the people of this part; 'test' are new to them."
        )


def _require_part(part: str) -> None:
    from prefq.errors import InputError

    if part not in (TEST, NEW_PROMPTS, VALIDATION, ALL):
        raise InputError(f"--part is {part!r}; give {PARTS}.")


def _of_part(
    part: str, comparisons: "TextComparisons", known: "BaseRewards", data: Path
) -> "tuple[GroupComparisons, NDArray[np.bool_] | None]":
    """The comparisons of a part, and which of them may be heard where that is not to be drawn."""
    import numpy as np

    from prefq.errors import InputError
    from prefq.rewards.logs.splits import Part

    group, splits = comparisons.group, comparisons.splits
    if part == NEW_PROMPTS and not splits.prompts_are_split:
        raise InputError(
            f"the prompts of {str(data)!r} were too few to set some aside, so none is new; choose another --part."
        )
    if part == ALL:
        rows = np.arange(group.n_comparisons)
    else:
        rows = comparisons.validation if part == VALIDATION else np.union1d(comparisons.test, comparisons.history)
    group = of_known_texts(group.of_rows(rows), known, comparisons)
    if not group.n_comparisons:
        raise InputError(
            f"the part {part!r} of {str(data)!r} has no comparisons to test on; choose another with --part."
        )
    if part != NEW_PROMPTS:
        return group, None
    return group, np.asarray(splits.prompts[group.prompt_codes[group.pairs[:, 0]]] != Part.TEST)


def _facts(rewards: "BaseRewards") -> dict[str, Any]:
    """What there is to say, as JSON values."""
    from prefq.rewards.linear import LinearRewards

    space = rewards.feature_space
    prior = getattr(rewards, "prior", None)  # style rewards have none
    opposites = space.opposites or ("",) * space.n_features
    axes: list[dict[str, Any]] = [
        {"name": name, "opposite": opposite or None} for name, opposite in zip(space.names, opposites, strict=True)
    ]
    if prior is not None:
        for axis, mean, sd in zip(axes, prior.coefficients.mean.tolist(), prior.coefficients.sd.tolist(), strict=True):
            axis |= {"mean": mean, "sd": sd}
    facts: dict[str, Any] = {"axes": axes, "version": space.version, "feature_space": space.digest}
    facts["n_users"] = None if prior is None else prior.n_users
    if isinstance(rewards, LinearRewards):
        for axis, texts in zip(axes, rewards.examples, strict=False):
            axis |= {"top": [each._asdict() for each in texts.top], "bottom": [each._asdict() for each in texts.bottom]}
        facts |= {"encoder": rewards.encoder, "encoder_identity": rewards.encoder_identity.to_dict()}
    if report := getattr(rewards, "report", None):  # style rewards have none
        facts["report"] = report
    return facts


def _show(facts: dict[str, Any], settings: Settings) -> None:
    from prefq_cli.console import write, write_table, write_words

    if "encoder" in facts:
        write_words(f"Read by the encoder {facts['encoder_identity']['name']}, at {facts['encoder']}.")
    has_prior = facts["n_users"] is not None
    if has_prior:
        write_words(f"Tastes of {people(facts['n_users'])}, in logits a unit of each base reward:")
    rows = [
        (axis["name"], axis["opposite"] or "", *((f"{axis['mean']:+.2f}", f"{axis['sd']:.2f}") if has_prior else ()))
        for axis in facts["axes"]
    ]
    write_table(rows, ("base reward", "opposite", *(("mean", "spread") if has_prior else ())), settings)
    for axis in facts["axes"]:
        low = f"Most {axis['opposite']}" if axis["opposite"] else f"Least {axis['name']}"
        for heading, texts in ((f"Most {axis['name']}", axis.get("top")), (low, axis.get("bottom"))):
            if texts:
                write("")
                write_words(f"{heading}:")
                for each in texts[:N_EXAMPLES]:
                    write(f"  {each['value']:+.2f}  {_excerpt(each['response'])}")
    if facts.get("report"):
        write("")
        show_report(facts["report"], settings)


def _excerpt(text: str) -> str:
    """The beginning of a text, safe to show, in one line."""
    from prefq_cli.texts import one_line

    line = one_line(text[: 4 * EXCERPT])
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def _features(rewards: "BaseRewards", comparisons: "TextComparisons", items: Any, cache: Path | None) -> Any:
    """Features (n, n_features) of some items of the comparisons."""
    from prefq.rewards.encoding_cache import encode_items
    from prefq.rewards.linear import LinearRewards

    prompts, responses = (
        [column[row] for row in items.tolist()] for column in (comparisons.prompts, comparisons.responses)
    )
    if not isinstance(rewards, LinearRewards):
        return rewards.features(prompts, responses)
    encodings, _ = encode_items(rewards.load_encoder(), prompts, responses, cache=cache)
    return rewards.from_encodings(encodings)


def _prior(rewards: "BaseRewards", features: Any, pairs: Any) -> Any:
    """Where people start: as the rewards say, else as any pool would."""
    from prefq.pool.candidate_pool import CandidatePool

    prior = getattr(rewards, "prior", None)
    if prior is not None:
        return prior
    return CandidatePool.from_arrays(features, pairs, feature_space=rewards.feature_space).starting_point()
