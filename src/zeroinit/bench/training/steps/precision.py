"""Precisions by name: the number format of a training step. Parameters and optimizer state are never below float32."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from zeroinit._common import InputError, lookup

__all__ = ["AS_IT_IS", "PRECISIONS", "Precision", "choose_precision"]


@dataclass(frozen=True)
class Precision:
    """How numbers are held and multiplied.

    Attributes:
        summary: One line.
        dtype: Type of parameters, gradients, optimizer state, inputs and losses; the model's own if ``None``.
        products: ``"ieee"``, or ``"tf32"`` for float32 products with 10 bits of mantissa, on CUDA devices. If ``None``,
            as torch is set.
        autocast: Type of the forward pass, in the operations where torch holds it to be safe; ``dtype`` if ``None``.
    """

    summary: str
    dtype: torch.dtype | None = torch.float32
    products: str | None = "ieee"
    autocast: torch.dtype | None = None

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Hold the floating-point parameters and buffers of a model in ``dtype``, and set how products are computed.

        On leaving, types and settings are as before. Values keep the precision that they gained or lost. No parameter
        is replaced.
        """
        before = {tensor: tensor.dtype for tensor in [*model.parameters(), *model.buffers()]}
        is_set = self.products is not None and any(tensor.is_cuda for tensor in before)
        backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv) if is_set else ()  # type: ignore[attr-defined]
        settings = [backend.fp32_precision for backend in backends]
        try:
            for tensor, dtype in before.items():
                _convert(tensor, self.dtype or dtype)
            for backend in backends:
                backend.fp32_precision = self.products
            yield
        finally:
            for tensor, dtype in before.items():
                _convert(tensor, dtype)
            for backend, setting in zip(backends, settings, strict=True):
                backend.fp32_precision = setting

    def forward(self, device_type: str) -> AbstractContextManager:
        """Return the context of one forward pass."""
        return nullcontext() if self.autocast is None else torch.autocast(device_type, dtype=self.autocast)

    def convert(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a floating-point tensor (inputs, logits) in ``dtype``."""
        return tensor if self.dtype is None or not tensor.is_floating_point() else tensor.to(self.dtype)


def _convert(tensor: torch.Tensor, dtype: torch.dtype) -> None:
    if tensor.is_floating_point() and tensor.dtype != dtype:
        tensor.data = tensor.data.to(dtype)
        tensor.grad = None


PRECISIONS: dict[str, Precision] = {
    "float32": Precision("IEEE single precision, products included"),
    "float64": Precision("double precision: to tell a signal from rounding", dtype=torch.float64),
    "tf32": Precision("float32 with TensorFloat-32 products (CUDA)", products="tf32"),
    "bf16": Precision("bfloat16 forward and backward passes, float32 weights and updates", autocast=torch.bfloat16),
}


AS_IT_IS = Precision("as the model and torch are set", dtype=None, products=None)


def choose_precision(name: str | None, device: torch.device) -> Precision:
    """Return a precision by name.

    Args:
        name: A key of ``PRECISIONS``, or ``None`` to leave everything as it is.
        device: Where the model is.

    Raises:
        InputError: An unknown name, or ``"tf32"`` on a device that has no such products.

    Example:
        >>> choose_precision("bf16", torch.device("cpu")).autocast
        torch.bfloat16
    """
    if name is None:
        return AS_IT_IS
    precision = lookup(PRECISIONS, name, "precision")
    if precision.products == "tf32" and device.type != "cuda":
        raise InputError(f"precision={name!r}: needs a CUDA device, and the model is on {device.type}; use 'float32'")
    return precision
