"""What `make bench` measures: the house checks, and the commands of prefq bench with settings that fit ten minutes.

To measure something more, add a line. More users, worlds and seeds give narrower intervals and take longer.
"""

from dataclasses import dataclass
from pathlib import Path

CHECKS = ("startup", "step_speed", "newton")
LONG_CHECKS = ("starter_gain", "words", "kill")  # minutes; by name only
PEERS = Path(__file__).parent / "peers"
# Recipes of others by what they cost: quick ones everywhere; some take a tenth of a second a question or most of one.
SLOW = ("volume_removal", "sampled_information")
SLOWEST = ("pairwise_gp",)
ASKED_FOR = "in_context"  # named in every command, so that the last one says why it could not be run
WORLDS = (
    "equal_norm",
    "text_factors",
    "agree",
    "raters",
    "clustered",
    "starter",
    "noisy",
    "no_signal",
    "outside_span",
    "wrong_prior",
    "drift(5)",  # so that ten answers see the change
)


@dataclass(frozen=True, slots=True)
class Line:
    """A run of the suite: its name here, and what stands after `prefq bench`.

    `peers` is on how many users, of each of so many worlds, the quick, slow and slowest recipes of others are measured;
    0 leaves them out, and None is for commands without strategies.
    """

    name: str
    arguments: str
    peers: tuple[int, int, int] | None = None
    peer_worlds: int = 2

    def commands(self) -> list[list[str]]:
        """What is run, one after the other, into one folder."""
        own = self.arguments.split()
        if self.peers is None:
            return [own]
        whose = ["--peers", "benchmarks/peers", "--peer-worlds", str(self.peer_worlds)]
        return [
            [*own, *whose, "--peer-users", str(n_users), "--strategies", ",".join(dict.fromkeys([*names, ASKED_FOR]))]
            for n_users, names in zip(self.peers, by_cost(), strict=True)
            if n_users
        ]


def by_cost() -> tuple[list[str], list[str], list[str]]:
    """Names of all strategies: ours, controls and quick recipes of others; slow ones; the slowest."""
    from prefq_cli.bench.strategies import choose

    names = [each.name for each in choose(None, PEERS)]
    slow, slowest = ([name for name in names if name.startswith(which)] for which in (SLOW, SLOWEST))
    return [name for name in names if name not in (*slow, *slowest)], slow, slowest


_LARGE, _SMALL = "--worlds 8 --users 24 --questions 20", "--worlds 6 --users 10 --questions 10"
LINES: tuple[Line, ...] = (
    Line("gaussian-6", f"learning-curve --world gaussian(6) {_LARGE}", (6, 3, 2)),
    Line("unlike_noise", f"learning-curve --world unlike_noise {_LARGE}", (6, 3, 0)),
    Line("attributes", "learning-curve --world attributes --worlds 6 --users 16 --questions 40", (6, 2, 0)),
    *(Line(name.partition("(")[0], f"learning-curve --world {name} {_SMALL}", (3, 0, 0)) for name in WORLDS),
    Line("cars_conjoint", "replay --set cars_conjoint --seeds 1 --questions 20", (6, 3, 1), peer_worlds=1),
    Line("polis", "replay --set polis --seeds 1 --questions 20", (6, 3, 0), peer_worlds=1),
    Line("polis-once", "replay --set polis --pairs once --seeds 1 --questions 20"),
    Line("llmfao", "replay --set llmfao --seeds 1 --questions 20", (6, 3, 0), peer_worlds=1),
    Line("speed", "speed --questions-in-pool 1000,10000,100000 --features 8,64 --peers benchmarks/peers --limit 3"),
    Line("calibration", "calibration --world gaussian(6) --worlds 4 --users 100"),
)
