"""Cases of an engineer who did not know the audit, rebuilt in our own words, each with its repaired form."""

import torch
from torch import nn

from .audit_harness import fault, healthy


class Prior(nn.Module):
    """A prior bias and an open forget gate, each the first or the last parameter that the general rule writes."""

    def __init__(self, last: bool):
        super().__init__()
        self.lstm, self.middle, self.classifier = nn.LSTM(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        for rule in (self.general, self.special) if last else (self.special, self.general):
            rule()

    def special(self) -> None:
        self.lstm.bias_ih_l0.data[8:16].fill_(1.0)
        nn.init.constant_(self.classifier.bias, -4.6)

    def general(self) -> None:
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.02)


@fault(
    "jbohnslav/deepethogram#15", "overwritten", "ZI203", "lstm.bias_ih_l0 classifier.bias", "was set by `constant_`"
)
def prior_and_gate():
    return {"build": lambda: Prior(False)}


@healthy("jbohnslav/deepethogram#15", "overwritten")
def prior_and_gate_fixed():
    return {"build": lambda: Prior(True)}


class Padded(nn.Module):
    """A function for one layer calls the one of its base first, and then its own rule: no value was meant to stay."""

    def __init__(self):
        super().__init__()
        self.embed, self.layers = nn.Embedding(6, 8), nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.apply(self.draw)

    def base(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.zeros_(module.weight)

    def draw(self, module: nn.Module) -> None:
        self.base(module)
        if isinstance(module, nn.Embedding | nn.Linear):
            nn.init.normal_(module.weight, std=0.02)


@healthy("own", "overwritten")
def rule_of_the_base_and_then_its_own():
    return {"build": Padded}
