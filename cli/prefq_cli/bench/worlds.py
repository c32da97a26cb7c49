"""Synthetic worlds as something to measure on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefq.errors import InputError
from prefq.pool.files import load_pool
from prefq.pool.starter import declared_levels
from prefq.simulation.comparison import NO_HARM_MARGIN
from prefq.simulation.panels import Panel
from prefq.simulation.summary import Parts
from prefq.simulation.synthetic import make_world
from prefq.simulation.worlds import StarterTexts

OTHER_GROUPS = ("wrong_prior", "drift")  # worlds whose users are not, or do not stay, like the group


def starter_texts() -> StarterTexts:
    """What the world `starter` is made of; worlds themselves read no files."""
    return StarterTexts(load_pool("starter"), declared_levels())


@dataclass(frozen=True, slots=True)
class WorldJob:
    """Worlds of one name, a panel each; `name` is in full."""

    name: str
    users: int
    worlds: int
    n_questions: int
    seed: int
    command: str = "learning-curve"
    repeated: bool = False

    @property
    def no_harm_margin(self) -> float | None:
        """Asked where the group is like the users: elsewhere a prior can do harm."""
        return None if self.name.startswith(OTHER_GROUPS) else NO_HARM_MARGIN

    @property
    def title(self) -> str:
        return f"Learning curves: {self.name}"

    @property
    def n_panels(self) -> int:
        return self.worlds

    def settings(self) -> Mapping[str, Any]:
        return {
            "world": self.name,
            "users": self.users,
            "worlds": self.worlds,
            "questions": self.n_questions,
            "seed": self.seed,
        }

    def world(self, panel: int) -> int:
        return panel

    def parts(self) -> Parts | None:
        return None  # users are others in every world

    def open_questions(self) -> Mapping[tuple[int, str], int]:
        return {}

    def n_users(self, panel: int) -> int:  # noqa: ARG002  (all have as many)
        return self.users

    def make_panel(self, panel: int) -> Panel:
        return make_world(
            self.name, n_users=self.users, rng=np.random.default_rng([self.seed, panel]), texts=starter_texts
        )

    def check(self) -> None:
        """InputError when more questions are to be asked than a pool has."""
        rng = np.random.default_rng([self.seed, 0])
        n_pool = make_world(self.name, n_users=1, rng=rng, texts=starter_texts).open.shape[1]
        if self.n_questions > n_pool:
            raise InputError(
                f"--questions is {self.n_questions}, and a pool of the world {self.name!r} has {n_pool} questions; "
                f"give {n_pool} or fewer."
            )
