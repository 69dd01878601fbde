"""What belongs to two: memory of a parameter and a buffer, or of two parameters; a module at several places."""

from collections.abc import Iterator

from torch import Tensor, nn

from zeroinit.symmetry.verdict.passes.naming import few, of_model
from zeroinit.symmetry.verdict.search.sources import CONTAINERS

__all__ = ["how_to_part", "repeated_modules", "shared_memory"]


def shared_memory(model: nn.Module) -> Iterator[tuple[str, str, bool]]:
    """Yield each parameter that needs a gradient with what overlaps it: its name, the other's, and if that is a buffer.

    One parameter under two names is tied, and no finding. Nor are parameters of one block that do not overlap.

    Example:
        >>> model = nn.Linear(3, 3, bias=False)
        >>> model.register_buffer("adjacency", model.weight.data)
        >>> list(shared_memory(model))
        [('weight', 'adjacency', True)]
    """
    trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    places: list[tuple[str, Tensor, bool]] = [(name, each, False) for name, each in trained]
    places += [(name, each, True) for name, each in model.named_buffers()]
    by_block: dict[int, list[tuple[int, int, int]]] = {}
    for at, (_, tensor, _) in enumerate(places):
        if tensor.numel() and (block := _block(tensor)) is not None:
            by_block.setdefault(block, []).append((*_bytes(tensor), at))
    for members in by_block.values():
        ordered = sorted(members)
        for position, (_, end, at) in enumerate(ordered):
            for begin, _, other in ordered[position + 1 :]:
                if begin >= end:
                    break
                (name, _, is_buffer), (other_name, _, other_is_buffer) = (places[each] for each in sorted((at, other)))
                if not is_buffer:
                    yield name, other_name, other_is_buffer


def _block(tensor: Tensor) -> int | None:
    """Return where a tensor's storage begins; ``None`` if it has none, as on the meta device."""
    try:
        return tensor.untyped_storage().data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None


def _bytes(tensor: Tensor) -> tuple[int, int]:
    """Return where a tensor begins and ends in its storage."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    begin = int(tensor.storage_offset()) * tensor.element_size()
    return begin, begin + int(extent) * tensor.element_size()


def how_to_part(name: str, other: str, is_buffer: bool, is_whole: bool = True) -> str:
    """Write the repair as a line to type.

    Example:
        >>> how_to_part("a.weight", "b", is_buffer=True)
        'Give each its own memory: `model.a.weight = nn.Parameter(model.b.clone())`.'
    """
    if is_buffer:
        return f"Give each its own memory: `{of_model(name)} = nn.Parameter({of_model(other)}.clone())`."
    if is_whole:
        return f"Tie them as one parameter: `{of_model(other)} = {of_model(name)}`."
    return f"Compute one from the other in the forward pass, or give `{other}` its own memory with `.clone()`."


def repeated_modules(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield each list whose places hold one and the same trained module, with a sentence about it.

    Example:
        >>> list(repeated_modules(nn.Sequential(*[nn.Linear(2, 2)] * 2)))
        [('', '`0` and `1` are the same module, so whatever one of them learns is learned by all.')]
    """
    for path, module in model.named_modules():
        if not isinstance(module, CONTAINERS):
            continue
        places: dict[int, list[str]] = {}
        for key, each in module._modules.items():
            if each is not None and any(parameter.requires_grad for parameter in each.parameters()):
                places.setdefault(id(each), []).append(f"{path}.{key}".lstrip("."))
        for names in places.values():
            if len(names) > 1:
                yield path, f"{few(names)} are the same module, so whatever one of them learns is learned by all."
