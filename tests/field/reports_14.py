"""Cases of two more readers of public reports: derivatives, penalties, masks, fused weights, values kept."""

import torch
import torch.nn.functional as F
from torch import nn

from .harness import Batch, OneOf, fault, floats, healthy, labels, mlp

LEARNS = "get a gradient by step 1. "


def derivative(graph):
    def forward(self, points):
        points = points.detach().requires_grad_()
        value = self.net(points)
        return value, torch.autograd.grad(value.sum(), points, retain_graph=True, create_graph=graph)[0]

    x = floats(32, 3)
    targets = ((5 * torch.sin(x)).sum(-1, keepdim=True), 5 * torch.cos(x))
    loss = {"loss_fn": lambda output, target: sum(map(F.mse_loss, output, target))}
    return Batch(OneOf(forward, net=mlp(3, 24, 1, activation=nn.Tanh)), x, targets, loss)


@fault(
    "pytorch/pytorch#31984",
    "constant derivative",
    "ZI025",
    "",
    "without `create_graph=True`",
)
def a_derivative_without_a_graph():
    return derivative(False)


@healthy("own", "constant derivative", LEARNS)
def a_derivative_with_a_graph():
    return derivative(True)


@healthy("own", "constant derivative", LEARNS)
def an_attack_by_the_sign_of_a_gradient():
    """Inputs of a second pass are moved along a gradient that needs no graph."""

    def forward(self, x):
        moved = x.detach().requires_grad_()
        slope = torch.autograd.grad(self.net(moved).square().sum(), moved)[0]
        return self.net(x + 0.1 * slope.sign())

    return Batch(OneOf(forward, net=mlp(6, 16, 3)), floats(24, 6), labels(3, 24))


def frozen(by_method):
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3))
    if by_method:
        model[0].requires_grad_(False)
    else:
        model[0].requires_grad = False
    return Batch(model, floats(8, 1, 8, 8), labels(3, 8))


@fault(
    "CSCYQJ/MICCAI23-ProtoContra-SFDA#18",
    "frozen in name",
    "ZI024",
    "0.weight",
    "freezes nothing",
)
def a_module_with_the_attribute_of_a_parameter():
    return frozen(False)


@fault("own", "frozen in name", "ZI024", "0.weight", "model[0].weight.require_grad = False")
def a_misspelled_attribute():
    batch = frozen(False)
    del batch.model[0].requires_grad
    batch.model[0].weight.require_grad = False
    return batch


@healthy("own", "frozen in name", LEARNS)
def a_module_frozen_by_its_method():
    return frozen(True)


def penalized(used):
    def forward(self, x):
        hidden = F.relu(self.body(x))
        weights = self.gate(hidden)
        return self.head(hidden * weights if used else hidden)

    model = OneOf(
        forward, body=nn.Linear(8, 16), gate=nn.Sequential(nn.Linear(16, 16), nn.Sigmoid()), head=nn.Linear(16, 3)
    )

    def loss_fn(output, target):
        return F.cross_entropy(output, target) + 1e-4 * sum(each.square().sum() for each in model.parameters())

    return Batch(model, floats(24, 8), labels(3, 24), {"loss_fn": loss_fn})


@fault(
    "qubvel-org/segmentation_models.pytorch#677",
    "penalty alone",
    "ZI010",
    "gate.0.weight",
    "penalty on weights",
)
def a_gate_that_a_penalty_alone_moves():
    return penalized(False)


@healthy("own", "penalty alone", LEARNS)
def a_gate_with_a_penalty():
    return penalized(True)


def equation(activation):
    def forward(self, inside, edge):
        points = inside.detach().requires_grad_()
        slope = torch.autograd.grad(self.net(points).sum(), points, create_graph=True)[0]
        second = torch.autograd.grad(slope.sum(), points, create_graph=True)[0]
        return (self.log_k.exp() * second + torch.sin(3 * points)).square().mean() + self.net(edge).square().mean()

    model = OneOf(forward, net=mlp(1, 16, 16, 1, activation=activation), log_k=nn.Parameter(torch.zeros(())))
    return Batch(model, (torch.rand(32, 1), torch.tensor([[0.0], [1.0]])), None, {"loss_fn": lambda loss: loss})


@fault(
    "NVIDIA/physicsnemo#956",
    "second derivative",
    "ZI008",
    "log_k",
    "have no second one",
    also=("ZI005",),
)
def an_equation_of_second_order_behind_relu():
    return equation(nn.ReLU)


@healthy("own", "second derivative", LEARNS)
def an_equation_of_second_order():
    return equation(nn.Tanh)


def on_the_simplex(scale):
    def forward(self, x):
        scores = self.score(x) * scale
        ordered = scores.sort(-1, descending=True).values
        counts = torch.arange(1, scores.shape[-1] + 1)
        sums = ordered.cumsum(-1) - 1
        last = (ordered - sums / counts > 0).sum(-1, keepdim=True)
        return (scores - sums.gather(-1, last - 1) / last).clamp(min=0)

    loss = {"loss_fn": lambda weights, gains: -(weights * gains).sum(1).mean()}
    return Batch(OneOf(forward, score=nn.Linear(6, 5)), floats(12, 6), floats(12, 5), loss)


@fault(
    "cvxpy/cvxpylayers#127",
    "too large",
    "ZI008",
    "score.weight",
    "so far apart that only the largest is left",
    never="Take the difference",
)
def a_projection_to_a_vertex():
    return on_the_simplex(1e4)


@healthy("own", "too large", LEARNS)
def a_projection_to_the_simplex():
    return on_the_simplex(1.0)


def made_anew(detached):
    def forward(self, tokens):
        output = self.head(self.table(tokens).mean(1))
        return output.data if detached else output

    def loss_fn(output, target):
        loss = F.cross_entropy(output, target)
        return torch.autograd.Variable(loss, requires_grad=True) if detached else loss

    model = OneOf(forward, table=nn.Embedding(20, 8), head=nn.Linear(8, 4))
    return Batch(model, labels(20, 12, 5), labels(4, 12), {"loss_fn": loss_fn})


@fault(
    "huggingface/torchMoji#21",
    "a new leaf",
    "ZI009",
    "head.weight",
    "`.data` in `OneOf.forward`",
)
def data_and_a_loss_made_anew():
    """Two faults in a row: either of them is enough."""
    return made_anew(True)


@fault("own", "a new leaf", "ZI009", "0.weight", "is made a new tensor with `requires_grad=True` in the loss")
def a_loss_made_anew():
    def loss_fn(output, target):
        return torch.autograd.Variable(F.cross_entropy(output, target), requires_grad=True)

    return Batch(mlp(6, 8, 3), floats(12, 6), labels(3, 12), {"loss_fn": loss_fn})


def edges(weighted):
    def forward(self, x):
        keys = self.adjacency(x)
        strength = torch.sigmoid(keys @ keys.T)
        source, target = (strength > 0.5).nonzero(as_tuple=True)
        hidden = self.map(x)
        message = hidden[source] * strength[source, target, None] if weighted else hidden[source]
        return self.head(torch.tanh(torch.zeros_like(hidden).index_add(0, target, message)))

    parts = {"adjacency": mlp(4, 8, 8), "map": nn.Linear(4, 8), "head": nn.Linear(8, 2)}
    return Batch(OneOf(forward, **parts), floats(14, 4), labels(2, 14))


@fault(
    "danielegrattarola/spektral#395",
    "used as an index",
    "ZI009",
    "adjacency.0.weight",
    "used as an index alone",
    never="surrogate",
)
def a_graph_that_is_only_an_index():
    return edges(False)


@healthy("own", "used as an index", LEARNS)
def a_graph_that_weighs_its_edges():
    return edges(True)


@healthy("threestudio-project/threestudio#323", "learned tables", LEARNS)
def a_rectifier_behind_small_tables():
    """Biases decide at first. The tables grow, and the units come back."""

    def forward(self, cells):
        return self.net(torch.cat([table(cells) for table in self.tables], 1))

    tables = nn.ModuleList(nn.Embedding(32, 2) for _ in range(4))
    for table in tables:
        nn.init.uniform_(table.weight, -1e-2, 1e-2)
    net = mlp(8, 16, 3)
    with torch.no_grad():
        net[0].bias[:8] = -0.3  # below zero for every row that the tables have now
    return Batch(OneOf(forward, tables=tables, net=net), labels(32, 48), floats(48, 3))


@healthy("pytorch/examples#167", "float64 by name", "10 parameters get a gradient by step 1")
def sequences_in_float64():
    """The forward pass names float64, and LBFGS calls the loss by itself."""

    def forward(self, x):
        states = [torch.zeros(len(x), 7, dtype=torch.double) for _ in range(4)]
        outputs = []
        for value in x.split(1, 1):
            states[:2] = self.first(value, tuple(states[:2]))
            states[2:] = self.second(states[0], tuple(states[2:]))
            outputs.append(self.head(states[2]))
        return torch.cat(outputs, 1)

    model = OneOf(forward, first=nn.LSTMCell(1, 7), second=nn.LSTMCell(7, 7), head=nn.Linear(7, 1)).double()
    wave = torch.sin(torch.arange(9.0) / 2 + torch.rand(5, 1)).double()
    settings = {"loss_fn": F.mse_loss, "optimizer": torch.optim.LBFGS(model.parameters())}
    return Batch(model, wave[:, :-1], wave[:, 1:], settings)


def kernels(scale):
    def forward(self, x):
        apart = (x[:, None] - self.centers).square().sum(-1)
        return self.out(torch.exp(-apart * torch.exp(self.log_width)))

    parts = {"centers": nn.Parameter(torch.randn(10, 4)), "log_width": nn.Parameter(torch.zeros(10))}
    return Batch(OneOf(forward, out=nn.Linear(10, 3), **parts), floats(24, 4) * scale + 2 * scale, labels(3, 24))


@fault(
    "JeremyLinux/PyTorch-Radial-Basis-Function-Layer#1",
    "far inputs",
    "ZI008",
    "log_width",
    "Inputs so far from zero",
    never="has no effect",
)
def kernels_far_from_the_data():
    return kernels(60.0)


@healthy("own", "far inputs", LEARNS)
def kernels_near_the_data():
    return kernels(0.5)


def rays(leaky):
    def forward(self, points):
        hidden = self.trunk(points)
        density = F.leaky_relu(self.density(hidden)) if leaky else F.relu(self.density(hidden))
        alpha = 1 - torch.exp(-density.squeeze(-1) * 0.1)
        return (alpha[..., None] * torch.sigmoid(self.color(hidden))).sum(1)

    model = OneOf(forward, trunk=mlp(3, 16, 16, activation=nn.Tanh), density=nn.Linear(16, 1), color=nn.Linear(16, 3))
    nn.init.constant_(model.density.bias, -3.0)
    return Batch(model, floats(16, 6, 3), torch.rand(16, 3), {"loss_fn": F.mse_loss})


@fault(
    "munshisanowarraihan/nerf-meta#3",
    "closed by a rectifier",
    "ZI008",
    "color.weight",
    "The ReLU in `OneOf.forward` is off",
    never="rsub",
)
def colors_behind_a_density_of_zero():
    """One cause, not two: the opacity is zero by the same ReLU."""
    return rays(False)


@healthy("own", "closed by a rectifier", LEARNS)
def colors_behind_a_density():
    return rays(True)


def detector(positives):
    def forward(self, x):
        hidden = torch.tanh(self.body(x))
        return self.seen(hidden), self.box(hidden)

    def loss_fn(output, target):
        seen, box = output
        return F.binary_cross_entropy_with_logits(seen[:, 0], target) + box[target > 0.5].square().mean()

    target = torch.zeros(12)
    target[:positives] = 1
    parts = {"body": nn.Linear(6, 8), "seen": nn.Linear(8, 1), "box": nn.Linear(8, 4)}
    return Batch(OneOf(forward, **parts), floats(12, 6), target, {"loss_fn": loss_fn})


@fault(
    "WongKinYiu/yolov9#662",
    "not finite",
    "ZI013",
    "",
    "though gradients are finite: the mean in the loss is over no value",
    never="0 of 6 parameters learn",
)
def a_mean_over_no_box():
    return detector(0)


@healthy("own", "not finite", LEARNS)
def a_mean_over_boxes():
    return detector(5)


def attention(value):
    def forward(self, x):
        scores = self.query(x) @ self.key(x).mT
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return self.out(scores.masked_fill(ahead, value).softmax(-1) @ x).mean(1)

    parts = {name: nn.Linear(8, 8) for name in ("query", "key", "out")}
    return Batch(OneOf(forward, **parts), floats(12, 5, 8), floats(12, 8), {"loss_fn": F.mse_loss})


@fault(
    "lucidrains/memory-compressed-attention#2",
    "not finite",
    "ZI013",
    "",
    "is of plus infinity",
    never="every key is masked",
)
def a_mask_of_plus_infinity():
    return attention(torch.inf)


@healthy("own", "not finite", "5 of 6 parameters get a gradient by step 1, 1 has no effect")
def a_mask_of_minus_infinity():
    return attention(-torch.inf)


class Student(nn.Module):
    """A network that learns from an average of itself, which moves in each pass."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

        def net():
            return nn.ModuleDict({"body": nn.Linear(6, 8), "fc": nn.Linear(8, 20)})

        self.online, self.target, self.head = net(), net().requires_grad_(False), nn.Linear(8, 8)

    def forward(self, x):
        with torch.no_grad():
            for name in self.parts:
                for old, new in zip(self.target[name].parameters(), self.online[name].parameters(), strict=True):
                    old.lerp_(new, 0.01)
            goal = torch.tanh(self.target["body"](x))
        return (self.head(torch.tanh(self.online["body"](x))) - goal).square().mean()


@fault("torchgeo/torchgeo#3954", "moved in the pass", "ZI010", "online.fc.weight", "online.fc", never="Look for detach")
def an_average_over_a_head_that_nobody_uses():
    """The average moves the loss in every pass; the head does not."""
    return Batch(Student(("body", "fc")), floats(16, 6))


def policy(bias):
    def forward(self, state):
        hidden = torch.tanh(self.body(state))
        return self.mean(hidden), self.spread(hidden).clamp(-20, 2)

    def loss_fn(output, action):
        mean, spread = output
        return (spread + 0.5 * ((action - mean) / (spread.exp() + 0.01)).square()).mean()

    model = OneOf(forward, body=nn.Linear(5, 16), mean=nn.Linear(16, 2), spread=nn.Linear(16, 2))
    nn.init.constant_(model.spread.bias, bias)
    return Batch(model, floats(32, 5), floats(32, 2), {"loss_fn": loss_fn})


@fault(
    "DLR-RM/stable-baselines3#620",
    "out of range",
    "ZI008",
    "spread.bias",
    "cuts off every value of the batch",
    never="Cause not found",
)
def a_spread_below_its_clamp():
    return policy(-30.0)


@healthy("own", "out of range", LEARNS)
def a_spread_inside_of_its_clamp():
    return policy(0.0)


def preference(kept):
    def forward(self, tokens):
        scores = self.head(self.table(tokens[:, :-1])).log_softmax(-1)
        known = scores.gather(-1, tokens[:, 1:, None]).squeeze(-1)
        return (known * (kept if kept.shape == known.shape else kept[:, 1:])).sum(-1)

    model = OneOf(forward, table=nn.Embedding(16, 8), head=nn.Linear(8, 16))
    loss = {"loss_fn": lambda output: -F.logsigmoid(output[:4] - output[4:]).mean()}
    return Batch(model, labels(16, 8, 6), None, loss)


@fault(
    "Yifan-Song793/ETO#14",
    "zero mask",
    "ZI007",
    "head.weight",
    "multiplies the output of `table.weight`",
    never="Cause not found",
)
def a_mask_that_is_false_everywhere():
    return preference(torch.zeros(8, 5, dtype=torch.bool))


@healthy("own", "zero mask", LEARNS)
def a_mask_that_is_true():
    return preference(torch.ones(8, 5, dtype=torch.bool))


def fused(tokens):
    def forward(self, x):
        query, key, value = self.to_qkv(x).chunk(3, -1)
        return self.out((query @ key.mT).softmax(-1) @ value).mean(1)

    return Batch(OneOf(forward, to_qkv=nn.Linear(6, 24), out=nn.Linear(8, 3)), floats(16, tokens, 6), labels(3, 16))


@fault(
    "pixelite1201/CameraHMR#26",
    "part of a fused weight",
    "ZI008",
    "to_qkv.weight",
    "16 of 24 units of `to_qkv` never get a gradient",
)
def queries_and_keys_of_one_token():
    return fused(1)


@healthy("own", "part of a fused weight", LEARNS)
def queries_and_keys_of_four_tokens():
    return fused(4)


class Rotation(nn.Module):
    """Learned frequencies, whose angles are kept after the first pass where ``kept`` is true."""

    def __init__(self, kept):
        super().__init__()
        self.frequencies = nn.Parameter(1 / 10 ** torch.arange(4.0))
        self.kept, self.angles = kept, None

    def forward(self, length):
        if self.angles is not None:
            return self.angles
        angles = torch.outer(torch.arange(length).float(), self.frequencies)
        self.angles = angles.detach() if self.kept else None
        return angles


def rotated(kept):
    def forward(self, x):
        return self.head((self.map(x) * torch.cos(self.rotation(x.shape[1]))).mean(1))

    model = OneOf(forward, map=nn.Linear(3, 4), rotation=Rotation(kept), head=nn.Linear(4, 3))
    return Batch(model, floats(12, 6, 3), labels(3, 12))


@fault(
    "openvpi/DiffSinger#244",
    "first pass alone",
    "ZI014",
    "rotation.frequencies",
    "took part until step 1",
)
def angles_kept_from_the_first_pass():
    return rotated(True)


@healthy("own", "first pass alone", LEARNS)
def angles_computed_in_each_pass():
    return rotated(False)


@fault("HKUDS/GraphGPT#31", "made in the loss", "ZI016", "", "A parameter is made anew inside `loss_fn`")
def a_temperature_made_in_the_loss():
    def loss_fn(output):
        scale = nn.Parameter(torch.tensor(2.66)).exp()
        scores = scale * output[0] @ output[1].T
        return F.cross_entropy(scores, torch.arange(len(scores)))

    def forward(self, graph, text):
        return F.normalize(self.graph(graph), dim=-1), F.normalize(self.text(text), dim=-1)

    model = OneOf(forward, graph=nn.Linear(6, 8), text=nn.Linear(5, 8))
    return Batch(model, (floats(8, 6), floats(8, 5)), None, {"loss_fn": loss_fn})


def deep(scale):
    model = mlp(8, 32, 32, 1, activation=nn.Sigmoid)
    for layer in (model[0], model[2]):
        nn.init.constant_(layer.weight, scale)
    return Batch(model, torch.rand(16, 8) + 0.5, torch.rand(16, 1))


@fault(
    "microsoft/LoRA#167",
    "saturated",
    "ZI008",
    "0.weight",
    "saturated for every input",
    never="Other inputs",
    also=("ZI001",),
)
def two_saturated_layers():
    return deep(100.0)


@healthy("own", "first token", "because 0 is the padding index")
def a_padding_index_that_starts_every_sequence():
    """huggingface/transformers#1258: it is told, since it may be meant."""
    tokens = torch.randint(2, 12, (8, 6))
    tokens[:, 0] = 0
    model = nn.Sequential(nn.Embedding(12, 8, padding_idx=0), nn.Flatten(), nn.Linear(48, 3))
    return Batch(model, tokens, labels(3, 8))
