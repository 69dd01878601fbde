"""Batch norms by name: torch's, and a control without rounding where a channel is constant."""

import torch
from torch import Tensor, nn

from zeroinit._common import InputError, lookup

__all__ = ["NORMS", "ExactBatchNorm2d", "replace_norms"]


class ExactBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that returns exactly beta, and sends exactly no gradient down, where a channel is constant.

    In exact arithmetic every batch norm does this with a channel that has one value over batch and positions. In floats
    the mean of equal numbers is not quite that number. So torch's norm returns beta plus a multiple of the rounding
    error. A network whose exact gradient is zero for ever escapes by this error. All other channels (also those that
    are infinite everywhere) and eval mode are as in torch. Running statistics are those of the true input.

    Source:
        Schicho 2023, section 4, whose CIFAR-10 networks meet this case.

    Example:
        >>> constant = torch.full((3, 1, 7, 7), 0.1)
        >>> ExactBatchNorm2d(1)(constant).any().item(), nn.BatchNorm2d(1)(constant).any().item()
        (False, True)
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalize (batch, channels, height, width) over batch and positions."""
        if not self.training:
            return super().forward(inputs)
        self._check_input_dim(inputs)
        values = inputs.detach()
        lowest, highest = values.amin((0, 2, 3)), values.amax((0, 2, 3))
        constant = (lowest == highest) & lowest.isfinite()
        outputs = super().forward(inputs.masked_fill(constant[:, None, None], 0.0))
        if self.track_running_stats and self.running_mean is not None:
            dtype = self.running_mean.dtype
            share = 1 / self.get_buffer("num_batches_tracked").to(dtype) if self.momentum is None else self.momentum
            # Autograd need not know of this change: in train mode the backward pass does not use running statistics.
            self.running_mean.data.add_(torch.where(constant, lowest, 0.0).to(dtype) * share)
        return outputs


NORMS: dict[str, type[nn.BatchNorm2d]] = {"batch": nn.BatchNorm2d, "exact": ExactBatchNorm2d}


def replace_norms(model: nn.Module, name: str) -> None:
    """Replace every ``nn.BatchNorm2d`` by the norm ``name``, with the same settings and the same parameters.

    Args:
        model: Changed in place.
        name: A key of ``NORMS``.

    Raises:
        InputError: An unknown name, or a model without batch norm.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        >>> replace_norms(model, "exact")
        >>> type(model[1]).__name__
        'ExactBatchNorm2d'
    """
    norm = lookup(NORMS, name, "norm")
    if norm is nn.BatchNorm2d:
        return
    replaced = {path: module for path, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if not replaced:
        raise InputError(f"norm={name!r}: the model has no batch norm to replace; leave it 'batch'")
    for path, module in replaced.items():
        settings = {each: getattr(module, each) for each in ("eps", "momentum", "affine", "track_running_stats")}
        new = norm(module.num_features, **settings).train(module.training)
        new._parameters, new._buffers = module._parameters, module._buffers
        model.set_submodule(path, new)
