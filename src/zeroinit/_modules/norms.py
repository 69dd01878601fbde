"""Norms, and which of them cancel a constant channel.

With zero weights and random biases, every channel of a convolution is constant over batch and positions. Every unit of
a dense layer is constant over the batch. A norm over these axes maps a constant channel to its β, whatever the bias
was.

Source: Ioffe and Szegedy 2015, "Batch normalization", algorithm 1 (β); Schicho 2023, section 4 (a CNN with norms).
"""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

__all__ = ["NORMS", "canceling_kind", "find_canceling_norms", "parts_by_trial"]

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
"""Norms of torch; γ is their ``weight``, β their ``bias``, where they have one."""


def canceling_kind(module: nn.Module) -> str | None:
    """Name the kind of a norm that maps a constant channel to its β; ``None`` for every other module.

    Layer norm and group norm over several channels do not: their channels still differ by their biases.

    Example:
        >>> norms = (nn.BatchNorm2d(4), nn.GroupNorm(4, 4), nn.GroupNorm(2, 4), nn.LayerNorm(4))
        >>> [canceling_kind(norm) for norm in norms]
        ['batch norm', 'group norm with one channel per group', None, None]
    """
    if isinstance(module, _BatchNorm):
        return "batch norm"
    if isinstance(module, _InstanceNorm):
        return "instance norm"
    if isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels:
        return "group norm with one channel per group"
    return None


def find_canceling_norms(model: nn.Module) -> dict[str, nn.Module]:
    """Return the norms that cancel constant channels, by path.

    Example:
        >>> list(find_canceling_norms(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(1, 4))))
        ['1']
    """
    return {path: module for path, module in model.named_modules() if canceling_kind(module)}


def parts_by_trial(module: nn.Module) -> dict[str, str]:
    """Return what each vector of a norm of another library is for; nothing if it is no norm over the last axis.

    Its name says "norm", and a trial on a copy shows the rest: outputs do not depend on the size of the inputs. A
    weight that outputs are multiplied by is ``"gamma"``. What is added to 1 or to the outputs, as the weight of
    Gemma's norm, is ``"beta"``: it starts at 0.

    Example:
        >>> class OwnRMSNorm(nn.Module):
        ...     def __init__(self, shift):
        ...         super().__init__()
        ...         self.weight, self.shift = nn.Parameter(torch.ones(4)), shift
        ...
        ...     def forward(self, x):
        ...         return x * x.square().mean(-1, keepdim=True).rsqrt() * (self.shift + self.weight)
        >>> parts_by_trial(OwnRMSNorm(0)), parts_by_trial(OwnRMSNorm(1)), parts_by_trial(nn.Linear(4, 4))
        ({'weight': 'gamma'}, {'weight': 'beta'}, {})
    """
    vectors = {name: each for name, each in module._parameters.items() if each is not None}
    is_own = not type(module).__module__.startswith("torch.") and not module._modules
    if not is_own or "norm" not in type(module).__name__.lower() or len({each.shape for each in vectors.values()}) != 1:
        return {}
    try:
        return _tried(module, vectors)
    except Exception:  # another kind of norm, for images or with further inputs
        return {}


@torch.no_grad()
def _tried(module: nn.Module, vectors: dict[str, nn.Parameter]) -> dict[str, str]:
    (size,) = next(iter(vectors.values())).shape
    kind: dict = {"dtype": torch.float32, "device": "cpu"}
    whole = {id(each): nn.Parameter(torch.empty(size, **kind)) for each in vectors.values()}
    replica = copy.deepcopy(module, dict(whole))  # with whole parameters, where this process holds shards, or none
    replica._forward_hooks.clear()
    replica._forward_pre_hooks.clear()
    inputs = torch.linspace(-1.0, 3.0, 2 * size, **kind).reshape(2, size).sin() * 2

    def output(size: float = 1.0, **values: float) -> torch.Tensor:
        for name, parameter in replica._parameters.items():
            if parameter is not None:
                parameter.fill_(values.get(name, 0.0))
        return replica(inputs * size)

    rest, found = output(), {}
    for name in vectors:
        once, twice = output(**{name: 1.0}), output(**{name: 2.0})
        is_new = not torch.equal(once, rest)
        found[name] = "gamma" if is_new and not rest.any() and not (once == once[0, 0]).all() else "beta"
        if not is_new or not torch.allclose(once - rest, twice - once, atol=1e-4):
            return {}
    ones = {name: 1.0 for name, part in found.items() if part == "gamma"}
    same = torch.allclose(output(**ones), output(3.0, **ones), atol=1e-2)
    return found if same and output(**ones).any() else {}
