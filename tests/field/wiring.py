"""Graphs that are cut, values that are not registered, hooks, and losses that hold the model."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp
from .zeros import Adapter


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool):
        super().__init__()
        self.emb, self.reentrant = nn.Embedding(20, 8).requires_grad_(False), reentrant
        self.block, self.head = nn.Sequential(Adapter(8, 8), nn.Tanh(), Adapter(8, 8)), nn.Linear(8, 4)

    def forward(self, i):
        return self.head(checkpoint(self.block, self.emb(i), use_reentrant=self.reentrant).mean(1))


@fault("microsoft/LoRA#120, huggingface/transformers#23170", "checkpoint", "ZI009", "block.0", "use_reentrant=True")
def adapters_behind_a_reentrant_checkpoint():
    return Batch(Checkpointed(True), labels(20, 8, 5), labels(4, 8))


@healthy("huggingface/transformers#26221", "checkpoint")
def adapters_behind_the_other_checkpoint():
    return Batch(Checkpointed(False), labels(20, 8, 5), labels(4, 8))


@healthy("own", "checkpoint")
def a_reentrant_checkpoint_of_what_requires_a_gradient():
    model = Checkpointed(True)
    model.emb.requires_grad_(True)
    return Batch(model, labels(20, 8, 5), labels(4, 8))


def _cut(how) -> Batch:
    model = OneOf(lambda m, x: m.above(how(m, x)), below=nn.Linear(8, 8), above=nn.Linear(8, 3))
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "cut off", "ZI009", "below", "`detach()` in")
def hidden_layer_detached():
    return _cut(lambda m, x: torch.relu(m.below(x)).detach())


@fault("own", "cut off", "ZI009", "below", "`.data` in")
def hidden_layer_read_through_data():
    return _cut(lambda m, x: torch.relu(m.below(x)).data)


def _quiet(m, x):
    with torch.no_grad():
        return torch.relu(m.below(x))


@fault("own", "cut off", "ZI009", "below", "runs under no_grad")
def hidden_layer_under_no_grad():
    return _cut(_quiet)


@fault("own", "cut off", "ZI009", "below", "The argmax in")
def hidden_layer_through_argmax():
    return _cut(lambda m, x: F.one_hot(m.below(x).argmax(-1), 8).to(x.dtype))


@fault("own", "cut off", "ZI009", "below", "carry no gradient")
def hidden_layer_through_a_comparison():
    return _cut(lambda m, x: (m.below(x) > 0).to(x.dtype))


@fault("own", "cut off", "ZI009", "below", "numpy")
def hidden_layer_through_numpy():
    return _cut(lambda m, x: torch.from_numpy(np.tanh(m.below(x).detach().numpy())))


@healthy("own", "cut off")
def a_target_network_under_no_grad():
    """Two passes through one network, as in Q-learning."""

    def run(m, x, y):
        with torch.no_grad():
            best = m.net(y).max(1).values
        return m.net(x)[:, 0] - 0.9 * best

    return Batch(OneOf(run, net=mlp(6, 16, 3)), (floats(16, 6), floats(16, 6)), floats(16))


@fault("pytorch/pytorch#20089, #17484, #94828", "not registered", "ZI016", "w", "it is no registered parameter")
def parameter_that_arithmetic_turned_into_a_tensor():
    model = OneOf(lambda m, x: m.head(torch.relu(m.inp(x) @ m.w)), inp=nn.Linear(8, 8), head=nn.Linear(8, 3))
    model.w = nn.Parameter(torch.randn(8, 8)) * 0.1
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("pytorch/pytorch#1053", "not registered", "ZI016", "convs", "What is in `convs`")
def layers_in_a_plain_list():
    model = OneOf(lambda m, x: m.head(torch.cat([torch.relu(c(x)).amax(-1) for c in m.convs], 1)), head=nn.Linear(8, 3))
    model.convs = [nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 5)]
    return Batch(model, floats(8, 4, 12), labels(3, 8))


@fault("own", "not registered", "ZI016", "experts", "nn.ModuleDict")
def layers_in_a_plain_dictionary():
    model = OneOf(lambda m, x: m.head(sum(e(x) for e in m.experts.values())), head=nn.Linear(8, 3))
    model.experts = {"left": nn.Linear(8, 8), "right": nn.Linear(8, 8)}
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "not registered", "ZI016", "", "made anew inside")
def layer_made_in_forward():
    return _cut(lambda m, x: torch.relu(nn.Linear(8, 8).to(x)(m.below(x))))


@healthy("SimonThomine/RememberingNormality#7", "not registered")
def constants_as_plain_tensors():
    model = OneOf(
        lambda m, x: m.head(m.inp(x) + (m.inp(x) @ m.keys.T).softmax(-1) @ m.values),
        inp=nn.Linear(8, 8), head=nn.Linear(8, 3), keys=torch.randn(6, 8), values=torch.randn(6, 8),
    )  # fmt: skip
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "not registered")
def a_frozen_teacher_in_a_list():
    model = OneOf(lambda m, x: m.student(x) - m.hidden[0](x), student=mlp(8, 8, 3))
    model.hidden = [mlp(8, 8, 3).requires_grad_(False)]
    return Batch(model, floats(16, 8), floats(16, 3))


@healthy("own", "keeps tensors")
def a_model_that_keeps_its_last_activations():
    def run(m, x):
        m.kept.append(torch.relu(m.inp(x)))
        m.last = m.kept[-1].mean()
        return m.head(m.kept[-1])

    model = OneOf(run, inp=nn.Linear(8, 8), head=nn.Linear(8, 3), kept=[])
    x = floats(16, 8)
    model(x)
    return Batch(model, x, labels(3, 16))


@healthy("own", "keeps tensors")
def the_older_weight_norm_after_a_pass():
    with torch.random.fork_rng():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = nn.Sequential(nn.utils.weight_norm(nn.Conv1d(4, 8, 3)), nn.LeakyReLU(0.1), nn.Conv1d(8, 2, 3))
    x = floats(8, 4, 16)
    model(x)
    return Batch(model, x, floats(8, 2, 12))


@fault("own", "hook", "ZI019", "0", "A hook on `0.weight` sets its gradient to zero")
def gradients_that_a_hook_sets_to_zero():
    model = mlp(8, 16, 3)
    for parameter in model[0].parameters():
        parameter.register_hook(torch.zeros_like)
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "hook")
def gradients_that_a_hook_clips():
    model = mlp(8, 16, 3)
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
    return Batch(model, floats(16, 8), labels(3, 16))


@healthy("own", "loss holds the model")
def centers_that_the_loss_takes_from_the_model():
    model = OneOf(
        lambda m, x: (torch.relu(m.a(x)), m.head(torch.relu(m.a(x)))),
        a=nn.Linear(8, 6), head=nn.Linear(6, 3), centers=nn.Parameter(torch.randn(3, 6)),
    )  # fmt: skip

    def loss(out, classes):
        return F.cross_entropy(out[1], classes) + 0.1 * (out[0] - model.centers[classes]).square().mean()

    return Batch(model, floats(16, 8), labels(3, 16), {"loss_fn": loss})


def _with_optimizer(change) -> Batch:
    model = mlp(8, 16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    change(model, optimizer)
    return Batch(model, floats(16, 8), labels(3, 16), {"optimizer": optimizer})


def _replaced(model, optimizer):
    model[2] = nn.Linear(16, 3)


@fault("own", "optimizer", "ZI018", "2.weight", "The optimizer does not hold `2.weight`")
def a_head_that_was_replaced_after_the_optimizer_was_made():
    return _with_optimizer(_replaced)


@fault("own", "optimizer", "ZI018", "0.weight", "The optimizer holds no parameter of this model")
def an_optimizer_of_another_copy():
    batch = _with_optimizer(lambda *_: None)
    batch.model = mlp(8, 16, 3)
    return batch


@fault("own", "optimizer", "ZI018", "0.weight", "The learning rate of `0.weight`")
def a_group_with_a_rate_of_zero():
    model = mlp(8, 16, 3)
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}]
    return Batch(model, floats(16, 8), labels(3, 16), {"optimizer": torch.optim.AdamW(groups, lr=1e-3)})


@healthy("own", "optimizer")
def an_optimizer_with_two_groups():
    model = mlp(8, 16, 3)
    groups = [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[2].parameters()}]
    return Batch(model, floats(16, 8), labels(3, 16), {"optimizer": torch.optim.AdamW(groups, lr=1e-3)})


class Operator:
    """No module, but it holds a parameter."""

    def __init__(self):
        self.w = nn.Parameter(0.1 * torch.randn(8, 8))


@fault("own", "not registered", "ZI016", "op", "because `Operator` is no `nn.Module`")
def parameter_of_an_object_that_is_no_module():
    model = OneOf(lambda m, x: m.head(torch.relu(x @ m.op.w)), op=Operator(), head=nn.Linear(8, 3))
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "hook", "ZI019", "0", "A hook on a module sets its gradient to zero")
def gradients_that_a_hook_on_a_module_sets_to_zero():
    model = nn.Sequential(nn.Linear(8, 8), *mlp(8, 16, 3))
    model[1].register_full_backward_hook(lambda module, given, arrived: tuple(map(torch.zeros_like, given)))
    return Batch(model, floats(16, 8), labels(3, 16))


@fault("own", "cut off", "ZI009", "a", "The conversion to whole numbers in")
def hidden_layer_cast_to_whole_numbers():
    model = OneOf(lambda m, x: m.b(m.a(x).long().to(x.dtype)), a=nn.Linear(8, 8), b=nn.Linear(8, 3))
    return Batch(model, 5 * floats(16, 8), labels(3, 16))


@fault("own", "cut off", "ZI009", "0", "`.item()` in the loss")
def a_loss_made_of_a_number():
    loss = {"loss_fn": lambda out: torch.tensor(out.square().mean().item(), requires_grad=True)}
    return Batch(mlp(8, 16, 3), floats(16, 8), None, loss)
