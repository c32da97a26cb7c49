"""What `make bench` measures: the house checks, and the commands of prefq bench sized for a quarter of an hour.

To measure something more, add a line. More users, worlds and seeds give narrower intervals and take longer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from prefq_cli.bench import page

CHECKS = ("step_speed", "noisy_scores")
# Minutes each; by name only, as are `LONG_LINES`.
LONG_CHECKS = tuple(name for name in page.CHECKS if name not in CHECKS)
PEERS = Path(__file__).parent / "peers"
# Recipes of others by what they cost: quick ones everywhere; some take a tenth of a second a question or most of one.
SLOW = ("volume_removal", "sampled_information")
SLOWEST = ("pairwise_gp",)
CURVED = "gp_user"  # ours in torch, for users whose taste is curved: seconds a question
LORE = "lore"  # quick with its questions, and a second or two for each group that it learns from
ASKED_FOR = "in_context"  # named in every command, so that the last one says why it could not be run
# Where worlds are many and each takes seconds to fit a prior for: the default rule and what it must beat.
FEW_OF_OURS = ("information_gain", "random", "spread_matched_random", "static", "pooled")
MORE_OF_OURS = ("information_gain", "d_optimal", "pref", "target_variance", *FEW_OF_OURS[1:])
LEARNED = "pooled,learned_bayes,learned_bayes_random,learned_pref,true_features"
FOR_HARM = ("information_gain", "random", "pooled")  # where worlds are to tell harm, or what a prior is worth


class Few(NamedTuple):
    """On whom recipes of others are measured: the first users of each world, and of the first worlds, or of all.

    On record a world is a repeat, and the users are those of each fold, of each part of the record.
    """

    users: int
    worlds: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A run of the suite.

    Parameters
    ----------
    name
        In the suite; where `title` is given, also of the result.
    arguments
        What stands after `prefq bench`.
    ours
        Our strategies and controls, by name; empty for all.
    also
        Those that run only where they are named, such as ablations.
    peers
        On whom the quick, slow and slowest recipes of others are measured; those without an entry are left out.
    without
        Beginnings of the names of recipes that are left out.
    title
        Of the result, in place of the command's.
    alone
        Whether nothing else may run, since what is measured is time.
    """

    name: str
    arguments: str
    peers: tuple[Few, ...] = ()
    without: tuple[str, ...] = ()
    title: str | None = None
    alone: bool = False
    ours: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def commands(self) -> list[list[str]]:
        """What is run, one after the other, into one folder."""
        # One process a line: lines run side by side, and a line's processes would each make every world anew.
        own = [*self.arguments.split(), *([] if self.alone else ["--workers", "1"])]
        named = [*self.ours, *self.also]
        if not self.peers:
            return [[*own, *(["--strategies", ",".join(named)] if named else [])]]
        wanted: dict[Few, list[str]] = {}
        for few, names in zip(self.peers, by_cost(), strict=False):
            wanted.setdefault(few, []).extend(name for name in names if not name.startswith(self.without))
        commands: list[list[str]] = []
        for few, names in wanted.items():
            whose = ["--peers", "benchmarks/peers", "--peer-users", str(few.users)]
            whose += [] if few.worlds is None else ["--peer-worlds", str(few.worlds)]
            first = [] if commands else [*(self.ours or of_ours()), *self.also]
            commands.append([*own, *whose, "--strategies", ",".join(dict.fromkeys([*first, *names, ASKED_FOR]))])
        return commands


def of_ours() -> list[str]:
    """Names of our strategies and the controls."""
    from prefq_cli.bench.strategies import choose

    return [each.name for each in choose(None, None)]


def by_cost() -> tuple[list[str], list[str], list[str]]:
    """Names of recipes of others: quick ones, slow ones, the slowest."""
    from prefq_cli.bench.strategies import PEER, choose

    names = [each.name for each in choose(None, PEERS) if each.kind == PEER and not each.name.startswith(CURVED)]
    slow, slowest = ([name for name in names if name.startswith(which)] for which in (SLOW, SLOWEST))
    return [name for name in names if name not in (*slow, *slowest)], slow, slowest


def _world(
    name: str,
    size: str,
    *peers: Few,
    without: tuple[str, ...] = (),
    ours: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
) -> Line:
    from prefq_cli.bench.page import slug

    return Line(slug(name), f"learning-curve --world {name} {size}", peers, without, ours=ours, also=also)


_LARGE = "--worlds 8 --users 25 --questions 10"
_SMALL = "--worlds 8 --users 8 --questions 10"
_ON_RECORD, _TWICE = "--seeds 1 --questions 10", "--seeds 2 --questions 20"

# The longest first, so that no core waits at the end.
LINES: tuple[Line, ...] = (
    Line("speed", "speed --repeats 20", alone=True),
    _world("gaussian(6)", _LARGE, Few(1), Few(1, worlds=3), also=("one_gaussian", "chosen_by_laplace")),
    _world(
        "clustered",
        "--worlds 20 --users 12 --questions 10",
        Few(1, worlds=4),
        without=(LORE,),
        ours=FOR_HARM,
        also=("one_gaussian", "right_prior", "right_gaussian"),
    ),
    Line(
        "polis",
        f"replay --set polis {_ON_RECORD}",
        (Few(1),),
        without=(LORE, "pref_released_random"),
        ours=MORE_OF_OURS,
        also=("information_per_second",),
    ),
    Line(
        "cars_conjoint",
        f"replay --set cars_conjoint {_TWICE}",
        (Few(4, worlds=1),),
        ours=MORE_OF_OURS,
        also=("laplace_em",),
    ),
    Line(
        "cars_conjoint-once",
        "replay --set cars_conjoint --pairs once --seeds 1 --questions 10",
        ours=FEW_OF_OURS,
        also=("laplace_em",),
    ),
    _world("unlike_noise", "--worlds 8 --users 25 --questions 20", Few(1), without=(LORE,), ours=FEW_OF_OURS),
    Line(
        "adaptivity",
        "learning-curve --world gaussian(6) --worlds 16 --users 6 --questions 6",
        title="Adaptivity",
        ours=("information_gain",),
    ),
    _world("gaussian(16)", "--worlds 8 --users 12 --questions 10", Few(1, worlds=4), without=(LORE,)),
    Line(
        "equivalents",
        "learning-curve --world gaussian(6) --worlds 8 --users 40 --questions 40",
        title="Random equivalents",
        ours=("information_gain", "static", "random"),
    ),
    Line(
        "llmfao",
        f"replay --set llmfao {_TWICE}",
        (Few(4, worlds=1),),
        ours=MORE_OF_OURS,
        also=("information_per_second",),
    ),
    _world("attributes", "--worlds 5 --users 16 --questions 40", Few(2), ours=FEW_OF_OURS),
    Line("calibration", "calibration --world gaussian(6) --worlds 4 --users 100"),
    _world("wrong_prior", _LARGE, Few(1, worlds=2), without=(LORE,), ours=FOR_HARM, also=("right_prior",)),
    *(_world(name, _LARGE, Few(1, worlds=2), without=(LORE,), ours=FOR_HARM) for name in ("agree(1)", "no_signal")),
    _world("agree(0.5)", _SMALL, Few(1), ours=FOR_HARM),  # with LoRe: its own kind of world
    _world("starter", _SMALL, Few(1), without=(LORE,), ours=FEW_OF_OURS, also=("information_per_second",)),
    *(
        _world(name, _SMALL, Few(1), without=(LORE,), ours=FOR_HARM)
        for name in (
            "agree(0)",
            "text_factors",
            "raters",
            "equal_norm",
            "noisy(0.2)",
            "outside_span",
            "interactions",
            "drift(5)",  # so that ten answers see the change
        )
    ),
)
LONG_LINES: tuple[Line, ...] = (
    Line(
        "ablation",
        "learning-curve --world gaussian(6) --worlds 8 --users 25 --questions 10",
        title="Ablation",
        ours=("information_gain",),
        also=("ablation",),
    ),
    Line(
        "speed-peers",
        "speed --questions-in-pool 1000,10000 --features 8 --peers benchmarks/peers --limit 3",
        title="Speed of recipes of others",
        alone=True,
    ),
    Line("calibration-full", "calibration --world gaussian(6)"),
    Line("calibration-true-prior", "calibration --world gaussian(6) --true-prior"),
    Line("calibration-lapses", "calibration --world noisy(0.2) --exact 25"),
    Line("polis-once", f"replay --set polis --pairs once {_ON_RECORD}"),
    Line(
        "pairwise_gp",
        "learning-curve --world gaussian(6) --worlds 4 --users 2 --questions 10 --peers benchmarks/peers --strategies "
        "information_gain,random,static,pairwise_gp_bald,pairwise_gp_bald_with_prior,pairwise_gp_eubo,"
        "pairwise_gp_eubo_with_prior",
        title="gaussian(6) with PairwiseGP",
    ),
    Line(
        "gp_user",
        "learning-curve --world interactions --worlds 4 --users 2 --questions 30 --peers benchmarks/peers --strategies "
        "information_gain,random,gp_user,gp_user_linear",
        title="interactions with curved tastes",
    ),
    # Base rewards learned from the group: a fit a method and world.
    *(
        Line(
            f"encoded_agree-{share}",
            f"learning-curve --world encoded_agree({share}) --worlds 8 --users 25 --questions 30 --peers "
            f"benchmarks/peers/learned --strategies {LEARNED},rfm_learned,pref_released_random_learned",
        )
        for share in (1, 0, 0.5)
    ),
    Line(
        "recovered",  # the worlds of the check `recovery`: what is found, put to use
        "learning-curve --world encoded_text_factors(500,d=8,n_answers=25000) --worlds 4 --users 25 --questions 10 "
        "--strategies pooled,learned_bayes,learned_pref,learned_rfm,learned_lore,learned_average,true_features",
        title="After ten answers where base rewards are recovered",
    ),
    *(
        Line(
            f"encoded_text_factors-{n_group_users}",
            f"learning-curve --world encoded_text_factors({n_group_users}) --worlds 8 --users 25 --questions 10 "
            "--strategies pooled,learned_bayes,learned_bayes_8,learned_pref_points,learned_rfm_points",
        )
        for n_group_users in (15, 60, 300, 1500)
    ),
    Line(
        "encoded_attributes",
        "learning-curve --world encoded_attributes --worlds 12 --users 16 --questions 40 "
        "--peers benchmarks/peers/learned "
        "--strategies pooled,learned_bayes,pref_released_learned,pref_released_random_learned",
    ),
)
