"""What runs of prefq bench share: time left, names of options, files in the folder, workers, strategies by name."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from prefq.errors import InputError, NotFoundError
from prefq_cli.bench.folders import as_text, write_whole
from prefq_cli.bench.options import command_line, default_folder, strategy_names
from prefq_cli.bench.progress import TimeLeft, in_words
from prefq_cli.bench.strategies import choose
from prefq_cli.bench.workers import _Queue, _Worker


@dataclass(frozen=True, slots=True)
class Number:
    """A task that needs no process to be handed out."""

    panel: int
    value: int = 0

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (-3, "0 s")],
)
def test_time_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_time_left_goes_by_how_long_each_strategy_takes() -> None:
    left = TimeLeft(["quick"] * 3 + ["slow"] * 3 + ["new"] * 2, n_workers=2)
    before = left.estimate()
    left.step("quick", 1.0)
    left.step("slow", 9.0)

    # Two quick ones of 1 s, two slow ones of 9 s, and two that nobody has seen, which count as 5 s: 30 s for two.
    assert (before, left.estimate()) == (None, 15.0)


def test_last_part_has_one_worker_however_many_there_are() -> None:
    left = TimeLeft(["slow"] * 2, n_workers=8)
    left.step("slow", 9.0)

    assert left.estimate() == 9.0


def test_worker_keeps_to_its_panel_then_takes_a_free_one_then_helps() -> None:
    first, second = _idle(panel=None), _idle(panel=None)
    queue = _Queue([Number(0, i) for i in range(3)] + [Number(1, i) for i in range(4)] + [Number(2)], None)

    def handed(worker: "_Worker") -> tuple[int, int]:
        task = queue.next_for(worker, [first, second])
        worker.panel = task.panel
        return task.panel, task.value

    assert [handed(first), handed(second)] == [(0, 0), (1, 0)]
    assert [handed(first), handed(first), handed(first)] == [(0, 1), (0, 2), (2, 0)]
    assert [handed(first), handed(second)] == [(1, 1), (1, 2)]  # nothing else is left: it helps


def _idle(panel: int | None) -> _Worker:
    worker = object.__new__(_Worker)  # without a process
    worker.panel, worker.task = panel, None
    return worker


def test_tasks_that_are_to_be_skipped_when_their_turn_comes_are_not_handed_out() -> None:
    failed: set[int] = set()
    queue = _Queue([Number(0, i) for i in range(4)], lambda task: task.value in failed)
    worker = _idle(panel=0)
    values = [queue.next_for(worker, [worker]).value]
    failed |= {1, 2}

    assert [*values, queue.next_for(worker, [worker]).value] == [0, 3]
    assert queue.next_for(worker, [worker]) is None


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("gaussian(6)", "learning-curve-gaussian-6"),
        ("agree(0.5)", "learning-curve-agree-0.5"),
        ("raters(0.6, n=8)", "learning-curve-raters-0.6-n-8"),
    ],
)
def test_folder_of_a_world(name: str, folder: str) -> None:
    assert default_folder("learning-curve", name) == Path("bench") / folder


def test_command_line_can_be_typed_and_names_no_folder_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = {"world": "gaussian(6)", "peer_users": None, "peers": tmp_path / "benchmarks" / "peers"}

    assert command_line("learning-curve", typed) == (
        "prefq bench learning-curve --world 'gaussian(6)' --peers benchmarks/peers"
    )
    assert command_line("replay", {"peers": tmp_path.parent / "mine"}) == "prefq bench replay --peers mine"


def test_names_between_commas() -> None:
    assert strategy_names(" random, static ,") == ["random", "static"]
    with pytest.raises(InputError, match="give names with commas between"):
        strategy_names(" , ")


def test_strategies_come_in_the_order_of_the_tables() -> None:
    chosen = choose(["random", "static", "information_gain"], None)

    assert [(each.name, each.kind) for each in chosen] == [
        ("information_gain", "ours"),
        ("random", "control"),
        ("static", "control"),
    ]
    assert {each.name for each in choose(None, None)} == {each.name for each in choose(["all"], None)}
    with pytest.raises(NotFoundError, match=r"'magic'; choose among information_gain, .*with --peers PATH"):
        choose(["random", "magic"], None)


def test_json_is_the_same_json_on_fewer_lines() -> None:
    values = {"short": [1, 2, {"a": None}], "long": [{"name": "x" * 150, "é": 1.5}, {"name": "y" * 150}], "empty": {}}
    text = as_text(values)

    assert json.loads(text) == values
    assert ' "short": [1, 2, {"a": null}],' in text.splitlines()
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_text({"a": float("nan")})


def test_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def fail(file: Path) -> None:
        file.write_text("half")
        raise OSError("the disk is full")

    write_whole(tmp_path / "result", lambda file: file.write_text("old"))
    with pytest.raises(OSError, match="full"):
        write_whole(tmp_path / "result", fail)

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result", "old")]
