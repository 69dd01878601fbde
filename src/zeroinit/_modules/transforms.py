"""Whether code runs inside a transform of ``torch.func``, where values of tensors cannot be read."""

import torch

__all__ = ["in_transform"]


def in_transform() -> bool:
    """Tell whether ``vmap``, ``grad`` or the like of ``torch.func`` is at work.

    Example:
        >>> in_transform(), torch.vmap(lambda x: x * in_transform())(torch.ones(2)).tolist()
        (False, [1.0, 1.0])
    """
    return torch._C._functorch.peek_interpreter_stack() is not None
