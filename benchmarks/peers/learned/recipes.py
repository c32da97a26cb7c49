"""Recipes of others on base rewards that their own method learns from the group, where panels have encodings.

The method is the one in `prefq.rewards.factorization`; the base rewards are in its own unit and basis, since these
recipes depend on it: PReF's five as its released settings have it, RFM's eight. How a newcomer is asked and learned is
that of the files one folder up. LoRe's recipe there learns base rewards of its own from any panel.
"""

from pathlib import Path

from prefq.simulation.learned_strategies import as_found, by, learned
from prefq.simulation.strategies import Strategy
from prefq_cli.bench.strategies import load_peers

RECIPES = Path(__file__).parents[1]


def on_learned(recipe: str, method: str, n_features: int) -> Strategy:
    """A recipe of the file that is named as its method."""
    offered = load_peers(str(RECIPES / f"{method}.py")).strategies
    known = next(strategy for strategy in offered if strategy.name == recipe)
    return Strategy(
        f"{recipe}_learned",
        learned(by(method, n_features, how=as_found), known.begin),
        f"{n_features} base rewards by `{method}`, then {known.summary}",
        users_at_once=known.users_at_once,
        kind="peer",
    )


LEARNED = (("pref_released", "pref", 5), ("pref_released_random", "pref", 5), ("rfm", "rfm", 8))
READS = tuple(dict.fromkeys(RECIPES / f"{method}.py" for _, method, _ in LEARNED))
STRATEGIES: tuple[Strategy, ...] = tuple(on_learned(*each) for each in LEARNED)
