"""Cases of a twelfth reader of public reports: 16 bits, a steep first update, masks, methods, two comparisons."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": F.cross_entropy}


class Half(nn.Module):
    """It computes in 16 bits by its own will."""

    def __init__(self, dtype):
        super().__init__()
        self.inside, self.out, self.dtype = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1), dtype

    def forward(self, x):
        with torch.autocast("cpu", dtype=self.dtype):
            return self.out(F.gelu(self.inside(x)))


def in_16_bits(dtype):
    def loss(output, target):
        return 2e-6 * (1 - F.cosine_similarity(output.float(), target, dim=1)).mean()

    model = Half(dtype)
    settings = {"loss_fn": loss, "optimizer": torch.optim.AdamW(model.parameters(), 1e-4)}
    return Batch(model, floats(4, 3, 64, 64), floats(4, 3, 64, 64), settings)


@fault("engichang1467/Open-Rig3R#35", "16 bits", "ZI020", "inside", "is zero in the 16 bits that the model computes in",
       never="Raise the learning rate")  # fmt: skip
def gradients_that_float16_rounds_to_zero():
    return in_16_bits(torch.float16)


@healthy("own", "16 bits")
def gradients_that_bfloat16_keeps():
    return in_16_bits(torch.bfloat16)


class Prototypes(nn.Module):
    """Directions are compared with those of prototypes."""

    def __init__(self, spread):
        super().__init__()
        self.body, self.prototypes = mlp(8, 16, 8), nn.Parameter(spread * torch.randn(5, 8))

    def forward(self, x):
        return 10 * F.normalize(self.body(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


def with_prototypes(spread):
    model = Prototypes(spread)
    settings = CROSS_ENTROPY | {"optimizer": torch.optim.SGD(model.parameters(), 0.1)}
    return Batch(model, floats(32, 8), labels(5, 32), settings)


@fault("pytorch/pytorch#184575", "thrown", "ZI020", "prototypes", "The first update takes `prototypes` to")
def prototypes_that_the_first_update_throws():
    """The slope of a normalization at zero is 1 / eps."""
    return with_prototypes(0.0)


@healthy("own", "thrown")
def prototypes_at_random():
    return with_prototypes(1.0)


class Epidemic(nn.Module):
    """Who is infected follows from one comparison, and what is counted from a second one."""

    def __init__(self, is_soft):
        super().__init__()
        self.rate, self.scale, self.is_soft = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(0.1)), is_soft
        self.register_buffer("draws", torch.rand(200))

    def forward(self, days):
        hard = (self.draws < self.rate).float()
        soft = torch.sigmoid((self.rate - self.draws) / 0.1)
        stage = 2 * (soft + (hard - soft).detach() if self.is_soft else hard)
        return torch.stack([self.scale * (stage * (stage == 2.0) * day).mean() for day in days])


def of_an_epidemic(is_soft):
    return Batch(Epidemic(is_soft), torch.arange(1, 6.0), torch.arange(1, 6.0), {"loss_fn": F.mse_loss})


@fault(
    "AgentTorch/AgentTorch#32", "two comparisons", "ZI009", "rate", "Give it a surrogate gradient", never="not be seen"
)
def a_stage_that_is_compared_again():
    """What is tied to a comparison keeps its values, so that the second one gives the same."""
    return of_an_epidemic(False)


@healthy("own", "two comparisons")
def a_stage_with_a_surrogate_gradient():
    return of_an_epidemic(True)


def heads(hides):
    def forward(self, x):
        mask = torch.tensor([False, False, hides]).view(-1, 1, 1).expand(-1, 5, 5).repeat(len(x), 1, 1)
        x = self.inside(x)
        return self.out(self.mix(x, x, x, attn_mask=mask, average_attn_weights=False)[0].mean(1))

    parts = {"inside": nn.Linear(6, 12), "mix": nn.MultiheadAttention(12, 3, batch_first=True), "out": nn.Linear(12, 4)}
    return Batch(OneOf(forward, **parts), floats(8, 5, 6), labels(4, 8), CROSS_ENTROPY)


@fault("pytorch/pytorch#160064", "mask", "ZI013", "mix", "Mask with a large number in place of infinity")
def a_head_whose_mask_hides_every_key():
    return heads(True)


@healthy("own", "mask")
def heads_whose_mask_hides_nothing():
    return heads(False)


class Agent(nn.Module):
    """A method other than forward keeps what it was given, without or with its graph."""

    def __init__(self, detaches):
        super().__init__()
        self.encoder, self.policy, self.detaches = mlp(6, 8), nn.Linear(8, 2), detaches

    def remember(self, steps):
        return [step.detach() if self.detaches else step for step in steps]

    def forward(self, x):
        return self.policy(torch.stack(self.remember(self.encoder(x).unbind(1))).mean(0))


@fault(
    "lebrice/Sequoia#71", "method", "ZI009", "encoder", "Remove `detach()` in `Agent.remember`", never="`Agent.forward`"
)
def a_method_that_detaches():
    return Batch(Agent(True), floats(16, 4, 6), labels(2, 16), CROSS_ENTROPY)


@healthy("own", "method")
def a_method_that_keeps_the_graph():
    return Batch(Agent(False), floats(16, 4, 6), labels(2, 16), CROSS_ENTROPY)


def decoder(is_zero):
    def forward(self, memory):
        query = self.query.expand(len(memory), -1, -1)
        target = torch.zeros_like(query) if is_zero else query
        target = self.norm(target + self.first(target + query, target + query, target)[0])
        return self.out((target + self.second(target + query, memory, memory)[0]).mean(1))

    parts = {name: nn.MultiheadAttention(8, 2, batch_first=True) for name in ("first", "second")}
    model = OneOf(forward, **parts, norm=nn.LayerNorm(8), out=nn.Linear(8, 3))
    model.query = nn.Parameter(torch.randn(1, 4, 8))
    return Batch(model, floats(8, 6, 8), labels(3, 8), CROSS_ENTROPY)


@fault("facebookresearch/MaskFormer#63", "zero input", "ZI007", "first",
       "The value of the attention in `first` is zero for the whole batch. The zeros_like in")  # fmt: skip
def a_decoder_whose_first_values_are_zero():
    """Query and key hold the embedding of the queries."""
    return decoder(True)


@healthy("own", "zero input")
def a_decoder_that_starts_from_its_queries():
    return decoder(False)
