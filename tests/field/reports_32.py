"""Cases of a further reader: gates at exactly zero, several results dropped at once, a choice among equal slots."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp, zeroed


class Coupling(nn.Module):
    def __init__(self, hands_on):
        super().__init__()
        self.pre, self.enc, self.post, self.hands_on = nn.Linear(4, 16), mlp(16, 16, 16), nn.Linear(16, 4), hands_on

    def forward(self, x):
        first, second = x.chunk(2, 1)
        moved = torch.cat([first, self.post(self.enc(self.pre(first))) + second], 1).flip(1)
        return moved if self.hands_on else x.flip(1)


def flow(hands_on):
    def forward(self, x):
        z = self.embed(x)
        for each in self.flows:
            z = each(z)
        return self.out(z)

    flows = nn.ModuleList(part for _ in range(2) for part in (Coupling(hands_on), nn.Identity()))
    return Batch(OneOf(forward, embed=nn.Linear(6, 8), flows=flows, out=nn.Linear(8, 3)), floats(32, 6), labels(3, 32))


@fault(
    "p0p4k/vits2_pytorch#45",
    "several results dropped",
    "ZI010",
    "flows.0.pre",
    "and 13 more never get a gradient. What `flows.*.post` compute is thrown away.",
)
def results_of_all_couplings_dropped():
    return flow(hands_on=False)


@healthy("p0p4k/vits2_pytorch#45", "several results dropped")
def results_of_all_couplings_handed_on():
    return flow(hands_on=True)


def domains(activation, second_zero=False):
    def forward(self, x, domain):
        gate = torch.softmax(activation(self.gate(self.domain(domain))), -1)
        experts = torch.stack([each(x) for each in self.experts], 1)
        return self.out((gate.unsqueeze(-1) * experts).sum(1))

    experts = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.Tanh()) for _ in range(4))
    model = OneOf(forward, domain=zeroed(nn.Embedding(3, 8)), gate=nn.Linear(8, 4), experts=experts)
    model.out = nn.Linear(16, 3)
    nn.init.zeros_(model.gate.bias)
    if second_zero:
        nn.init.zeros_(model.gate.weight)
    return Batch(model, (floats(64, 8), labels(3, 64)), labels(3, 64))


@fault(
    "mrchor/HiNet#1",
    "gate at zero",
    "ZI008",
    "gate.weight",
    "is off for every input of the batch, since `domain.weight` starts at zero.",
    never="ZI006",
)
def a_gate_that_is_zero_by_its_embedding():
    return domains(torch.relu)


@fault("own", "gate at zero", "ZI006", "gate.weight", "`domain.weight` and `gate.weight` both start at zero.")
def an_embedding_and_a_gate_that_are_zero():
    return domains(F.leaky_relu, second_zero=True)


@healthy("mrchor/HiNet#1", "gate at zero")
def a_gate_with_a_slope_at_zero():
    return domains(F.leaky_relu)


def memory(std):
    def forward(self, x):
        h = torch.tanh(self.controller(x))
        key, sharp = self.key(h).split([6, 1], -1)
        shares = torch.softmax(F.softplus(sharp) * F.cosine_similarity(self.slots, key[:, None], -1), -1)
        return self.out(torch.cat([h, shares @ self.slots], -1))

    model = OneOf(forward, controller=nn.Linear(8, 16), key=nn.Linear(16, 7), out=nn.Linear(22, 3))
    model.slots = nn.Parameter(torch.full((12, 6), 0.1) + std * torch.randn(12, 6))
    return Batch(model, floats(32, 8), labels(3, 32))


@fault(
    "snowkylin/ntm#20",
    "equal slots",
    "ZI001",
    "slots",
    "`key.weight` and `key.bias` never get a gradient. `key.weight` and `key.bias` can choose nothing among slices of",
    never="no gradient yet",
    also=("ZI012",),
)
def a_choice_among_equal_slots():
    return memory(0.0)


@healthy("snowkylin/ntm#20", "equal slots")
def a_choice_among_slots():
    return memory(0.5)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.node, self.edge = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, nodes, edges):
        return nodes + torch.relu(self.node(nodes * edges)), torch.relu(self.edge(edges + nodes))


def two_streams(forward):
    layers = nn.ModuleList(Pair() for _ in range(2))
    return Batch(OneOf(forward, layers=layers, out=nn.Linear(8, 3)), (floats(32, 8), floats(32, 8)), labels(3, 32))


THROWN = "is handed out by `layers.{}` and thrown away in `OneOf.forward`."


@healthy("open-mmlab/mmocr#1122", "edges dropped", THROWN.format(0))
def edges_of_the_first_layer_that_are_overwritten():
    def forward(self, nodes, edges):
        for layer in self.layers:
            nodes, last = layer(nodes, edges)
        return self.out(nodes + last)

    return two_streams(forward)


@healthy("own", "edges dropped", "2 compute what is thrown away.")
def edges_of_the_last_layer_that_nothing_reads():
    def forward(self, nodes, edges):
        for layer in self.layers:
            nodes, edges = layer(nodes, edges)
        return self.out(nodes)

    return two_streams(forward)


@healthy("own", "edges dropped", "2 are not used for this batch and loss.")
def edges_of_the_last_layer_that_are_kept():
    def forward(self, nodes, edges):
        for layer in self.layers:
            nodes, edges = layer(nodes, edges)
        self.edges = edges
        return self.out(nodes)

    return two_streams(forward)


@healthy("own", "edges dropped", "2 are not used for this batch and loss.")
def edges_of_the_last_layer_of_which_something_is_kept():
    def forward(self, nodes, edges):
        for layer in self.layers:
            nodes, edges = layer(nodes, edges)
        self.edges = edges + 1
        return self.out(nodes)

    return two_streams(forward)


class First(nn.Module):
    def forward(self, pair):
        return pair[0]


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.node, self.edge = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        return self.node(x), self.edge(x)


@healthy("own", "edges dropped", "2 are not used for this batch and loss.")
def a_result_that_the_next_module_leaves_out():
    """It is not the ``forward`` of ``Sequential`` that drops it."""
    return Batch(nn.Sequential(Both(), First()), floats(32, 8), labels(3, 32))


@healthy("own", "edges dropped", "2 are not used for this batch and loss.")
def edges_of_the_last_layer_that_another_batch_reads():
    def forward(self, nodes, edges):
        start = nodes.sum()
        for layer in self.layers:
            nodes, edges = layer(nodes, edges)
        return self.out(nodes if start > 0 else nodes + edges)

    batch = two_streams(forward)
    batch.inputs = (batch.inputs[0] + 0.1, batch.inputs[1])
    return batch
