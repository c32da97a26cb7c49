"""A folder of comparisons: read back as it was, texts where they are asked for, faults in one sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefq.errors import InputError, NotFoundError, StorageError
from prefq.rewards.logs import TextComparisons, load_comparisons, read_comparisons
from prefq.rewards.logs.comparisons import COMPARISONS, ITEMS, MANIFEST
from prefq.rewards.logs.texts import GROUP_ITEMS

N_ROWS = GROUP_ITEMS // 2 + 300  # more than one row group of texts


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TextComparisons:
    rows = [
        {
            "user_id": f"u{n % 40}",
            "prompt": f"Prompt {n // 3}",
            "response_a": f"First {n}",
            "response_b": f"Second {n}",
            "choice": ("a", "b", "tie")[n % 3],
            "strength": 1 + n % 2,
            "task_id": f"t{n // 2}",
        }
        for n in range(N_ROWS)
    ]
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_comparisons(path)


@pytest.fixture
def folder(found: TextComparisons, tmp_path: Path) -> Path:
    found.save(tmp_path / "comparisons")
    return tmp_path / "comparisons"


def test_what_is_saved_is_loaded(found: TextComparisons, folder: Path) -> None:
    loaded = load_comparisons(folder)

    for name in ("pairs", "outcomes", "users", "prompt_codes", "strengths", "tasks"):
        np.testing.assert_array_equal(getattr(loaded.group, name), getattr(found.group, name))
    assert loaded.group.user_ids == found.group.user_ids
    assert loaded.report == found.report
    for name in ("train", "validation", "test", "history"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(found, name))
        assert loaded.report.parts[name] == len(getattr(loaded, name)) > 0
    assert [path.name for path in folder.parent.iterdir()] == ["comparisons"], "nothing is left beside it"


def test_texts_are_read_where_they_are_asked_for(folder: Path) -> None:
    responses, prompts = load_comparisons(folder).responses, load_comparisons(folder).prompts
    expected = [f"{side} {n}" for n in range(N_ROWS) for side in ("First", "Second")]

    assert len(responses) == len(expected)
    assert list(responses) == expected
    for item in (0, 1, GROUP_ITEMS - 1, GROUP_ITEMS, len(expected) - 1, -1, 5):
        assert responses[item] == expected[item]
    around = slice(GROUP_ITEMS - 2, GROUP_ITEMS + 3)
    assert responses[around] == expected[around]
    assert responses[5:5] == []
    assert responses[10:2:-3] == expected[10:2:-3]
    assert prompts[6:8] == ["Prompt 1", "Prompt 1"]
    with pytest.raises(IndexError, match="item 99999 of"):
        responses[99999]


def test_comparisons_replace_comparisons_and_nothing_else(found: TextComparisons, folder: Path) -> None:
    found.save(folder)
    assert load_comparisons(folder).group.n_comparisons == N_ROWS
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds 'notes\.txt', which is no part of comparisons"):
        found.save(folder)
    with pytest.raises(InputError, match="is a file"):
        found.save(folder / "notes.txt")


def test_temporary_texts_go_with_the_value(found: TextComparisons, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user_id,prompt,response_a,response_b,choice\nada,p,a,b,a\n")
    own = read_comparisons(log, scratch=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    del own
    assert list(tmp_path.iterdir()) == [log]


def changed_manifest(folder: Path, **fields: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **fields}))


def test_faults_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        load_comparisons(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        load_comparisons(tmp_path)
    changed_manifest(folder, n_items=3)
    with pytest.raises(InputError, match=r"manifest\.json in .* was changed"):
        load_comparisons(folder)
    changed_manifest(folder, format_version=9)
    with pytest.raises(InputError, match="has format_version 9, and this prefq reads up to 1"):
        load_comparisons(folder)
    changed_manifest(folder, kind="prefq pool")
    with pytest.raises(InputError, match="is not that of comparisons"):
        load_comparisons(folder)


@pytest.mark.parametrize("name", [COMPARISONS, ITEMS])
def test_files_that_were_changed_or_are_gone(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()  # it may be one file with the temporary one
    (folder / name).write_bytes(content + b"x")
    with pytest.raises(InputError, match=f"{name} of the comparisons in .* was changed or cut short"):
        load_comparisons(folder)
    middle = len(content) // 2
    (folder / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(InputError, match=f"{name} of the comparisons in .* was changed or cut short"):
        load_comparisons(folder)
    (folder / name).write_bytes(content)
    load_comparisons(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name} of the comparisons in .* is not there"):
        load_comparisons(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of files are POSIX")
def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
import numpy as np
from prefq.errors import StorageError
from prefq.rewards.logs import read_comparisons
folder = Path(sys.argv[1])
words = np.random.default_rng(0).integers(0, 10**9, size=(2000, 30)).tolist()
lines = [f"u{n % 9},p,{' '.join(map(str, row))},b{n},a" for n, row in enumerate(words)]
(folder / "log.csv").write_text("\\n".join(["user_id,prompt,response_a,response_b,choice", *lines]))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    read_comparisons(folder / "log.csv", scratch=folder)
except StorageError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=60)

    assert ended.returncode == 0, ended.stderr
    assert "texts cannot be written to" in ended.stdout
    assert "free space, or give another folder" in ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_what_was_loaded_is_copied(folder: Path, tmp_path: Path) -> None:
    load_comparisons(folder).save(tmp_path / "copy")

    assert not (folder / ITEMS).samefile(tmp_path / "copy" / ITEMS)
    assert load_comparisons(tmp_path / "copy").responses[0] == "First 0"


def test_texts_that_went_are_a_storage_error(folder: Path) -> None:
    loaded = load_comparisons(folder)
    (folder / ITEMS).unlink()

    with pytest.raises(StorageError, match=r"texts in .* cannot be read"):
        loaded.responses[0]
