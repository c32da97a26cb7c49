"""Torch in one thread and without its notices about itself: what these tests draw is small."""

import warnings

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """A second thread would mostly wait."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        pytest.importorskip("botorch")
    torch.set_num_threads(1)
