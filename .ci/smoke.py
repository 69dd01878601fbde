"""Try the library where it is installed alone: the README's code, and what an engineer calls first.

Run: python smoke.py README.md [--any-output]. Standard library and zeroinit alone; the second argument leaves out the
comparison with what the README shows, for versions of torch whose last digits may differ.
"""

import contextlib
import importlib.metadata
import io
import re
import sys
from pathlib import Path

import numpy
import torch

import zeroinit

BLOCK = r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?"


def run_readme(text: str, is_compared: bool) -> int:
    """Run the README's Python blocks in order; those of the bench need its packages and are left out."""
    names: dict = {}
    tried = [(code, shown) for code, shown in re.findall(BLOCK, text, re.DOTALL) if "zeroinit.bench" not in code]
    assert any("zeroinit.inspect(" in code for code, _ in tried), "the README shows no inspect"
    for code, shown in tried:
        printed = io.StringIO()
        torch.manual_seed(0)
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        if shown and is_compared:
            assert printed.getvalue() == shown, f"the README shows\n{shown}\nbut its code prints\n{printed.getvalue()}"
    return len(tried)


def use_the_library() -> None:
    """Inspect a LoRA whose factors are both zero, repair it, and train another model from zero weights."""
    lora = torch.nn.Sequential(torch.nn.Linear(16, 4, bias=False), torch.nn.Linear(4, 16, bias=False))
    inputs, targets = torch.randn(32, 16), torch.randn(32, 16)
    zeroinit.initialize_(lora, "zero")
    verdict = zeroinit.inspect(lora, inputs, targets, loss_fn=torch.nn.functional.mse_loss).verdict
    assert verdict.startswith("Will not learn"), verdict
    zeroinit.initialize_(lora, torch.nn.init.orthogonal_, include="0", generator=torch.Generator().manual_seed(0))
    verdict = zeroinit.inspect(lora, inputs, targets, loss_fn=torch.nn.functional.mse_loss).verdict
    assert verdict.startswith("Will learn"), verdict
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters())
    with zeroinit.zero_start_(model, generator=torch.Generator().manual_seed(0)) as start:
        assert not model[0].weight.any()
        for _ in range(start.steps + 1):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), torch.arange(32) % 4).backward()
            optimizer.step()
    assert start.remaining == 0
    assert torch.linalg.matrix_rank(model[0].weight) == 16


def main() -> None:
    """Run all, and say with which versions."""
    assert Path(zeroinit.__file__).parent.joinpath("py.typed").exists()
    assert "site-packages" in zeroinit.__file__, f"this is not an installed package: {zeroinit.__file__}"
    assert importlib.metadata.version("torch-zeroinit") == zeroinit.__version__
    use_the_library()
    blocks = run_readme(Path(sys.argv[1]).read_text(encoding="utf-8"), "--any-output" not in sys.argv)
    versions = f"Python {sys.version.split()[0]}, torch {torch.__version__}, NumPy {numpy.__version__}"
    print(f"zeroinit {zeroinit.__version__} alone: {blocks} blocks of the README run ({versions})")


if __name__ == "__main__":
    main()
