"""DistributedDataParallel: the first process inspects and watches. Run: torchrun --nproc_per_node 2 ddp.py."""

import os

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import zeroinit


def build() -> nn.Sequential:
    """Return a network whose last layers are both zero."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 3))
    for layer in model[2:]:  # the fault
        nn.init.zeros_(layer.weight)
    nn.init.zeros_(model[2].bias)
    return model


def main() -> None:
    """Inspect, repair, train."""
    on_cuda = torch.cuda.device_count() >= int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("nccl" if on_cuda else "gloo")
    rank = torch.distributed.get_rank()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_cuda else torch.device("cpu")
    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(rank)).to(device)
    targets = inputs[:, :3].argmax(dim=1)

    model = build().to(device)
    if rank == 0:  # each process has the same weights, so one inspection tells for all
        report = zeroinit.inspect(model, inputs, targets)
        print("before:", report.verdict)
        print("repair:", report.warnings[0].suggestion)
    torch.manual_seed(1)  # the repair, the same in each process
    model[2].reset_parameters()

    wrapped = DistributedDataParallel(model)
    if rank == 0:
        print("after: ", zeroinit.inspect(wrapped, inputs, targets).verdict)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    with zeroinit.watch(wrapped) as seen:
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(wrapped(inputs), targets).backward()
            optimizer.step()
    if rank == 0:
        print(seen)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
