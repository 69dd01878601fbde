"""Own cases about one step of several: what the optimizer holds, what another one holds, what none need hold."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, mlp


def itself(output: torch.Tensor) -> torch.Tensor:
    return output


class Pair(nn.Module):
    """A generator and its judge in one module; one step of either."""

    def __init__(self, of_judge: bool, cut: bool):
        super().__init__()
        self.generator, self.judge = mlp(4, 16, 6), mlp(6, 16, 1)
        self.of_judge, self.cut = of_judge, cut

    def forward(self, noise, real):
        made = self.generator(noise)
        if self.of_judge:
            return F.softplus(self.judge(made.detach())).mean() + F.softplus(-self.judge(real)).mean()
        return F.softplus(-self.judge(made.detach() if self.cut else made)).mean()


def step_of(part: str, model: Pair) -> Batch:
    optimizer = torch.optim.Adam(model.get_submodule(part).parameters(), lr=1e-3)
    return Batch(model, (floats(16, 4), floats(16, 6)), None, {"loss_fn": itself, "optimizer": optimizer})


@healthy("own", "one step of two", "The optimizer does not hold")
def a_step_of_the_judge():
    """The generator is detached and held by no optimizer here: this step is not its own."""
    return step_of("judge", Pair(True, False))


@fault(
    "own", "one step of two", "ZI009", "generator.0", "cuts `generator.0.weight`", never="moves 4 of 8", also=("ZI018",)
)
def a_step_of_the_generator_that_is_cut_off():
    """The generator's own step detaches what it made. That its optimizer does not hold the judge is right."""
    return step_of("generator", Pair(False, True))


@fault("own", "made too early", "ZI018", "adapter", "frozen parameters of this model alone", never="another one")
def an_optimizer_made_before_the_adapter():
    """All is frozen but an adapter that was added after the optimizer was made."""
    parts = {"body": mlp(6, 12, 4).requires_grad_(False)}
    model = OneOf(lambda self, x: (self.body(x + self.adapter)).square().mean(), **parts)
    optimizer = torch.optim.Adam(model.parameters())
    model.adapter = nn.Parameter(torch.randn(6))
    return Batch(model, floats(16, 6), None, {"optimizer": optimizer})


@healthy("own", "made too early", "moves 4 of 4")
def a_plain_tensor_that_the_optimizer_holds():
    """An unknown coefficient is no parameter of the model, but the optimizer was given it."""
    model = OneOf(lambda self, x: (self.net(x) * self.speed).square().mean(), net=mlp(4, 12, 1))
    model.speed = torch.ones((), requires_grad=True)
    optimizer = torch.optim.Adam([*model.parameters(), model.speed])
    return Batch(model, floats(16, 4), None, {"optimizer": optimizer})


class Preferences(nn.Module):
    """Pairs of things that a person ranks: the person's own bias cancels."""

    def __init__(self):
        super().__init__()
        self.person, self.thing = nn.Embedding(10, 4), nn.Embedding(20, 4)
        self.mood, self.appeal = nn.Embedding(10, 1), nn.Embedding(20, 1)

    def score(self, who, what):
        return (self.person(who) * self.thing(what)).sum(-1) + (self.mood(who) + self.appeal(what))[:, 0]

    def forward(self, who, better, worse):
        return -F.logsigmoid(self.score(who, better) - self.score(who, worse)).mean()


@healthy("own", "cancels by design", "`mood.weight` has no effect")
def a_bias_of_each_person():
    """A table of biases that a difference takes out is a bias without effect, no fault."""
    given = (torch.randint(10, (24,)), torch.randint(20, (24,)), torch.randint(20, (24,)))
    return Batch(Preferences(), given, None, {"loss_fn": itself})


class Recurrent(nn.Module):
    """A recurrent network that is handed its first state."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(5, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, frames, state):
        return self.head(self.cell(frames, state)[0][:, -1])


@healthy("own", "first state", "all values of `state` are zero")
def a_first_state_of_zeros():
    """The state starts at zero, beside inputs that vary."""
    return Batch(Recurrent(), {"frames": floats(8, 6, 5), "state": torch.zeros(1, 8, 8)}, torch.arange(8) % 3)
