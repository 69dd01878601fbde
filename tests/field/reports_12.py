"""Cases of a seventh reader of public reports: activations before a loss, weights that are set back, half precision."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

LEARNS = "get a gradient by step 1. "


class Overwritten(nn.Linear):
    """Writes signs of the values that it had first into its weight, in each pass."""

    def forward(self, x):
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()
        self.weight.data = self.weight.org.sign()
        return F.linear(x, self.weight, self.bias)


class Restored(torch.optim.SGD):
    """BinaryConnect: an update acts on the real values behind the signs."""

    def step(self, closure=None):
        with torch.no_grad():
            real = [each for group in self.param_groups for each in group["params"] if hasattr(each, "org")]
            for each in real:
                each.copy_(each.org)
            super().step(closure)
            for each in real:
                each.org.copy_(each.clamp_(-1, 1))


def binary(layer):
    model = nn.Sequential(layer(12, 32), nn.BatchNorm1d(32), nn.Hardtanh(), layer(32, 4), nn.BatchNorm1d(4))
    return Batch(model, floats(48, 12), labels(4, 48), {"loss_fn": F.cross_entropy})


@fault("itayhubara/BinaryNet.pytorch#6", "set back", "ZI022", "0.weight", "every update of `0.weight` and `3.weight`")
def binary_weights_that_are_overwritten():
    """The loop never copies the real values back, so each update is undone by the next pass."""
    return binary(Overwritten)


@fault("own", "set back", "ZI022", "second.weight", "sets `second.weight` to the same values")
def a_rounded_copy_that_is_written_back():
    """The grid of a quantized weight is computed once, from its first values, and copied into it in each pass."""

    def run(self, x):
        if not hasattr(self, "grid"):
            self.grid = (self.second.weight.detach() * 16).round() / 16
        with torch.no_grad():
            self.second.weight.copy_(self.grid)
        return self.second(torch.tanh(self.first(x)))

    return Batch(OneOf(run, first=nn.Linear(6, 16), second=nn.Linear(16, 3)), floats(32, 6), labels(3, 32))


@healthy("itayhubara/BinaryNet.pytorch#6", "set back", "6 of 8 parameters get a gradient by step 1, 2 have no effect.")
def binary_weights_that_are_restored_for_each_update():
    batch = binary(Overwritten)
    batch.settings["optimizer"] = Restored(batch.model.parameters(), 0.01)
    return batch


@healthy("own", "set back", "sets `edges.weight` to the same values")
def a_fixed_filter_that_is_written_in_each_pass():
    """A constant, whatever the parameter held before: information."""
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).expand(1, 1, 3, 3)

    def run(self, x):
        self.edges.weight.data = sobel.clone().to(x.dtype)
        return self.head(torch.relu(self.edges(x)).flatten(1))

    model = OneOf(run, edges=nn.Conv2d(1, 1, 3, bias=False), head=nn.Linear(36, 3))
    return Batch(model, floats(16, 1, 8, 8), labels(3, 16))


def scored(last, loss_fn, targets, outputs=4):
    return Batch(nn.Sequential(*mlp(6, 16, outputs), last), floats(48, 6), targets, {"loss_fn": loss_fn})


@fault("mengcius/Surface-Defect-Detection#3", "activated twice", "ZI023", "", "Scores above 0 leave the loss above")
def a_rectifier_in_front_of_binary_cross_entropy():
    masks = (torch.rand(48, 4) < 0.1).float()
    return scored(nn.ReLU(), F.binary_cross_entropy_with_logits, masks)


@fault(
    "yudi-mars/daisyRec#15", "activated twice", "ZI023", "", "ends in a sigmoid, and binary_cross_entropy_with_logits"
)
def a_sigmoid_in_front_of_binary_cross_entropy_with_logits():
    return scored(nn.Sigmoid(), F.binary_cross_entropy_with_logits, (torch.arange(48) % 2).float()[:, None], 1)


@fault("own", "activated twice", "ZI023", "", "cross_entropy applies one itself. Between 0 and 1 scores leave the loss")
def a_softmax_in_front_of_cross_entropy():
    return scored(nn.Softmax(1), nn.CrossEntropyLoss(label_smoothing=0.1), labels(4, 48))


@fault("own", "activated twice", "ZI023", "", "log_softmax applies one itself")
def probabilities_that_go_through_a_log_softmax():
    return scored(nn.Softmax(1), lambda out, y: F.nll_loss(out.log_softmax(1), y), labels(4, 48))


@fault("own", "activated twice", "ZI023", "", "nll_loss takes logarithms of probabilities")
def probabilities_for_a_loss_of_logarithms():
    return scored(nn.Softmax(1), nn.NLLLoss(), labels(4, 48))


@healthy("own", "activated twice", LEARNS)
def a_log_softmax_that_is_applied_twice():
    """The log softmax of a log softmax is the same again."""
    return scored(nn.LogSoftmax(1), nn.CrossEntropyLoss(), labels(4, 48))


@healthy("own", "activated twice", LEARNS)
def probabilities_with_a_temperature():
    return scored(nn.Softmax(1), lambda out, y: F.cross_entropy(out / 0.05, y), labels(4, 48))


@healthy("own", "activated twice", LEARNS)
def logarithms_taken_by_hand():
    return scored(nn.Softmax(1), lambda out, y: F.nll_loss((out + 1e-8).log(), y), labels(4, 48))


@healthy("own", "activated twice", LEARNS)
def gates_and_attention_inside():
    """A softmax chooses and a sigmoid gates, but the scores are free."""

    def run(self, x):
        chosen = torch.softmax(self.scores(x), 1)[..., None] * x
        return self.head(chosen.sum(1) * torch.sigmoid(self.gate(x.mean(1))))

    model = OneOf(run, scores=nn.Linear(6, 1, bias=False), gate=nn.Linear(6, 6), head=nn.Linear(6, 4))
    model.scores = nn.Sequential(model.scores, nn.Flatten())
    return Batch(model, floats(32, 5, 6), labels(4, 32), {"loss_fn": nn.CrossEntropyLoss()})


@healthy("own", "activated twice", LEARNS)
def soft_targets_that_a_sigmoid_reaches():
    """Twice a sigmoid lies between .5 and .73, and so do the targets."""
    return scored(nn.Sigmoid(), F.binary_cross_entropy_with_logits, torch.full((48, 4), 0.6))


def masked(model, keep):
    """Hooks that set the gradients of some values of each matrix to zero."""
    for each in model.parameters():
        if each.dim() > 1:
            each.register_hook(lambda error, each=each: error * keep(each.detach()))
    return model


@healthy("rahulvigneswaran/Lottery-Ticket-Hypothesis-in-Pytorch#5", "held by hooks", "These values are not zero")
def a_mask_by_sign():
    """The mask forgets the absolute value, so all negative weights stay as they are: told first, with the share."""
    model = masked(mlp(12, 24, 4), lambda weight: weight > 1e-6)
    return Batch(model, floats(96, 12), labels(4, 96))


@healthy("own", "held by hooks", "a hook keeps part of `0.weight` still")
def rows_of_new_words_alone_are_trained():
    model = nn.Sequential(nn.EmbeddingBag(20, 8), nn.Linear(8, 3))
    new = (torch.arange(20) >= 12).float()[:, None]
    model[0].weight.register_hook(lambda error: error * new)
    return Batch(model, torch.randint(0, 20, (64, 5)), labels(3, 64))


@healthy("own", "held by hooks", LEARNS)
def pruned_weights_that_stay_zero():
    model = mlp(12, 24, 4)
    with torch.no_grad():
        for each in model.parameters():
            each[(each.abs() < each.abs().median())] = 0
    return Batch(masked(model, lambda weight: weight != 0), floats(96, 12), labels(4, 96))


def in_float16(kind, **options):
    """A text model in float16; words that do not occur have a gradient of exactly zero."""
    model = nn.Sequential(nn.EmbeddingBag(50, 16), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)).half()
    settings = {
        "loss_fn": lambda out, y: F.cross_entropy(out.float(), y),
        "optimizer": kind(model.parameters(), **options),
    }
    return Batch(model, torch.randint(0, 30, (32, 4)), labels(3, 32), settings)


@fault("afiaka87/glide-finetune#6", "half precision", "ZI013", "0.weight", "eps of 1e-08 is 0 in float16")
def adam_in_float16():
    return in_float16(torch.optim.Adam, lr=1e-3)


@fault("own", "half precision", "ZI013", "0.weight", "Give the optimizer `eps=1e-4`")
def rmsprop_in_float16():
    return in_float16(torch.optim.RMSprop, lr=1e-3)


@healthy("own", "half precision")
def adam_in_float16_with_a_larger_epsilon():
    return in_float16(torch.optim.Adam, lr=1e-3, eps=1e-4)


@healthy("own", "half precision")
def momentum_in_float16():
    return in_float16(torch.optim.SGD, lr=0.1, momentum=0.9)


@fault("meta-pytorch/torchtune#2254", "half precision", "ZI020", "0.weight", "% of the values of")
def most_values_stand_still_in_bfloat16():
    """Nearly all values of most parameters stand still at a small rate, not all of them in any matrix."""
    layers = nn.Embedding(20, 32), nn.Flatten(), nn.Linear(96, 32), nn.LayerNorm(32), nn.SiLU(), nn.Linear(32, 5)
    model = nn.Sequential(*layers).bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-5, weight_decay=0.0)
    settings = {"loss_fn": lambda out, y: F.cross_entropy(out.float(), y), "optimizer": optimizer}
    return Batch(model, torch.randint(0, 20, (64, 3)), labels(5, 64), settings)


def factored(std, **options):
    """Two linear maps whose matrices are products."""

    class Product(nn.Module):
        """A linear map whose matrix is a product of three."""

        def __init__(self):
            super().__init__()
            self.cores = nn.ParameterList(torch.randn(16, 16) * std for _ in range(3))
            self.bias = nn.Parameter(torch.zeros(16))

        def forward(self, x):
            first, second, third = self.cores
            return x @ first @ second @ third + self.bias

    model = nn.Sequential(Product(), nn.Tanh(), Product(), nn.Tanh(), nn.Linear(16, 4))
    optimizer = options.pop("kind", torch.optim.SGD)(model.parameters(), **options)
    return Batch(model, floats(96, 16), labels(4, 96), {"optimizer": optimizer})


@healthy("tensorly/torch#1", "slow", "hardly move at this learning rate")
def factors_that_start_tiny():
    """Every factor has a gradient of a millionth of its size: information with the ratio, told first."""
    return factored(0.015, lr=0.1)


@healthy("own", "slow", LEARNS)
def tiny_factors_under_adam():
    return factored(0.015, kind=torch.optim.Adam, lr=1e-3)


@healthy("own", "slow", LEARNS)
def factors_of_a_usual_size():
    return factored(0.25, lr=0.1)


class Agent(nn.Module):
    """Learns values of actions from those of a second network, which the loop copies from the first now and then."""

    def __init__(self):
        super().__init__()
        self.values, self.target = mlp(4, 16, 2), mlp(4, 16, 2)
        self.target.load_state_dict(self.values.state_dict())

    def forward(self, state, action, reward, after):
        return F.mse_loss(self.values(state).gather(1, action).squeeze(1), reward + 0.9 * self.target(after).amax(1))


@healthy("philtabor/Deep-Q-Learning-Paper-To-Code#9", "optimizer", "the optimizer holds no parameter of `target`")
def a_target_network_outside_the_optimizer():
    model = Agent()
    inputs = floats(48, 4), labels(2, 48)[:, None], floats(48), floats(48, 4)
    return Batch(model, inputs, None, {"optimizer": torch.optim.Adam(model.values.parameters())})


@healthy("huggingface/diffusers#5403", "optimizer", "moves 4 of 4 parameters")
def an_adapter_of_a_network_that_is_not_trained():
    body = nn.ModuleDict({"first": nn.Linear(6, 16), "last": nn.Linear(16, 6)})
    model = OneOf(
        lambda m, x, c: m.body["last"](F.silu(m.body["first"](x) + m.adapter(c))), adapter=mlp(6, 8, 16), body=body
    )
    settings = {"optimizer": torch.optim.Adam(model.adapter.parameters())}
    return Batch(model, (floats(32, 6), floats(32, 6)), floats(32, 6), settings)


@fault("own", "optimizer", "ZI018", "2", "does not hold `2.0.weight`, `2.2.weight`")
def a_block_that_was_added_after_the_optimizer_was_made():
    """A link of a chain: its neighbors are trained."""
    model = nn.Sequential(mlp(8, 16, 8), nn.Tanh(), mlp(8, 16, 8), nn.Linear(8, 3))
    optimizer = torch.optim.Adam([*model[0].parameters(), *model[3].parameters()])
    return Batch(model, floats(32, 8), labels(3, 32), {"optimizer": optimizer})


class Policy(nn.Module):
    """A mean and a spread; the spread's logarithm goes through a ReLU, so that it cannot fall below zero."""

    def __init__(self, rectified):
        super().__init__()
        self.body, self.mean, self.spread, self.rectified = (
            nn.Linear(6, 16),
            nn.Linear(16, 2),
            nn.Linear(16, 2),
            rectified,
        )

    def forward(self, state):
        hidden = torch.tanh(self.body(state))
        spread = self.spread(hidden)
        return self.mean(hidden), torch.relu(spread) if self.rectified else spread.clamp(-8, 2)


def likelihood(rectified):
    def loss_fn(output, action):
        mean, spread = output
        return (spread + 0.5 * ((action - mean) / spread.exp()) ** 2).sum(1).mean()

    state = floats(64, 6)
    settings = {"loss_fn": loss_fn, "steps": 60, "learning_rate": 0.01}
    return Batch(Policy(rectified), state, torch.tanh(state[:, :2]) * 0.5, settings)


@fault(
    "sweetice/Deep-reinforcement-learning-with-pytorch#36",
    "died",
    "ZI014",
    "spread",
    "place of the ReLU",
    never="Divide",
)
def a_spread_behind_a_rectifier():
    """No learning rate helps: the ReLU keeps the spread above one."""
    return likelihood(True)


@healthy("own", "died", LEARNS)
def a_spread_that_is_clamped():
    return likelihood(False)
