"""How well the starter's features show the declared levels, and what its questions cost to read.

Run ``python -m benchmarks.starter.report`` after benchmarks/starter/build.py; it writes
benchmarks/results/starter_features.json and the numbers in docs/reference/starter-pool.md.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.starter.build import AXES, OPPOSITES, TEXTS, fit, levels_of, read_rows, within
from prefq import CandidatePool, SimulatedUser, load_pool, load_rewards, select_next_question
from prefq.inference.lattice import normal_draws
from prefq.rewards.base import STARTER_FOLDER
from prefq.rewards.style import LEXICON, StyleRewards, load_style_rewards
from prefq.vocabulary import Answer, Array

ROOT = Path(__file__).parents[2]
FOREIGN = Path(__file__).parent / "foreign.jsonl"
RESULT = ROOT / "benchmarks" / "results" / "starter_features.json"
PAGE = ROOT / "docs" / "reference" / "starter-pool.md"
BEGIN, END = "<!-- numbers: benchmarks/starter/report.py -->", "<!-- end of numbers -->"
N_FOLDS = 10
WORDS_PER_MINUTE = 240
N_QUESTIONS = 10
N_READERS = 40  # simulated users whose ten chosen questions are counted
N_RANDOM = 2000  # draws of ten random questions
N_BOOTSTRAP = 1000  # draws of prompts, with replacement
N_SHOWN = 6  # statistics of each axis that the page names


def out_of_fold(rows: Sequence[dict[str, Any]], lexicon_text: str) -> Array:
    """Features (n, 8) of each text by rewards fitted, and decorrelated, on the texts of other prompts only."""
    prompts = sorted({row["prompt_id"] for row in rows})
    features = np.zeros((len(rows), len(AXES)))
    for start in range(N_FOLDS):
        held_out = set(prompts[start::N_FOLDS])
        here = [i for i, row in enumerate(rows) if row["prompt_id"] in held_out]
        rewards = fit([row for row in rows if row["prompt_id"] not in held_out], lexicon_text)
        features[here] = rewards.features([""] * len(here), [rows[i]["response"] for i in here])
    return features


def log_length(rows: Sequence[dict[str, Any]]) -> Array:
    """Logarithm of the number of words between spaces (n,)."""
    return np.log([len(row["response"].split()) for row in rows])


def agreement(features: Array, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Correlation of measured with declared levels by axis, and how often a pair is in the declared order."""
    prompts, levels = [row["prompt_id"] for row in rows], levels_of(rows)
    centred, declared = within(features, prompts), within(levels, prompts)
    first, second = np.triu_indices(len(rows), 1)
    same = np.array(prompts)[first] == np.array(prompts)[second]
    first, second = first[same], second[same]
    ordered = []
    for axis in range(len(AXES)):
        step = levels[first, axis] - levels[second, axis]
        seen = features[first, axis] - features[second, axis]
        ordered.append([float((np.sign(seen) == np.sign(step))[np.abs(step) == size].mean()) for size in (1, 2)])
    return {
        "within_prompt": by_axis([correlation(centred[:, i], declared[:, i]) for i in range(len(AXES))]),
        "within_prompt_90_percent": interval_over_prompts(centred, declared, prompts),
        "plain": by_axis([correlation(features[:, i], levels[:, i]) for i in range(len(AXES))]),
        "pairs_ordered_one_level_apart": by_axis([one for one, _ in ordered]),
        "pairs_ordered_two_levels_apart": by_axis([two for _, two in ordered]),
    }


def interval_over_prompts(centred: Array, declared: Array, prompts: Sequence[str]) -> dict[str, list[float]]:
    """Bootstrap interval of each axis's correlation, prompts drawn with replacement."""
    rows_of = [np.flatnonzero(np.array(prompts) == prompt) for prompt in sorted(set(prompts))]
    rng = np.random.default_rng(2)
    drawn = np.empty((N_BOOTSTRAP, len(AXES)))
    for i in range(N_BOOTSTRAP):
        rows = np.concatenate([rows_of[j] for j in rng.integers(len(rows_of), size=len(rows_of))])
        drawn[i] = [correlation(centred[rows, axis], declared[rows, axis]) for axis in range(len(AXES))]
    bounds = np.quantile(drawn, (0.05, 0.95), axis=0).T
    return {axis: np.round(pair, 3).tolist() for axis, pair in zip(AXES, bounds, strict=True)}


def heaviest_statistics(rewards: StyleRewards) -> dict[str, list[str]]:
    """The statistics with the largest weights of each axis, - before those that count for the low pole."""
    shown = {}
    for axis, weights in zip(rewards.names, rewards.weights.T, strict=True):
        largest = np.argsort(-np.abs(weights), kind="stable")[:N_SHOWN]
        shown[axis] = [("-" if weights[i] < 0 else "") + rewards.statistics[i] for i in largest]
    return shown


def independence(features: Array, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Correlations of within-prompt differences, log length included, and the condition number of the axes'."""
    table = within(np.column_stack([features, log_length(rows)]), [row["prompt_id"] for row in rows])
    matrix = np.asarray(np.corrcoef(table.T), dtype=np.float64)
    pairs = np.abs(matrix - np.eye(matrix.shape[0]))
    pairs[0, -1] = pairs[-1, 0] = 0.0  # thorough answers are long
    axes = matrix[:-1, :-1]
    return {
        "names": [*AXES, "log length"],
        "correlations": np.round(matrix, 3).tolist(),
        "largest_but_thorough_and_length": round(float(pairs.max()), 3),
        "condition_number": round(float(np.linalg.cond(axes)), 2),
    }


def foreign_check(foreign: Sequence[dict[str, Any]], pool: CandidatePool) -> dict[str, Any]:
    """Texts by another hand in pairs, one at each pole of one axis: are they told apart, and does nothing else move?"""
    features = load_rewards("starter").features(
        [row["prompt"] for row in foreign], [row["response"] for row in foreign]
    )
    pole = np.array([row["pole"] for row in foreign])
    of = np.array([row["axis"] for row in foreign])
    keys = [(row["axis"], row["prompt"]) for row in foreign]
    low = {key: i for i, key in enumerate(keys) if pole[i] < 0}
    pairs = [(i, low[key]) for i, key in enumerate(keys) if pole[i] > 0]
    high_rows, low_rows = np.array(pairs).T
    moves = (features[high_rows] - features[low_rows]) / pool.feature_scales()
    words = np.array([len(row["response"].split()) for row in foreign])
    shares, correlations, centred, cross = [], [], [], []
    for i, axis in enumerate(AXES):
        mine = of[high_rows] == axis
        shares.append(float((moves[mine, i] > 0).mean()))
        correlations.append(correlation(features[of == axis, i], pole[of == axis]))
        halves = moves[mine, i]
        centred.append(correlation(np.concatenate([halves, -halves]), np.repeat([1.0, -1.0], len(halves))))
        cross.append(np.round(moves[mine].mean(axis=0), 2).tolist())
    return {
        "pairs_an_axis": len(pairs) // len(AXES),
        "share_high_above_low": by_axis(shares),
        "mean_share": round(float(np.mean(shares)), 3),
        "correlation_with_pole": by_axis(correlations),
        "correlation_with_pole_within_pairs": by_axis(centred),
        "mean_words_low": by_axis([float(words[low_rows][of[low_rows] == axis].mean()) for axis in AXES], 1),
        "mean_words_high": by_axis([float(words[high_rows][of[high_rows] == axis].mean()) for axis in AXES], 1),
        "cross_talk": cross,  # row: axis that was written; column: mean move of each feature, in rms differences
    }


def reading(pool: CandidatePool, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Words of the responses, and minutes that ten questions take, prompt and both responses."""
    words = np.array([count_words(row["response"]) for row in rows])
    prompt_words = np.array([count_words(row["prompt"]) for row in rows])
    cost = words[pool.pairs].sum(axis=1) + prompt_words[pool.pairs[:, 0]]
    rng = np.random.default_rng(1)
    random_ten = np.array([rng.choice(cost, N_QUESTIONS, replace=False).sum() for _ in range(N_RANDOM)])
    chosen = np.array([words_of_session(pool, reader) for reader in range(N_READERS)])
    return {
        "responses": {"mean": round(float(words.mean()), 1), "min": int(words.min()), "max": int(words.max())},
        "prompts": len({row["prompt_id"] for row in rows}),
        "areas": sorted({row["area"] for row in rows}),
        "questions": pool.n_questions,
        "words_per_minute": WORDS_PER_MINUTE,
        "minutes_of_ten_random": minutes(random_ten),
        "minutes_of_ten_chosen": minutes(chosen),
    }


def words_of_session(pool: CandidatePool, reader: int) -> int:
    """Words that one simulated user, drawn from the pool's starting point, reads in ten chosen questions."""
    start = pool.starting_point().coefficients
    user = SimulatedUser(normal_draws(start)[1 + 97 * reader])
    rng = np.random.default_rng(reader)
    answers: list[Answer] = []
    total = 0
    while (question := select_next_question(pool, answers, max_questions=N_QUESTIONS, seed=reader)) is not None:
        total += sum(map(count_words, (question.prompt, question.first.text, question.second.text)))
        answers.append(user.answer(pool, question, rng=rng))
    return total


def count_words(text: str) -> int:
    """Words between spaces, without list marks."""
    return sum(1 for word in text.split() if any(map(str.isalnum, word)))


def minutes(words: Array) -> dict[str, float]:
    """Mean, 95th percentile and maximum, in minutes."""
    values = {"mean": words.mean(), "p95": np.quantile(words, 0.95), "max": words.max()}
    return {name: round(float(value) / WORDS_PER_MINUTE, 2) for name, value in values.items()}


def correlation(one: Array, two: Array) -> float:
    """Pearson's r."""
    return float(np.corrcoef(one, two)[0, 1])


def by_axis(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Values by the name of their axis."""
    return {axis: round(value, digits) for axis, value in zip(AXES, values, strict=True)}


def measure() -> dict[str, Any]:
    """All figures."""
    rows, pool = read_rows(TEXTS), load_pool("starter")
    unseen = out_of_fold(rows, (STARTER_FOLDER / LEXICON).read_text(encoding="utf-8"))
    within_prompt = agreement(unseen, rows)
    return {
        "command": "python -m benchmarks.starter.report",
        "feature_space": pool.feature_space.digest,
        "cross_validation": {
            "folds": N_FOLDS,
            **within_prompt,
            "mean_within_prompt": round(float(np.mean(list(within_prompt["within_prompt"].values()))), 3),
            "lowest_within_prompt": min(within_prompt["within_prompt"].values()),
        },
        "independence_of_pool": independence(np.asarray(pool.features), rows),
        "independence_out_of_fold": independence(unseen, rows),
        "foreign": foreign_check(read_rows(FOREIGN), pool),
        "reading": reading(pool, rows),
        "heaviest_statistics": heaviest_statistics(load_style_rewards(STARTER_FOLDER)),
    }


def tables(result: dict[str, Any]) -> str:
    """The numbers of the page, as Markdown."""
    cv, foreign, read = result["cross_validation"], result["foreign"], result["reading"]
    pool, unseen = result["independence_of_pool"], result["independence_out_of_fold"]
    heaviest = result["heaviest_statistics"]
    lines = [
        (
            "| axis | r, within prompts (90 %) | r, plain | pairs in order, 1 level apart | 2 levels apart "
            "| foreign pairs in order | foreign r |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for opposite, axis in zip(OPPOSITES, AXES, strict=True):
        shares = [cv[f"pairs_ordered_{apart}_apart"][axis] for apart in ("one_level", "two_levels")]
        low, high = cv["within_prompt_90_percent"][axis]
        pairs = foreign["pairs_an_axis"]
        lines.append(
            f"| {opposite}–{axis} | {cv['within_prompt'][axis]:.2f} ({low:.2f} to {high:.2f}) "
            f"| {cv['plain'][axis]:.2f} | {shares[0]:.0%} | {shares[1]:.0%} "
            f"| {foreign['share_high_above_low'][axis] * pairs:.0f} of {pairs} "
            f"| {foreign['correlation_with_pole'][axis]:.2f} |"
        )
    lines += [
        "",
        (
            f"Mean correlation within prompts: {cv['mean_within_prompt']:.2f}, lowest {cv['lowest_within_prompt']:.2f} "
            f"({cv['folds']} folds of whole prompts; fit, scaling and decorrelation inside each fold; "
            f"intervals by bootstrap over prompts). Foreign pairs "
            f"in order: {foreign['mean_share']:.0%} on average."
        ),
        "",
        "What weighs most on each axis (- for the low pole):",
        "",
        *(f"- {axis}: {', '.join(f'`{name}`' for name in names)}" for axis, names in heaviest.items()),
        "",
        "Correlations of within-prompt differences in the bundled pool:",
        "",
        *matrix_table(pool["names"], pool["names"], pool["correlations"]),
        "",
        (
            f"Largest, but for thorough with length: {pool['largest_but_thorough_and_length']:.2f} in the pool, "
            f"{unseen['largest_but_thorough_and_length']:.2f} out of fold. Condition number of the axes: "
            f"{pool['condition_number']:.1f} and {unseen['condition_number']:.1f}."
        ),
        "",
        (
            "Foreign texts, mean move of each feature (column) from the low to the high pole of the axis that was "
            "written (row), in root mean square differences of the pool:"
        ),
        "",
        *matrix_table(AXES, AXES, foreign["cross_talk"]),
        "",
        (
            f"Reading at {read['words_per_minute']} words a minute: responses have {read['responses']['min']} to "
            f"{read['responses']['max']} words, {read['responses']['mean']:.0f} on average. Ten random questions with "
            f"both responses take {read['minutes_of_ten_random']['mean']:.1f} minutes on average "
            f"({read['minutes_of_ten_random']['p95']:.1f} in one case of twenty), ten chosen by `information_gain` "
            f"{read['minutes_of_ten_chosen']['mean']:.1f} ({read['minutes_of_ten_chosen']['max']:.1f} at most, over "
            f"{N_READERS} simulated users)."
        ),
    ]
    return "\n".join(lines)


def matrix_table(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]]) -> list[str]:
    """A Markdown table of numbers."""
    body = [
        f"| {name} | " + " | ".join(f"{value:.2f}" for value in row) + " |"
        for name, row in zip(rows, values, strict=True)
    ]
    return ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|", *body]


def put_between_markers(page: str, numbers: str) -> str:
    """The page with its numbers replaced."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{numbers}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Write the result file and the numbers of the page."""
    result = measure()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(tables(result))
    if PAGE.exists():
        PAGE.write_text(put_between_markers(PAGE.read_text(encoding="utf-8"), tables(result)), encoding="utf-8")


if __name__ == "__main__":
    main()
