"""Two profiles of the tests by hypothesis: ``short``, and ``long`` for ``make test-long``.

``LAD_MPI_TEST_PROFILE`` chooses. A test that sets ``max_examples`` itself is the
same in both; the long profile is for what decodes hostile bytes.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("short", max_examples=60, deadline=None)
settings.register_profile(
    "long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("LAD_MPI_TEST_PROFILE", "short"))

pytest_plugins = ["cuda_on_host.fixtures"]
