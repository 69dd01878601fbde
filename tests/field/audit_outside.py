"""Cases of an engineer who did not know the audit, rebuilt in our own words, each with its repaired form."""

import torch
from torch import nn

from .audit_harness import fault, healthy


class Prior(nn.Module):
    """A prior bias and an open forget gate, each the first or the last parameter that the general rule writes."""

    def __init__(self, last: bool):
        super().__init__()
        self.lstm, self.middle, self.classifier = nn.LSTM(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        for rule in (self.general, self.special) if last else (self.special, self.general):
            rule()

    def special(self) -> None:
        self.lstm.bias_ih_l0.data[8:16].fill_(1.0)
        nn.init.constant_(self.classifier.bias, -4.6)

    def general(self) -> None:
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.02)


@fault("jbohnslav/deepethogram#15", "overwritten", "ZI203", "lstm.bias_ih_l0 classifier.bias", "was set by `constant_`")
def prior_and_gate():
    return {"build": lambda: Prior(False)}


@healthy("jbohnslav/deepethogram#15", "overwritten")
def prior_and_gate_fixed():
    return {"build": lambda: Prior(True)}


class GatedBlock(nn.Module):
    """Each block closes its gate, and then a loop in the same function draws all of its weights, the gate's first."""

    def __init__(self, last: bool):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.draw(last)

    def draw(self, last: bool) -> None:
        if not last:
            nn.init.zeros_(self.gate.weight)
        for layer in self.children():
            nn.init.normal_(layer.weight, std=0.02)
        if last:
            nn.init.zeros_(self.gate.weight)


@fault("own", "overwritten", "ZI203", "0.gate.weight 1.gate.weight", "was set by `zeros_`")
def gate_of_each_block():
    return {"build": lambda: nn.Sequential(GatedBlock(False), GatedBlock(False))}


@healthy("own", "overwritten")
def gate_of_each_block_fixed():
    return {"build": lambda: nn.Sequential(GatedBlock(True), GatedBlock(True))}


class Padded(nn.Module):
    """A function for one layer calls the one of its base first, and then its own rule: no value was meant to stay."""

    def __init__(self):
        super().__init__()
        self.embed, self.layers = nn.Embedding(6, 8), nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.apply(self.draw)

    def base(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.zeros_(module.weight)

    def draw(self, module: nn.Module) -> None:
        self.base(module)
        if isinstance(module, nn.Embedding | nn.Linear):
            nn.init.normal_(module.weight, std=0.02)


@healthy("own", "overwritten")
def rule_of_the_base_and_then_its_own():
    return {"build": Padded}


class Former(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.reset()

    def reset(self) -> None:
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.xavier_uniform_(self.second.weight)


class Later(Former):
    def reset(self) -> None:
        super().reset()
        for layer in self.children():
            nn.init.normal_(layer.weight, std=0.02)


@healthy("own", "overwritten")
def method_of_the_base_and_then_its_own():
    return {"build": lambda: nn.Sequential(Later(), Later())}


class Cell(nn.Module):
    """A recurrent cell by hand: four gates in each matrix, drawn at once or gate by gate."""

    def __init__(self, by_gate: bool, rule=nn.init.xavier_uniform_, width: int = 32):
        super().__init__()
        self.w_ih, self.w_hh = (nn.Parameter(torch.empty(4 * width, width)) for _ in range(2))
        for weight in self.parameters():
            for part in weight.chunk(4) if by_gate else [weight]:
                rule(part)

    def forward(self, x, hidden):
        gates = nn.functional.linear(x, self.w_ih) + nn.functional.linear(hidden, self.w_hh)
        keep, new, value, out = gates.chunk(4, -1)
        state = keep.sigmoid() * hidden + new.sigmoid() * value.tanh()
        return out.sigmoid() * state.tanh()


PAIR = (torch.ones(3, 32), torch.ones(3, 32))


@fault("pytorch/pytorch#166378", "wrong scale", "ZI205", "w_ih w_hh", "is 32 (the parameter packs 4 projections)")
def gates_drawn_at_once():
    return {"build": lambda: Cell(False)}


@healthy("pytorch/pytorch#166378", "wrong scale")
def gates_drawn_one_by_one():
    return {"build": lambda: Cell(True), "batch": PAIR}


@healthy("own", "wrong scale")
def gates_orthogonal_one_by_one():
    return {"build": lambda: Cell(True, nn.init.orthogonal_)}


class Unit(nn.Module):
    """Its name says nothing; the forward pass alone tells that the outputs are two things, or heads of one."""

    def __init__(self, parts: int = 1, heads: bool = False):
        super().__init__()
        self.layer, self.heads = nn.Linear(16, 64), heads
        for part in self.layer.weight.chunk(parts):
            nn.init.xavier_uniform_(part)

    def forward(self, x):
        if self.heads:
            return torch.cat(self.layer(x).split(16, -1), 0)
        a, b = self.layer(x).chunk(2, -1)
        return a * b.sigmoid()


@fault("own", "wrong scale", "ZI205", "layer.weight", "is 24 (the parameter packs 2 projections)")
def outputs_that_the_pass_splits():
    return {"build": Unit, "batch": torch.ones(2, 3, 16)}


@healthy("own", "wrong scale")
def outputs_drawn_part_by_part():
    return {"build": lambda: Unit(2), "batch": torch.ones(2, 3, 16)}


@healthy("own", "wrong scale")
def outputs_that_nobody_is_known_to_split():
    return {"build": Unit}


@healthy("own", "wrong scale")
def heads_that_are_joined_again():
    return {"build": lambda: Unit(heads=True), "batch": torch.ones(2, 16)}


class RowShard(nn.Module):
    """Holds the inputs of one rank, as many as there are outputs; the rule of a shard sees these alone."""

    def __init__(self, rank: int, ranks: int, axis: int, mode: str, whole: bool):
        super().__init__()
        shape = [32, 128] if axis else [128, 32]
        shape[axis] //= ranks
        self.weight = nn.Parameter(torch.empty(shape))
        torch.manual_seed(100 + rank)
        if whole:
            nn.init.normal_(self.weight, std=(2 / 128) ** 0.5)
        else:
            nn.init.kaiming_normal_(self.weight, mode=mode, nonlinearity="relu")


def sharded(axis: int, mode: str, whole: bool = False):
    ranks = [lambda rank=rank: RowShard(rank, 4, axis, mode, whole) for rank in range(4)]
    return {"build": lambda: RowShard(0, 1, axis, mode, whole), "ranks": ranks}


@fault("InternLM/InternLM#405", "wrong scale", "ZI205", "weight", "is taken as 32 from the shape (32, 32), and is 128")
def inputs_of_one_rank():
    return sharded(1, "fan_in")


@fault("InternLM/InternLM#405", "wrong scale", "ZI205", "weight", "is taken as 32 from the shape (32, 32), and is 128")
def outputs_of_one_rank():
    return sharded(0, "fan_out")


@healthy("InternLM/InternLM#405", "wrong scale")
def inputs_of_one_rank_fixed():
    return sharded(1, "fan_in", whole=True)


@healthy("InternLM/InternLM#405", "wrong scale")
def fan_of_the_axis_that_is_whole():
    return sharded(0, "fan_in")


class Graph(nn.Module):
    """Stores its inputs first: fan-out is what torch calls the right fan."""

    def __init__(self, mode: str):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(16, 128))
        nn.init.kaiming_normal_(self.weight, mode=mode, nonlinearity="relu")

    def forward(self, x):
        return torch.mm(x, self.weight)


@fault("own", "wrong scale", "ZI205", "weight", "the fan-in is taken as 128 from the shape (16, 128), and is 16")
def inputs_first_in_a_graph():
    return {"build": lambda: Graph("fan_in"), "batch": torch.ones(6, 16)}


@healthy("own", "wrong scale")
def inputs_first_by_fan_out():
    return {"build": lambda: Graph("fan_out"), "batch": torch.ones(6, 16)}


class Experts(nn.Module):
    """A stack with the inputs first, drawn at once, as the matrices lie, or as their units lie."""

    def __init__(self, how: str):
        super().__init__()
        self.up = nn.Parameter(torch.empty(4, 32, 128))
        for matrix in [self.up] if how == "whole" else self.up.data:
            nn.init.kaiming_uniform_(matrix.t() if how == "turned" else matrix)

    def forward(self, x):
        return torch.bmm(x.expand(4, -1, -1), self.up)


@fault(
    "huggingface/transformers#42306",
    "wrong scale",
    "ZI205",
    "up",
    "model.up.data: nn.init.kaiming_uniform_(matrix.t())`",
)
def experts_at_once():
    return {"build": lambda: Experts("whole"), "batch": torch.ones(5, 32)}


@fault(
    "huggingface/transformers#42306", "wrong scale", "ZI205", "up", "is 32 (the parameter stacks 4 matrices, and the"
)
def experts_as_they_lie():
    return {"build": lambda: Experts("each"), "batch": torch.ones(5, 32)}


@healthy("huggingface/transformers#42306", "wrong scale")
def experts_by_their_units():
    return {"build": lambda: Experts("turned"), "batch": torch.ones(5, 32)}


class Language(nn.Module):
    """Draws all that is not marked as done, as the models of a well-known library do."""

    def __init__(self):
        super().__init__()
        self.embed, self.body, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.finish()

    def finish(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding) and not getattr(module, "done", False):
                nn.init.normal_(module.weight, std=0.02)
                module.done = True


def resized_head(done: bool) -> nn.Module:
    """The rows of the loaded head go into a larger one, and then all is drawn that is not marked."""
    saved = {key: torch.randn_like(each) for key, each in Language().state_dict().items()}
    model = Language()
    model.load_state_dict(saved)
    head = nn.Linear(8, 22, bias=False)
    nn.init.normal_(head.weight, std=0.02)
    head.weight.data[:20] = model.head.weight.data
    head.done = done
    model.head = head
    model.finish()
    return model


@fault(
    "huggingface/transformers#45079", "overwritten", "ZI204", "head.weight", "`head.weight` was loaded, and `normal_`"
)
def rows_of_a_loaded_head():
    return {"build": lambda: resized_head(False)}


@healthy("huggingface/transformers#45079", "overwritten")
def rows_of_a_loaded_head_fixed():
    return {"build": lambda: resized_head(True)}


class Critics(nn.Module):
    def __init__(self, copied: bool):
        super().__init__()
        self.q1, self.q2 = nn.Linear(6, 16), nn.Linear(6, 16)
        self.q2_target = nn.Linear(6, 16)
        if copied:
            self.q2.load_state_dict(self.q1.state_dict())
        self.q2_target.load_state_dict(self.q2.state_dict())


@fault("rll-research/url_benchmark", "copies", "ZI206", "q1.weight q1.bias q2.weight q2.bias", "2 layers start as one")
def twin_critics():
    return {"build": lambda: Critics(True)}


@healthy("rll-research/url_benchmark", "copies")
def twin_critics_fixed():
    return {"build": lambda: Critics(False)}


@healthy("own", "copies")
def twins_from_one_checkpoint():
    def build():
        model = Critics(False)
        model.q1.load_state_dict({key: torch.ones_like(each).normal_() for key, each in model.q1.state_dict().items()})
        model.q2.load_state_dict(model.q1.state_dict())
        return model

    return {"build": build}


class Queries(nn.Module):
    """Has as many learned queries as the layer has outputs: the pass splits the outputs, and not the queries."""

    def __init__(self):
        super().__init__()
        self.queries, self.layer = nn.Parameter(torch.empty(64, 16)), nn.Linear(16, 64)
        nn.init.xavier_uniform_(self.queries)

    def forward(self):
        a, b = self.layer(self.queries).chunk(2, -1)
        return a * b


@healthy("own", "wrong scale")
def queries_beside_a_split_layer():
    return {"build": Queries, "batch": ()}
