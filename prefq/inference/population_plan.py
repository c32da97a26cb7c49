"""What is decided before a prior is fitted: how people reply, shrinkage, number of Gaussians, and where to begin.

Whatever could fit a group too closely is decided by users who were held out; docs/maths/population.md says how, and
docs/decisions/0019 which figures decided.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from prefq.inference.groups import Group
from prefq.inference.laplace import fit_posterior
from prefq.inference.mixture_em import (
    IMPERSONAL_RANGE,
    MAX_ITERATIONS,
    MEAN_SD,
    Population,
    Search,
    at_least,
    believed_margins,
    divided,
    evidence_of,
    search,
    uncertainty_of,
)
from prefq.inference.response_fit import first_response_model, fitted_response_model, without_chance_bias
from prefq.vocabulary import Array, Comparisons, Gaussian, ResponseModel

POOLED_SD = 5.0  # logits a standard unit of each feature: the ridge of the pooled regression
START_VARIANCE = 1.0  # squared logits, of the personal margin of a typical difference: from where the search begins
START_IMPERSONAL = 0.3  # weight of the point there
SHRINKAGES = (0.5, 2.0, 8.0)  # that are tried, in users' worth of evidence for each feature
USUAL_SHRINKAGE = 2.0  # where too few users can be held out to choose
LEAST_USERS = 20  # of whom half can be held out
COMMON_USERS = 20.0  # users' worth of evidence that the mean is the pooled regression
GIVEN_UP = 5.0  # nats over all users, at most, for calling a group one of the same taste
TELLING = 1.0  # logits, root mean square, of personal margins that a group must rule out to be of one taste
SAMPLE_USERS = 300  # that decisions are made on; the prior itself is fitted on all
MOST_COMPONENTS = 5  # that "auto" tries
LAPSE_RATES = (0.05, 0.1, 0.2, 0.3)
DISSIMILARITY_NOISES = (0.25, 0.5, 1.0)
RESPONSE_ROUNDS = 3
LEAST_GAIN, SIGNIFICANT = 3.0, 2.0  # nats over all users held out, and standard errors, that more parameters must bring
ROUGHLY = 0.05  # change below which a search ends that only serves a decision
FEW_STEPS = 6  # of searches that begin near the end

OnStep = Callable[[str], None]


class Plan(NamedTuple):
    """What is searched for: response model, shrinkage in users' worth, and where the search begins."""

    response_model: ResponseModel
    shrinkage: float
    start: Population


def pooled(group: Group, model: ResponseModel, *, sd: float = POOLED_SD) -> Array:
    """In units of the group's scales, under a ridge of this standard deviation."""
    prior = Gaussian(np.zeros(group.n_features), sd**2 * np.eye(group.n_features))
    felt = group.felt(model)
    plain = replace(model, lapse_rate=0.0, strength_threshold=0.0, dissimilarity_noise=0.0)
    pooled, _ = fit_posterior(prior, Comparisons(felt.differences, np.sign(felt.outcomes)), response_model=plain)
    return pooled.mean


def plan_of(
    group: Group, n_components: int | None, model: ResponseModel | None, shrinkage: float | None, tell: OnStep
) -> Plan:
    """Everything that is decided before the search on all users, on a sample where they are many."""
    ranked = group.ranked()
    places = np.linspace(0, len(ranked), min(SAMPLE_USERS, len(ranked)), endpoint=False).astype(np.intp)
    sample, enough = group.of_users(ranked[places]), len(places) >= LEAST_USERS
    halves = [group.of_users(ranked[places[i::2]]) for i in (0, 1)] if enough else []
    strength = group.n_features * (shrinkage or USUAL_SHRINKAGE)
    plan = Plan(model or first_response_model(sample), strength, _start(sample, model or ResponseModel()))
    if model is None:
        plan = _with_fitted_replies(sample, plan, tell)
    if enough and shrinkage is None:
        plan = plan._replace(shrinkage=_chosen_shrinkage(halves, plan, tell))
    if enough and model is None:
        noisy = _chosen_noise(halves, plan, tell)
        if noisy != plan.response_model:
            plan = _with_likelier_lapses(sample, plan._replace(response_model=noisy), tell)
    if n_components is None:
        n_components = _chosen_components(halves, plan, tell) if enough else 1
    one = _found(sample, plan, saying(tell, "fitting one Gaussian"))
    return plan._replace(start=_of_several(sample, plan, one, n_components, tell))


def _start(group: Group, model: ResponseModel) -> Population:
    """Everybody near the pooled regression."""
    common = pooled(group, model, sd=MEAN_SD / group.n_features**0.5)
    around = Gaussian(common, START_VARIANCE / group.n_features * np.eye(group.n_features))
    return Population(np.array([1 - START_IMPERSONAL, START_IMPERSONAL]), (around,))


def _found(group: Group, plan: Plan, on_step: Callable[[], None], steps: int = MAX_ITERATIONS) -> Population:
    """The population of a part of the users, near enough to decide by."""
    model, felt = plan.response_model, group.felt(plan.response_model)
    return search(
        felt,
        model,
        plan.start,
        shrinkage=plan.shrinkage,
        max_iterations=steps,
        converged=ROUGHLY,
        on_step=on_step,
    ).population


def _with_fitted_replies(group: Group, plan: Plan, tell: OnStep) -> Plan:
    """The plan with thresholds and bias fitted, by turns with the population."""
    say = saying(tell, "fitting how people reply")
    for last in (False,) * (RESPONSE_ROUNDS - 1) + (True,):
        population = _found(group, plan, say, FEW_STEPS)
        felt = group.felt(plan.response_model)
        believed = believed_margins(felt, plan.response_model, population)
        model = fitted_response_model(felt, believed, plan.response_model)
        if last:
            model = without_chance_bias(felt, model)
        unchanged = model == plan.response_model
        plan = plan._replace(response_model=model, start=population)
        if unchanged:
            break
    return plan


def _chosen_shrinkage(halves: list[Group], plan: Plan, tell: OnStep) -> float:
    """The strength under which each half of the users predicts the other best."""
    say, model = saying(tell, "choosing the shrinkage"), plan.response_model
    totals = np.zeros(len(SHRINKAGES))
    for own, other in (halves, halves[::-1]):
        start, held_out = _start(own, model), _in_units_of(own, other).felt(model)
        for i, share in enumerate(SHRINKAGES):
            start = _found(own, Plan(model, share * own.n_features, start), say)
            totals[i] += evidence_of(held_out, model, start).sum()
    return SHRINKAGES[int(totals.argmax())] * halves[0].n_features


def _chosen_noise(halves: list[Group], plan: Plan, tell: OnStep) -> ResponseModel:
    """The response model with lapses and noise of unlike pairs, where either predicts held-out users much better."""
    own, other = halves
    say = saying(tell, "looking for careless replies and noise of unlike pairs")
    plan = plan._replace(start=_found(own, plan, say))
    without = evidence_of(_in_units_of(own, other).felt(plan.response_model), plan.response_model, plan.start)
    for models in (_with_lapses, _with_noise):
        best, tried = without, plan
        for model in models(plan.response_model, own):
            tried = tried._replace(response_model=model)
            tried = tried._replace(start=_found(own, tried, say, FEW_STEPS))
            evidence = evidence_of(_in_units_of(own, other).felt(model), model, tried.start)
            if evidence.sum() <= best.sum():
                break
            best, best_plan = evidence, tried
        if _much_better(best, without):
            plan, without = best_plan, best
    return plan.response_model


def _with_lapses(model: ResponseModel, _group: Group) -> Iterator[ResponseModel]:
    for rate in LAPSE_RATES:
        yield replace(model, lapse_rate=rate)


def _with_likelier_lapses(group: Group, plan: Plan, tell: OnStep) -> Plan:
    """The plan with everything else fitted to the chosen noise, and as many more lapses as make the answers likelier.

    Thresholds and bias were fitted as if nobody slipped, which makes them too small, and few lapses seem enough.
    """
    rates = [rate for rate in LAPSE_RATES if rate > plan.response_model.lapse_rate > 0]
    best, likeliest = plan, -np.inf
    for rate in (plan.response_model.lapse_rate, *rates):
        tried = best._replace(response_model=replace(best.response_model, lapse_rate=rate))
        tried = _with_fitted_replies(group, tried, tell)
        model = tried.response_model
        tried = tried._replace(start=_found(group, tried, saying(tell, "fitting how often people slip")))
        evidence = float(evidence_of(group.felt(model), model, tried.start).sum())
        if evidence <= likeliest:
            break
        best, likeliest = tried, evidence
    return best


def _with_noise(model: ResponseModel, group: Group) -> Iterator[ResponseModel]:
    for noise in DISSIMILARITY_NOISES:
        yield replace(model, dissimilarity_noise=noise, dissimilarity_scales=tuple(group.scales.tolist()))


def _chosen_components(halves: list[Group], plan: Plan, tell: OnStep) -> int:
    """How many Gaussians, fitted on half of the users, predict the others best; one more only if it is much better."""
    own, other = halves
    model, held_out = plan.response_model, _in_units_of(own, other).felt(plan.response_model)
    one = _found(own, plan._replace(start=_start(own, model)), saying(tell, "one Gaussian"))
    chosen, best = 1, evidence_of(held_out, model, one)
    for n in range(2, min(MOST_COMPONENTS, own.n_users) + 1):
        start = _of_several(own, plan, one, n, tell)
        found = _found(own, plan._replace(start=start), saying(tell, f"{n} Gaussians"))
        evidence = evidence_of(held_out, model, found)
        if not _much_better(evidence, best):
            break
        chosen, best = n, evidence
    return chosen


def all_alike(group: Group, model: ResponseModel, found: Search) -> Search | None:
    """That all have the same taste, where what was found is hardly likelier and the answers can tell; None elsewhere.

    They can tell where they speak against tastes that differ by `TELLING` logits.
    """
    felt = group.felt(model)
    common, (gaussian,) = _start(group, model).mean, found.population.gaussians
    apart = at_least(TELLING, Gaussian(common, gaussian.covariance), felt.typical)
    few, many = IMPERSONAL_RANGE
    alike, different = (Population(np.array([1 - point, point]), (apart,)) for point in (many, few))
    evidence = evidence_of(felt, model, alike)
    told_by = float(evidence.sum() - evidence_of(felt, model, different).sum())
    lost = float(found.log_evidence.sum() - evidence.sum())
    if told_by > LEAST_GAIN and lost < GIVEN_UP:
        return Search(alike, found.n_iterations, evidence, (uncertainty_of(felt, model, common),))
    return None


def toward_pooled(group: Group, model: ResponseModel, found: Search) -> Search:
    """What was found, its mean moved toward the pooled regression, which fewer users tell better."""
    (gaussian,), share = found.population.gaussians, COMMON_USERS / (group.n_users + COMMON_USERS)
    mean = (1 - share) * gaussian.mean + share * _start(group, model).mean
    return found._replace(population=found.population._replace(gaussians=(Gaussian(mean, gaussian.covariance),)))


def _of_several(group: Group, plan: Plan, one: Population, n: int, tell: OnStep) -> Population:
    """The best beginning of a search for n Gaussians, after a few steps from each."""
    if n == 1:
        return one
    felt, say = group.felt(plan.response_model), saying(tell, f"dividing the users into {n}")
    ends = [
        search(felt, plan.response_model, start, shrinkage=plan.shrinkage, max_iterations=FEW_STEPS, on_step=say)
        for start in divided(felt, plan.response_model, one, n)
    ]
    return max(ends, key=lambda end: float(end.log_evidence.sum())).population


def _much_better(evidence: Array, than: Array) -> bool:
    gain = evidence - than
    return bool(gain.sum() > max(LEAST_GAIN, SIGNIFICANT * float(gain.std()) * len(gain) ** 0.5))


def _in_units_of(own: Group, other: Group) -> Group:
    """The other group, its differences in the units of this one's scales."""
    return replace(other, differences=other.differences * (other.scales / own.scales), scales=own.scales)


def saying(tell: OnStep, what: str) -> Callable[[], None]:
    """What tells these words each time it is called."""
    return lambda: tell(what)
