"""The room of BoTorch and GPyTorch: posteriors as their models, questions made up in feature space, curved tastes.

Needs the extra `gp`, and takes two seconds to import; no other room imports this one.
"""

import warnings
from importlib.util import find_spec

if missing := [name for name in ("torch", "botorch", "gpytorch") if find_spec(name) is None]:
    raise ImportError(f"prefq.gp needs {', '.join(missing)}, which is not installed; run `pip install 'prefq[gp]'`.")
with warnings.catch_warnings():  # that of torch about itself, while GPyTorch is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    import botorch  # noqa: F401

from prefq.gp.bridge import linear_model as linear_model
from prefq.gp.curved import CurvedUser as CurvedUser
from prefq.gp.curved import fit_curved_user as fit_curved_user
from prefq.gp.information import PairInformation as PairInformation
from prefq.gp.kernels import Residual as Residual
from prefq.gp.kernels import default_residual as default_residual
from prefq.gp.residuals import fit_residual as fit_residual
from prefq.gp.synthesis import SynthesizedQuestion as SynthesizedQuestion
from prefq.gp.synthesis import synthesize_question as synthesize_question

__all__ = [
    "CurvedUser",
    "PairInformation",
    "Residual",
    "SynthesizedQuestion",
    "default_residual",
    "fit_curved_user",
    "fit_residual",
    "linear_model",
    "synthesize_question",
]
