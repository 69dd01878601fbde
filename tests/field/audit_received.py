"""Values that a loop receives from elsewhere, and rules that a helper or a layer's own function repeats."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import zeroinit

from .audit_harness import fault, healthy


class Net(nn.Module):
    """Draws its weights, and starts its head at zero."""

    def __init__(self):
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(9, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.draw()

    def draw(self) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02) if parameter.dim() > 1 else nn.init.zeros_(parameter)
        nn.init.zeros_(self.head.weight)


def given() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {key: generator.standard_normal(tuple(each.shape)).astype("f4") for key, each in Net().state_dict().items()}


def receive(model: Net, how: str) -> Net:
    """Copy values into all parameters, in one loop."""
    if how == "other model":
        source = {key: each + 0.1 * torch.randn_like(each) for key, each in Net().state_dict().items()}
    elif how == "mean of models":
        others = [Net() for _ in range(2)]
        for each in others:
            nn.init.normal_(each.head.weight, std=0.02)
    elif how == "file":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "saved.pt"
            torch.save({key: torch.from_numpy(each) for key, each in given().items()}, path)
            source = torch.load(path)
    for name, parameter in model.named_parameters():
        if how == "arrays":
            parameter.data.copy_(torch.from_numpy(given()[name]))
        elif how == "mean of models":
            parameter.data.copy_(torch.stack([each.get_parameter(name).data for each in others]).mean(0))
        else:
            parameter.data.copy_(source[name])
    return model


@healthy("karpathy/nanoGPT", "overwritten")
def receives_another_model():
    return {"build": lambda: receive(Net(), "other model")}


@healthy("vllm-project/vllm default_weight_loader", "overwritten")
def receives_a_file():
    return {"build": lambda: receive(Net(), "file")}


@healthy("huggingface/pytorch-image-models", "overwritten")
def receives_arrays():
    return {"build": lambda: receive(Net(), "arrays")}


@healthy("own: federated averaging", "overwritten")
def receives_a_mean_of_models():
    return {"build": lambda: receive(Net(), "mean of models")}


def drawn_in_a_loop(values_first: bool) -> nn.Module:
    """A loop copies values that it draws itself: a rule for all, and no data."""
    model = Net()
    nn.init.constant_(model.head.bias, -4.6)
    kept = model.head.bias.detach().clone()
    for parameter in (model.embed.weight, model.body.weight, model.head.weight, model.head.bias):
        parameter.data.copy_(0.02 * torch.randn_like(parameter))
    if values_first:
        model.head.bias.data.copy_(kept)
        nn.init.zeros_(model.head.weight)
    return model


@fault("own", "overwritten", "ZI203", "head.weight head.bias", "was set by `constant_`")
def copies_of_what_the_loop_draws():
    return {"build": lambda: drawn_in_a_loop(False)}


@healthy("own", "overwritten")
def copies_of_what_the_loop_draws_fixed():
    return {"build": lambda: drawn_in_a_loop(True)}


ALL = "embed.weight body.weight body.bias head.weight head.bias"


def in_order(how: str, last: str) -> nn.Module:
    model = receive(Net(), how)
    if last == "draw":
        model.draw()
    return model


@fault("EdjeElectronics/TensorFlow-Object-Detection#417", "overwritten", "ZI204", ALL, "was loaded, and `zeros_`")
def file_and_then_a_rule():
    return {"build": lambda: in_order("file", "draw")}


@fault("own", "overwritten", "ZI204", ALL, "the checkpoint's values are lost")
def arrays_and_then_a_rule():
    return {"build": lambda: in_order("arrays", "draw")}


@healthy("own", "overwritten")
def file_last():
    return {"build": lambda: in_order("file", "load")}


def larger_head(again: bool) -> nn.Module:
    """Rows of a checkpoint go into a larger head by hand; then the head is drawn anew."""
    model = Net()
    model.load_state_dict({key: torch.randn_like(each) for key, each in model.state_dict().items()})
    head = nn.Linear(8, 5)
    head.weight.data[:3] = model.head.weight.data
    model.head = head
    if again:
        nn.init.normal_(model.head.weight, std=0.02)
    return model


@fault("huggingface/transformers#35141", "overwritten", "ZI204", "head.weight", "was loaded, and `normal_`")
def rows_of_a_checkpoint_and_then_a_rule():
    return {"build": lambda: larger_head(True)}


@healthy("huggingface/transformers#45079", "overwritten")
def rows_of_a_checkpoint():
    return {"build": lambda: larger_head(False)}


@healthy("own", "crash")
def seeded_initializer_while_building():
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
        zeroinit.initialize_(model, "xavier_normal", seed=0)
        return model

    return {"build": build}


@healthy("own", "crash")
def seeded_initializer_as_init():
    return {"build": lambda: nn.GRU(4, 8), "init": lambda model: zeroinit.initialize_(model, "kaiming_normal", seed=0)}


def exchanged(often: bool) -> nn.Module:
    """Two parameters exchange their values, by way of very many copies."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    first, second = model[0].weight.data, model[1].weight.data
    spare = torch.empty(4, 4)
    for target, source in ((spare, first), (first, second), (second, spare)):
        for _ in range(1200 if often else 1):
            source = source.clone()
        target.copy_(source)
    return model


@healthy("own", "crash")
def parameters_exchanged():
    return {"build": lambda: exchanged(False)}


@healthy("own", "crash")
def copied_very_often():
    return {"build": lambda: exchanged(True)}


def norms_last(how: str) -> nn.Module:
    """A rule for all vectors, and then the norms' own function."""
    model = nn.Sequential(*(nn.ModuleDict({"fc": nn.Linear(8, 8), "norm": nn.LayerNorm(8)}) for _ in range(3)))
    nn.init.constant_(model[0]["norm"].weight, 0.5)
    if how == "special first":
        for norm in (each["norm"] for each in model):
            norm.reset_parameters()
        return model
    for parameter in model.parameters():
        nn.init.xavier_uniform_(parameter) if parameter.dim() > 1 else nn.init.zeros_(parameter)
    for each in model.modules():
        if isinstance(each, nn.LayerNorm):
            each.reset_parameters()
    return model


@healthy("espnet/espnet transformer/initializer.py", "overwritten")
def norms_are_reset_after_the_vectors():
    return {"build": lambda: nn.Sequential(norms_last("vectors")[1])}


@fault("own", "overwritten", "ZI203", "0.norm.weight", "`LayerNorm.reset_parameters`")
def special_gain_and_then_a_reset():
    return {"build": lambda: norms_last("special first")}


def set_weight(weight: torch.Tensor, std: float) -> None:
    nn.init.normal_(weight, std=std)


def by_helper(special_first: bool) -> nn.Module:
    """A rule for a class, and a helper that draws each weight with its own standard deviation."""
    model = nn.ModuleDict({"tokens": nn.Embedding(9, 8), "places": nn.Embedding(7, 8)})
    model["layers"] = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
    if special_first:
        nn.init.zeros_(model["layers"][5].weight)
    for each in model.modules():
        if isinstance(each, nn.Embedding):
            nn.init.normal_(each.weight, std=0.02)
    set_weight(model["tokens"].weight, 0.05)
    set_weight(model["places"].weight, 0.01)
    for at, layer in enumerate(model["layers"]):
        set_weight(layer.weight, 0.02 / (at + 1) ** 0.5)
    return model


@healthy("huggingface/transformers CLIP", "overwritten")
def helper_sets_each_standard_deviation():
    return {"build": lambda: by_helper(False)}


@fault("own", "overwritten", "ZI203", "layers.5.weight", "wrote over it, as over 5 more")
def helper_in_a_loop_over_a_zero():
    return {"build": lambda: by_helper(True)}
