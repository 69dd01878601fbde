"""How a module stores a stack of matrices: its own source tells which axis the inputs meet."""

import ast
import inspect
import textwrap
from functools import lru_cache

from torch import nn

__all__ = ["units_axis"]

TURNS = {"transpose", "swapaxes", "permute", "t", "mT", "T", "mH", "adjoint"}
LEFT_ALONE = {"to", "data", "type_as", "float", "contiguous", "detach", "clone", "chunk", "unbind", "split", "half"}
"""Methods and attributes that leave the order of the axes as it is."""
PRODUCTS = {"bmm", "matmul", "mm", "baddbmm", "grouped_mm", "_grouped_mm"}


def units_axis(module: nn.Module, attribute: str) -> int | None:
    """Return the axis of the units of a parameter (matrices, ., .), 1 or 2; ``None`` if the source does not tell.

    The inputs are summed over: the second axis from the right of a right factor, or the letter of an ``einsum`` that
    the output has not.

    Example:
        >>> units_axis(nn.Linear(2, 2), "weight")  # its `forward` calls `F.linear`
        1
    """
    found = _axes(type(module)).get(attribute, frozenset())  # type: ignore[arg-type]  # a class is hashable
    return next(iter(found)) if len(found) == 1 else None


@lru_cache(maxsize=256)
def _axes(kind: type) -> dict[str, frozenset[int]]:
    """Return all axes of units that the methods of a class show, by attribute."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return {}
    found: dict[str, set[int]] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name != "__init__":
            owner, names = function.args.args[0].arg if function.args.args else "", _names(function)
            for node in ast.walk(function):
                for factor, axis in _factors(node):
                    attribute, turned = _read(factor, names, owner)
                    if attribute:
                        found.setdefault(attribute, set()).add(3 - axis if turned else axis)
    return {attribute: frozenset(axes) for attribute, axes in found.items()}


def _names(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """Return what names stand for, those of loops over a stack included."""
    found: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            calls = node.iter.args if isinstance(node.iter, ast.Call) else []
            targets = node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]
            for target, value in zip(targets, calls or [node.iter], strict=False):
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, value)
    return found


def _factors(node: ast.AST) -> list[tuple[ast.expr, int]]:
    """Return the expressions that a product sums over, with the axis of the units, of three."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return [(node.right, 2)]
    if not isinstance(node, ast.Call):
        return []
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    is_method = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in ("torch", "F", "np")
    if name == "linear" and len(node.args) > 1:
        return [(node.args[1], 1)]
    if name in PRODUCTS and node.args:
        at = 0 if is_method and not ast.unparse(node.func).startswith("torch.") else 1 + (name == "baddbmm")
        return [(node.args[at], 2)] if len(node.args) > at else []
    if (
        name == "einsum"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ):
        return _summed(node.args[0].value.replace(" ", ""), node.args[1:])
    return []


def _summed(text: str, factors: list[ast.expr]) -> list[tuple[ast.expr, int]]:
    inputs, _, output = text.partition("->")
    found = []
    for letters, factor in zip(inputs.split(","), factors, strict=False):
        last = letters.replace("...", "")[-2:]
        kept = [letter in output for letter in last]
        if len(last) == 2 and kept in ([True, False], [False, True]):
            found.append((factor, 1 if kept[0] else 2))
    return found


def _read(node: ast.expr, names: dict[str, ast.expr], owner: str, depth: int = 8) -> tuple[str, bool]:
    """Return the attribute of the module that an expression reads, and whether its last axes are turned."""
    turned = False
    for _ in range(depth):
        if isinstance(node, ast.Name) and node.id in names:
            node = names[node.id]
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TURNS | LEFT_ALONE
        ):
            turned ^= node.func.attr in TURNS
            node = node.func.value
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == owner and node.attr not in TURNS:
                return node.attr, turned
            if node.attr not in TURNS | LEFT_ALONE:
                break
            turned ^= node.attr in TURNS
            node = node.value
        else:
            break
    return "", False
