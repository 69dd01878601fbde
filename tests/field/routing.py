"""Mixtures of experts, copies, and parts that a batch or a draw leaves out."""

import copy
import random

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp, zeroed
from .zeros import Attention


class Experts(nn.Module):
    def __init__(self, copies: bool = False, top: int | None = None, renormalize: bool = True, number: int = 4):
        super().__init__()
        first = mlp(12, 16, 12, activation=nn.GELU)
        self.experts = nn.ModuleList(
            copy.deepcopy(first) if copies else mlp(12, 16, 12, activation=nn.GELU) for _ in range(number)
        )
        self.router, self.top, self.renormalize = nn.Linear(12, number, bias=False), top, renormalize

    def forward(self, x):
        shares = self.router(x).softmax(-1)
        if self.top is None:
            return sum(shares[:, at : at + 1] * expert(x) for at, expert in enumerate(self.experts))
        weights, chosen = shares.topk(self.top, -1)
        if self.renormalize:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        out = torch.zeros_like(x)
        for at, expert in enumerate(self.experts):
            rows, slot = (chosen == at).nonzero(as_tuple=True)
            if len(rows):
                out = out.index_add(0, rows, expert(x[rows]) * weights[rows, slot, None])
        return out


def _network(experts: Experts) -> nn.Module:
    return OneOf(
        lambda m, x: m.head(m.inp(x) + m.moe(m.inp(x))), inp=nn.Linear(8, 12), moe=experts, head=nn.Linear(12, 5)
    )


@fault(
    "TsinghuaAI/CPM-2-Pretrain#14",
    "copied experts",
    "ZI004",
    "moe.experts.0.0",
    "are copies of each other",
    also=("ZI012",),
)
def experts_copied_and_the_router_at_zero():
    experts = Experts(copies=True)
    zeroed(experts.router)
    return Batch(_network(experts), floats(64, 8), labels(5, 64))


@healthy("own", "copied experts")
def copied_experts_with_a_random_router():
    return Batch(_network(Experts(copies=True)), floats(64, 8), labels(5, 64))


@healthy("own", "copied experts")
def different_experts_and_the_router_at_zero():
    experts = Experts()
    zeroed(experts.router)
    return Batch(_network(experts), floats(64, 8), labels(5, 64))


def _stacked(number: int, doubled: bool) -> nn.Module:
    def drawn(*shape: int) -> nn.Parameter:
        value = 0.2 * torch.randn(number // 2 if doubled else number, *shape)
        return nn.Parameter(value.repeat(2, *[1] * len(shape)) if doubled else value)

    def run(m, x):
        x = m.inp(x)
        hidden = F.gelu(torch.einsum("bd,ehd->beh", x, m.w1))
        return m.head(x + torch.einsum("be,beh,edh->bd", (x @ m.router.T).softmax(-1), hidden, m.w2))

    return OneOf(run, inp=nn.Linear(8, 12), head=nn.Linear(12, 5), w1=drawn(16, 12), w2=drawn(12, 16), router=drawn(12))


@fault("marin-community/marin#1366", "copied slices", "ZI004", "w1", "They are copies")
def stacked_experts_doubled():
    return Batch(_stacked(4, True), floats(64, 8), labels(5, 64))


@healthy("marin-community/marin#1366", "copied slices")
def stacked_experts_all_different():
    return Batch(_stacked(4, False), floats(64, 8), labels(5, 64))


@fault("jingyaogong/minimind#858", "divided by itself", "ZI012", "moe.router", "The result is always 1")
def the_best_expert_renormalized():
    return Batch(_network(Experts(top=1)), floats(64, 8), labels(5, 64))


@healthy("jingyaogong/minimind#858", "divided by itself")
def the_best_two_experts_renormalized():
    return Batch(_network(Experts(top=2)), floats(64, 8), labels(5, 64))


@healthy("own", "divided by itself")
def the_best_expert_as_it_is():
    return Batch(_network(Experts(top=1, renormalize=False)), floats(64, 8), labels(5, 64))


@fault("own", "divided by itself", "ZI012", "gate", "divides the output of `gate.weight`")
def a_gate_divided_by_its_own_value():
    model = OneOf(
        lambda m, x: m.head(m.body(x) * m.gate(x).exp() / m.gate(x).exp()),
        body=nn.Linear(8, 8), gate=nn.Linear(8, 1, bias=False), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))


def _by_edge_type(types: int) -> nn.Module:
    def run(m, x, edges, kinds):
        nodes = m.inp(x)
        sent = torch.zeros_like(nodes)
        for kind, linear in enumerate(m.linears):
            rows = (kinds == kind).nonzero().squeeze(1)
            if len(rows):
                sent = sent.index_add(0, edges[1][rows], linear(nodes[edges[0][rows]]))
        return m.head(torch.tanh(nodes + sent))

    linears = nn.ModuleList(nn.Linear(10, 10) for _ in range(types))
    return OneOf(run, inp=nn.Linear(6, 10), linears=linears, head=nn.Linear(10, 3))


@healthy("dmlc/dgl#4282", "not in this batch", "linears")
def edge_types_that_this_batch_does_not_have():
    return Batch(_by_edge_type(8), (floats(20, 6), labels(20, 2, 60), labels(5, 60)), labels(3, 20))


class Tasks(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.heads = nn.Linear(8, 8), nn.ModuleDict({"a": nn.Linear(8, 3), "b": nn.Linear(8, 3)})

    def forward(self, x, task="a"):
        return self.heads[task](torch.relu(self.body(x)))


@healthy("own", "not in this batch", "heads.b")
def the_head_of_another_task():
    return Batch(Tasks(), (floats(16, 8), "a"), labels(3, 16))


@healthy("own", "not in this batch", "heads.b")
def the_head_of_another_task_by_default():
    return Batch(Tasks(), floats(16, 8), labels(3, 16))


class Masked(nn.Module):
    """Every expert runs; a mask of ones and zeros keeps the best of each example."""

    def __init__(self):
        super().__init__()
        self.router, self.experts = nn.Linear(8, 4), nn.ModuleList(mlp(8, 6, 3) for _ in range(4))
        nn.init.zeros_(self.router.weight)
        self.router.bias.data = torch.tensor([0.0, 0.1, 0.2, 5.0])

    def forward(self, x):
        shares = self.router(x).softmax(-1)
        mask = F.one_hot(shares.argmax(-1), 4).to(x.dtype)
        return sum((shares * mask)[:, at, None] * expert(x) for at, expert in enumerate(self.experts))


@healthy("own", "not in this batch")
def an_expert_that_no_example_chooses():
    return Batch(Masked(), floats(16, 8), labels(3, 16))


@fault("own", "not in this batch", "ZI010", "spare", "The forward pass does not use")
def a_layer_that_is_never_called():
    model = OneOf(
        lambda m, x: m.head(torch.relu(m.body(x))), body=nn.Linear(8, 8), spare=nn.Linear(8, 8), head=nn.Linear(8, 3)
    )
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "left out by the loss", "ZI010", "extra", "is thrown away")
def a_layer_whose_result_is_dropped():
    def run(m, x):
        hidden = torch.relu(m.body(x))
        m.extra(hidden)
        return m.head(hidden)

    return Batch(
        OneOf(run, body=nn.Linear(8, 8), extra=nn.Linear(8, 8), head=nn.Linear(8, 3)), floats(16, 8), labels(3, 16)
    )


@healthy("own", "left out by the loss", "is handed out")
def a_pooler_that_this_loss_does_not_use():
    body = OneOf(lambda m, x: (m.dense(x), torch.tanh(m.pool(x[:, 0]))), dense=nn.Linear(8, 8), pool=nn.Linear(8, 8))
    model = OneOf(lambda m, x: m.head(m.body(x)[0]), body=body, head=nn.Linear(8, 3))
    return Batch(model, floats(8, 5, 8), labels(3, 8, 5))


class Dropped(nn.Module):
    def __init__(self, depth: int = 6):
        super().__init__()
        self.emb = nn.Embedding(20, 16)
        self.position = nn.Parameter(0.1 * torch.randn(1, 6, 16))
        self.blocks, self.head = nn.ModuleList(Biased() for _ in range(depth)), nn.Linear(16, 4)

    def forward(self, i):
        x = self.emb(i) + self.position
        for block in self.blocks:
            if not self.training or random.random() > 0.4:
                x = block(x)
        return self.head(x.mean(1))


class Biased(Attention):
    """With key biases, which a softmax does not see."""

    def __init__(self):
        super().__init__()
        self.k = nn.Linear(16, 16)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (f(self.norm(x)).view(b, t, 2, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-1, -2) / 3).softmax(-1)
        return x + self.out((weights @ v).transpose(1, 2).reshape(b, t, d))


@healthy("speechbrain/speechbrain#2340", "left out at random", "has no effect")
def key_biases_of_blocks_that_are_dropped_at_random():
    return Batch(Dropped(), labels(20, 8, 6), labels(4, 8))


@healthy("own", "left out at random")
def layers_dropped_at_random():
    def run(m, x):
        for layer in m.layers:
            if torch.rand(()) > 0.5:
                x = x + torch.tanh(layer(x))
        return m.head(x)

    return Batch(
        OneOf(run, layers=nn.ModuleList(nn.Linear(8, 8) for _ in range(4)), head=nn.Linear(8, 3)),
        floats(16, 8),
        labels(3, 16),
    )


@fault("own", "subtracted from itself", "ZI012", "advantage", "undoes every change of `advantage.weight`")
def advantages_of_a_single_action():
    model = OneOf(
        lambda m, x: m.value(x) + m.advantage(x) - m.advantage(x).mean(1, keepdim=True),
        value=nn.Linear(8, 1), advantage=nn.Linear(8, 1),
    )  # fmt: skip
    return Batch(model, floats(16, 8), floats(16, 1))


@healthy("own", "subtracted from itself")
def advantages_of_three_actions():
    model = OneOf(
        lambda m, x: m.value(x) + m.advantage(x) - m.advantage(x).mean(1, keepdim=True),
        value=nn.Linear(8, 1), advantage=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), floats(16, 3))


@fault("own", "times zero", "ZI007", "branch", "multiplies the output of `branch.weight` by 0")
def a_branch_with_a_factor_of_zero():
    """As an adapter with alpha = 0."""
    model = OneOf(
        lambda m, x: m.head(torch.tanh(m.body(x) + 0.0 * m.branch(x))),
        body=nn.Linear(8, 8), branch=nn.Linear(8, 8, bias=False), head=nn.Linear(8, 3),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "times zero", "in the loss multiplies")
def a_part_of_the_loss_with_a_weight_of_zero():
    model = OneOf(lambda m, x: (m.head(x), m.other(x)), head=nn.Linear(8, 3), other=nn.Linear(8, 1))
    loss = {"loss_fn": lambda out, classes: F.cross_entropy(out[0], classes) + 0.0 * out[1].mean()}
    return Batch(model, floats(16, 8), labels(3, 16), loss)
