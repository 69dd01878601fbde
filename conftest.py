"""What pytest leaves out where a framework is not installed, and the number of threads, also of examples in ``src``."""

import os
from importlib.util import find_spec

import pytest

FRAMEWORKS = {"transformers.py": "transformers", "trainer_loss.py": "transformers", "lightning.py": "lightning"}

collect_ignore = [
    f"src/zeroinit/integrations/{file}" for file, framework in FRAMEWORKS.items() if find_spec(framework) is None
]
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
"""Of every process that a test starts: one that asks for two threads lets them sleep while they wait."""


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """The networks here are tiny: a second thread only waits, up to a hundred times longer on busy cores."""
    import torch  # here, because the process that hands out the tests needs none

    torch.set_num_threads(1)
