"""What every test shares: how hypothesis searches."""

import os

from hypothesis import settings

# No deadline: on a shared machine it measures the neighbours. In CI the same examples every time, so that a red run
# is the submission's doing.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
