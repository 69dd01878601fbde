"""What is handed over in the place of a model or of its inputs is refused in one line, with a way out."""

import pytest
import torch
from torch import nn

import zeroinit
from zeroinit import InputError

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x, y):
        return self.first(x) + self.second(y)


class Maybe(Pair):
    def forward(self, x, y=None):
        return self.first(x) + self.second(x)


class Silent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)


class Steps(Silent):
    def training_step(self, batch):
        return self.layer(batch).sum()


def refused(model, *batch) -> str:
    with pytest.raises(InputError) as caught:
        zeroinit.inspect(model, *batch)
    return str(caught.value)


def test_a_second_input_is_no_target():
    said = refused(Pair(), X, X)
    assert said.startswith(
        "targets=a tensor (8, 4) of float32: is no input, and Pair.forward takes two; hand over inputs="
    )
    assert zeroinit.inspect(Pair(), (X, X), torch.zeros(8, 3)).warnings == ()
    assert zeroinit.inspect(Maybe(), X, torch.zeros(8, 3)).warnings == ()


def test_a_model_without_forward_is_told(without_type_checks):
    assert refused(Silent(), X) == "model=Silent: has no forward; define forward(self, ...) in the class Silent"
    assert refused(nn.ModuleList([nn.Linear(4, 3)]), X).endswith("hand over the model that calls these modules")
    said = refused(Steps(), X)
    assert "its training_step trains it" in said
    assert said.endswith("or hand over model.layer")
    patched = Silent()
    patched.forward = patched.layer.forward
    assert zeroinit.inspect(patched, X).warnings == ()


def test_a_method_is_no_model(without_type_checks):
    model = nn.Linear(4, 3)
    assert refused(model.forward, X) == "model=forward: is a method of a Linear; hand over the model itself"


@pytest.mark.parametrize("start", ["init.", "nn.init.", "nn.init:", "torch.nn.init."])
def test_names_of_torch_as_code_has_them(start):
    layer = nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"write 'xavier_uniform_'$"):
        zeroinit.initialize_(layer, f"{start}xavier_uniform_")
    with pytest.raises(InputError, match=r"write 'xavier_uniform_'$"):
        zeroinit.initialize_(layer, f"{start}xavier_uniform")
    with pytest.raises(InputError, match=r"has no 'xavier_unifrm_'; did you mean 'xavier_uniform_'\?"):
        zeroinit.initialize_(layer, f"{start}xavier_unifrm_")
    zeroinit.initialize_(layer, "torch.nn.init:xavier_uniform_")


def zeros(module):
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.weight)


def test_an_init_of_one_module_is_told():
    def build():
        return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))

    with pytest.raises(InputError, match=r"init=zeros: does nothing with a model, .*apply"):
        zeroinit.audit(build, init=zeros)
    zeroinit.audit(build, init=lambda model: model.apply(zeros))
    zeroinit.audit(build, init=lambda model: None)
