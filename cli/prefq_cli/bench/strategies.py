"""Strategies by name: ours, the controls, and peers from files that are loaded by their path.

A worker process loads what it needs by the same address, so that nothing but names travels between processes.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from prefq.errors import InputError, NotFoundError
from prefq.simulation.ablations import ABLATIONS, BY_NAME_ONLY, CROSSED
from prefq.simulation.controls import CONTROLS
from prefq.simulation.learned_strategies import LEARNED
from prefq.simulation.strategies import OURS, Strategy

ALL, ABLATION, LEARNED_ONES = "all", "ablation", "learned"
PEER = "peer"


class Address(NamedTuple):
    """Where a strategy is found: its name, and the file of a peer (absolute), None for ours and the controls."""

    name: str
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A strategy that takes part in a run.

    `digest` is that of the peer's file and of those it reads, so that results of another version of them are not taken
    for its own; `unavailable` says in one sentence why it cannot run here.
    """

    address: Address
    kind: str
    summary: str
    users_at_once: int
    digest: str | None = None
    unavailable: str | None = None

    @property
    def name(self) -> str:
        return self.address.name


class Peers(NamedTuple):
    """What one file of a peers folder offers."""

    strategies: Sequence[Strategy]
    digest: str
    unavailable: str | None


def choose(names: Sequence[str] | None, peers: Path | None) -> tuple[Chosen, ...]:
    """The strategies of these names, in the order of the tables: ours, controls, peers by file.

    Parameters
    ----------
    names
        `all`, or None, is every one there is but those of `prefq.simulation.ablations`, which `ablation` names, with
        what they are compared with; `learned` names those that learn base rewards by each method, and `pooled`.
    peers
        Folder of Python files with a sequence STRATEGIES each; files whose name begins with an underscore are theirs.

    Raises
    ------
    NotFoundError
        When there is no such strategy; the message names those that exist.
    InputError
        When the folder or a file in it is no folder of peers, or two strategies have one name.
    """
    known = [_chosen(strategy) for strategy in (*OURS, *CONTROLS, *BY_NAME_ONLY)]
    for file in _files(peers):
        offered = load_peers(str(file))
        known += [_chosen(each, str(file), offered) for each in offered.strategies]
    by_name: dict[str, Chosen] = {}
    for each in known:
        if each.name in by_name:
            raise InputError(
                f"two strategies are called {each.name!r}, one of them in {_place(by_name[each.name])}, the other in "
                f"{_place(each)}; rename one."
            )
        by_name[each.name] = each
    wanted = {ALL} if names is None else set(names)
    if ABLATION in wanted:
        wanted = wanted - {ABLATION} | {*CROSSED, *(each.name for each in ABLATIONS)}
    if LEARNED_ONES in wanted:
        wanted = wanted - {LEARNED_ONES} | {"pooled", *(each.name for each in LEARNED if each.kind != ABLATION)}
    if ALL in wanted:
        wanted = wanted - {ALL} | (by_name.keys() - {each.name for each in BY_NAME_ONLY})
    if unknown := sorted(wanted - by_name.keys()):
        raise NotFoundError(
            f"no strategy is called {unknown[0]!r}; choose among {', '.join(by_name)}"
            f"{'' if peers else ' (and those of peers, with --peers PATH)'}."
        )
    return tuple(each for each in known if each.name in wanted)


def load(address: Address) -> Strategy:
    """The strategy at an address; for worker processes."""
    offered = (*OURS, *CONTROLS, *BY_NAME_ONLY) if address.file is None else load_peers(address.file).strategies
    return next(strategy for strategy in offered if strategy.name == address.name)


def load_peers(file: str) -> Peers:
    """Run a peers' file, once in a process while it stays as it is, and take what it offers.

    Parameters
    ----------
    file
        Absolute path of a Python file with a sequence STRATEGIES of `Strategy`; it may also have a function
        `unavailable` that gives one sentence, or None where it can run, and a sequence READS of other files that its
        numbers depend on, from its folder.

    Raises
    ------
    InputError
        When the file cannot be run or offers no strategies.
    """
    return _offered(file, _digest([Path(file)]))


@cache
def _offered(file: str, digest: str) -> Peers:
    path = Path(file)
    module = _run(path)
    strategies = getattr(module, "STRATEGIES", None)
    if not isinstance(strategies, Sequence) or not all(isinstance(each, Strategy) for each in strategies):
        raise InputError(
            f"{path.name} in the peers folder has no STRATEGIES, a sequence of prefq.simulation.strategies.Strategy; "
            "add it, or begin the file's name with an underscore if it holds none."
        )
    unavailable: Callable[[], str | None] = getattr(module, "unavailable", _available)
    reads = [path.parent / other for other in getattr(module, "READS", ())]
    # Whatever a file from outside says of itself, it is a peer.
    own = tuple(replace(each, kind=PEER) for each in strategies)
    return Peers(own, _digest([path, *reads]) if reads else digest, unavailable())


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _chosen(strategy: Strategy, file: str | None = None, offered: Peers | None = None) -> Chosen:
    return Chosen(
        Address(strategy.name, file),
        strategy.kind,
        strategy.summary,
        strategy.users_at_once,
        offered and offered.digest,
        offered and offered.unavailable,
    )


def _files(peers: Path | None) -> list[Path]:
    if peers is None:
        return []
    if not peers.is_dir():
        raise InputError(f"there is no folder {str(peers)!r} of peers; give the path of one, such as benchmarks/peers.")
    files = sorted(file.resolve() for file in peers.glob("*.py") if not file.name.startswith("_"))
    if not files:
        raise InputError(f"the folder {str(peers)!r} holds no Python file with strategies; give that of the peers.")
    return files


def _run(path: Path) -> ModuleType:
    name = f"prefq_peers_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path.name} in the peers folder is no Python file; take it out.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a stranger's file raises
        del sys.modules[name]
        raise InputError(
            f"{path.name} in the peers folder does not import: {type(error).__name__}: {error}; mend it or take it out."
        ) from error
    return module


def _available() -> None:
    return None


def _place(chosen: Chosen) -> str:
    return "prefq" if chosen.address.file is None else Path(chosen.address.file).name
