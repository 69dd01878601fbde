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
