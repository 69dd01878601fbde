"""Cases of a thirteenth reader, of real libraries: optimizers that hold others, equal terms, losses beside."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

CROSS_ENTROPY = {"loss_fn": F.cross_entropy}
LEARNS = "Will learn: all 4 parameters get a gradient by step 1. "


class Wrapping(torch.optim.Optimizer):
    """An optimizer around another one, as accelerate's: its groups are those of the inner one."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups):
        self.optimizer.param_groups = groups

    @property
    def state(self):
        return self.optimizer.state

    @state.setter
    def state(self, state):
        self.optimizer.state = state

    def step(self, closure=None):
        return self.optimizer.step(closure)


class Sharp(torch.optim.Optimizer):
    """A rule that keeps another one as an attribute and shares its groups with it."""

    def __init__(self, parameters, base, **settings):
        super().__init__(parameters, settings)
        self.base_optimizer = base(self.param_groups, **settings)
        self.param_groups = self.base_optimizer.param_groups

    def step(self, closure=None):
        return self.base_optimizer.step(closure)


class Paired(torch.optim.Optimizer):
    """A rule that needs the frozen parameter in front of each trained one, and no rate."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": None})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for frozen, trained in zip(group["params"][::2], group["params"][1::2], strict=True):
                if trained.grad is not None:
                    trained -= 0.1 * trained.grad @ torch.linalg.pinv(frozen @ frozen.mT)


def trained_by(make):
    model = mlp(6, 8, 3)
    return Batch(model, floats(16, 6), labels(3, 16), CROSS_ENTROPY | {"optimizer": make(model)})


@healthy("https://huggingface.co/docs/accelerate/quicktour", "optimizer", LEARNS)
def an_optimizer_in_another_one():
    return trained_by(lambda model: Wrapping(torch.optim.AdamW(model.parameters())))


@fault("own", "optimizer", "ZI018", "2", "does not hold `2.weight` and `2.bias`")
def an_optimizer_in_another_one_without_the_head():
    return trained_by(lambda model: Wrapping(torch.optim.AdamW(model[0].parameters())))


@healthy("davda54/sam", "optimizer", LEARNS)
def an_optimizer_that_holds_another_one():
    return trained_by(lambda model: Sharp(model.parameters(), torch.optim.SGD, lr=0.1))


class Low(nn.Module):
    """A product of two matrices, the first of which is frozen."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(2, 6), requires_grad=False), nn.Parameter(torch.zeros(3, 2))

    def forward(self, x):
        return x @ self.first.mT @ self.second.mT


@healthy("https://huggingface.co/docs/peft", "optimizer", "Will learn: the only trained parameter")
def an_optimizer_that_needs_frozen_parameters():
    model = Low()
    settings = {"loss_fn": F.mse_loss, "optimizer": Paired([model.first, model.second])}
    return Batch(model, floats(16, 6), floats(16, 3), settings)


def headed(is_frozen):
    body = nn.Sequential(weight_norm(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 8)).requires_grad_(not is_frozen)
    return Batch(nn.Sequential(body, nn.Tanh(), nn.Linear(8, 3)), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@healthy("https://huggingface.co/docs/transformers/model_doc/hubert", "frozen", "Will learn: all 2 parameters")
def a_frozen_weight_norm():
    return headed(True)


@healthy("own", "frozen", "Will learn: all 7 parameters")
def a_trained_weight_norm():
    return headed(False)


def preferred(differ):
    def forward(self, first, second):
        return -F.logsigmoid(self.score(first) - self.score(second)).mean()

    inputs = floats(16, 6)
    pair = inputs, floats(16, 6) if differ else inputs.clone()
    return Batch(OneOf(forward, score=mlp(6, 8, 1, activation=nn.SiLU)), pair, None, {"loss_fn": lambda loss: loss})


@fault("huggingface/trl#4023", "equal terms", "ZI007", "score.0", "two inputs in it are the same", never="SiLU")
def pairs_that_are_the_same():
    return preferred(False)


@healthy("own", "equal terms", "Will learn: 3 of 4 parameters")
def pairs_that_differ():
    return preferred(True)


def with_reference(is_other):
    def forward(self, x):
        reference = self.other(x).detach() if is_other else self.policy(x)
        return F.mse_loss(self.policy(x) - reference, torch.ones(len(x), 2))

    parts = {"policy": mlp(6, 8, 2, activation=nn.SiLU), "other": mlp(6, 8, 2).requires_grad_(False)}
    return Batch(OneOf(forward, **parts), floats(16, 6), None, {"loss_fn": lambda loss: loss})


@fault("huggingface/trl#1104", "equal terms", "ZI012", "policy.0", "subtracts equal values, so that nothing is left",
       never="Take the silu")  # fmt: skip
def a_reference_that_is_the_policy_itself():
    return with_reference(False)


@healthy("own", "equal terms")
def a_reference_that_is_another_network():
    return with_reference(True)


def with_own_loss(loss):
    def forward(self, x, y):
        logits = self.body(x)
        return {"loss": F.cross_entropy(logits, y), "logits": logits}

    inputs = floats(16, 6), labels(3, 16)
    return Batch(OneOf(forward, body=mlp(6, 8, 3)), inputs, inputs[1], {"loss_fn": loss})


@fault("ludwig-ai/ludwig#3572", "loss beside", "ZI009", "body.0", "`.item()` in the loss", never="second loss")
def a_loss_made_a_number_and_a_tensor_again():
    return with_own_loss(lambda output, _: torch.tensor(output["loss"].item()).requires_grad_())


@fault("own", "loss beside", "ZI009", "body.0", "The argmax in the loss", never="second loss")
def a_loss_of_what_is_chosen():
    return with_own_loss(lambda output, target: (output["logits"].argmax(-1) != target).float().mean())


@healthy("own", "loss beside", LEARNS)
def an_own_loss_in_place_of_the_other():
    return with_own_loss(lambda output, target: F.cross_entropy(output["logits"], target, label_smoothing=0.1))


class Masked(nn.Module):
    """What is made of its embedding is used only with a mapping."""

    def __init__(self):
        super().__init__()
        self.mask, self.table, self.out = nn.Parameter(torch.randn(1, 1, 8)), nn.Embedding(16, 8), nn.Linear(8, 3)

    def forward(self, tokens, mapping=None):
        hidden = self.table(tokens)
        query = self.mask.expand(*tokens.shape, -1)
        if mapping is not None:
            hidden = hidden + mapping[..., None] * query
        return self.out(hidden.mean(1))


@healthy("https://huggingface.co/docs/transformers/model_doc/xlnet", "condition",
         "What is made of `mask` is used only if `mapping is not None`, which is not so here")  # fmt: skip
def an_embedding_for_what_is_masked():
    return Batch(Masked(), labels(16, 8, 5), labels(3, 8), CROSS_ENTROPY)


@healthy("own", "condition", LEARNS)
def an_embedding_for_what_is_masked_in_use():
    return Batch(Masked(), (labels(16, 8, 5), torch.rand(8, 5)), labels(3, 8), CROSS_ENTROPY)


def typed(kinds):
    def forward(self, tokens, kinds):
        return self.out((self.table(tokens) + self.kind(kinds)).mean(1))

    parts = {"table": nn.Embedding(16, 8), "kind": nn.Embedding(2, 8, padding_idx=0), "out": nn.Linear(8, 3)}
    return Batch(OneOf(forward, **parts), (labels(16, 8, 5), kinds), labels(3, 8), CROSS_ENTROPY)


@healthy("https://huggingface.co/docs/transformers/model_doc/lxmert", "padding",
         "Every index that is looked up in `kind.weight` is 0, the padding index")  # fmt: skip
def types_that_are_all_padding():
    return typed(torch.zeros(8, 5, dtype=torch.long))


@healthy("own", "padding", LEARNS)
def types_of_two_kinds():
    return typed(labels(2, 8, 5))


class Tower(nn.Module):
    """A part for images, and one for words."""

    def __init__(self):
        super().__init__()
        self.images, self.words = OneOf(lambda self, x: self.body(x), body=mlp(6, 8, 3)), mlp(4, 8, 3)

    def forward(self, words, images=None):
        run = self.images if images is not None else None
        return self.words(words) + (run(images) if run else 0)


@fault("whitecircle/halo#24", "not called", "ZI010", "images.body.0", "The forward pass does not call `images`.")
def a_tower_without_an_image():
    """One cause, and not one for each of its layers."""
    return Batch(Tower(), floats(16, 4), labels(3, 16), CROSS_ENTROPY)


@healthy("own", "not called")
def a_tower_with_images():
    return Batch(Tower(), (floats(16, 4), floats(16, 6)), labels(3, 16), CROSS_ENTROPY)


def dropping(share):
    layers = [nn.Linear(6, 8), nn.Dropout(share), nn.ReLU(), nn.Linear(8, 8), nn.Dropout(share), nn.Linear(8, 3)]
    return Batch(nn.Sequential(*layers), floats(16, 6), labels(3, 16), CROSS_ENTROPY)


@fault("hiyouga/LlamaFactory#1358", "drops all", "ZI012", "0", "drops every value: its p is 1", also=("ZI007",),
       never="ause not found")  # fmt: skip
def dropouts_that_drop_everything():
    return dropping(1.0)


@healthy("own", "drops all")
def dropouts_that_drop_a_half():
    return dropping(0.5)


def counted(label):
    loss = nn.CrossEntropyLoss(ignore_index=3)
    return Batch(mlp(6, 8, 4), floats(16, 6), torch.full((16,), label), {"loss_fn": loss})


@fault("https://huggingface.co/docs/transformers/tasks/question_answering", "no label", "ZI013", "",
       "every label is 3 and so ignored")  # fmt: skip
def labels_that_an_own_index_ignores():
    return counted(3)


@healthy("own", "no label")
def labels_that_count():
    return counted(1)


class Stacked(nn.Module):
    """An ensemble whose members' weights are stacked, as parameters or in a plain dict under a name of torch's own."""

    def __init__(self, registers):
        super().__init__()
        members = [nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 2)) for _ in range(3)]
        self.__dict__["template"] = members[0].to("meta") if registers else members[0]
        stacked, self.buffers = torch.func.stack_module_state([each.to_empty(device="cpu") for each in members])
        values = {name: torch.randn_like(each) for name, each in stacked.items()}
        if registers:
            self.names, self.values = list(values), nn.ParameterList(map(nn.Parameter, values.values()))
        else:
            self.head, self.kept = nn.Linear(2, 2), {name: each.requires_grad_() for name, each in values.items()}

    def forward(self, x):
        registers = hasattr(self, "names")
        values = dict(zip(self.names, self.values, strict=True)) if registers else self.kept
        out = torch.vmap(lambda one: torch.func.functional_call(self.template, one, (x,)), randomness="same")(values)
        return out.mean(0) if registers else self.head(out.mean(0))


@healthy("find_string: vectorized ensembles", "transform", "Will learn: all 6 parameters get a gradient by step 1. ")
def an_ensemble_under_vmap():
    """Values cannot be read inside of a transform. A dict lies over ``Module.buffers``."""
    return Batch(Stacked(True), floats(16, 6), floats(16, 2), {"loss_fn": F.mse_loss})


@fault("find_string: EnsembleDynamicsModel", "transform", "ZI016", "", "kept")
def an_ensemble_in_a_plain_dict_under_vmap():
    return Batch(Stacked(False), floats(16, 6), floats(16, 2), {"loss_fn": F.mse_loss})


def energy(derive):
    def forward(self, x):
        return derive(lambda point: self.net(point).sum(), x)

    return Batch(
        OneOf(forward, net=mlp(3, 8, 1, activation=nn.Tanh)), floats(16, 3), floats(16, 3), {"loss_fn": F.mse_loss}
    )


@healthy(
    "pytorch/functorch#1124", "transform", "Will learn: 3 of 4 parameters get a gradient by step 1, 1 has no effect."
)
def forces_by_grad():
    return energy(lambda potential, x: -torch.func.grad(potential)(x))


@healthy(
    "pytorch/functorch#1124", "transform", "Will learn: 3 of 4 parameters get a gradient by step 1, 1 has no effect."
)
def forces_by_vmap_of_grad():
    return energy(lambda potential, x: -torch.vmap(torch.func.grad(potential))(x))


@healthy("own", "transform", "Will learn: 3 of 4 parameters get a gradient by step 1, 1 has no effect.")
def curvatures_by_hessian():
    return energy(lambda potential, x: torch.vmap(torch.func.hessian(potential))(x).diagonal(dim1=-2, dim2=-1))


def members(makes_leaves):
    def forward(self, x):
        if makes_leaves:
            values, _ = torch.func.stack_module_state(self.members)
        else:
            each = [dict(member.named_parameters()) for member in self.members]
            values = {name: torch.stack([one[name] for one in each]) for name in each[0]}
        base = self.members[0]
        return torch.vmap(lambda one: torch.func.functional_call(base, one, (x,)))(values).mean(0)

    parts = nn.ModuleList(mlp(6, 8, 2, activation=nn.Tanh) for _ in range(3))
    return Batch(OneOf(forward, members=parts), floats(16, 6), floats(16, 2), {"loss_fn": F.mse_loss})


@fault("find_string: stack_module_state in forward", "transform", "ZI009", "members.0.0",
       "`stack_module_state` in `OneOf.forward` makes new tensors", never="Remove `detach()`")  # fmt: skip
def leaves_stacked_in_each_pass():
    """What the user called is named, not what torch does inside of it."""
    return members(True)


@healthy("own", "transform", "Will learn: all 12 parameters")
def parameters_stacked_in_each_pass():
    return members(False)
