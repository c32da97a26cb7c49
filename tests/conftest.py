"""What every test shares: one thread for linear algebra, and how hypothesis searches."""

import os

from hypothesis import settings

# Tests run in a process for each core: further threads would wait for one another, in what tests start, too. OpenBLAS,
# MKL and PyTorch read this when they are loaded, which is after this file.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: on a shared machine it measures the neighbours. In CI the same examples every time, so that a red run
# is the submission's doing.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
