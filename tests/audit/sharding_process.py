"""One of two gloo processes: shard a model from the meta device with FSDP2, draw it, audit it, save it.

Called as ``python sharding_process.py RANK FOLDER``; the processes meet in the folder.
"""

import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import zeroinit


def build(own: bool, last: bool = True) -> nn.Module:
    """Draw all shards with one seed, or each rank with its own; the last layer is left alone if it is not wanted."""
    mesh = init_device_mesh("cpu", (2,))
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 8))
    for layer in (*model, model):
        fully_shard(layer, mesh=mesh)
    model.to_empty(device="cpu")
    torch.manual_seed(torch.distributed.get_rank() if own else 0)
    for parameter in model.parameters() if last else model[0].parameters():
        nn.init.normal_(parameter.to_local(), std=0.02)
    return model


def main() -> None:
    torch.set_num_threads(1)
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.distributed.init_process_group(
        "gloo", f"file://{folder / 'meeting'}", timeout=timedelta(seconds=120), rank=rank, world_size=2
    )
    held = {
        own: {name: each.to_local().detach().clone() for name, each in build(own).named_parameters()}
        for own in (True, False)
    }
    missing = zeroinit.audit(lambda: build(True, last=False)).warnings
    found = [name for each in missing for name in each.parameters]
    whole = zeroinit.audit(lambda: build(True)).verdict
    torch.save({"held": held, "missing": found, "verdict": whole}, folder / f"rank-{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
