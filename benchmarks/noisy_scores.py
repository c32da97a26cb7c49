"""Scores with declared errors: what counting the errors is worth to predictions, and when it is worth nothing."""

from typing import Any

import numpy as np
from scipy.special import expit

from prefq.inference.population import pooled_coefficients
from prefq.rewards.score_tables import ScoreTable
from prefq.rewards.scores import score_rewards
from prefq.vocabulary import Array, Gaussian

TITLE = "Scores with errors"
GOAL = "predictions that count the errors are calibrated, and so are those fitted on the same scores"
N_DRAWS, N_PROMPTS, N_RESPONSES, N_BINS = 10, 3000, 4, 10
SHARED = 0.6  # correlation of the first two columns' true scores
ERROR_SDS = {"noisy": 1.0, "fair": 0.75, "exact": 0.0}  # of scores that vary by 1: reliabilities .50, .64 and 1
COEFFICIENTS = np.array([2.0, -1.5, 1.0])  # logits a typical true difference
WAYS = ("as_they_are", "shrunk", "errors_counted", "fitted")
SEED = 37


def measure() -> dict[str, Any]:
    """Figures of the run: means over draws."""
    draws = [of_draw(np.random.default_rng([SEED, draw])) for draw in range(N_DRAWS)]
    found: dict[str, Any] = {"n_draws": N_DRAWS, "n_prompts": N_PROMPTS, "n_responses": N_RESPONSES}
    found["noise_of_margins"] = round(float(np.mean([noise for noise, _ in draws])), 2)
    for way in WAYS:
        distance, loss = np.mean([told[way] for _, told in draws], axis=0)
        found[way] = {"distance": round(float(distance), 3), "log_loss": round(float(loss), 3)}
    return found


def of_draw(rng: np.random.Generator) -> tuple[float, dict[str, tuple[float, float]]]:
    """E wᵀRw, and of each way calibration and log loss on as many pairs of other prompts as there are prompts."""
    true, observed = scores(N_PROMPTS, N_RESPONSES, rng)
    prompts = tuple(f"prompt {i}" for i in range(N_PROMPTS) for _ in range(N_RESPONSES))
    responses = tuple(f"response {i}" for i in range(len(prompts)))
    table = ScoreTable(prompts, responses, tuple(ERROR_SDS), observed.reshape(-1, len(ERROR_SDS)))
    rewards, report = score_rewards(table, error_sds=ERROR_SDS)
    plain, _ = score_rewards(table)
    exact = Gaussian(COEFFICIENTS, np.zeros((3, 3)))

    taught = plain.of_scores(observed[:, 0]) - plain.of_scores(observed[:, 1])
    fitted = pooled_coefficients(taught, answers((true[:, 0] - true[:, 1]) / report.scales, rng))
    true, observed = scores(N_PROMPTS, 2, rng)
    outcomes = answers((true[:, 0] - true[:, 1]) / report.scales, rng)
    first, second = observed.swapaxes(0, 1)
    predicted = {
        "as_they_are": expit((first - second) / report.scales @ COEFFICIENTS),
        "shrunk": expit((rewards.of_scores(first) - rewards.of_scores(second)) @ COEFFICIENTS),
        "errors_counted": rewards.preference_probability(exact, first, second),
        "fitted": expit((plain.of_scores(first) - plain.of_scores(second)) @ fitted),
    }
    return rewards.margin_variance(exact), {way: judged(each, outcomes) for way, each in predicted.items()}


def scores(n_prompts: int, n_responses: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """True scores (n_prompts, n_responses, 3), and as they are observed."""
    shape = np.eye(3)
    shape[0, 1] = shape[1, 0] = SHARED
    true = rng.multivariate_normal(np.zeros(3), shape, size=(n_prompts, n_responses))
    return true, true + rng.normal(size=true.shape) * list(ERROR_SDS.values())


def answers(differences: Array, rng: np.random.Generator) -> Any:
    """Of people who know the responses themselves: +1 for the first, or -1 (n,)."""
    return np.where(rng.random(len(differences)) < expit(differences @ COEFFICIENTS), 1, -1).astype(np.int8)


def judged(predicted: Array, outcomes: Any) -> tuple[float, float]:
    """Mean distance of predicted and observed shares in bins of as many pairs, and log loss in nats."""
    chose = outcomes > 0
    bins = np.array_split(np.argsort(predicted), N_BINS)
    distances = [abs(predicted[rows].mean() - chose[rows].mean()) for rows in bins]
    return float(np.mean(distances)), float(-np.log(np.where(chose, predicted, 1 - predicted)).mean())


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    told = {way: "{distance:.3f} and {log_loss:.3f}".format_map(figures[way]) for way in WAYS}
    return (
        f"Mean distance of predicted and observed shares in ten bins, and log loss, on {N_PROMPTS:,} held-out pairs in "
        f"each of {figures['n_draws']} draws. With the coefficients of the true scores: scores taken as they are "
        f"{told['as_they_are']}; shrunk, {told['shrunk']}; with the errors counted, {told['errors_counted']}. Fitted "
        f"on {N_PROMPTS:,} pairs with these scores, no error declared: {told['fitted']}. The errors add "
        f"{figures['noise_of_margins']:.2f} squared logits to a margin."
    )
