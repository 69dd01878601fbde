"""Inspectors beside each other on the models of tests/field: who finds the fault, says its cause, raises a false alarm.

Contestants: a plain loop of two optimizer steps that calls None or zero gradients a fault, `torchtest2` and
`torch-audit` where they are installed, and `zeroinit.inspect`. A fault counts as located if what is printed names the
module or parameter, and its cause as stated if it holds the words that the case asks for. Healthy models on which
anything is reported are false alarms. All get the same loss.
"""

import argparse
import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from zeroinit.symmetry import inspect
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.precision import cast_floats

FIELD = Path(__file__).parent.parent / "tests" / "field"
FILES = sorted(path.stem for path in FIELD.glob("*.py") if not path.stem.startswith(("test_", "__")))


def load_cases() -> dict[str, Any]:
    """Import the files of cases, which are no installed package."""
    sys.path.insert(0, str(FIELD.parent))
    for name in FILES:
        importlib.import_module(f"field.{name}")
    return importlib.import_module("field.harness").CASES


def in_the_models_type(batch: Any) -> Any:
    """Return a batch whose floats are of the model's own type, as its user would hand them over."""
    dtypes = {each.dtype for each in batch.model.parameters()}
    if len(dtypes) == 1:
        batch.inputs = cast_floats(batch.inputs, dtypes.pop())
    return batch


def objective_of(batch: Any) -> Objective:
    """Return the batch with its loss."""
    return Objective(batch.inputs, batch.targets, (batch.settings or {}).get("loss_fn"))


def optimizer_of(batch: Any) -> torch.optim.Optimizer:
    """Return the user's own optimizer, or Adam."""
    own = (batch.settings or {}).get("optimizer")
    if isinstance(own, torch.optim.Optimizer):
        return own
    return torch.optim.Adam([each for each in batch.model.parameters() if each.requires_grad], lr=1e-3)


def called(batch: Any) -> Any:
    """Return the model's output."""
    return batch.model(*batch.inputs) if isinstance(batch.inputs, tuple) else batch.model(batch.inputs)


def plain_loop(batch: Any) -> str:
    """Two steps; parameters without a gradient in both."""
    objective, optimizer = objective_of(batch), optimizer_of(batch)
    still: set[str] | None = None
    for _ in range(2):
        optimizer.zero_grad()
        loss = objective.loss(called(batch), torch.float32)
        if not torch.isfinite(loss):
            return "the loss is not finite"
        loss.backward()
        now = {
            name
            for name, each in batch.model.named_parameters()
            if each.requires_grad and (each.grad is None or not each.grad.any())
        }
        still = now if still is None else still & now
        optimizer.step()
    return "\n".join(f"{name}: no gradient" for name in sorted(still or ()))


def torchtest2(batch: Any) -> str:
    """All of its checks but those that need more than a batch."""
    from torchtest2 import check_model

    objective = objective_of(batch)

    def loss_fn(output: Any, targets: Any = None) -> torch.Tensor:
        return objective.loss(output, torch.float32)

    own = (batch.settings or {}).get("optimizer")
    held = {"optimizer": own} if isinstance(own, torch.optim.Optimizer) else {}
    report = check_model(batch.model, batch.inputs, batch.targets, loss_fn=loss_fn, overfit_steps=0, **held)
    return "\n".join(
        f"{each.name}: {each.message} {dict(each.details)}" for each in [*report.failures, *report.warnings]
    )


def torch_audit(batch: Any) -> str:
    """Its audits of a static model, its start and two training steps; hints about speed are left aside."""
    from torch_audit import Auditor

    objective, optimizer = objective_of(batch), optimizer_of(batch)
    auditor = Auditor(batch.model, optimizer=optimizer, every_n_steps=1)
    with auditor:
        auditor.audit_static()
        auditor.audit_init()
        for _ in range(2):
            optimizer.zero_grad()
            auditor.audit_data(batch.inputs)
            loss = objective.loss(called(batch), torch.float32)
            auditor.backward(loss)
            auditor.optimizer_step()
    found = [each for each in auditor.finish().findings if not each.rule_id.startswith(SPEED)]
    return "\n".join(f"{each.rule_id} {each.module_path} {each.entity} {each.message}" for each in found)


def zeroinit_inspect(batch: Any) -> str:
    """The warnings with their repairs."""
    report = inspect(batch.model, batch.inputs, batch.targets, **(batch.settings or {}))
    lines = [f"{each} {' '.join(each.parameters)} {each.suggestion}" for each in report.warnings]
    return "\n".join([report.verdict, *lines]) if lines else ""


CONTESTANTS: dict[str, Callable[[Any], str]] = {
    "plain loop": plain_loop,
    "torchtest2": torchtest2,
    "torch-audit": torch_audit,
    "zeroinit.inspect": zeroinit_inspect,
}
SPEED = "TA2"
"""Rules of torch-audit about speed."""
NEEDED = {"torchtest2": "torchtest2", "torch-audit": "torch_audit"}


def outcome(case: Any, contestant: Callable[[Any], str]) -> tuple[str, float]:
    """Return what one contestant says about one case, an error as text, and the seconds it takes."""
    torch.manual_seed(0)
    batch = in_the_models_type(case.make())
    start = time.perf_counter()
    try:
        said = contestant(batch)
    except Exception as error:  # whatever another tool raises on a faulty model counts as what it says
        said = f"{type(error).__name__}: {error}"
    return said, time.perf_counter() - start


def main() -> None:
    """Print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Where to write what each said.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    cases = load_cases()
    faults = sum(bool(case.code) for case in cases.values())
    print(f"{faults} faults, {len(cases) - faults} healthy models\n")
    print("| | located | cause stated | false alarms | seconds in all |\n|---|---|---|---|---|")
    written = {}
    for name, contestant in CONTESTANTS.items():
        if name in NEEDED and find_spec(NEEDED[name]) is None:
            print(f"| {name} | not installed | | | |")
            continue
        said = {key: outcome(case, contestant) for key, case in cases.items()}
        texts = {key: " ".join(text.split()) for key, (text, _) in said.items()}
        located = sum(bool(texts[key]) and case.where in texts[key] for key, case in cases.items() if case.code)
        causes = sum(bool(texts[key]) and case.says in texts[key] for key, case in cases.items() if case.code)
        alarms = sum(bool(texts[key]) for key, case in cases.items() if not case.code)
        print(f"| {name} | {located} | {causes} | {alarms} | {sum(time for _, time in said.values()):.1f} |")
        written[name] = {"located": located, "cause": causes, "false alarms": alarms, "said": texts}
    if arguments.json:
        arguments.json.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
