"""Cases of a further reader: joined results of which an index keeps some, and losses over one example."""

import torch
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp, zeroed


def chain(keep, heads=None):
    def forward(self, x):
        out = []
        for at, layer in enumerate(self.layers):
            x = torch.tanh(layer(x))
            out.append(self.heads[at](x) if heads is not None else x)
        return self.head(keep(out))

    layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
    return Batch(OneOf(forward, layers=layers, heads=heads, head=nn.Linear(8, 3)), floats(32, 8), labels(3, 32))


ALL = "`layers.1.weight`, `layers.2.weight`, `layers.1.bias` and `layers.2.bias` never get a gradient."


@fault(
    "MarkFzp/act-plus-plus#26",
    "index keeps the first",
    "ZI010",
    "layers.1",
    f"{ALL} The index in `OneOf.forward` throws away what `layers.{{1,2}}` compute.",
    never="ZI103",
)
def first_of_stacked_results():
    return chain(lambda out: torch.stack(out)[0])


@fault("own", "slice keeps the first", "ZI010", "layers.1", "The index in `OneOf.forward` throws away what")
def slice_of_joined_results():
    return chain(lambda out: torch.cat(out, -1)[:, :8])


@fault("own", "chunk keeps the first", "ZI010", "layers.1", "The chunk in `OneOf.forward` throws away what")
def first_chunk_of_joined_results():
    return chain(lambda out: torch.tanh(torch.cat(out, -1)).chunk(3, -1)[0])


@fault(
    "own",
    "index keeps the first",
    "ZI010",
    "heads.1",
    "throws away what `layers.{1,2}` and `heads.{1,2}` compute.",
)
def first_of_stacked_heads():
    return chain(lambda out: torch.stack(out, 1).select(1, 0), nn.ModuleList(nn.Linear(8, 8) for _ in range(3)))


@healthy("tonyzhaozh/act#52", "index keeps the last")
def last_of_stacked_results():
    return chain(lambda out: torch.stack(out)[-1])


@healthy("own", "all are read")
def joined_results_that_are_all_read():
    return chain(lambda out: (whole := torch.cat(out, -1))[:, :8] + whole[:, 8:].chunk(2, -1)[1])


@healthy("own", "deep supervision")
def stacked_results_that_are_summed():
    return chain(lambda out: torch.stack(out).sum(0))


def partial_likelihood(log_hazard, y):
    order = torch.argsort(y[:, 0], descending=True)
    log_hazard, event = log_hazard.flatten()[order], y[order, 1]
    return -((log_hazard - torch.logcumsumexp(log_hazard, 0)) * event).sum() / event.sum()


def of_risk_sets(log_hazard, y):
    log_hazard, risk = log_hazard.flatten(), y[None, :, 0] >= y[:, None, 0]
    return -(y[:, 1] * (log_hazard - torch.where(risk, log_hazard[None], -1e9).logsumexp(1))).sum()


def by_exponentials(log_hazard, y):
    order = torch.argsort(y[:, 0], descending=True)
    log_hazard = log_hazard.flatten()[order]
    return -((log_hazard - torch.log(torch.cumsum(torch.exp(log_hazard), 0))) * y[order, 1]).mean()


def survival(loss, *rows):
    y = torch.tensor(rows)
    return Batch(mlp(6, 16, 1), floats(len(y), 6), y, {"loss_fn": loss})


ONE = "is over one value, because the batch has one example."


@fault("Novartis/torchsurv#35", "risk set of one", "ZI007", "0", f"The logcumsumexp in the loss {ONE}", never="etach")
def partial_likelihood_of_one_example():
    return survival(partial_likelihood, [310.0, 1.0])


@fault("own", "risk set of one", "ZI007", "0", f"The logsumexp in the loss {ONE}", never="etach")
def risk_set_of_one_example():
    return survival(of_risk_sets, [3.0, 1.0])


@fault("own", "risk set of one", "ZI007", "0", f"The cumsum in the loss {ONE}", never="learning rate")
def exponentials_of_one_example():
    return survival(by_exponentials, [3.0, 1.0])


@fault(
    "own",
    "empty risk set",
    "ZI007",
    "0",
    "The loss does not depend on the outputs for this batch: with its targets the terms cancel.",
    never="Scale down",
)
def an_event_that_is_the_last_to_be_seen():
    return survival(by_exponentials, [9.0, 1.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0])


@fault(
    "own",
    "reduction over one",
    "ZI012",
    "0",
    "The mean in the loss is over one value, so the difference",
    never="etach",
)
def scores_compared_with_their_own_mean():
    return Batch(
        mlp(6, 16, 1), floats(8, 6), None, {"loss_fn": lambda out: (out - out.mean(1, keepdim=True)).square().mean()}
    )


@healthy("own", "risk set of one", "Will learn")
def partial_likelihood_of_four_examples():
    return survival(partial_likelihood, [9.0, 1.0], [1.0, 1.0], [2.0, 0.0], [3.0, 1.0])


@fault("own", "policy ratio", "ZI012", "0", "Detach what the output is compared with", never="over one value")
def a_policy_compared_with_itself_on_one_example():
    def ratio(out, advantage):
        new = out.log_softmax(-1)[:, 0]
        return -(torch.exp(new - new.clone()) * advantage).sum()

    return Batch(mlp(6, 16, 4), floats(1, 6), torch.ones(1), {"loss_fn": ratio})


@healthy("own", "head by task")
def a_head_that_the_batch_chooses():
    def forward(self, x, task):
        out = torch.stack([head(self.body(x)) for head in self.heads], 1)
        return out[torch.arange(len(x)), task]

    heads = nn.ModuleList(nn.Linear(16, 3) for _ in range(3))
    model = OneOf(forward, body=nn.Linear(8, 16), heads=heads)
    return Batch(model, (floats(32, 8), torch.zeros(32, dtype=torch.long)), labels(3, 32))


@fault(
    "KlingAIResearch/RoboMaster#3",
    "zero convolutions",
    "ZI006",
    "blocks.0.space",
    "In each of `blocks.0` and `blocks.1`, `space.weight` and `time.weight` both start at zero.",
    never="`blocks.1.space.weight` and `blocks.0.time.weight`",
)
def two_zeros_in_each_of_two_blocks():
    return blocks(zeros=True)


@healthy("KlingAIResearch/RoboMaster#3", "zero convolutions")
def one_zero_in_each_of_two_blocks():
    return blocks(zeros=False)


def blocks(zeros):
    def forward(self, x):
        for block in self.blocks:
            x = x + block["time"](torch.tanh(block["space"](x)))
        return self.out(x)

    made = [nn.ModuleDict({"space": nn.Linear(8, 8), "time": zeroed(nn.Linear(8, 8))}) for _ in range(2)]
    for each in made if zeros else ():
        zeroed(each["space"])
    return Batch(OneOf(forward, blocks=nn.ModuleList(made), out=nn.Linear(8, 3)), floats(32, 8), labels(3, 32))


@healthy(
    "clemsgrs/hipt#19", "no effect", "`c.bias` and `risk.bias` have no effect. The loss is the same whatever their"
)
def shifts_without_effect_that_are_all_named():
    def forward(self, x):
        h = torch.relu(self.phi(x))
        return self.risk((torch.softmax(self.c(h), 1) * h).sum(1))

    model = OneOf(forward, phi=nn.Linear(8, 16), c=nn.Linear(16, 1), risk=nn.Linear(16, 1))
    y = torch.stack([torch.rand(12), torch.ones(12)], 1)
    return Batch(model, floats(12, 5, 8), y, {"loss_fn": partial_likelihood})
