"""Ablations: the default strategy with one part exchanged, and strategies that only some panels suit; all by name only.

What is exchanged: the fitted prior for a guess, the rule for another, expectation propagation for Laplace; and the
prior for others fitted on the same group.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from prefq.questions.acquisition import d_optimal
from prefq.simulation.controls import in_random_order
from prefq.simulation.learned_strategies import LEARNED
from prefq.simulation.rules import RuleOf, best_utility, highest, most_informative, most_informative_per_second
from prefq.simulation.starts import isotropic, laplace_em, one_gaussian, starting_from, true_moments, true_prior
from prefq.simulation.strategies import Strategy, by_laplace, by_propagation, listening

KIND = "ablation"
CROSSED: Mapping[str, RuleOf] = MappingProxyType(
    {
        "information_gain": most_informative,
        "d_optimal": highest(d_optimal),
        "expected_utility_of_best": best_utility,
        "random": in_random_order,
    }
)
ISOTROPIC, LAPLACE = "isotropic", "laplace"  # ends of names
PER_SECOND, RIGHT_PRIOR, RIGHT_GAUSSIAN = "information_per_second", "right_prior", "right_gaussian"


def crossed_name(rule: str, *, prior: str, posterior: str) -> str:
    """Name of the strategy of a cell: `rule`, with the parts of it that are not the default's."""
    return "_".join([rule, *(part for part in (prior, posterior) if part in (ISOTROPIC, LAPLACE))])


def _crossed() -> Iterator[Strategy]:
    """Every rule with either prior and either posterior, but those that are strategies without ado."""
    for rule, rule_of in CROSSED.items():
        for prior in ("fitted", ISOTROPIC):
            for posterior, told in (("ep", by_propagation), (LAPLACE, by_laplace)):
                name = crossed_name(rule, prior=prior, posterior=posterior)
                if name == rule:
                    continue
                begin = listening(rule_of, heard=told, told=told)
                summary = f"`{rule}`, {prior} prior, posterior by {'EP' if posterior == 'ep' else 'Laplace'}"
                yield Strategy(
                    name, starting_from(isotropic, begin) if prior == ISOTROPIC else begin, summary, kind=KIND
                )


_DEFAULT = listening(most_informative)

ABLATIONS: Sequence[Strategy] = (
    *_crossed(),
    Strategy(
        "chosen_by_laplace",
        listening(most_informative, heard=by_laplace),
        "`information_gain` of the posterior by Laplace in place of EP's",
        kind=KIND,
    ),
    Strategy("one_gaussian", starting_from(one_gaussian, _DEFAULT), "`information_gain`, one Gaussian", kind=KIND),
    Strategy(
        "laplace_em", starting_from(laplace_em, _DEFAULT), "`information_gain`, prior by plain Laplace EM", kind=KIND
    ),
)
BY_NAME_ONLY: Sequence[Strategy] = (
    *ABLATIONS,
    Strategy(
        RIGHT_PRIOR,
        starting_from(true_prior, _DEFAULT),
        "`information_gain`, the prior that the users were drawn from",
        kind=KIND,
    ),
    Strategy(
        RIGHT_GAUSSIAN,
        starting_from(true_moments, _DEFAULT),
        "`information_gain`, one Gaussian with the moments of the population",
        kind=KIND,
    ),
    Strategy(
        PER_SECOND,
        listening(most_informative_per_second),
        "`information_gain` for each second of reading and choosing",
    ),
    *LEARNED,
)
"""Strategies that run only where they are named: ablations, and those that need what not every panel has."""
