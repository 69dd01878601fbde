"""``Copier(None)`` keeps every type; what ``copy.deepcopy`` refuses is copied."""

import copy

import pytest
import torch
from torch import nn

from zeroinit._modules.casting import cast
from zeroinit._modules.copying import Copier

TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.int64, torch.bool)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_copy_keeps_each_type_and_shares_nothing(dtype):
    model = nn.Module()
    model.register_buffer("values", torch.ones(3).to(dtype))
    if dtype.is_floating_point or dtype.is_complex:
        model.weight = nn.Parameter(torch.ones(3, dtype=dtype), requires_grad=dtype is not torch.float16)
    replica = Copier(None).model(model)
    for (name, old), (_, new) in zip(
        [*model.named_parameters(), *model.named_buffers()],
        [*replica.named_parameters(), *replica.named_buffers()],
        strict=True,
    ):
        assert (new.dtype, new.requires_grad) == (dtype, old.requires_grad), name
        assert torch.equal(old, new)
        assert old.data_ptr() != new.data_ptr()
    assert cast(torch.ones(1, dtype=torch.float16), torch.float64).dtype == torch.float64


def test_a_kept_activation_is_copied():
    model = nn.Sequential(nn.Linear(2, 2))
    model.kept = [model(torch.ones(1, 2))]
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    replica = Copier(None).model(model)
    assert torch.equal(replica.kept[0], model.kept[0])
    assert replica.kept[0].data_ptr() != model.kept[0].data_ptr()
