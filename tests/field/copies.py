"""Copies made on the way, masks, batches of one, far inputs, slopes at the edge: further models of our own."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels


def adapted(by_copy: bool) -> Batch:
    """One inner update, on a copy or by arithmetic, before the outer loss."""

    def run(m, x, y):
        if by_copy:
            inner = copy.deepcopy(m.inner)
            slopes = torch.autograd.grad(F.mse_loss(inner(x), y), list(inner.parameters()), create_graph=True)
            for parameter, slope in zip(inner.parameters(), slopes, strict=True):
                parameter.data -= 0.1 * slope
            return inner(x)
        own = dict(m.inner.named_parameters())
        loss = F.mse_loss(torch.func.functional_call(m.inner, own, x), y)
        slopes = torch.autograd.grad(loss, list(own.values()), create_graph=True)
        moved = {name: each - 0.1 * slope for (name, each), slope in zip(own.items(), slopes, strict=True)}
        return torch.func.functional_call(m.inner, moved, x)

    x = floats(10, 2)
    model = OneOf(run, inner=nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)))
    return Batch(model, (x, x.sum(1, keepdim=True)), x.prod(1, keepdim=True))


@fault("own", "copies made on the way", "ZI009", "inner.0", "`copy.deepcopy` in `OneOf.forward` makes copies")
def an_inner_update_on_a_copy():
    return adapted(True)


@healthy("own", "copies made on the way")
def an_inner_update_by_arithmetic():
    return adapted(False)


@healthy("own", "copies made on the way")
def a_snapshot_that_teaches():
    """The copy is a teacher; the original learns."""

    def run(m, x):
        with torch.no_grad():
            taught = copy.deepcopy(m.inner)(x)
        return m.inner(x) - 0.5 * taught

    return Batch(OneOf(run, inner=nn.Linear(4, 3)), floats(16, 4), labels(3, 16))


class Edges(nn.Module):
    """Attention over learned edges, which are a mask or a factor."""

    def __init__(self, as_mask: bool):
        super().__init__()
        self.as_mask, self.nodes = as_mask, nn.Parameter(torch.randn(6, 4))
        self.query, self.key, self.value = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, 3)

    def forward(self, x):
        edges = torch.sigmoid(self.nodes @ self.nodes.T)
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        hidden = ~((edges > 0.5) | torch.eye(6, dtype=torch.bool))
        scores = scores.masked_fill(hidden, -torch.inf) if self.as_mask else scores + edges.log()
        return (scores.softmax(-1) @ self.value(x)).mean(1)


@fault("own", "masks", "ZI009", "nodes", "The comparison in `Edges.forward` returns whole numbers or truth values")
def edges_that_are_a_mask_alone():
    return Batch(Edges(True), floats(8, 6, 5), labels(3, 8))


@healthy("own", "masks")
def edges_that_are_added_to_scores():
    return Batch(Edges(False), floats(8, 6, 5), labels(3, 8))


def contrasted(examples: int) -> Batch:
    def loss(found, values):
        return F.cross_entropy(-(found - values.T).square(), torch.arange(len(found)))

    return Batch(nn.Linear(4, 1), floats(examples, 4), floats(examples, 1), {"loss_fn": loss})


@fault("own", "batches of one", "ZI007", "", "because the batch has one example")
def examples_that_are_the_classes():
    return contrasted(1)


@healthy("own", "batches of one")
def two_examples_that_are_the_classes():
    return contrasted(2)


def far(away: float) -> Batch:
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
    return Batch(model, away * torch.tensor([420.0, 4400.0]) + 300 ** (away > 0) * floats(32, 2), labels(3, 32))


@fault("own", "far inputs", "ZI008", "0", "(x - x.mean(0)) / x.std(0)")
def coordinates_far_from_zero():
    return far(1000.0)


@healthy("own", "far inputs")
def coordinates_around_zero():
    return far(0.0)


def turned(angle: float) -> Batch:
    """The angle of a rotation whose cosine is 1 at the start."""
    turn = nn.Linear(4, 2, bias=False)
    nn.init.zeros_(turn.weight)
    model = OneOf(lambda m, x: m.head(torch.acos(F.normalize(m.turn(x) + m.start, dim=1))), turn=turn,
                  head=nn.Linear(2, 3))  # fmt: skip
    model.start = torch.tensor([1.0, angle])
    return Batch(model, floats(16, 4), labels(3, 16))


@fault("own", "slopes at the edge", "ZI013", "", "has no finite slope at 1 and -1, and its argument is there")
def an_arc_cosine_of_one():
    return turned(0.0)


@healthy("own", "slopes at the edge")
def an_arc_cosine_of_less():
    return turned(0.5)


@fault("own", "slopes at the edge", "ZI013", "", "in float32 alone: the angle in `OneOf.forward`")
def the_phase_of_silence():
    """Squares of 1e-30 are zero in float32."""

    def run(m, x):
        found = m.filter(x)
        return m.head(torch.angle(torch.complex(found[:, :4], found[:, 4:])))

    return Batch(OneOf(run, filter=nn.Linear(6, 8, bias=False), head=nn.Linear(4, 3)), 1e-30 * floats(16, 6),
                 labels(3, 16))  # fmt: skip


@healthy("own", "cancels by design")
def ranked_pairs_of_a_user():
    """What a user adds to both scores cancels."""

    def run(m, user, one, other):
        scores = [(m.users(user) * m.items(item)).sum(1) + m.taste(user).squeeze(1) for item in (one, other)]
        return F.softplus(scores[1] - scores[0]).mean()

    model = OneOf(run, users=nn.Embedding(6, 4), items=nn.Embedding(9, 4), taste=nn.Embedding(6, 1))
    return Batch(model, (labels(6, 40), labels(9, 40), labels(9, 40)))


@healthy("own", "distributions on the model")
def noise_from_a_distribution_on_the_model():
    """A copy of it by torch itself has lost its inverse."""
    model = OneOf(lambda m, x: m.head(m.body(x) + m.noise.sample((len(x), 5))), body=nn.Linear(4, 5),
                  head=nn.Linear(5, 3))  # fmt: skip
    model.noise = torch.distributions.Gumbel(torch.tensor(0.0), torch.tensor(1.0))
    return Batch(model, floats(16, 4), labels(3, 16))


@healthy("own", "counted steps", "2 later")
def a_body_that_is_detached_for_ten_steps():
    """What counts its own passes is put back between looks, and looked at for longer."""

    def run(m, x):
        m.num_passes += 1
        found = m.body(x)
        return m.head(torch.relu(found.detach() if m.num_passes <= 10 else found))

    model = OneOf(run, body=nn.Linear(6, 16), head=nn.Linear(16, 3))
    model.num_passes = 0
    return Batch(model, floats(16, 6), labels(3, 16))


@fault("own", "masks", "ZI007", "", "No example of this batch is left for the sum in the loss")
def pairs_of_which_none_counts():
    def loss(found, values):
        far = (found - values).square()
        return far[far > 1e6].sum()

    return Batch(nn.Linear(4, 1), floats(16, 4), floats(16, 1), {"loss_fn": loss})


@fault("own", "copies made on the way", "ZI009", "wave.0", "The stft in `OneOf.forward` runs under no_grad")
def a_spectrum_without_a_gradient():
    def run(m, x):
        wave = m.wave(x)
        with torch.no_grad():
            spectrum = torch.stft(wave, 32, 16, window=torch.hann_window(32), return_complex=True).abs()
        return m.head(spectrum.mean(2))

    return Batch(
        OneOf(run, wave=nn.Sequential(nn.Linear(5, 64), nn.Tanh()), head=nn.Linear(17, 3)), floats(8, 5), labels(3, 8)
    )


@healthy("own", "masks")
def a_sparse_adjacency_among_the_inputs():
    model = OneOf(lambda m, x, edges: torch.sparse.mm(edges, m.body(x)), body=nn.Linear(4, 3))
    edges = (torch.eye(6) + torch.ones(6, 6).triu()).to_sparse()
    return Batch(model, (floats(6, 4), edges), labels(3, 6))
