"""What somebody who had not seen the code met with ``initialize_``; each case with the report that it comes from."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from zeroinit import InputError, initialize_

# Weight norm over a direction of zero: https://github.com/rosinality/vq-vae-2-pytorch/issues/35


@pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.parametrize("num_rows", [1, 3])
def test_a_weight_that_is_zero_as_recorded_is_no_nan(norm, num_rows, generator):
    layer = nn.Linear(4, 3)
    layer.weight.data[:num_rows] = 0
    model = nn.Sequential(norm(layer))
    before = model[0](torch.ones(1, 4))
    assert before.isnan().sum() == num_rows  # PyTorch's own
    record = initialize_(model, "normal_bias", generator=generator(0))
    assert [each.rule for each in record.parameters] == ["0", "1 where its direction was 0", "N(0, 1)"]
    output = model(torch.ones(1, 4))
    assert torch.equal(output[0], model[0].bias)
    output.sum().backward()
    assert all(each.grad.isfinite().all() for each in model.parameters())


def test_a_direction_that_is_not_zero_stays(generator):
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)))
    before = model[0].parametrizations.weight.original1.clone()
    record = initialize_(model, "normal_bias", generator=generator(0))
    assert torch.equal(model[0].parametrizations.weight.original1, before)
    assert [each.reason for each in record.untouched] == ["the direction of a weight whose norm is 0"]


# A name with brackets that is also a pattern


@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_a_name_means_itself_before_it_means_a_pattern(argument):
    model = nn.ModuleDict({"a[1]": nn.Linear(2, 2), "a1": nn.Linear(2, 2), "a2": nn.Linear(2, 2)})
    named = {each.name for each in initialize_(model, "zero", **{argument: "a[1]"}).parameters}
    assert ("a[1].weight" in named) == (argument == "include")
    assert ("a1.weight" in named) == (argument == "exclude")
    of_pattern = {each.name for each in initialize_(model, "zero", **{argument: "a[12]"}).parameters}
    assert ("a2.weight" in of_pattern) == (argument == "include")


# A tensor class that cannot be written in place, as of quantized weights: https://github.com/huggingface/peft/issues/2991


class Fixed(torch.Tensor):
    """Refuses ``copy_``."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function is torch.Tensor.copy_:
            raise NotImplementedError("copy_ is not supported")
        return super().__torch_function__(function, types, args, kwargs or {})


def test_a_weight_that_cannot_be_written_is_refused_before_anything_changes():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[1].weight = nn.Parameter(model[1].weight.detach().as_subclass(Fixed))
    before = model[0].weight.clone()
    message = r"^1.weight: Fixed cannot be written in place \(NotImplementedError: copy_ is not .*\); exclude the layer"
    with pytest.raises(InputError, match=message):
        initialize_(model, "pytorch")
    assert torch.equal(model[0].weight, before)
    record = initialize_(model, "pytorch", exclude="1")
    assert {each.name for each in record.parameters} == {"0.weight", "0.bias"}
