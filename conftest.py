"""What pytest leaves out where a framework is not installed: modules that import it."""

from importlib.util import find_spec

FRAMEWORKS = {"transformers": "transformers.py", "lightning": "lightning.py"}

collect_ignore = [
    f"src/zeroinit/integrations/{file}" for framework, file in FRAMEWORKS.items() if find_spec(framework) is None
]
