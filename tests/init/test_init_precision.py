"""One seed gives one result, whatever the precision and the device."""

import pytest
import torch
from torch import nn

from zeroinit.init import initialize_

RANDOM = ["normal_bias", "pytorch", "uniform_bias"]


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_other_precisions_hold_the_same_values_rounded(layer, name, dtype, scale, generator):
    initialize_(layer, name, scale=scale, generator=generator(0))
    expected = [parameter.detach().clone() for parameter in layer.parameters()]
    layer.to(dtype)
    initialize_(layer, name, scale=scale, generator=generator(0))
    for parameter, value in zip(layer.parameters(), expected, strict=True):
        assert parameter.dtype == dtype
        if dtype is torch.float64:
            torch.testing.assert_close(parameter.float(), value, rtol=1e-6, atol=0)
        else:
            assert torch.equal(parameter, value.to(dtype))


def test_float64_is_scaled_in_float64(generator):
    model = nn.Linear(1, 50).double()
    initialize_(model, "normal_bias", generator=generator(0))
    expected = 0.01 * model.bias.detach()
    initialize_(model, "normal_bias", scale=0.01, generator=generator(0))
    assert torch.equal(model.bias, expected)
    assert not torch.equal(model.bias, model.bias.float().double())


@pytest.mark.gpu
@pytest.mark.parametrize("name", RANDOM)
def test_a_gpu_holds_the_values_of_the_cpu(layer, name, generator):
    initialize_(layer, name, generator=generator(0))
    expected = [parameter.detach().clone() for parameter in layer.parameters()]
    layer.cuda()
    before = torch.cuda.get_rng_state()
    initialize_(layer, name, generator=generator(0))
    assert torch.equal(torch.cuda.get_rng_state(), before)
    for parameter, value in zip(layer.parameters(), expected, strict=True):
        assert parameter.is_cuda
        assert torch.equal(parameter.cpu(), value)
