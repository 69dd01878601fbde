"""NaN and infinity, batches that say nothing, and precision that swallows updates."""

import torch
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp, zeroed
from .zeros import Adapter, Attention


@fault("pytorch/pytorch#19126, openai/weightnorm#4", "NaN", "ZI013", "2", "by its norm, which is zero")
def weight_norm_of_a_zero_weight():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.utils.parametrizations.weight_norm(zeroed(nn.Linear(16, 5))))
    return Batch(model, floats(16, 8), labels(5, 16))


@fault("own", "NaN", "ZI013", "", "square root in")
def distance_to_itself():
    """The root is finite at zero, its slope is not."""
    model = OneOf(
        lambda m, x: m.head(m.a(x).square().sum(1, keepdim=True).sqrt()),
        a=zeroed(nn.Linear(8, 8)),
        head=nn.Linear(1, 3),
    )
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "NaN", "ZI013", "", "softmax in")
def a_row_in_which_every_key_is_masked():
    def run(m, x, keep):
        scores = (m.q(x) @ m.k(x).transpose(1, 2)).masked_fill(~keep[:, None], float("-inf"))
        return m.head((scores.softmax(-1) @ x).mean(1))

    keep = torch.ones(4, 5, dtype=torch.bool)
    keep[2] = False
    model = OneOf(run, q=nn.Linear(6, 6), k=nn.Linear(6, 6), head=nn.Linear(6, 3))
    return Batch(model, (floats(4, 5, 6), keep), labels(3, 4))


@healthy("own", "NaN")
def rows_in_which_some_keys_are_masked():
    def run(m, x, keep):
        scores = (m.q(x) @ m.k(x).transpose(1, 2)).masked_fill(~keep[:, None], float("-inf"))
        return m.head((scores.softmax(-1) @ x).mean(1))

    keep = torch.ones(4, 5, dtype=torch.bool)
    keep[2, 2:] = False
    return Batch(
        OneOf(run, q=nn.Linear(6, 6), k=nn.Linear(6, 6), head=nn.Linear(6, 3)), (floats(4, 5, 6), keep), labels(3, 4)
    )


@fault("own", "NaN", "ZI013", "", "is of zero")
def logarithm_of_a_rectified_output():
    return Batch(OneOf(lambda m, x: torch.relu(m.net(x)).log(), net=mlp(8, 16, 3)), floats(16, 8), floats(16, 3))


@fault("own", "NaN", "ZI013", "", "divides by zero")
def examples_scaled_by_their_own_norm():
    model = OneOf(lambda m, x: m.head(x / x.norm(dim=1, keepdim=True)), head=nn.Linear(8, 3))
    x = floats(16, 8)
    x[3] = 0
    return Batch(model, x, labels(3, 16))


@fault("own", "NaN", "ZI013", "", "is over a single value")
def standard_deviation_of_one_example():
    model = OneOf(lambda m, x: m.head((x - x.mean(0)) / (x.std(0) + 1e-5)), head=nn.Linear(8, 3))
    return Batch(model, floats(1, 8), labels(3, 1))


@fault("own", "NaN", "ZI013", "", "The batch holds values that are not finite")
def a_batch_with_a_missing_value():
    x = floats(16, 8)
    x[2, 3] = float("nan")
    return Batch(mlp(8, 16, 3), x, labels(3, 16))


@healthy("own", "NaN")
def a_norm_with_something_added():
    model = OneOf(
        lambda m, x: m.head(m.a(x) / (m.a(x).norm(dim=1, keepdim=True) + 1e-6)), a=nn.Linear(8, 8), head=nn.Linear(8, 3)
    )
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "labels", "ZI013", "", "every label is -100")
def labels_that_are_all_ignored():
    model = OneOf(lambda m, i: m.head(m.emb(i)), emb=nn.Embedding(20, 8), head=nn.Linear(8, 20))
    return Batch(model, labels(20, 4, 6), torch.full((4, 6), -100))


@healthy("own", "labels")
def labels_of_which_some_are_ignored():
    model = OneOf(lambda m, i: m.head(m.emb(i)), emb=nn.Embedding(20, 8), head=nn.Linear(8, 20))
    targets = labels(20, 4, 6)
    targets[:, :3] = -100
    return Batch(model, labels(20, 4, 6), targets)


@fault("own", "batch", "ZI007", "0", "The batch is the reason")
def a_batch_of_zeros():
    return Batch(mlp(8, 16, 3), torch.zeros(8, 8), labels(3, 8))


@fault("own", "batch", "ZI007", "0", "The batch is the reason")
def images_of_zeros():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 4))
    return Batch(model, torch.zeros(4, 3, 8, 8), labels(4, 4))


@healthy("own", "batch", "all 16 labels are 1")
def a_batch_of_one_class():
    return Batch(mlp(8, 16, 3), floats(16, 8), torch.ones(16, dtype=torch.long))


@fault("tensorflow/tensorflow#38248", "sequence of one", "ZI007", "lstm", "Only the first step of each sequence")
def sequences_of_one_step():
    model = OneOf(
        lambda m, x: m.head(m.lstm(x[:, None])[0][:, 0]), lstm=nn.LSTM(8, 12, batch_first=True), head=nn.Linear(12, 3)
    )
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "sequence of one", "ZI007", "cell", "the state in front of it is zero")
def a_cell_that_is_called_once():
    model = OneOf(lambda m, x: m.head(m.cell(x)), cell=nn.GRUCell(8, 12), head=nn.Linear(12, 3))
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("tensorflow/tensorflow#38248", "sequence of one")
def sequences_of_two_steps():
    model = OneOf(
        lambda m, x: m.head(m.lstm(x.view(16, 2, 4))[0][:, -1]),
        lstm=nn.LSTM(4, 12, batch_first=True),
        head=nn.Linear(12, 3),
    )
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "precision", "ZI109")
def norm_weights_of_one_in_bfloat16():
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3)).to(torch.bfloat16)
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "precision")
def adapters_on_a_bfloat16_model():
    model = nn.Sequential(Adapter(8, 16), nn.LayerNorm(16).requires_grad_(False), nn.ReLU(), Adapter(16, 3)).to(
        torch.bfloat16
    )
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "batch", "ZI007", "block.q", "all values in it are the same")
def tokens_that_are_all_the_same():
    model = OneOf(
        lambda m, i: m.head(m.block(m.emb(i)).mean(1)),
        emb=nn.Embedding(20, 16),
        block=Attention(),
        head=nn.Linear(16, 3),
    )
    return Batch(model, torch.full((8, 5), 3), labels(3, 8))


@fault("own", "NaN", "ZI013", "attend", "every key is masked")
def an_example_that_is_all_padding():
    padding = torch.zeros(4, 5, dtype=torch.bool)
    padding[1] = True
    model = OneOf(
        lambda m, x, p: m.head(m.attend(x, x, x, key_padding_mask=p)[0].mean(1)),
        attend=nn.MultiheadAttention(8, 2, batch_first=True), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, (floats(4, 5, 8), padding), labels(3, 4))


@fault("own", "NaN", "ZI013", "", "is of a negative number")
def root_of_a_negative_number_behind_a_where():
    def run(m, x):
        out = m.net(x)
        return torch.where(out > 0, out.sqrt(), torch.zeros_like(out))

    return Batch(OneOf(run, net=mlp(8, 16, 3)), floats(16, 8), floats(16, 3))
