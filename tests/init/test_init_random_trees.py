"""Module trees drawn at random: ``initialize_`` raises and changes nothing, or its record is true."""

import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune
from transformers.pytorch_utils import Conv1D

from zeroinit._common import InputError
from zeroinit.init import INITIALIZERS, InitWarning, SymmetryWarning, hash_tensor, initialize_

BIASES_ALONE = {"normal_bias", "uniform_bias", "constant_bias"}
DENSE = (nn.Linear, nn.modules.conv._ConvNd, Conv1D)
BATCHLIKE = (nn.BatchNorm1d, nn.InstanceNorm1d)


class Bare(nn.Module):
    """A user's own module: a matrix, a scalar, a list of parameters, and one that is not there."""

    def __init__(self):
        super().__init__()
        self.matrix, self.gain = nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.tensor(2.0))
        self.several = nn.ParameterList([torch.randn(2), torch.randn(1, 2)])
        self.register_parameter("missing", None)
        self.register_buffer("steps", torch.zeros(()))


class Dense(nn.Linear):
    """A subclass of a layer."""


def quiet(make):
    """Torch warns of layers without values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


LEAVES = {
    "linear": lambda: nn.Linear(3, 3),
    "dense": lambda: Dense(3, 2, bias=False),
    "empty": lambda: quiet(lambda: nn.Linear(0, 2)),
    "no_units": lambda: quiet(lambda: nn.Linear(2, 0)),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "conv1d": lambda: nn.Conv1d(2, 3, 1, bias=False),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
    "gpt": lambda: Conv1D(3, 3),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "attention_apart": lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=5, add_bias_kv=True),
    "attention_plain": lambda: nn.MultiheadAttention(2, 1, bias=False),
    "double": lambda: nn.Linear(3, 3).double(),
    "half": lambda: nn.Linear(3, 3, dtype=torch.bfloat16),
    "embedding": lambda: nn.Embedding(3, 3, padding_idx=0),
    "bag": lambda: nn.EmbeddingBag(3, 3),
    "batch_norm": lambda: nn.BatchNorm1d(3),
    "instance_norm": lambda: nn.InstanceNorm1d(3),
    "layer_norm": lambda: nn.LayerNorm((3, 3)),
    "lstm": lambda: nn.LSTM(3, 3),
    "cell": lambda: nn.GRUCell(3, 3),
    "bilinear": lambda: nn.Bilinear(2, 2, 3),
    "prelu": lambda: nn.PReLU(),
    "relu": lambda: nn.ReLU(),
    "bare": Bare,
    "lazy": lambda: nn.LazyLinear(2),
    "meta": lambda: nn.Linear(3, 3, device="meta"),
    "complex": lambda: nn.Linear(3, 3, dtype=torch.complex64),
    "integers": lambda: integers(),
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(3, 3)),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(3, 3)),
    "old_spectral_norm": lambda: nn.utils.spectral_norm(nn.Linear(3, 3)),
    "pruned": lambda: prune.random_unstructured(nn.Linear(3, 3), "weight", amount=2),
}
REFUSED = {"lazy", "meta", "complex", "old_spectral_norm", "spectral_norm"}
HEALTHY = sorted(set(LEAVES) - REFUSED)


def integers() -> nn.Linear:
    """What quantized layers look like."""
    layer = nn.Linear(3, 3)
    layer.weight = nn.Parameter(torch.zeros(3, 3, dtype=torch.int8), requires_grad=False)
    return layer


@dataclass
class Drawn:
    """A model and the arguments of one call."""

    model: nn.Module
    arguments: dict
    given: bool
    text: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"{self.model}\n{self.text}\n{self.arguments}"


@st.composite
def trees(draw, modules: list, depth: int = 3) -> nn.Module:
    if modules and draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(modules))  # a second place for a module
    if depth == 0 or draw(st.booleans()):
        rare = draw(st.integers(0, 60)) == 0
        module = LEAVES[draw(st.sampled_from(sorted(REFUSED) if rare else HEALTHY))]()
    else:
        children = [draw(trees(modules, depth - 1)) for _ in range(draw(st.integers(1, 4)))]
        kind = draw(st.sampled_from(["sequential", "list", "dict"]))
        if kind == "dict":
            module = nn.ModuleDict(zip("abcd", children, strict=False))
        else:
            module = nn.Sequential(*children) if kind == "sequential" else nn.ModuleList(children)
    modules.append(module)
    return module


def has_values(parameter) -> bool:
    return parameter is not None and not isinstance(parameter, nn.UninitializedParameter) and not parameter.is_meta


def places(model: nn.Module) -> list[tuple[str, nn.Module, str]]:
    """All parameters: the path and the module that has it, and the attribute; under each name once."""
    return [
        (path, module, name)
        for path, module in model.named_modules(remove_duplicate=False)
        for name, parameter in module._parameters.items()
        if parameter is not None
    ]


def shared(parameter: nn.Parameter, how: str, rows: int) -> nn.Parameter:
    """The parameter itself, or another one over its memory, or over that of its first rows."""
    if how == "same":
        return parameter
    values = parameter.detach()
    values = {"view": values, "transposed": values.mT, "part": values[:rows]}[how]
    return nn.Parameter(values, requires_grad=parameter.is_floating_point())


@st.composite
def calls(draw) -> Drawn:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(draw(st.integers(0, 3)))
        model = draw(trees([], 3))
        if draw(st.integers(0, 3)):
            others = {"table": nn.Embedding(3, 3), "gpt": Conv1D(3, 3), "head": nn.Linear(3, 3)}
            model = nn.ModuleDict({"net": model, **others})
    found = [(module, name) for _, module, name in places(model) if has_values(module._parameters[name])]
    text = []
    square = [(module, name) for module, name in found if module._parameters[name].shape == (3, 3)]
    for pool in draw(st.lists(st.sampled_from([square, square, found]), max_size=4)) if square else ():
        (one, name), (other, target) = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        source, old = one._parameters[name], other._parameters[target]
        how = (
            draw(st.sampled_from(["same", "view", "transposed", "part"]))
            if min(source.dim(), old.dim()) > 1
            else "same"
        )
        new = shared(source, how, old.shape[0] if old.dim() else 0)
        if new.shape == old.shape:
            other._parameters[target] = new
            text.append(f"{type(other).__name__}.{target} = {how} {type(one).__name__}.{name}")
    for module, name in draw(st.lists(st.sampled_from(found), max_size=3)) if found else ():
        module._parameters[name].requires_grad_(False)
    model.train(draw(st.booleans()))
    names = sorted({path for path, _, _ in places(model)}) or [""]
    patterns = st.sampled_from([*names, "*", "*.0", "head", "net*", "*a*"])
    name = draw(st.sampled_from(sorted(name for name, entry in INITIALIZERS.items() if not entry.others)))
    scale = draw(st.sampled_from([1.0, 0.0, 0.5, "auto"])) if name in BIASES_ALONE else 1.0
    arguments = {
        "name": name,
        "scale": scale,
        "include": draw(patterns) if draw(st.integers(0, 3)) == 0 else None,
        "exclude": draw(patterns) if draw(st.integers(0, 2)) == 0 else None,
        "frozen": draw(st.sampled_from(["keep", "set"])),
        "tied": draw(st.sampled_from(["keep", "keep", "keep", "set"])),
        "norm_aware": name in BIASES_ALONE and draw(st.booleans()),
        "strict": draw(st.integers(0, 4)) == 0,
    }
    return Drawn(model, arguments, draw(st.booleans()), text)


def values(model: nn.Module) -> dict[str, str]:
    """A hash of each parameter and buffer that has values, under each of its names."""
    found = {f"{path}.{name}": module._parameters[name] for path, module, name in places(model)}
    for path, module in model.named_modules():
        found |= {f"{path}.{name}": buffer for name, buffer in module._buffers.items() if buffer is not None}
    return {name.lstrip("."): hash_tensor(value) for name, value in found.items() if has_values(value)}


def surroundings(model: nn.Module) -> list:
    """All that no initialization may change: objects, memory, flags, modes, hooks."""
    state: list = [torch.get_rng_state().tolist()]
    for path, module, name in places(model):
        parameter = module._parameters[name]
        state.append((path, name, id(parameter), type(parameter), parameter.requires_grad, parameter.grad))
        state.append(parameter.data_ptr() if has_values(parameter) else None)
    for path, module in model.named_modules():
        state.append((path, module.training, len(module._forward_hooks), len(module._forward_pre_hooks)))
    return state


def rule_of(module: nn.Module, name: str, norm_aware: bool) -> str | None:
    """The slow twin of the rules: ``"weight"``, ``"bias"`` or nothing, from the type and the name alone."""
    if isinstance(module, DENSE):
        return {"weight_orig": "weight", "bias_orig": "bias"}.get(name, name if name in ("weight", "bias") else None)
    if isinstance(module, nn.utils.parametrize.ParametrizationList):
        return "weight"
    if isinstance(module, nn.MultiheadAttention):
        return "bias" if "bias" in name else "weight"
    return "bias" if norm_aware and isinstance(module, BATCHLIKE) and name == "bias" else None


def fans_of(module: nn.Module, name: str) -> list[int]:
    """The slow twin of the fans, from the layer's settings alone."""
    if isinstance(module, nn.MultiheadAttention):
        fans = {"q": module.embed_dim, "k": module.kdim, "v": module.vdim}
        if name.startswith("in_proj"):
            return list(fans.values())
        return [fans[name[0] if name.endswith("weight") else name[-1]]]
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return [module.out_channels // module.groups * module.kernel_size[0] ** len(module.kernel_size)]
    if isinstance(module, nn.modules.conv._ConvNd):
        return [module.in_channels // module.groups * module.kernel_size[0] ** len(module.kernel_size)]
    return [module.nx if isinstance(module, Conv1D) else module.in_features]


def follows(rule: str, parameter: torch.Tensor, module: nn.Module, name: str) -> bool:
    """Whether values are what a rule says, as far as values tell."""
    text, _, factor = rule.partition(" * ")
    factor = float(factor or 1)
    parts = parameter.detach().double()
    if text == "0":
        return not parts.any()
    if text == "1":
        return torch.allclose(
            parts, torch.tensor(factor).double(), rtol=1e-2
        )  # six digits are printed, bfloat16 has two
    if text == "U[0, 1)":
        return bool(((parts >= 0) & (parts <= 1.01 * factor)).all())
    if text == "N(0, 1)":
        return bool((parts.abs() <= 6 * factor).all())
    assert text == "U(-1/sqrt(fan_in), 1/sqrt(fan_in))"
    fans = fans_of(module, name)
    return all(
        bool((part.abs() <= 1.01 * factor * max(fan, 1) ** -0.5).all())
        for part, fan in zip(parts.chunk(len(fans)) if len(fans) > 1 else [parts], fans, strict=True)
    )


def check(drawn: Drawn) -> str:
    """Call and judge; return what happened."""
    model, arguments = drawn.model, dict(drawn.arguments)
    source = torch.Generator().manual_seed(5) if drawn.given else None
    before, around = values(model), surroundings(model)
    with warnings.catch_warnings(record=True) as caught, torch.random.fork_rng(devices=[], enabled=not drawn.given):
        warnings.simplefilter("always")
        try:
            record = initialize_(model, arguments.pop("name"), generator=source, **arguments)
        except InputError:
            assert values(model) == before
            assert surroundings(model) == around
            assert not drawn.given or torch.equal(source.get_state(), torch.Generator().manual_seed(5).get_state())
            return "raised"
    assert {each.category for each in caught} <= {InitWarning, SymmetryWarning}
    assert not (caught and arguments["strict"])
    after = values(model)
    assert surroundings(model) == around
    check_names(model, record)
    check_values(model, record, before, after)
    check_twin(drawn, record, [str(each.message) for each in caught])
    return "set"


def check_names(model: nn.Module, record) -> None:
    listed = [name for entry in (*record.parameters, *record.untouched) for name in (entry.name, *entry.aliases)]
    assert len(listed) == len(set(listed))
    assert set(listed) == {f"{path}.{name}".lstrip(".") for path, _, name in places(model)}


def check_values(model: nn.Module, record, before: dict, after: dict) -> None:
    of = {f"{path}.{name}".lstrip("."): (module, name) for path, module, name in places(model)}
    changeable = set()
    for entry in record.parameters:
        module, name = of[entry.name]
        parameter = module._parameters[name]
        assert entry.shape == tuple(parameter.shape)
        assert (entry.hash_before, entry.hash_after) == (before[entry.name], after[entry.name])
        assert entry.was_frozen == (not parameter.requires_grad)
        changeable |= {entry.name, *entry.aliases}
        owners = [of[each] for each in (entry.name, *entry.aliases)]
        if is_behind(module, name):
            continue
        ruled = [(module, name) for module, name in owners if rule_of(module, name, norm_aware=True)]
        bounded = [(m, n) for m, n in ruled if isinstance(m, (*DENSE, nn.MultiheadAttention))] or ruled
        assert any(follows(entry.rule, module._parameters[name], module, name) for module, name in bounded)
    for entry in record.untouched:
        assert entry.reason
    check_computed(model, record)
    assert {name for name in after if after[name] != before[name]} <= changeable


def is_behind(module: nn.Module, name: str) -> bool:
    """Whether a parameter is what a weight is computed from."""
    return name.startswith("original") or name.endswith("_orig")


def check_computed(model: nn.Module, record) -> None:
    """The weight itself is what its rule says, where pruning or weight norm computes it."""
    rules = {name: entry.rule for entry in record.parameters for name in (entry.name, *entry.aliases)}
    for path, layer in model.named_modules():
        part = "weight_orig" if "weight_orig" in layer._parameters else "parametrizations.weight.original0"
        rule = rules.get(f"{path}.{part}".lstrip("."))
        if rule is not None:
            assert follows(rule.removeprefix("norm of "), layer.weight, layer, "weight")


def check_twin(drawn: Drawn, record, messages: list[str]) -> None:
    """Who is set, found out in the slow way."""
    arguments, chosen, excluded = drawn.arguments, set(), set()
    paths = defaultdict(list)
    for path, module in drawn.model.named_modules(remove_duplicate=False):
        paths[id(module)].append(path)
    done = {name for entry in record.parameters for name in (entry.name, *entry.aliases)}
    for key in {id(module) for _, module, _ in places(drawn.model)}:
        names = [*paths[key]]
        for path in paths[key]:
            if path.rpartition(".")[2] == "out_proj":
                names += paths[id(drawn.model.get_submodule(path.rpartition(".")[0]))]
        wanted, unwanted = (arguments["include"], "*"), (arguments["exclude"], "no such path")
        is_wanted, is_unwanted = (
            any(fnmatchcase(name, usual if pattern is None else pattern) for name in names)
            for pattern, usual in (wanted, unwanted)
        )
        (excluded if is_unwanted else chosen if is_wanted else set()).add(key)
    by_parameter = defaultdict(list)
    for _, module, name in places(drawn.model):
        by_parameter[id(module._parameters[name])].append((module, name))
    simple = not drawn.text  # memory is shared in other ways than by one Parameter only where the text says so
    for path, module, name in places(drawn.model):
        full, parameter = f"{path}.{name}".lstrip("."), module._parameters[name]
        owners = by_parameter[id(parameter)]
        if any(id(owner) in excluded for owner, _ in owners):
            assert full not in done
        if not parameter.requires_grad and arguments["frozen"] == "keep":
            assert full not in done
        rules = {rule_of(owner, attribute, arguments["norm_aware"]) for owner, attribute in owners}
        if None in rules and arguments["tied"] == "keep":
            assert full not in done
        if (
            simple
            and id(module) in chosen
            and rules <= {"weight", "bias"}
            and isinstance(module, (*DENSE, nn.MultiheadAttention))
        ):
            assert (full in done) == (parameter.requires_grad or arguments["frozen"] == "set")
    if "keeps its values" not in " ".join(messages) and "keep their values" not in " ".join(messages):
        assert not any("shared by" in entry.reason for entry in record.untouched)


def run(examples: int):
    outcomes = []

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(calls())
    def on_random_trees(drawn):
        outcomes.append(check(drawn))

    on_random_trees()
    return outcomes


def test_random_trees():
    outcomes = run(50)
    assert {"raised", "set"} <= set(outcomes)


@pytest.mark.slow
def test_many_random_trees():
    outcomes = run(1000)
    assert outcomes.count("set") > 300
