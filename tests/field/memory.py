"""Parameters that share their memory with something else, and healthy ones that look like them."""

import torch
from torch import nn

from .harness import Batch, fault, healthy


def mixed(adjacency: torch.Tensor, parameter: torch.Tensor) -> nn.Module:
    """Mix joints by a fixed adjacency plus a trained one, which starts small."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("A", adjacency)
            self.PA = nn.Parameter(parameter)
            nn.init.constant_(self.PA, 1e-6)
            self.dense = nn.Linear(4, 4)

        def forward(self, x):
            return (self.A + self.PA) @ self.dense(x)

    return Mixed()


def joints() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.rand(5, 5), torch.randn(8, 5, 4), torch.randn(8, 5, 4)


@fault("Chiaraplizz/ST-TR#8", "shared memory", "ZI021", "PA", "`PA` and the buffer `A` are the same memory")
def adjacency_and_its_parameter() -> Batch:
    adjacency, x, y = joints()
    return Batch(mixed(adjacency, adjacency), x, y)


@healthy("Chiaraplizz/ST-TR#8", "shared memory")
def adjacency_with_a_clone() -> Batch:
    adjacency, x, y = joints()
    return Batch(mixed(adjacency, adjacency.clone()), x, y)


@fault("own", "shared memory", "ZI021", "0.weight", "`model[2].weight = model[0].weight`", also=("ZI001",))
def tied_by_data() -> Batch:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    model[2].weight.data = model[0].weight.data
    return Batch(model, torch.randn(8, 6), torch.randn(8, 6))


@fault("own", "shared memory", "ZI021", "0.weight", "Compute one from the other", never="Tie them")
def tied_by_a_transposed_view() -> Batch:
    model = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 6))
    model[2].weight = nn.Parameter(model[0].weight.data.t())
    return Batch(model, torch.randn(8, 6), torch.randn(8, 6))


@healthy("own", "shared memory")
def tied_as_one_parameter() -> Batch:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    return Batch(model, torch.randn(8, 6), torch.randn(8, 6))


@healthy("own", "shared memory")
def slices_of_one_flat_tensor() -> Batch:
    model, flat = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)), torch.randn(72) / 3
    for at in (0, 2):
        model[at].weight = nn.Parameter(flat[18 * at : 18 * at + 36].view(6, 6))
    model[0].register_buffer("mean", flat[:0])
    return Batch(model, torch.randn(8, 6), torch.randn(8, 6))
