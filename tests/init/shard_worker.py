"""One process of several that hold a model together; run by ``test_init_anywhere.py``."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.utils._python_dispatch import TorchDispatchMode

from zeroinit.init import initialize_, sources

NAMES = ["kaiming_normal", "xavier_uniform", "lecun_truncated", "zer_o", "sinusoidal", "idinit", "zeros", "orthogonal"]
WHOLE = {"orthogonal"}


class OwnRMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(50))

    def forward(self, x):
        return x * x.square().mean(-1, keepdim=True).rsqrt() * self.weight


def build() -> nn.Sequential:
    norms = nn.LayerNorm(50), OwnRMSNorm()
    return nn.Sequential(nn.Embedding(13, 8), nn.Linear(8, 50), *norms, nn.Linear(50, 7), nn.GRU(7, 6))


class Largest(TorchDispatchMode):
    """The size of the largest tensor that an operation makes; four bytes count as one value."""

    def __init__(self):
        super().__init__()
        self.found = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        if isinstance(made, torch.Tensor) and not isinstance(made, DTensor) and not made.is_meta:
            self.found = max(self.found, made.numel() if made.dtype != torch.uint8 else made.numel() // 4)
        return made


def assert_same(model: nn.Module, expected: dict[str, torch.Tensor], what: str) -> None:
    for name, parameter in model.named_parameters():
        whole = parameter.data.full_tensor() if isinstance(parameter.data, DTensor) else parameter.data
        assert torch.equal(whole, expected[name]), f"{what}: {name} differs"


def check(name: str, mesh) -> None:
    eager = build()
    initialize_(eager, name, seed=7)
    expected = {key: value.detach() for key, value in eager.named_parameters()}
    for placement in (Shard(0), Shard(1), Replicate()):
        model = build()
        for module in model.modules():
            for key, value in list(module._parameters.items()):
                how = Shard(0) if placement == Shard(1) and value.dim() == 1 else placement
                module._parameters[key] = nn.Parameter(distribute_tensor(value.detach() * 0, mesh, [how]))
        initialize_(model, name, seed=7)
        assert_same(model, expected, f"{name} {placement}")
    with torch.device("meta"):
        model = build()
    for layer in (model[1], model[4]):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to_empty(device="cpu")
    with Largest() as largest:
        initialize_(model, name, seed=7)
    assert_same(model, expected, f"{name} FSDP2")
    whole = max(value.numel() for value in expected.values())
    assert name in WHOLE or largest.found < whole, f"{name}: made {largest.found} values at once, a whole has {whole}"


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    sources.CHUNK = 16
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for name in NAMES:
        check(name, mesh)
    (folder / os.environ["RANK"]).touch()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # threads of gloo may still run, and end a process that leaves in the usual way
