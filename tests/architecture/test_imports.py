"""What a fresh process loads: `import prefq`, choosing a question, and `prefq --help` stay light."""

import json
import subprocess
import sys

import pytest

HEAVY = ("alembic", "pyarrow", "scipy.stats", "sqlalchemy", "torch", "transformers")


def modules_loaded_by(code: str) -> set[str]:
    """Names of the modules that the code adds to a fresh interpreter."""
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"{code}\n"
        "import json\n"
        "print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stderr.splitlines()[-1]))


def packages_of_others(modules: set[str]) -> set[str]:
    """Top-level packages that belong neither to Python nor to prefq."""
    tops = {name.partition(".")[0] for name in modules}
    return {top for top in tops if top not in sys.stdlib_module_names and top not in {"prefq", "prefq_cli"}}


def test_import_loads_numpy_and_nothing_heavier() -> None:
    assert packages_of_others(modules_loaded_by("import prefq")) <= {"numpy"}


def test_every_public_name_but_the_doors_resolves_without_heavy_modules() -> None:
    loaded = modules_loaded_by("import prefq\nfor name in prefq.__all__: getattr(prefq, name)")

    assert loaded.isdisjoint({"sqlalchemy", "alembic", "torch", "transformers", "rich", "typer"})


def test_choosing_and_fitting_load_no_heavy_modules() -> None:
    loaded = modules_loaded_by(
        "import numpy as np, prefq\n"
        "features = np.eye(4)\n"
        "pool = prefq.CandidatePool.from_arrays(features, [[0, 1], [1, 2], [2, 3]])\n"
        "question = prefq.select_next_question(pool, [])\n"
        "answers = [question.answer('first')]\n"
        "assert prefq.select_next_question(pool, answers) is not None\n"
        "prefq.fit_profile(pool, answers, user_id='ada').score(features)\n"
    )

    assert loaded.isdisjoint(HEAVY)


def test_choosing_loads_no_more_than_numpy() -> None:
    loaded = modules_loaded_by(
        "import prefq\n"
        "pool = prefq.CandidatePool.from_arrays([[0.0], [1.0], [3.0]], [[0, 1], [1, 2]])\n"
        "answers = [prefq.select_next_question(pool, []).answer('first')]\n"
        "assert prefq.select_next_question(pool, answers) is not None\n"
    )

    assert packages_of_others(loaded) <= {"numpy"}


@pytest.mark.parametrize("arguments", [["--help"], ["onboard", "--help"]])
def test_help_loads_no_heavy_modules(arguments: list[str]) -> None:
    loaded = modules_loaded_by(
        "from prefq_cli.app import main\n"
        f"sys.argv = ['prefq', *{arguments!r}]\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stopped:\n"
        "    assert not stopped.code, stopped.code\n"
    )

    assert loaded.isdisjoint({*HEAVY, "scipy"})
