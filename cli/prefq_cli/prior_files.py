"""A population prior in a file: JSON as `PopulationPrior.to_dict` has it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from prefq.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from prefq.vocabulary import PopulationPrior


def read_prior(path: str) -> "PopulationPrior":
    """The prior in a file; NotFoundError if there is no such file, InputError if it holds none."""
    from prefq.vocabulary import PopulationPrior

    try:
        return PopulationPrior.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise NotFoundError(f"there is no prior {path!r}; give a file that prefq prior fit wrote.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"prior {path!r} cannot be read ({error}); give a file that prefq prior fit wrote.") from None
