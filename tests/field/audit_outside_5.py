"""Cases of a fifth engineer who did not know the audit, rebuilt in our own words, each with its repaired form."""

import copy
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils import weight_norm

from .audit_harness import fault, healthy

WORLD = 4


def on_ranks(make, world: int = WORLD) -> dict:
    """Build a whole model, and one for each rank with other random values."""

    def on_rank(rank: int) -> nn.Module:
        torch.manual_seed(100 + rank)
        return make(world)

    return {"build": lambda: make(1), "ranks": [lambda rank=rank: on_rank(rank) for rank in range(world)]}


class Block(nn.Module):
    """A dense block of which each rank holds some hidden units."""

    def __init__(self, parts: int, scaled: bool = False):
        super().__init__()
        self.up, self.down = nn.Linear(32, 64 // parts, bias=False), nn.Linear(64 // parts, 32, bias=False)
        if scaled:
            nn.init.uniform_(self.down.weight, -0.125, 0.125)


SHARD = "the fan-in is taken as 16 from the shape (32, 16), and is 64"


@fault("XiaoWang-Github/ORBIT-2#1", "shards", "ZI205", "down.weight", SHARD)
def default_of_a_layer_cut_along_its_inputs():
    return on_ranks(Block)


@fault("XiaoWang-Github/ORBIT-2#1", "shards", "ZI205", "down.weight", "uniform_(model.down.weight, -0.125, 0.125)")
def default_of_a_layer_cut_along_its_inputs_with_a_repair():
    return on_ranks(Block)


@healthy("XiaoWang-Github/ORBIT-2#1", "shards")
def layer_cut_along_its_inputs_with_the_whole_bound():
    return on_ranks(lambda parts: Block(parts, scaled=True))


class RowParallelLinear(nn.Linear):
    def __init__(self, inputs: int, outputs: int, world_size: int):
        self.input_size, self.world_size = inputs, world_size
        super().__init__(inputs // world_size, outputs, bias=False)


@fault("XiaoWang-Github/ORBIT-2#1", "shards", "ZI205", "0.weight", SHARD)
def default_of_a_kind_of_layer_cut_along_its_inputs():
    return on_ranks(lambda parts: nn.Sequential(RowParallelLinear(64, 32, parts)))


@fault("own", "shards", "ZI205", "0.weight", "the fan-in is taken as 18 from the shape (4, 2, 3, 3), and is 72")
def default_of_a_convolution_cut_along_its_inputs():
    return on_ranks(lambda parts: nn.Sequential(nn.Conv2d(8 // parts, 4, 3, bias=False)))


@healthy("own", "shards")
def default_of_layers_cut_along_their_outputs():
    return on_ranks(lambda parts: nn.Sequential(nn.Conv2d(3, 8 // parts, 3), nn.Linear(6, 16 // parts)))


@healthy("own", "shards")
def convolution_of_which_each_rank_holds_some_groups():
    class Grouped(nn.Module):
        def __init__(self, parts: int):
            super().__init__()
            self.conv = nn.Conv2d(16 // parts, 16 // parts, 3, groups=8 // parts, bias=False)
            nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
            with torch.no_grad():
                self.conv.weight *= (8 // parts) ** 0.5

    return on_ranks(Grouped)


@healthy("own", "shards")
def default_of_another_layer_of_this_name():
    return on_ranks(lambda parts: nn.Sequential(nn.Linear(48 if parts == 1 else 16, 32, bias=False)), 2)


def critics(*, anew: str = "", loaded: bool = False, moved: bool = False) -> nn.Module:
    """Let each critic load the first one."""
    model = nn.ModuleList(nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3)) for _ in range(3))
    if loaded:
        model[0].load_state_dict({key: each + 1 for key, each in copy.deepcopy(model[0]).state_dict().items()})
    for each in model[1:]:
        each.load_state_dict(model[0].state_dict())
    if moved:
        model.double()
    for name, parameter in model.named_parameters():
        if anew and name[0] in anew:
            nn.init.normal_(parameter, std=0.02)
    return model


OF_CRITICS = " ".join(f"{at}.{layer}.{name}" for at in range(3) for layer in (0, 2) for name in ("weight", "bias"))
OF_OTHERS = " ".join(name for name in OF_CRITICS.split() if name[0] != "0")
CARES = "UoA-CARES/cares_reinforcement_learning#223"


@fault(CARES, "copies", "ZI206", OF_CRITICS, "-> Draw each anew: leave out the copy (audit_outside_5.py:")
def critics_that_load_the_first_one():
    return {"build": critics}


@healthy(CARES, "copies")
def critics_that_load_the_first_one_and_are_drawn_anew():
    return {"build": lambda: critics(anew="12")}


@healthy(CARES, "copies")
def critics_that_load_the_first_one_and_are_all_drawn_anew():
    return {"build": lambda: critics(anew="012")}


@healthy(CARES, "copies")
def critics_that_load_the_first_one_of_another_type():
    return {"build": lambda: critics(moved=True, anew="12")}


@fault("own", "overwritten", "ZI204", OF_OTHERS, "the checkpoint's values are lost")
def critics_that_load_the_first_loaded_one_and_are_drawn_anew():
    return {"build": lambda: critics(loaded=True, anew="12")}


@healthy("own", "copies")
def critics_that_load_the_first_loaded_one():
    return {"build": lambda: critics(loaded=True)}


@fault("own", "copies", "ZI206", "0.weight 1.weight", "anew: build each layer by itself instead of `copy.deepcopy`, or")
def layers_that_are_deep_copies():
    return {"build": lambda: nn.Sequential(layer := nn.Linear(8, 8, bias=False), copy.deepcopy(layer))}


def seeded() -> nn.Module:
    torch.manual_seed(3)
    return nn.Linear(8, 8, bias=False)


@fault("own", "copies", "ZI206", "0.weight 1.weight", "-> Draw each anew: seed once and not in each layer, or call")
def layers_with_one_seed_each():
    return {"build": lambda: nn.Sequential(seeded(), seeded())}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(9, 8), nn.Linear(8, 9, bias=False)
        self.head.weight = self.words.weight


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return Tied()


SAVED = {"words": torch.rand(9, 8), "head": torch.rand(9, 8)}
"""Two entries: a checkpoint of a tied model holds one tensor twice."""


def filled(how: str, *, equal: bool = True, tie: bool = False) -> nn.Module:
    """Give each name of a model from the meta device a parameter of its own."""
    model, values = on_meta(), {name: SAVED["words" if equal else name] for name in SAVED}
    if how == "a loop":
        for name, each in values.items():
            setattr(getattr(model, name), "weight", nn.Parameter(each.clone()))  # noqa: B010  # as loaders do
    elif how == "a loop that deletes":
        for name, each in values.items():
            del getattr(model, name).weight
            getattr(model, name).register_parameter("weight", nn.Parameter(each.clone()))
    elif how == "lines":
        model.words.weight = nn.Parameter(values["words"].clone())
        model.head.weight = nn.Parameter(values["head"].clone())
    elif how == "memory":
        model.load_state_dict({f"{name}.weight": each for name, each in values.items()}, assign=True)
    if tie:
        model.head.weight = model.words.weight
    return model


TIE = "-> Tie them again at the end: `model.head.weight = model.words.weight`"
NAMES = "words.weight head.weight"
ACCELERATE = "huggingface/accelerate#1204"


@fault(ACCELERATE, "ties", "ZI209", NAMES, TIE)
def tie_that_a_loading_loop_splits():
    return {"build": lambda: filled("a loop")}


@fault(ACCELERATE, "ties", "ZI209", NAMES, TIE)
def tie_that_a_loading_loop_splits_by_other_values():
    return {"build": lambda: filled("a loop", equal=False)}


@fault(ACCELERATE, "ties", "ZI209", NAMES, TIE)
def tie_that_a_loop_deletes():
    return {"build": lambda: filled("a loop that deletes")}


@contextmanager
def moved_one_by_one():
    """Move each parameter to the meta device once it is registered."""
    before = nn.Module.register_parameter

    def register(self, name, parameter):
        before(self, name, parameter)
        if parameter is not None:
            self._parameters[name] = nn.Parameter(parameter.to("meta"))

    nn.Module.register_parameter = register
    try:
        yield
    finally:
        nn.Module.register_parameter = before


TWICE = " ".join(f"{at}.{name}" for at in range(2) for name in NAMES.split())


@fault(
    ACCELERATE, "ties", "ZI209", TWICE, "-> Tie them again at the end: `model[0].head.weight = model[0].words.weight`"
)
def ties_on_the_meta_device_that_a_loading_loop_splits():
    def build() -> nn.Module:
        with moved_one_by_one():
            model = nn.ModuleList([Tied(), Tied()])
        for layer in (each for tied in model for each in tied.children()):
            layer.weight = nn.Parameter(torch.rand(9, 8))
        return model

    return {"build": build}


@fault("own", "ties", "ZI209", NAMES, TIE)
def tie_that_two_lines_with_equal_values_split():
    return {"build": lambda: filled("lines")}


@fault("pytorch/pytorch#188346", "ties", "ZI209", NAMES, f"and are two in the same memory now. {TIE}")
def tie_that_assigned_memory_splits():
    return {"build": lambda: filled("memory")}


@healthy("own", "ties")
def tie_that_two_lines_with_other_values_undo():
    return {"build": lambda: filled("lines", equal=False)}


@healthy(ACCELERATE, "ties")
def tie_that_a_loading_loop_splits_tied_again():
    return {"build": lambda: filled("a loop", tie=True)}


@healthy("pytorch/pytorch#188346", "ties")
def tie_that_assigned_memory_splits_tied_again():
    return {"build": lambda: filled("memory", tie=True)}


@healthy("own", "ties")
def tie_that_a_line_undoes_after_loading():
    def build() -> nn.Module:
        model = filled("a loop", tie=True)
        model.head.weight = nn.Parameter(model.words.weight.detach().clone())
        return model

    return {"build": build}


@healthy("own", "ties")
def tie_that_a_line_undoes_after_a_loop_split_it():
    def build() -> nn.Module:
        model = filled("a loop")
        model.head.weight = nn.Parameter(model.words.weight.detach().clone())
        return model

    return {"build": build}


@healthy("own", "ties")
def tie_with_values_that_a_loop_undoes():
    def build() -> nn.Module:
        model = Tied()
        for each in (model.words, model.head):
            each.weight = nn.Parameter(each.weight.detach().clone(), requires_grad=each is model.words)
        return model

    return {"build": build}


@healthy("own", "ties")
def tie_with_values_that_a_loop_undoes_beside_one_on_the_meta_device():
    def build() -> nn.Module:
        model = nn.ModuleList([Tied(), on_meta()])
        for each, values in zip((model[0].words, model[0].head), SAVED.values(), strict=True):
            each.weight = nn.Parameter(values.clone())
        model[1].words.weight = nn.Parameter(torch.rand(9, 8))
        model[1].head.weight = model[1].words.weight
        return model

    return {"build": build}


@fault("own", "ties", "ZI210", "words.weight head.weight", "are different parameters in the same memory")
def tie_that_a_line_makes_by_memory():
    def build() -> nn.Module:
        model = Tied()
        model.head.weight = nn.Parameter(model.words.weight.data)
        return model

    return {"build": build}


class Scale(nn.Module):
    """A factor for each channel that starts near zero."""

    def __init__(self, start: float = 1e-5, again: float = 1.0):
        super().__init__()
        self.gamma, self.again = nn.Parameter(start * torch.ones(8)), again

    def reset_parameters(self):
        nn.init.constant_(self.gamma, self.again)


def reset(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model


def scales(**options: float) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), Scale(**options), nn.Linear(8, 8), Scale(**options))


def set_to_one(module: nn.Module) -> None:
    if isinstance(module, Scale):
        nn.init.ones_(module.gamma)


TIMM, GAMMAS = "huggingface/pytorch-image-models#2605", "1.gamma 3.gamma"
CHOSEN = "`1.gamma` was set to 1e-05 by its constructor (audit_outside_5.py:"


@fault(TIMM, "chosen", "ZI253", GAMMAS, CHOSEN)
def scale_that_its_reset_sets_to_one():
    return {"build": scales, "init": reset}


@fault(TIMM, "chosen", "ZI253", GAMMAS, CHOSEN)
def scale_that_its_reset_sets_to_one_on_the_meta_device():
    def build() -> nn.Module:
        with torch.device("meta"):
            model = scales()
        return reset(model.to_empty(device="cpu"))

    return {"build": build}


@fault("own", "chosen", "ZI253", GAMMAS, CHOSEN)
def scale_that_an_applied_function_sets_to_one():
    return {"build": lambda: scales().apply(set_to_one)}


@fault("own", "chosen", "ZI253", "scale", "`scale` was set to 2.5 by its constructor")
def temperature_that_its_reset_draws():
    class Temperature(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.5))

        def reset_parameters(self):
            nn.init.normal_(self.scale)

    return {"build": lambda: reset(Temperature())}


@healthy(TIMM, "chosen")
def scale_that_its_reset_sets_to_its_start():
    return {"build": lambda: reset(scales(again=1e-5))}


@healthy("own", "chosen")
def scale_that_starts_at_one_and_is_reset_to_zero():
    return {"build": lambda: reset(scales(start=1.0, again=0.0))}


@healthy("own", "chosen")
def scale_that_a_line_sets_by_name():
    def build() -> nn.Module:
        model = scales()
        nn.init.ones_(model[1].gamma)
        return model

    return {"build": build}


@healthy("own", "chosen")
def scale_that_its_own_constructor_resets():
    class Own(Scale):
        def __init__(self):
            super().__init__()
            self.reset_parameters()

    return {"build": Own}


class Voice(nn.Module):
    """Convolutions under weight norm."""

    def __init__(self, early: bool):
        super().__init__()
        self.net = nn.ModuleList(nn.Conv1d(8, 8, 3) for _ in range(3))
        if early:
            self.net.apply(draw)
        for each in self.net:
            weight_norm(each)
        if not early:
            self.net.apply(draw)


def draw(module: nn.Module) -> None:
    if isinstance(module, nn.Conv1d):
        module.weight.data.normal_(0.0, 0.01)


OF_VOICE = " ".join(f"net.{at}.weight_{end}" for at in range(3) for end in "gv")
TYPED = (
    "nn.init.normal_(model.net[0].weight, std=0.01); nn.utils.weight_norm(model.net[0])`. Do the same for the other 2."
)


@fault("NVIDIA/DeepLearningExamples#1331", "without effect", "ZI202", OF_VOICE, TYPED)
def rule_after_weight_norm_in_three_layers():
    return {"build": lambda: Voice(early=False)}


@healthy("NVIDIA/DeepLearningExamples#1331", "without effect")
def rule_before_weight_norm_in_three_layers():
    return {"build": lambda: Voice(early=True)}
