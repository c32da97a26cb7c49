"""The prior of a new user from a group's answers, by empirical Bayes: what is fitted, and how strongly it is shrunk.

Whatever could fit a group too closely is decided by users who were held out: the strength of the shrinkage, the number
of Gaussians, lapses, and noise of unlike pairs. The search itself is in `mixture_em`; derivations and figures are in
docs/maths/population.md.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from prefq.errors import InputError
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
)
from prefq.inference.response_fit import first_response_model, fitted_response_model, without_chance_bias
from prefq.vocabulary import (
    Array,
    Comparisons,
    FeatureSpace,
    Gaussian,
    GaussianMixture,
    PopulationPrior,
    ResponseModel,
    real_number,
    shown,
    whole_number,
)

POOLED_SD = 5.0  # logits a standard unit of each feature: the ridge of the pooled regression
START_VARIANCE = 1.0  # squared logits, of the personal margin of a typical difference: from where the search begins
START_IMPERSONAL = 0.3  # weight of the point there
SHRINKAGES = (0.5, 2.0, 8.0)  # that are tried, in users' worth of evidence for each feature
USUAL_SHRINKAGE = 2.0  # where too few users can be held out to choose
LEAST_USERS = 20  # of whom half can be held out
COMMON_USERS = 20.0  # users' worth of evidence that the mean is the pooled regression
GIVEN_UP = 5.0  # nats over all users, at most, for calling a group one of the same taste
TELLING = 1.0  # logits, root mean square, of personal margins that a group must rule out to be of one taste
SAMPLE_USERS = 600  # that decisions are made on; the prior itself is fitted on all
MOST_COMPONENTS = 5  # that "auto" tries
LAPSE_RATES = (0.05, 0.1, 0.2, 0.3)
DISSIMILARITY_NOISES = (0.25, 0.5, 1.0)
RESPONSE_ROUNDS = 3
LEAST_GAIN, SIGNIFICANT = 3.0, 2.0  # nats over all users held out, and standard errors, that more parameters must bring
ROUGHLY = 0.05  # change below which a search ends that only serves a decision
FEW_STEPS = 6  # of searches that begin near the end

OnStep = Callable[[str], None]


class PopulationInfo(NamedTuple):
    """How a prior was found.

    n_components counts the Gaussians, without the point of those who have no taste of their own; shrinkage is in users'
    worth of evidence for each feature; n_left_out counts rows without a difference; log_evidence is in nats an answer.
    """

    n_components: int
    shrinkage: float
    n_iterations: int
    n_answers: int
    n_left_out: int
    log_evidence: float


class _Plan(NamedTuple):
    """What is searched for: response model, shrinkage in users' worth, and where the search begins."""

    response_model: ResponseModel
    shrinkage: float
    start: Population


def pooled_coefficients(
    differences: ArrayLike, outcomes: ArrayLike, *, response_model: ResponseModel | None = None
) -> Array:
    """One coefficient vector for everybody: a ridge logistic regression on all answers of a group.

    Parameters
    ----------
    differences : (n_answers, n_features)
        First minus second, in the features' units.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    response_model
        How replies arise; plain Bradley-Terry by default, in which a tie is one preference each way.

    Returns
    -------
    (n_features,)
        In logits per unit of each feature.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, or no row with a difference.
    """
    group = Group.of(differences, outcomes, [0] * np.size(outcomes))
    return _pooled(group, response_model or ResponseModel()) / group.scales


def fit_population_prior(
    differences: ArrayLike,
    outcomes: ArrayLike,
    users: Iterable[Hashable],
    *,
    n_components: int | Literal["auto"] = 1,
    feature_space: FeatureSpace | None = None,
    strengths: ArrayLike | None = None,
    response_model: ResponseModel | None = None,
    shrinkage: float | None = None,
    on_step: OnStep | None = None,
) -> PopulationPrior:
    """Where a new user of a group starts: empirical Bayes on the group's answers.

    Coefficients come from one Gaussian or from several, or, for people without a taste of their own, from a point: the
    group's mean (`PopulationPrior.impersonal`). The fit maximises the marginal likelihood of the answers, shrunk, by
    expectation maximisation with expectation propagation in it (docs/maths/population.md).

    Parameters
    ----------
    differences : (n_answers, n_features)
        First minus second, in the features' units; rows of zeros tell nothing and are left out.
    outcomes : (n_answers,) int8
        +1 first preferred, 0 tie, -1 second preferred.
    users : (n_answers,)
        Who gave each answer: any hashable ids, in any order.
    n_components
        Gaussians, besides the point; ``"auto"`` takes as many as predict users best who were held out.
    feature_space
        The features; by default they are named x0, x1, ….
    strengths : (n_answers,), optional
        Strength of each preference in (0, 1], NaN where none was given.
    response_model
        How replies arise, if that is known; by default it is fitted: ties, position bias and grades where there are
        any, lapses and noise of unlike pairs where they predict users better who were held out.
    shrinkage
        How many users' worth of evidence, for each feature, says that coefficients do not depend on each other and vary
        alike; by default what predicts users best who were held out.
    on_step
        Told in a few words, again and again, what is being done; may raise to end it.

    Returns
    -------
    PopulationPrior
        In the caller's units.

    Raises
    ------
    InputError
        For wrong shapes, values that are not finite, a feature space or response model of another number of features,
        no row with a difference, or more components than users.
    InferenceError
        When the pooled regression does not converge.

    Examples
    --------
    >>> import numpy as np, prefq
    >>> rng = np.random.default_rng(1)
    >>> tastes = rng.normal(size=(100, 2)) + [2, 0]
    >>> users = np.repeat(np.arange(100), 20)
    >>> differences = rng.normal(size=(2000, 2))
    >>> margins = (differences * tastes[users]).sum(axis=1)
    >>> outcomes = np.where(rng.random(2000) < 1 / (1 + np.exp(-margins)), 1, -1)
    >>> prior = prefq.fit_population_prior(differences, outcomes, users)
    >>> prior.coefficients.components[0].mean.round(1)
    array([ 1.9, -0. ])
    """
    prior, _ = fit_population_prior_with_info(
        differences,
        outcomes,
        users,
        n_components=n_components,
        feature_space=feature_space,
        strengths=strengths,
        response_model=response_model,
        shrinkage=shrinkage,
        on_step=on_step,
    )
    return prior


def fit_population_prior_with_info(
    differences: ArrayLike,
    outcomes: ArrayLike,
    users: Iterable[Hashable],
    *,
    n_components: int | Literal["auto"] = 1,
    feature_space: FeatureSpace | None = None,
    strengths: ArrayLike | None = None,
    response_model: ResponseModel | None = None,
    shrinkage: float | None = None,
    on_step: OnStep | None = None,
) -> tuple[PopulationPrior, PopulationInfo]:
    """`fit_population_prior`, and how the prior was found; parameters and errors are the same."""
    group = Group.of(differences, outcomes, users, strengths=strengths)
    space = _checked_space(group, feature_space, response_model)
    wanted = _checked_components(n_components, group.n_users)
    if shrinkage is not None and (shrinkage := real_number(shrinkage, "shrinkage")) <= 0:
        raise InputError(f"shrinkage is {shrinkage}; give a number above 0, in users' worth of evidence a feature.")
    tell = on_step or _nothing
    plan = _plan(group, wanted, response_model, shrinkage, tell)
    found = search(
        group.felt(plan.response_model),
        plan.response_model,
        plan.start,
        shrinkage=plan.shrinkage,
        on_step=_saying(tell, "fitting the prior"),
    )
    if len(found.population.gaussians) == 1:
        found = _or_alike(group, plan.response_model, found)
        found = found._replace(population=_toward_pooled(group, plan.response_model, found.population))
    prior = _in_words(found.population, group, space, plan.response_model)
    evidence = float(found.log_evidence.sum()) / len(group.outcomes)
    n_gaussians = len(found.population.gaussians)
    strength = plan.shrinkage / group.n_features
    n_answers = len(group.outcomes)
    return prior, PopulationInfo(n_gaussians, strength, found.n_iterations, n_answers, group.n_left_out, evidence)


def _checked_space(group: Group, space: FeatureSpace | None, model: ResponseModel | None) -> FeatureSpace:
    space = space or FeatureSpace(f"x{i}" for i in range(group.n_features))
    scales = () if model is None else model.dissimilarity_scales
    for what, count in (("feature space", space.n_features), ("response model's scales", len(scales))):
        if count not in (group.n_features, 0):
            raise InputError(
                f"the differences have {group.n_features} features and the {what} {count}; they must be as many."
            )
    return space


def _checked_components(n_components: int | str, n_users: int) -> int | None:
    """The number of Gaussians, None for as many as prove good."""
    if n_components == "auto":
        return None
    wanted = whole_number(n_components, "n_components", "a number of at least 1, or 'auto'", least=1)
    if wanted > n_users:
        raise InputError(
            f"n_components is {shown(wanted)} and there are {n_users} users with answers that tell something; "
            "give at most as many components as users, or 'auto'."
        )
    return wanted


def _in_words(population: Population, group: Group, space: FeatureSpace, model: ResponseModel) -> PopulationPrior:
    """The prior in the caller's units; the point comes last."""
    assert population.centre is not None
    n_features = group.n_features
    point = Gaussian(population.centre, np.zeros((n_features, n_features)))
    components = [group.in_units(each) for each in (*population.gaussians, point)]
    mixture = GaussianMixture(population.weights, components)
    return PopulationPrior(mixture, space, model, group.n_users, impersonal=len(components) - 1)


def _pooled(group: Group, model: ResponseModel, *, sd: float = POOLED_SD) -> Array:
    """In units of the group's scales, under a ridge of this standard deviation."""
    prior = Gaussian(np.zeros(group.n_features), sd**2 * np.eye(group.n_features))
    felt = group.felt(model)
    plain = replace(model, lapse_rate=0.0, strength_threshold=0.0, dissimilarity_noise=0.0)
    pooled, _ = fit_posterior(prior, Comparisons(felt.differences, np.sign(felt.outcomes)), response_model=plain)
    return pooled.mean


def _plan(
    group: Group, n_components: int | None, model: ResponseModel | None, shrinkage: float | None, tell: OnStep
) -> _Plan:
    """Everything that is decided before the search on all users, on a sample where they are many."""
    ranked = group.ranked()
    places = np.linspace(0, len(ranked), min(SAMPLE_USERS, len(ranked)), endpoint=False).astype(np.intp)
    sample, enough = group.of_users(ranked[places]), len(places) >= LEAST_USERS
    halves = [group.of_users(ranked[places[i::2]]) for i in (0, 1)] if enough else []
    strength = group.n_features * (shrinkage or USUAL_SHRINKAGE)
    plan = _Plan(model or first_response_model(sample), strength, _start(sample, model or ResponseModel()))
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
    one = _found(sample, plan, _saying(tell, "fitting one Gaussian"))
    return plan._replace(start=_of_several(sample, plan, one, n_components, tell))


def _start(group: Group, model: ResponseModel) -> Population:
    """Everybody near the pooled regression."""
    pooled = _pooled(group, model, sd=MEAN_SD / group.n_features**0.5)
    around = Gaussian(pooled, START_VARIANCE / group.n_features * np.eye(group.n_features))
    return Population(np.array([1 - START_IMPERSONAL, START_IMPERSONAL]), (around,), pooled)


def _found(group: Group, plan: _Plan, on_step: Callable[[], None], steps: int = MAX_ITERATIONS) -> Population:
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


def _with_fitted_replies(group: Group, plan: _Plan, tell: OnStep) -> _Plan:
    """The plan with thresholds and bias fitted, by turns with the population."""
    say = _saying(tell, "fitting how people reply")
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


def _chosen_shrinkage(halves: list[Group], plan: _Plan, tell: OnStep) -> float:
    """The strength under which each half of the users predicts the other best."""
    say, model = _saying(tell, "choosing the shrinkage"), plan.response_model
    totals = np.zeros(len(SHRINKAGES))
    for own, other in (halves, halves[::-1]):
        start, held_out = _start(own, model), _in_units_of(own, other).felt(model)
        for i, share in enumerate(SHRINKAGES):
            start = _found(own, _Plan(model, share * own.n_features, start), say)
            totals[i] += evidence_of(held_out, model, start).sum()
    return SHRINKAGES[int(totals.argmax())] * halves[0].n_features


def _chosen_noise(halves: list[Group], plan: _Plan, tell: OnStep) -> ResponseModel:
    """The response model with lapses and noise of unlike pairs, where either predicts held-out users much better."""
    own, other = halves
    say = _saying(tell, "looking for careless replies and noise of unlike pairs")
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


def _with_likelier_lapses(group: Group, plan: _Plan, tell: OnStep) -> _Plan:
    """The plan with everything else fitted to the chosen noise, and as many more lapses as make the answers likelier.

    Thresholds and bias were fitted as if nobody slipped, which makes them too small, and few lapses seem enough.
    """
    rates = [rate for rate in LAPSE_RATES if rate > plan.response_model.lapse_rate > 0]
    best, likeliest = plan, -np.inf
    for rate in (plan.response_model.lapse_rate, *rates):
        tried = best._replace(response_model=replace(best.response_model, lapse_rate=rate))
        tried = _with_fitted_replies(group, tried, tell)
        model = tried.response_model
        tried = tried._replace(start=_found(group, tried, _saying(tell, "fitting how often people slip")))
        evidence = float(evidence_of(group.felt(model), model, tried.start).sum())
        if evidence <= likeliest:
            break
        best, likeliest = tried, evidence
    return best


def _with_noise(model: ResponseModel, group: Group) -> Iterator[ResponseModel]:
    for noise in DISSIMILARITY_NOISES:
        yield replace(model, dissimilarity_noise=noise, dissimilarity_scales=tuple(group.scales.tolist()))


def _chosen_components(halves: list[Group], plan: _Plan, tell: OnStep) -> int:
    """How many Gaussians, fitted on half of the users, predict the others best; one more only if it is much better."""
    own, other = halves
    model, held_out = plan.response_model, _in_units_of(own, other).felt(plan.response_model)
    one = _found(own, plan._replace(start=_start(own, model)), _saying(tell, "one Gaussian"))
    chosen, best = 1, evidence_of(held_out, model, one)
    for n in range(2, min(MOST_COMPONENTS, own.n_users) + 1):
        start = _of_several(own, plan, one, n, tell)
        found = _found(own, plan._replace(start=start), _saying(tell, f"{n} Gaussians"))
        evidence = evidence_of(held_out, model, found)
        if not _much_better(evidence, best):
            break
        chosen, best = n, evidence
    return chosen


def _toward_pooled(group: Group, model: ResponseModel, found: Population) -> Population:
    """The population, its mean moved toward the pooled regression, which fewer users tell better."""
    (gaussian,), pooled = found.gaussians, _start(group, model).centre
    assert pooled is not None
    share = COMMON_USERS / (group.n_users + COMMON_USERS)
    mean = (1 - share) * gaussian.mean + share * pooled
    return Population(found.weights, (Gaussian(mean, gaussian.covariance),), mean)


def _or_alike(group: Group, model: ResponseModel, found: Search) -> Search:
    """What was found; or, where that is hardly likelier, that all have the same taste, if the answers can tell.

    They can tell where they speak against tastes that differ by `TELLING` logits.
    """
    felt = group.felt(model)
    typical = felt.differences.T @ felt.differences / len(felt.outcomes)
    pooled, (gaussian,) = _start(group, model).centre, found.population.gaussians
    assert pooled is not None
    apart = at_least(TELLING, Gaussian(pooled, gaussian.covariance), typical)
    few, many = IMPERSONAL_RANGE
    alike, different = (Population(np.array([1 - point, point]), (apart,), pooled) for point in (many, few))
    evidence = evidence_of(felt, model, alike)
    told_by = float(evidence.sum() - evidence_of(felt, model, different).sum())
    lost = float(found.log_evidence.sum() - evidence.sum())
    if told_by > LEAST_GAIN and lost < GIVEN_UP:
        return Search(alike, found.n_iterations, evidence)
    return found


def _of_several(group: Group, plan: _Plan, one: Population, n: int, tell: OnStep) -> Population:
    """The best beginning of a search for n Gaussians, after a few steps from each."""
    if n == 1:
        return one
    felt, say = group.felt(plan.response_model), _saying(tell, f"dividing the users into {n}")
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


def _nothing(_what: str) -> None:
    pass


def _saying(tell: OnStep, what: str) -> Callable[[], None]:
    return lambda: tell(what)
