"""Cases of a fourth engineer who did not know the audit, rebuilt in our own words, each with its repaired form."""

import copy

import torch
from torch import nn

from .audit_harness import fault, healthy


class Adapted(nn.Module):
    """A dense layer with an adapter of rank 2 that starts anew once it is merged."""

    def __init__(self, inputs: int = 6, outputs: int = 5):
        super().__init__()
        self.original = nn.Linear(inputs, outputs)
        self.down, self.up = nn.Linear(inputs, 2, bias=False), nn.Linear(2, outputs, bias=False)
        self.draw()

    def draw(self, replace: bool = False) -> None:
        if replace:
            self.down.weight.data = 0.1 * torch.randn(self.down.weight.shape)
            self.up.weight.data = torch.zeros(self.up.weight.shape)
            return
        nn.init.xavier_normal_(self.down.weight)
        nn.init.zeros_(self.up.weight)

    def merge(self, how: str) -> None:
        weight, change = self.original.weight, self.up.weight @ self.down.weight
        if how == "in place":
            weight.data += change * 4
        elif how == "copied":
            with torch.no_grad():
                weight.copy_(weight + change)
        elif how == "by data":
            weight.data = weight.data + change.detach()
        elif how == "by a parameter":
            self.original.weight = nn.Parameter((weight + change).detach())


def merged(how: str, *, early: bool = False, replace: bool = False) -> nn.Module:
    model = nn.Sequential(Adapted(), nn.ReLU(), Adapted(5, 4))
    saved = {key: each + 0.1 * torch.randn_like(each) for key, each in copy.deepcopy(model).state_dict().items()}
    if early:  # and then load what is not merged
        model[0].merge(how)
        model[2].merge(how)
        saved = {key: each for key, each in saved.items() if "original" not in key}
    model.load_state_dict(saved, strict=False)
    for layer in (model[0], model[2]):
        if not early:
            layer.merge(how)
        layer.draw(replace)
    return model


ADAPTERS = "0.down.weight 0.up.weight 2.down.weight 2.up.weight"


@healthy("XelfXendr/peft_unlearning", "overwritten")
def a_loaded_adapter_merged_and_drawn_anew():
    return {"build": lambda: merged("in place")}


@healthy("XelfXendr/peft_unlearning", "overwritten")
def a_loaded_adapter_merged_by_a_copy():
    return {"build": lambda: merged("copied")}


@healthy("XelfXendr/peft_unlearning", "overwritten")
def a_loaded_adapter_merged_by_data():
    return {"build": lambda: merged("by data")}


@healthy("XelfXendr/peft_unlearning", "overwritten")
def a_loaded_adapter_merged_into_a_new_parameter():
    return {"build": lambda: merged("by a parameter")}


@healthy("XelfXendr/peft_unlearning", "overwritten")
def a_loaded_adapter_merged_and_replaced():
    return {"build": lambda: merged("in place", replace=True)}


@fault("XelfXendr/peft_unlearning", "overwritten", "ZI204", ADAPTERS, "the checkpoint's values are lost")
def a_loaded_adapter_replaced_and_not_merged():
    return {"build": lambda: merged("", replace=True)}


@fault("XelfXendr/peft_unlearning", "overwritten", "ZI204", ADAPTERS, "the checkpoint's values are lost")
def a_loaded_adapter_drawn_anew_and_not_merged():
    return {"build": lambda: merged("")}


@fault("XelfXendr/peft_unlearning", "overwritten", "ZI204", ADAPTERS, "the checkpoint's values are lost")
def an_adapter_merged_before_it_is_loaded():
    return {"build": lambda: merged("in place", early=True)}


@fault("own", "overwritten", "ZI204", ADAPTERS, "the checkpoint's values are lost")
def a_loaded_adapter_drawn_anew_and_then_merged():
    def build() -> nn.Module:
        model = merged("")
        for layer in (model[0], model[2]):
            layer.merge("in place")
        return model

    return {"build": build}


def normed(*, fold: bool) -> nn.Module:
    """Fold loaded norms into the layers below them, and set the norms to do nothing."""
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 4), nn.BatchNorm1d(4))
    model.load_state_dict({key: each + 1 for key, each in copy.deepcopy(model).state_dict().items()})
    for dense, norm in ((model[0], model[1]), (model[2], model[3])):
        if fold:
            factor = norm.weight.data / (norm.running_var + norm.eps).sqrt()
            dense.weight.data *= factor[:, None]
            dense.bias.data = (dense.bias.data - norm.running_mean) * factor + norm.bias.data
        norm.reset_parameters()
    return model


@healthy("own", "overwritten")
def loaded_norms_folded_into_the_layers_below():
    return {"build": lambda: normed(fold=True)}


OF_NORMS = " ".join(f"{at}.{name}" for at in (1, 3) for name in ("weight", "bias", "running_mean", "running_var"))


@fault("own", "overwritten", "ZI204", OF_NORMS, "the checkpoint's values are lost")
def loaded_norms_reset_and_not_folded():
    return {"build": lambda: normed(fold=False)}


class Averaged(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.ema = copy.deepcopy(self.online).requires_grad_(False)

    def update(self) -> None:
        for mean, each in zip(self.ema.parameters(), self.online.parameters(), strict=True):
            mean.data.mul_(0.9).add_(each.data, alpha=0.1)


OF_ONLINE = "online.0.weight online.0.bias online.1.weight online.1.bias"


@fault("own", "overwritten", "ZI204", OF_ONLINE, "the checkpoint's values are lost")
def a_loaded_model_drawn_anew_beside_its_average():
    def build() -> nn.Module:
        model = Averaged()
        model.load_state_dict({key: each + 1 for key, each in copy.deepcopy(model).state_dict().items()})
        model.update()
        for parameter in model.online.parameters():
            nn.init.normal_(parameter, std=0.02)
        return model

    return {"build": build}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(9, 8), nn.Linear(8, 9, bias=False)
        self.head.weight = self.words.weight


def moved(*, tie: bool) -> nn.Module:
    """Convert a model so that each name gets a parameter of its own, as on a device of XLA."""
    model = Tied()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model.to(torch.float64)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    if tie:
        model.head.weight = model.words.weight
    return model


@fault(
    "Lightning-AI/pytorch-lightning#2705",
    "ties",
    "ZI209",
    "words.weight head.weight",
    "-> Tie them again at the end: `model.head.weight = model.words.weight`",
)
def a_tie_that_a_conversion_splits():
    return {"build": lambda: moved(tie=False)}


@healthy("Lightning-AI/pytorch-lightning#2705", "ties")
def a_tie_that_a_conversion_splits_tied_again():
    return {"build": lambda: moved(tie=True)}


class Quantized(nn.Module):
    """Three projections in one weight of whole numbers, with a scale for each."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 4, dtype=torch.uint8), requires_grad=False)
        self.scale = nn.Parameter(torch.empty(3), requires_grad=False)


SCALE = torch.tensor(0.3)


def quantized(part: slice) -> nn.Module:
    model = Quantized()
    model.scale.data[part].copy_(SCALE)
    return model


@fault(
    "vllm-project/vllm#39764",
    "never written",
    "ZI201",
    "scale",
    "-> Load all values of `model.scale`, or copy the loaded one: `model.scale.data[1:3] = model.scale.data[0:1]`.",
)
def a_scale_of_the_first_part_alone():
    return {"build": lambda: quantized(slice(1))}


@healthy("vllm-project/vllm#39764", "never written")
def a_scale_of_all_parts():
    return {"build": lambda: quantized(slice(3))}


@fault("own", "never written", "ZI201", "weight", "`nn.init.normal_(model.weight[1:3], std=0.02)`")
def new_words_of_a_loaded_table():
    def build() -> nn.Module:
        table = nn.Embedding(3, 4)
        table.weight = nn.Parameter(torch.empty(3, 4))
        table.weight.data[:1].copy_(SCALE)
        return table

    return {"build": build}
