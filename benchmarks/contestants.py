"""Who competes in training the paper's networks: the library, a plain loop, and the bare matrix products."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zeroinit.bench.data import Dataset
from zeroinit.bench.data.pixels import UnitPixels
from zeroinit.bench.models import build_model
from zeroinit.bench.spec import Run
from zeroinit.bench.training import fit
from zeroinit.bench.training.steps.precision import choose_precision
from zeroinit.bench.work import TRAINING, flops_per_image


@dataclass(frozen=True)
class Case:
    """One network with its images on the device, in one precision."""

    name: str
    model: nn.Module
    images: Tensor
    labels: Tensor
    batch: int
    precision: str
    peak: int
    operations: int

    @property
    def steps(self) -> int:
        """Training steps per call."""
        return -(-len(self.images) // self.batch)

    @property
    def widths(self) -> list[int]:
        """Inputs of the first dense layer and outputs of each, if there is no other layer; else nothing."""
        layers = [module for module in self.model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        if any(isinstance(layer, nn.Conv2d) for layer in layers):
            return []
        return [layers[0].in_features, *(layer.out_features for layer in layers)]  # type: ignore[list-item]


def make_case(name: str, data: Dataset, steps: int, batch: int, device: torch.device, precision: str) -> Case:
    """Put the first images of a data set and a fresh network on the device."""
    count = min(steps * batch, len(data.train_images))
    operations = TRAINING * count * flops_per_image(Run(dataset=data.name, model=name))
    return Case(
        name,
        build_model(name, data.input_shape, data.num_classes).to(device),
        data.train_images[:count].to(device),
        data.train_labels[:count].to(device),
        batch,
        precision,
        data.peak,
        operations,
    )


def ours(case: Case, models: Sequence[nn.Module] | None = None) -> None:
    """Train with the library's ``fit``: the case's model, or several ones, stacked."""
    settings = {"epochs": 1, "batch_size": case.batch, "transform": UnitPixels(case.peak), "precision": case.precision}
    data = (case.images, case.labels)
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(models or [case.model]))]
    if models is None:
        fit(case.model, data, generator=generators[0], **settings)
    else:
        fit(models, [data] * len(models), generator=generators, stacking="stacked", **settings)


def plain(case: Case) -> None:
    """Train with a careful script's loop."""
    memory_format = torch.contiguous_format if case.widths else torch.channels_last
    precision = choose_precision(case.precision, case.images.device)
    with precision.applied(case.model):
        model = case.model.to(memory_format=memory_format).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for places in torch.randperm(len(case.images), device=case.images.device).split(case.batch):
            inputs = (case.images[places].float() / case.peak).contiguous(memory_format=memory_format)
            optimizer.zero_grad()
            with precision.forward(inputs.device.type):
                logits = model(inputs)
            F.cross_entropy(logits.float(), case.labels[places], reduction="sum").backward()
            optimizer.step()
        model.to(memory_format=torch.contiguous_format)


def floor(case: Case, step: Callable[[], None]) -> None:
    """Do the bare matrix products of the same steps."""
    with choose_precision(case.precision, case.images.device).applied(case.model):
        for _ in range(case.steps):
            step()
