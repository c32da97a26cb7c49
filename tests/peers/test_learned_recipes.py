"""Files of peers that read others: results of another version of any of them are not taken for theirs."""

import hashlib
from pathlib import Path

from prefq_cli.bench.strategies import load_peers

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"
OUTER = """
READS = ["../inner.py"]
STRATEGIES = []
"""


def digest_of(folder: Path, inner: str, outer: str = OUTER) -> str:
    """Digest of a file in a folder of its own, which reads another one folder up."""
    (folder / "learned").mkdir(parents=True)
    (folder / "inner.py").write_text(inner, encoding="utf-8")
    (folder / "learned" / "recipes.py").write_text(outer, encoding="utf-8")
    return load_peers(str(folder / "learned" / "recipes.py")).digest


def test_the_digest_is_of_the_files_that_are_read_too(tmp_path: Path) -> None:
    first = digest_of(tmp_path / "a", "PAUSE = 1")
    assert digest_of(tmp_path / "b", "PAUSE = 1") == first
    assert digest_of(tmp_path / "c", "PAUSE = 2") != first
    assert digest_of(tmp_path / "d", "PAUSE = 1", OUTER + "# and more") != first
    alone = OUTER.replace("READS", "OTHER")
    assert digest_of(tmp_path / "e", "PAUSE = 1", alone) == digest_of(tmp_path / "f", "PAUSE = 2", alone)


def test_recipes_on_learned_base_rewards_change_with_those_they_are_of() -> None:
    offered = load_peers(str(PEERS / "learned" / "recipes.py"))
    assert [each.name for each in offered.strategies] == [
        "pref_released_learned", "pref_released_random_learned", "rfm_learned",
    ]  # fmt: skip
    content = b"".join((PEERS / name).read_bytes() for name in ("learned/recipes.py", "pref.py", "rfm.py"))
    assert offered.digest == hashlib.sha256(content).hexdigest()[:16]
