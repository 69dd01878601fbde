"""Cases of a fourth reader of public reports: made in forward, numbers, precision, frozen adapters, choices."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels

CROSS_ENTROPY = {"loss_fn": nn.CrossEntropyLoss()}


class HeadInForward(nn.Module):
    """Its head is a new layer at each pass, assigned to the module."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv1d(3, 8, 3, padding=1)
        self.out = None

    def forward(self, x):
        h = F.silu(self.features(x)).mean(-1)
        self.out = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 1))
        return self.out(h)


@fault("Project-MONAI/MONAI#8578", "made in forward", "ZI016", "", "`self.out` is assigned inside")
def head_assigned_in_forward():
    model = HeadInForward()
    settings = {"loss_fn": nn.MSELoss(), "optimizer": torch.optim.Adam(model.parameters())}
    return Batch(model, floats(12, 3, 10), floats(12, 1), settings)


@fault("Project-MONAI/MONAI#8578", "made in forward", "ZI016", "out", "`self.out` is assigned inside")
def head_assigned_in_forward_after_a_pass():
    model = HeadInForward()
    model(floats(2, 3, 10))
    return Batch(model, floats(12, 3, 10), floats(12, 1), {"loss_fn": nn.MSELoss()})


class HeadOnce(nn.Module):
    """Its head is made in the first pass, in the size that the features have."""

    def __init__(self):
        super().__init__()
        self.features = nn.Linear(6, 8)
        self.built = False

    def forward(self, x):
        h = F.relu(self.features(x))
        if not self.built:
            self.out, self.built = nn.Linear(h.shape[1], 3), True
        return self.out(h)


@fault("own", "made in forward", "ZI016", "", "in the first pass, so an optimizer made before")
def head_made_in_the_first_pass():
    return Batch(HeadOnce(), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "made in forward")
def head_made_in_a_pass_before():
    model = HeadOnce()
    model(floats(2, 6))
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "made in forward")
def weights_tied_in_forward():
    def run(self, x):
        self.back.weight = self.there.weight
        return self.back(F.relu(self.there(x)))

    model = OneOf(run, there=nn.Linear(8, 8), back=nn.Linear(8, 8))
    model.back.weight = model.there.weight
    return Batch(model, floats(16, 8), floats(16, 8))


@fault(
    "RasmussenLab/vamb#12",
    "NaN",
    "ZI013",
    "",
    "in float32 alone: the log in",
    never="too large",
)
def log_of_a_softmax_gone_to_zero():
    """Cross entropy by hand: 0 times the logarithm of 0. In float64 nothing of it shows."""
    torch.manual_seed(1)

    def run(self, depths):
        return -(depths * torch.log(torch.softmax(self.decoder(self.encoder(depths)), -1))).sum(-1).mean()

    model = OneOf(run, encoder=nn.Sequential(nn.Linear(8, 16), nn.ReLU()), decoder=nn.Linear(16, 8))
    with torch.no_grad():
        model.decoder.weight.mul_(500)
    x = torch.rand(32, 8) * (torch.rand(32, 8) < 0.5)
    return Batch(model, x, None, {"loss_fn": lambda loss: loss})


@fault("own", "NaN", "ZI013", "", "because the sigmoid in `OneOf.forward` is rounded to 1")
def log_of_one_minus_a_sigmoid():
    model = OneOf(lambda self, x: -torch.log(1 - torch.sigmoid(self.net(x))).mean(), net=nn.Linear(8, 1))
    return Batch(model, floats(64, 8) * 300, None, {"loss_fn": lambda loss: loss})


@healthy("own", "NaN")
def log_softmax_of_large_scores():
    model = OneOf(lambda self, x, y: -(y * F.log_softmax(self.net(x), -1)).sum(-1).mean(), net=nn.Linear(8, 5))
    y = F.one_hot(labels(5, 16), 5).float()
    return Batch(model, (floats(16, 8) * 300, y), None, {"loss_fn": lambda loss: loss})


@fault("pyg-team/pytorch_geometric#500", "NaN", "ZI013", "", "the exp in", never="too large")
def log_variance_of_raw_features():
    """The exponential overflows; the product behind it only makes NaN of two infinities."""

    def run(self, x):
        mean, log_variance = self.mean(self.body(x)), self.log_variance(self.body(x))
        z = mean + torch.randn_like(mean) * log_variance.exp()
        return (z @ z.T).sigmoid().mean() - 0.5 * (1 + 2 * log_variance - mean**2 - log_variance.exp() ** 2).mean()

    model = OneOf(run, body=nn.Linear(12, 16), mean=nn.Linear(16, 4), log_variance=nn.Linear(16, 4))
    return Batch(model, torch.rand(20, 12) * 4000, None, {"loss_fn": lambda loss: loss})


@fault("own", "NaN", "ZI013", "", "Normalize the inputs, which go up to", never="finite numbers")
def two_exponentials_that_overflow():
    model = OneOf(
        lambda self, x: self.out(self.a(x).exp() - 0.5 * self.a(x).exp()), a=nn.Linear(8, 5), out=nn.Linear(5, 3)
    )
    return Batch(model, floats(16, 8) * 3000, labels(3, 16), CROSS_ENTROPY)


class Temperature(nn.Module):
    """Scores of one positive and padded negatives, over a learned temperature."""

    def __init__(self, is_masked_first):
        super().__init__()
        self.query, self.temperature = nn.Linear(12, 16), nn.Parameter(torch.tensor(0.2))
        self.is_masked_first = is_masked_first

    def forward(self, query, documents, valid):
        scores = torch.einsum("bd,bnd->bn", self.query(query), documents) / 4
        if self.is_masked_first:
            return scores.masked_fill(~valid, float("-inf")) / self.temperature
        return (scores / self.temperature).masked_fill(~valid, float("-inf"))


def retrieved(is_masked_first):
    valid = torch.arange(6) < labels(5, 16)[:, None] + 1
    batch = (floats(16, 12), floats(16, 6, 16), valid)
    return Batch(Temperature(is_masked_first), batch, torch.zeros(16, dtype=torch.long), CROSS_ENTROPY)


@fault("NVIDIA-NeMo/Automodel#3850", "NaN", "ZI013", "", "Divide first and mask afterwards", never="overflows")
def masked_before_a_learned_temperature():
    return retrieved(True)


@healthy("NVIDIA-NeMo/Automodel#3850", "NaN")
def masked_behind_a_learned_temperature():
    return retrieved(False)


class Characters(nn.Module):
    """Reads characters off a strip."""

    def __init__(self, stride):
        super().__init__()
        self.strip, self.out = nn.Conv1d(4, 8, 3, stride=stride), nn.Linear(8, 11)

    def forward(self, x):
        return F.log_softmax(self.out(self.strip(x).permute(2, 0, 1)), -1)


def ctc(scores, targets):
    steps = torch.full((scores.shape[1],), scores.shape[0])
    return F.ctc_loss(scores, targets, steps, torch.full((len(targets),), targets.shape[1]))


@fault("ypwhs/captcha_break#29", "NaN", "ZI013", "", "has 3 time steps for a target of 4 labels")
def fewer_steps_than_characters():
    return Batch(Characters(4), floats(6, 4, 12), torch.randint(1, 11, (6, 4)), {"loss_fn": ctc})


@fault("own", "NaN", "ZI013", "", "one more where it is repeated")
def a_repeated_character_without_a_step_between():
    return Batch(Characters(3), floats(6, 4, 12), torch.tensor([[3, 3, 3, 3]] * 6), {"loss_fn": ctc})


@healthy("own", "NaN")
def more_steps_than_characters():
    return Batch(Characters(1), floats(6, 4, 12), torch.randint(1, 11, (6, 4)), {"loss_fn": ctc})


class HandWritten(nn.Module):
    """Attention that masks what is padding."""

    def __init__(self, fill):
        super().__init__()
        self.table, self.key, self.fill = nn.Embedding(20, 8), nn.Linear(8, 8), fill

    def forward(self, tokens):
        x = self.table(tokens)
        scores = (x @ self.key(x).mT).masked_fill((tokens == 0)[:, None], self.fill)
        return (torch.softmax(scores, -1) @ x).mean(1)


def padded(fill):
    tokens = torch.randint(1, 20, (8, 6))
    tokens[1, 3:], tokens[2] = 0, 0
    return Batch(HandWritten(fill), tokens, labels(8, 8), CROSS_ENTROPY)


@fault("sooftware/kospeech#37", "NaN", "ZI013", "", "`scores.masked_fill(mask, -1e9)`")
def an_input_of_padding_alone():
    return padded(float("-inf"))


@healthy("sooftware/kospeech#37", "NaN")
def an_input_of_padding_alone_and_a_finite_mask():
    return padded(-1e9)


def in_bfloat16(rate, shift=0.0, kind=torch.optim.AdamW):
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(shift)
    model.bfloat16()
    settings = CROSS_ENTROPY | {"optimizer": kind(model.parameters(), lr=rate)}
    return Batch(model, floats(16, 16).bfloat16(), labels(3, 16), settings)


@fault(
    "pytorch/ao#1124",
    "precision",
    "ZI020",
    "0.weight",
    "of the values of the 4 trained parameters do not move: updates at learning rate 1e-05 are smaller",
    never="ok optimizer",
)
def small_updates_in_bfloat16():
    return in_bfloat16(1e-5)


@fault("own", "precision", "ZI020", "0.weight", "Every update of", never="ok loss")
def small_updates_of_weights_of_one_in_bfloat16():
    return in_bfloat16(1e-5, shift=1.0)


@healthy("pytorch/ao#1124", "precision")
def updates_in_bfloat16_at_a_usual_rate():
    return in_bfloat16(1e-3)


@healthy("own", "precision")
def plain_descent_in_bfloat16():
    return in_bfloat16(0.1, kind=torch.optim.SGD)


class RoundedAtRandom(torch.optim.AdamW):
    """Stands for an optimizer that rounds at random, so that small updates are not lost on average."""


@healthy("pytorch/ao#1124", "precision")
def small_updates_that_are_rounded_at_random():
    return in_bfloat16(1e-5, kind=RoundedAtRandom)


class Adapted(nn.Module):
    """A dense layer with an adapter, under the names that PEFT gives."""

    def __init__(self, layer):
        super().__init__()
        self.base_layer = layer.requires_grad_(False)
        self.lora_A, self.lora_B = (
            nn.Linear(layer.in_features, 2, bias=False),
            nn.Linear(2, layer.out_features, bias=False),
        )
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


def classified(learns):
    """A pretrained model with adapters: which of them and of its head learn."""
    model = OneOf(
        lambda self, x: self.score(F.gelu(self.up(x)) @ self.back.weight),
        up=Adapted(nn.Linear(8, 16)),
        back=nn.Linear(8, 16),
        score=nn.Linear(8, 3),
    )
    for module in (model.up.base_layer, model.back, model.score):
        nn.init.normal_(module.weight, std=0.3)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in learns))
    return Batch(model, floats(16, 8), labels(3, 16), CROSS_ENTROPY)


@fault("axolotl-ai-cloud/axolotl#1188", "frozen", "ZI012", "up.lora_A", "so the adapters do nothing")
def adapters_frozen_with_the_rest():
    return classified(("score",))


@healthy("huggingface/peft#876", "frozen", "and the head `score` is frozen. ")
def a_frozen_head_behind_adapters():
    """Whether it was trained before cannot be seen; it is named."""
    return classified(("lora_",))


@healthy("huggingface/peft#876", "frozen")
def adapters_and_head_learn():
    return classified(("lora_", "score"))


@healthy("own", "frozen", "This layer has the values that PyTorch draws in a new one")
def a_new_layer_frozen():
    """A table that was trained is frozen, and a new projection behind it with it."""
    table = nn.Sequential(nn.Embedding(30, 8), nn.Linear(8, 16)).requires_grad_(False)
    model = nn.Sequential(table, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    return Batch(model, labels(30, 16, 4), labels(3, 16), CROSS_ENTROPY)


def chosen_by(how):
    """A graph's nodes are chosen by their scores."""

    def run(self, x):
        h = F.relu(self.body(x))
        values, at = self.score(h).squeeze(-1).topk(3, dim=1) if how != "sort" else self.score(h).squeeze(-1).sort(1)
        kept = h.gather(1, at[:, :3, None].expand(-1, -1, 8))
        return self.out((kept * values[..., None].sigmoid() if how == "gated" else kept).mean(1))

    model = OneOf(run, body=nn.Linear(8, 8), score=nn.Linear(8, 1), out=nn.Linear(8, 3))
    return Batch(model, floats(16, 6, 8), labels(3, 16), CROSS_ENTROPY)


@fault(
    "pytorch/pytorch#40983",
    "choice",
    "ZI009",
    "score",
    "topk in `OneOf.forward` hands on its indices",
    never=".numpy()",
)
def nodes_chosen_by_topk():
    return chosen_by("topk")


@fault("own", "choice", "ZI009", "score", "sort in `OneOf.forward` hands on its indices")
def nodes_chosen_by_sorting():
    return chosen_by("sort")


@healthy("pytorch/pytorch#40983", "choice")
def nodes_chosen_by_topk_and_gated():
    return chosen_by("gated")


def with_image(write):
    """Features of an image take the place of a token."""

    def run(self, tokens, image):
        h = self.table(tokens)
        h = write(h, self.image(image))
        return self.out(h.mean(1))

    model = OneOf(run, table=nn.Embedding(10, 8), image=nn.Linear(6, 8), out=nn.Linear(8, 3))
    return Batch(model, (labels(10, 16, 4), floats(16, 6)), labels(3, 16), CROSS_ENTROPY)


WRITTEN = "are written through `.data` in `OneOf.forward`"


@fault("QwenLM/Qwen-VL#124", "written", "ZI009", "image", WRITTEN, never="could not be seen")
def an_image_written_through_data():
    def write(h, image):
        h.data[:, 0] = image.data
        return h

    return with_image(write)


@fault("own", "written", "ZI009", "image", WRITTEN)
def an_image_copied_into_data():
    def write(h, image):
        h.data[:, 0].copy_(image)
        return h

    return with_image(write)


@fault("own", "written", "ZI009", "image", WRITTEN)
def data_put_in_the_place_of_values():
    def write(h, image):
        other = torch.zeros_like(image)
        other.data = image.data
        return h + other[:, None]

    return with_image(write)


@healthy("QwenLM/Qwen-VL#124", "written")
def an_image_written_into_a_copy():
    def write(h, image):
        h = h.clone()
        h[:, 0] = image
        return h

    return with_image(write)


class Owned(nn.Module):
    """A dense layer that multiplies by the data of its weight."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)

    def forward(self, x):
        return F.relu(x @ self.weight.data)


@fault("d2l-ai/d2l-en#2600", "counts", "ZI009", "0", "2 of 4 parameters will not learn")
def two_layers_that_use_data():
    """Two causes with one parameter each: the headline counts both."""
    return Batch(
        nn.Sequential(Owned(8, 16), Owned(16, 16), nn.Linear(16, 3)), floats(16, 8), labels(3, 16), CROSS_ENTROPY
    )


class Nested(nn.Module):
    """Layers in lists of lists, or in a dictionary of lists."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.out = layers, nn.Linear(8, 3)

    def forward(self, x):
        for each in self.layers.values() if hasattr(self.layers, "values") else self.layers:
            for layer in each:
                x = layer(x)
        return self.out(x)


@fault("pytorch/pytorch#715", "list", "ZI016", "", "nn.ModuleList(nn.ModuleList(each) for each in self.layers)")
def layers_in_a_list_of_lists():
    layers = [[nn.Linear(8, 8), nn.ReLU()] for _ in range(2)]
    return Batch(Nested(layers), floats(16, 8), labels(3, 16), CROSS_ENTROPY)


@fault("own", "list", "ZI016", "", "nn.ModuleDict({name: nn.ModuleList(each) for name, each in self.layers.items()})")
def layers_in_a_dictionary_of_lists():
    return Batch(Nested({"first": [nn.Linear(8, 8), nn.ReLU()]}), floats(16, 8), labels(3, 16), CROSS_ENTROPY)


@healthy("pytorch/pytorch#715", "list")
def layers_in_registered_lists():
    layers = nn.ModuleList(nn.ModuleList([nn.Linear(8, 8), nn.ReLU()]) for _ in range(2))
    return Batch(Nested(layers), floats(16, 8), labels(3, 16), CROSS_ENTROPY)


@healthy("junyanz/pytorch-CycleGAN-and-pix2pix#651", "norm", "An instance norm behind it removes")
def a_bias_before_an_instance_norm():
    layers = nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    return Batch(nn.Sequential(*layers), floats(8, 1, 8, 8), labels(3, 8), CROSS_ENTROPY)


@healthy("own", "norm", "The batch norm in `1` removes")
def a_bias_before_a_batch_norm_of_one_image():
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    return Batch(nn.Sequential(*layers), floats(1, 1, 8, 8), labels(3, 1), CROSS_ENTROPY)


class Residual(nn.Module):
    """Two layers without a condition."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return x + self.second(F.relu(self.first(x)))


class Fusion(nn.Module):
    """Fuses with a residual if there is one."""

    def __init__(self):
        super().__init__()
        self.side, self.main = Residual(), Residual()

    def forward(self, x, residual=None):
        return self.main(x if residual is None else x + self.side(residual))


class Fused(nn.Module):
    """The first fusion gets no residual."""

    def __init__(self):
        super().__init__()
        self.start, self.more, self.out = Fusion(), Fusion(), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.more(self.start(x), x))


@healthy("huggingface/transformers#30633", "condition", "`Fusion` uses")
def a_residual_that_the_first_stage_does_not_get():
    return Batch(Fused(), floats(16, 8), labels(3, 16), CROSS_ENTROPY)


class Target(nn.Module):
    """Its target is a frozen copy that the first pass makes."""

    def __init__(self):
        super().__init__()
        self.online, self.head, self.target = nn.Linear(8, 8), nn.Linear(8, 8), None

    def forward(self, a, b):
        if self.target is None:
            self.target = copy.deepcopy(self.online).requires_grad_(False)
        with torch.no_grad():
            goal = self.target(b)
        return F.mse_loss(self.head(self.online(a)), goal)


@healthy("lucidrains/byol-pytorch#89", "made in forward")
def a_frozen_copy_made_in_the_first_pass():
    return Batch(Target(), (floats(16, 8), floats(16, 8)), None, {"loss_fn": lambda loss: loss})
