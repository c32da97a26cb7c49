"""The in-context route: the user's answers are shown to a language model, which is asked what the user would prefer.

No paper owns it; reviewers of PReF (2503.06358) asked for it, and the RFM paper (2503.17338) reports it. Any server
that speaks `POST {base}/chat/completions` as OpenAI documents it will do: `PREFQ_LLM_BASE_URL` (or `OPENAI_BASE_URL`)
is its address up to and with ``/v1``, `PREFQ_LLM_MODEL` (or `OPENAI_MODEL`) the model's name, `OPENAI_API_KEY` is sent
if it is set. Questions are random. The temperature is 0, and a prompt is sent once in a run. Each pair is a request of
its own, up to `AT_ONCE` of them at the same time: read beside one another, the pairs of a record could tell which item
was chosen by how often it occurs. A test set of hundreds of pairs is then hundreds of requests after every answer.

Panels hold features, not texts, so the model reads numbers: each feature in standard units of the pool, to one decimal.
A model that reads the texts themselves would do better; this row is what the route gives on the evidence that the
others have. It is told nothing of the group, and there is no form with our prior. A reply that does not hold one number
for each task counts as one half for these tasks and is counted in `ShownAnswers.unread`.
"""

import json
import os
import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from prefq.errors import PrefqError
from prefq.simulation.panels import History, Rows, Study
from prefq.simulation.rules import best_rows
from prefq.simulation.strategies import Belief, Learner, Strategy, each_user, own_answers
from prefq.vocabulary import Array

ITEMS_PER_REQUEST = 25
AT_ONCE = 8  # requests
TIMEOUT = 300.0  # seconds
SUREST = 0.01  # no chance below it or above its complement is believed
CHOSEN = {1: "A", 0: "neither", -1: "B"}
SYSTEM = "You predict what one person prefers, from choices this person made. You reply with numbers only."
PAIRS = (
    "For the pair below, give the chance in percent that this person prefers A. Reply with one whole number from 0 to "
    "100 and with nothing else."
)
ITEMS = (
    "For each item below, say how much this person would like it. Reply with one whole number from 0 (not at all) to "
    "100 (very much) an item, in order, separated by commas, and with nothing else."
)


class Endpoint(NamedTuple):
    """Where a language model is asked."""

    base_url: str
    model: str
    key: str | None


def endpoint() -> Endpoint | None:
    """What the environment names, or None."""
    base = os.environ.get("PREFQ_LLM_BASE_URL") or os.environ.get("OPENAI_BASE_URL")
    model = os.environ.get("PREFQ_LLM_MODEL") or os.environ.get("OPENAI_MODEL")
    return Endpoint(base.rstrip("/"), model, os.environ.get("OPENAI_API_KEY")) if base and model else None


def unavailable() -> str | None:
    """What is missing, or None."""
    if endpoint() is not None:
        return None
    return (
        "no language model is named: set PREFQ_LLM_BASE_URL to the address of an OpenAI-compatible server, such as "
        "http://localhost:8000/v1, and PREFQ_LLM_MODEL to a model it serves."
    )


def complete(at: Endpoint, prompt: str) -> str:
    """What the model replies to a prompt.

    Raises
    ------
    PrefqError
        When the server cannot be reached, refuses, or replies with something else than a chat completion.
    """
    body = {
        "model": at.model,
        "temperature": 0,
        "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}],
    }
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {at.key}"} if at.key else {})
    request = urllib.request.Request(f"{at.base_url}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return str(json.load(response)["choices"][0]["message"]["content"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        detail = f"HTTP {error.code}" if isinstance(error, urllib.error.HTTPError) else f"{type(error).__name__}"
        raise PrefqError(
            f"the language model at {at.base_url} gave no chat completion ({detail}: {error}); check the address, the "
            f"model name {at.model!r} and the server's log."
        ) from error


def numbers(reply: str, n_wanted: int) -> Array | None:
    """The percentages of a reply as shares, or None when it does not hold as many as wanted."""
    found = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", reply)]
    if len(found) != n_wanted or not all(0 <= number <= 100 for number in found):
        return None
    return np.array(found) / 100


def described(item: Array) -> str:
    """An item's features in words: numbers in standard units."""
    return ", ".join(f"f{i} {value:+.1f}" for i, value in enumerate(item, start=1))


@dataclass(slots=True, eq=False)
class Reader:
    """Asks the model, each prompt once; what it was asked is all that it keeps."""

    at: Endpoint
    centre: Array
    units: Array
    replies: dict[str, str] = field(default_factory=dict)

    def ask(self, told: str, task: str, lines: list[str], per_request: int) -> tuple[Array, int]:
        """Shares (n,) for the lines, and how many of them got no readable reply."""
        blocks = [lines[start : start + per_request] for start in range(0, len(lines), per_request)]
        listed = ("\n".join(f"{i}. {line}" for i, line in enumerate(block, start=1)) for block in blocks)
        prompts = [f"{told}\n\n{task}\n{each}" for each in listed]
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.replies]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            self.replies.update(zip(new, threads.map(lambda prompt: complete(self.at, prompt), new), strict=True))
        read = [numbers(self.replies[prompt], len(block)) for prompt, block in zip(prompts, blocks, strict=True)]
        unread = sum(len(block) for block, shares in zip(blocks, read, strict=True) if shares is None)
        halves = (np.full(len(block), 0.5) for block in blocks)
        return np.concatenate([half if own is None else own for half, own in zip(halves, read, strict=True)]), unread

    def pair(self, first: Array, second: Array) -> str:
        """One pair in words."""
        return f"A: {described(self.standard(first))} | B: {described(self.standard(second))}"

    def standard(self, item: Array) -> Array:
        """Features in standard units of the pool."""
        return (item - self.centre) / self.units


@dataclass(slots=True, eq=False)
class ShownAnswers:
    """What the model makes of one user's answers; `unread` counts the tasks that got no readable reply so far."""

    reader: Reader
    told: str
    rows: Rows
    unread: int = 0

    def next_rows(self) -> Rows:
        """Row of the next question (1,): random."""
        return self.rows

    def predict(self, first: Array, second: Array) -> Array:
        """The model's percentages (1, n)."""
        lines = [self.reader.pair(one, other) for one, other in zip(first[0], second[0], strict=True)]
        shares, unread = self.reader.ask(self.told, PAIRS, lines, 1)
        self.unread += unread
        return np.clip(shares, SUREST, 1 - SUREST)[None]

    def score(self, items: Array) -> Array:
        """The model's ratings (1, n)."""
        lines = [described(self.reader.standard(item)) for item in items[0]]
        shares, unread = self.reader.ask(self.told, ITEMS, lines, ITEMS_PER_REQUEST)
        self.unread += unread
        return shares[None]


def begin(study: Study, *, rng: np.random.Generator) -> Learner:
    """For one user: random questions, the answers shown to the model."""
    at = endpoint()
    if at is None:
        raise PrefqError(f"in_context cannot run: {unavailable()}")
    items = np.concatenate([study.first[0], study.second[0]])
    spread = items.std(axis=0)
    reader = Reader(at, items.mean(axis=0), np.where(spread > 0, spread, 1.0))
    order = rng.random(study.open.shape)

    def learn(history: History) -> Belief:
        answers: Any = zip(*own_answers(study, history), strict=True)
        lines = [f"- {reader.pair(first, second)} | chosen: {CHOSEN[int(reply)]}" for first, second, reply in answers]
        told = (
            f"Items are described by {study.first.shape[2]} features in standard units: 0 is average, +1 is one "
            "standard deviation above it.\n\nThis person's choices so far:\n" + ("\n".join(lines) or "- none yet")
        )
        return ShownAnswers(reader, told, best_rows(order, history.left(study.open)))

    return learn


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        "in_context",
        each_user(begin),
        "a language model reads the answers as numbers, random questions",
        users_at_once=4,
        kind="peer",
    ),
)
