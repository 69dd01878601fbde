"""One of two gloo processes: watch a model in DistributedDataParallel, then stop a broken one. Prints JSON.

Called as ``python two_processes.py RANK FILE``; FILE is where the processes meet.
"""

import json
import os
import sys
import warnings
from datetime import timedelta

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import zeroinit
from zeroinit.integrations import SymmetryError
from zeroinit.integrations.inspection import FirstInspection


def build() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def main() -> None:
    torch.set_num_threads(1)
    rank = int(sys.argv[1])
    torch.distributed.init_process_group(
        "gloo", f"file://{sys.argv[2]}", timeout=timedelta(seconds=120), rank=rank, world_size=2
    )
    model = DistributedDataParallel(build())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = torch.randn(2, 3, 5, 3, generator=torch.Generator().manual_seed(1))
    logged = []
    with zeroinit.watch(model, log=lambda numbers, update: logged.append(update)) as seen:
        for batch in batches[rank]:
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
    result = {
        "logged": logged,
        "verdict": str(seen),
        "gradients": [each.gradient for each in seen.records if each.path == "0"],
        "norm": float(sum(each.norm() for each in model.parameters())),
    }
    broken, shown = build(), []
    for parameter in broken.parameters():
        nn.init.zeros_(parameter)
    try:
        FirstInspection(True, (), shown.append, {}).run(broken, batches[rank, 0])
    except SymmetryError as error:
        result["error"] = str(error).splitlines()[0]
    result["shown"] = len(shown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's, as it is imported
        from torch.distributed.optim import ZeroRedundancyOptimizer
    sharing = ZeroRedundancyOptimizer(model.parameters(), torch.optim.Adam, lr=0.01)
    if rank == 0:
        report = zeroinit.inspect(model, batches[0, 0], optimizer=sharing)
        result["sharing"] = [report.optimizer, len(report.warnings)]
    torch.distributed.barrier()
    print(json.dumps(result), flush=True)
    torch.distributed.destroy_process_group()
    os._exit(0)  # a thread of gloo that wants the interpreter while this shuts down ends the process by an abort


if __name__ == "__main__":
    main()
