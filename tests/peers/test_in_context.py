"""The in-context peer against a real local server that speaks chat completions."""

import json
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from prefq.errors import PrefqError
from prefq.simulation.curves import learning_curve
from prefq.simulation.guards import one_by_one
from prefq.simulation.measures import accuracy
from prefq.simulation.panels import History, Panel, Study
from prefq.vocabulary import Gaussian

Peer = Callable[[str], ModuleType]
MakePanel = Callable[..., Panel]
Answer = Callable[[str], str]


class Server(ThreadingHTTPServer):
    """Replies to a prompt by a function, and keeps what it was asked."""

    request_queue_size = 64  # the peer asks several things at once

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.asked = answer, list[dict[str, Any]]()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.path == "/v1/chat/completions" and body["model"] == "tiny"
        self.server.asked.append(body | {"authorization": self.headers["Authorization"]})
        content = self.server.answer(body["messages"][-1]["content"]) if known else ""
        reply = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Server]]:
    """Start a server that answers so, and name it in the environment."""
    started: list[Server] = []

    def start(answer: Answer) -> Server:
        server = Server(answer)
        started.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFQ_LLM_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("PREFQ_LLM_MODEL", "tiny")
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def by_chosen_directions(prompt: str) -> str:
    """A small reader: the direction from what was not chosen to what was, then how far each task lies along it."""
    told, tasks = re.split(r"\n\nFor (?:the pair|each item) ", prompt)
    weights = np.zeros(2)
    for line in told.splitlines():
        if "chosen: A" in line or "chosen: B" in line:
            a, b = values(line)[:2], values(line)[2:4]
            weights += (a - b) * (1 if line.endswith("A") else -1)
    scores = []
    for line in tasks.splitlines():
        if re.match(r"\d+\. ", line):
            read = values(line)
            margin = weights @ (read[:2] - read[2:4] if "A:" in line else read[:2])
            scores.append(round(100 / (1 + np.exp(-np.clip(margin, -4, 4)))))
    return ", ".join(map(str, scores))


def values(line: str) -> Any:
    """The numbers of a line, features' names left out."""
    return np.array([float(value) for value in re.findall(r"f\d+ ([+-]\d+\.\d)", line)])


def test_what_a_model_reads_is_what_it_predicts_from_and_each_prompt_is_sent_once(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, serve: Callable[[Answer], Server]
) -> None:
    server = serve(by_chosen_directions)
    (strategy,) = peer("in_context").STRATEGIES
    panel = small_panel(4)
    curve = learning_curve(strategy, panel, prior, n_questions=8, rng=np.random.default_rng(0))
    units = np.concatenate([panel.first[0], panel.second[0]]).std(axis=0)
    answered = curve.history.of(panel.first - panel.second) / units
    directions = np.einsum("uad,ua->ud", answered, curve.history.outcomes)
    margins = ((panel.test_first - panel.test_second)[0] / units) @ directions.T
    directly = accuracy(0.5 + np.sign(margins.T) / 4, panel.test_truth)

    assert (curve.measures["accuracy"][:, 0] == 0.5).all()
    # The prompt holds one decimal: a few of 60 tasks are too close to call.
    np.testing.assert_allclose(curve.measures["accuracy"][:, -1], directly, atol=0.06)
    assert directly.std() > 0.1
    prompts = [(body["messages"][-1]["content"], body["authorization"]) for body in server.asked]
    assert all(body["temperature"] == 0 for body in server.asked)
    # 60 tasks are as many requests, 20 items one, for each user and number of answers; before the first answer, and for
    # the neighbour's tasks, the same prompts come again. No request shows two tasks.
    assert len(prompts) == 4 * 9 * (60 + 1)
    assert {len(re.findall(r"^\d+\. A:", prompt, re.MULTILINE)) for prompt, _ in prompts} == {0, 1}
    assert {authorization for _, authorization in prompts} == {None}


def test_the_prompt_holds_the_answers_and_nothing_else_of_the_user(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, serve: Callable[[Answer], Server]
) -> None:
    server = serve(by_chosen_directions)
    panel = small_panel(2)
    (strategy,) = peer("in_context").STRATEGIES
    learn = strategy.begin(Study.of(panel, prior, 3), rng=np.random.default_rng(0))
    history = History(np.array([[4, 9], [1, -1]]), np.array([[1, -1], [0, 0]], dtype=np.int8))
    learn(history).predict(panel.test_first[:, :1], panel.test_second[:, :1])
    items = np.concatenate([panel.first[0], panel.second[0]])
    shown = (panel.first[0, 4] - items.mean(axis=0)) / items.std(axis=0)
    one, other = (body["messages"][-1]["content"] for body in server.asked)

    assert f"- A: f1 {shown[0]:+.1f}, f2 {shown[1]:+.1f} | B:" in one
    assert one.count("chosen: A") == 1
    assert one.count("chosen: B") == 1
    assert other.count("chosen:") == other.count("chosen: neither") == 1
    assert one.rsplit("\n", 1)[1].startswith("1. A: f1")


def test_two_tasks_are_read_the_same_alone_and_together(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, serve: Callable[[Answer], Server]
) -> None:
    serve(by_chosen_directions)
    (strategy,) = peer("in_context").STRATEGIES
    panel = small_panel(1, n_tests=2)
    found = one_by_one(lambda _: strategy, panel, prior, n_questions=2, rng=np.random.default_rng(0))

    assert found.passed, found.sentence


@pytest.mark.parametrize("reply", ["I would say A.", "50, 60", "50, 60, 170", ""])
def test_a_reply_that_cannot_be_read_is_one_half_and_is_counted(
    peer: Peer, small_panel: MakePanel, prior: Gaussian, serve: Callable[[Answer], Server], reply: str
) -> None:
    serve(lambda prompt: reply)
    panel = small_panel(1)
    (strategy,) = peer("in_context").STRATEGIES
    belief: Any = strategy.begin(Study.of(panel, prior, 3), rng=np.random.default_rng(0))(History.empty(1))

    assert belief.predict(panel.test_first[:, :3], panel.test_second[:, :3]).tolist() == [[0.5, 0.5, 0.5]]
    assert belief.beliefs[0].unread == 3


def test_percentages_are_read_and_none_is_believed_wholly(peer: Peer) -> None:
    numbers = peer("in_context").numbers

    assert numbers("12, 100,0", 3).tolist() == [0.12, 1.0, 0.0]
    assert numbers("12%; 7.5%", 2).tolist() == [0.12, 0.075]
    assert numbers("-3, 5", 2) is None


def test_a_server_that_refuses_or_is_not_there_is_one_sentence(
    peer: Peer,
    small_panel: MakePanel,
    prior: Gaussian,
    serve: Callable[[Answer], Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(by_chosen_directions)
    (strategy,) = peer("in_context").STRATEGIES
    monkeypatch.setenv("PREFQ_LLM_MODEL", "huge")
    with pytest.raises(PrefqError, match=r"gave no chat completion \(HTTP 404.*model name 'huge'"):
        learning_curve(strategy, small_panel(1), prior, n_questions=1, rng=np.random.default_rng(0))
    monkeypatch.setenv("PREFQ_LLM_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(PrefqError, match=r"http://127.0.0.1:9/v1 gave no chat completion"):
        learning_curve(strategy, small_panel(1), prior, n_questions=1, rng=np.random.default_rng(0))


def test_without_an_endpoint_it_says_so_in_one_sentence(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFQ_LLM_BASE_URL", "OPENAI_BASE_URL", "PREFQ_LLM_MODEL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    module = peer("in_context")

    assert "set PREFQ_LLM_BASE_URL" in module.unavailable()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("OPENAI_MODEL", "tiny")
    assert module.unavailable() is None
