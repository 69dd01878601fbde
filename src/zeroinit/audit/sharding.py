"""Which parameters are shards, and how large the whole ones are: told by a whole model, sizes, marks, names, source."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from contextlib import suppress

from torch import Tensor, nn

from zeroinit.audit.building import Observed
from zeroinit.audit.trace import plain

__all__ = ["INPUTS", "declared_sizes", "whole_numbers", "whole_shapes"]

INPUTS = {*("in_features", "input_size", "in_channels", "in_dim", "input_dim"), *("d_in", "in_size", "nx", "dim_in")}
OUTPUTS = {*("out_features", "output_size", "out_channels", "out_dim"), *("output_dim", "d_out", "out_size", "nf")}
"""Attributes of a module that hold how many inputs and outputs the whole layer has."""
SIZES = re.compile(r"experts|heads|features|dim|size|hidden|width|channels|embd|vocab")
WORLDS = re.compile(r"world|shard|^tp|_tp|tp_|parallel|partition|num_ranks|^ws$", re.IGNORECASE)
PARTIAL = re.compile(r"local|per_|_per|partition|shard|rank|world|tp")
"""Attributes that hold the size of a shard, or something else."""
MARKS = re.compile(r"shard|partition|parallel|is_distributed|tp_|expert_data|split_axis", re.IGNORECASE)
"""Attributes of a parameter that mark it as a shard."""
RANKS = re.compile(
    r"world|shard|parallel|partition|num_gpus|n_?procs?|(?<![a-z])(tp|ep|ws|ranks?)(?![a-z])", re.IGNORECASE
)
"""Names of a number of ranks, or of a rank, in the source of a constructor."""
LOCAL_EXPERTS = re.compile(r"(^|_)ep(_|$)|expert_parallel|local_experts|experts_per_rank|ep_size|ep_rank")
"""Attributes of a module whose experts are distributed over ranks."""
STAGES = re.compile(r"(^|_)(stage|pp_rank|pp_stage|pipeline_rank|stage_id|stage_index|first_layer|layer_offset)($|_)")
"""Attributes of a module that is a stage of a pipeline."""
NAMES = re.compile(
    r"shard|(row|col|column|vocab|tensor|expert)_?parallel|_tp(_|$|\.)|(^|[._])tp(_|$|\.)|local_expert|partition",
    re.IGNORECASE,
)


def whole_shapes(whole: Observed, rank: Observed, world: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter of a rank that is a shard, as the whole model or the module tells.

    If the whole model shows larger sizes, a parameter of equal size is none, whatever its name or class says.
    """
    shapes = {name: tuple(each.shape) for name, each in whole.parameters.items()}
    found = {}
    locals_ = {name: tuple(plain(each).shape) for name, each in rank.parameters.items()}
    by_size = any(shapes.get(name, local) != local for name, local in locals_.items())
    shared_out = _shared_out(whole, rank, world)
    divided = {f"{path}.{name}".lstrip(".") for path, module in rank.model.named_modules() for name in _divided(module)}
    for name, parameter in rank.parameters.items():
        local = locals_[name]
        full = shapes.get(name, local)
        if full == local or len(full) != len(local):
            full = tuple(parameter.shape)
        if full == local and len(local) > 0 and not (by_size and name in shapes):
            full = declared_sizes(rank, name, local, world) or local
        by_name = not (by_size and name in shapes) and (name in divided or _is_named(rank, name))
        if full != local or name.startswith(shared_out) or _is_marked(rank, name, parameter, by_name):
            found[name] = full
    return found


def _shared_out(whole: Observed, rank: Observed, world: int) -> tuple[str, ...]:
    """Return the paths of lists of modules whose entries are distributed over ranks, as experts."""
    paths = []
    for path, module in rank.model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.ParameterList) or not len(module):
            continue
        parent = vars(rank.model.get_submodule(path.rpartition(".")[0]))
        sizes = {value for key, value in parent.items() if type(value) is int and "expert" in key}
        with suppress(AttributeError, TypeError):
            sizes.add(len(whole.model.get_submodule(path)))  # type: ignore[arg-type]  # a list, as here
        if world > 1 and any(size > len(module) and size % len(module) == 0 for size in sizes):
            paths.append(f"{path}.")
    return tuple(paths)


def _is_marked(rank: Observed, name: str, parameter: Tensor, by_name: bool) -> bool:
    """Whether a parameter says that it is a shard, or a module above that each rank has others."""
    marks = {key: value for key, value in vars(parameter).items() if MARKS.search(key)}
    if marks:
        return any(value not in (False, None, -1) for value in marks.values())
    if any(each.is_shard() for each in getattr(parameter, "placements", ())):
        return True
    if _says_above(rank, name, STAGES) or ("expert" in name and _says_above(rank, name, LOCAL_EXPERTS)):
        return True
    return by_name


def _is_named(rank: Observed, name: str) -> bool:
    """Whether the class of a module or a name says that a parameter is a shard."""
    owner = rank.owner(name)
    if name.endswith("bias") and re.search("row", type(owner).__name__, re.IGNORECASE):
        return False
    kinds = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(owner).__name__)
    return NAMES.search(kinds) is not None or NAMES.search(name) is not None


def _says_above(rank: Observed, name: str, pattern: re.Pattern[str]) -> bool:
    """Whether a module above has a whole number with such a name: each rank has layers or experts of its own."""
    parts = name.split(".")
    above = [rank.model.get_submodule(".".join(parts[:at])) for at in range(len(parts))]
    return any(pattern.search(key) and type(value) is int for each in above for key, value in vars(each).items())


def declared_sizes(observed: Observed, name: str, shape: tuple[int, ...], world: int) -> tuple[int, ...] | None:
    """Return the shape of the whole parameter, if its module knows a larger size and the number of shards.

    The number of shards is that of the ranks, or stands in an attribute of the module or of one above it, as
    ``world_size``. With the former alone only sizes with the name of an input or output count.
    """
    owner = observed.owner(name)
    path = name.rpartition(".")[0]
    shards: set[int] = set()
    if isinstance(owner, nn.ParameterList):
        shards, path = {len(owner)}, path.rpartition(".")[0]
        owner = observed.owner(f"{path}.")
    if type(owner).__module__.startswith("torch."):
        return None
    parts = path.split(".")
    above = [observed.model.get_submodule(".".join(parts[:at])) for at in range(len(parts) + 1)]
    shards |= {value for each in above for key, value in whole_numbers(each) if WORLDS.search(key)}
    known_sizes = {value for key, value in whole_numbers(owner) if not PARTIAL.search(key)}
    for axis, size in enumerate(shape):
        for key, value in whole_numbers(owner) if size not in known_sizes else ():
            known = key in (INPUTS | OUTPUTS if len(shape) > 1 else OUTPUTS) or (axis == 0 and "experts" in key)
            cuts = shards | {world} if known else shards if SIZES.search(key) and not WORLDS.search(key) else set()
            if value not in shape and any(value == size * each for each in cuts if each > 1):
                return (*shape[:axis], value, *shape[axis + 1 :])
    return None


def whole_numbers(module: nn.Module) -> list[tuple[str, int]]:
    """Return the attributes of a module that are whole numbers.

    Example:
        >>> whole_numbers(nn.Linear(3, 2))
        [('in_features', 3), ('out_features', 2)]
    """
    return [(key, value) for key, value in vars(module).items() if type(value) is int]


def _divided(module: nn.Module) -> set[str]:
    """Return attributes whose sizes a constructor divides by the number of ranks, or which take the part of a rank.

    A layer whose outputs are divided has a bias that is divided, too; both names are returned, seen from the module.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(module).__init__)))
    except (OSError, TypeError, SyntaxError):
        return set()
    names: set[str] = set()
    found: set[str] = set()
    for target, value in _assigned(tree):
        if _is_divided(value, names):
            names.add(ast.unparse(target))
            if isinstance(target, ast.Attribute):
                found |= _parts(target.attr, getattr(module, target.attr, None), value, names)
    return found


def _assigned(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield what is assigned, and its value; ``a, b = 1, 2`` gives two pairs."""
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            value = node.value  # type: ignore[attr-defined]  # of an assignment
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from zip(target.elts, value.elts, strict=False)
            else:
                yield target, value


def _is_divided(value: ast.AST, names: set[str]) -> bool:
    """Whether an expression divides by a number of ranks, takes the part of a rank, or uses what does."""
    for node in ast.walk(value):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv) and RANKS.search(ast.unparse(node.right)):
            return True
        if isinstance(node, ast.Subscript) and RANKS.search(ast.unparse(node.slice)):
            return True
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in names:
            return True
    return False


def _parts(attribute: str, made: object, value: ast.AST, names: set[str]) -> set[str]:
    """Return the parameters below an attribute that a divided size concerns."""
    if isinstance(made, nn.Linear) and isinstance(value, ast.Call):
        outputs = len(value.args) > 1 and _is_divided(value.args[1], names)
        return {f"{attribute}.weight", f"{attribute}.bias"} if outputs else {f"{attribute}.weight"}
    if isinstance(made, nn.Module):
        return {f"{attribute}.{name}" for name, _ in made.named_parameters()}
    return {attribute}
