"""One forward pass as a list of calls: which module called what, on which tensors, and which of them can be changed."""

import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zeroinit._findings.lines import Line, line_at_hand
from zeroinit._modules.transforms import in_transform
from zeroinit.symmetry.verdict.passes.applied import AppliedFunctions, NoInferenceMode
from zeroinit.symmetry.verdict.passes.call import Call, Key
from zeroinit.symmetry.verdict.passes.copied import CopiedParameters
from zeroinit.symmetry.verdict.passes.noise import noise
from zeroinit.symmetry.verdict.passes.states import broken_in, is_constant, state, tensors_in
from zeroinit.symmetry.verdict.passes.written import Writes

__all__ = ["DETACHED", "LOSS", "Call", "Calls", "Key", "is_constant", "tensors_in"]

SILENT = {
    "__get__", "__set__", "dim", "size", "numel", "__len__", "stride", "is_floating_point", "_set_grad_enabled",
    "requires_grad_", "element_size", "is_contiguous", "__hash__", "__bool__", "is_complex", "storage_offset",
    "get_device", "__format__", "__repr__", "register_hook", "_backward_hooks", "__deepcopy__",
}  # fmt: skip
"""Calls that compute nothing."""
DETACHED = {"detach": "detach()", "data": "data", "detach_copy": "detach_copy()"}
"""Calls whose whole purpose is to cut, as a user writes them."""
CHOOSING = ("argmax", "argmin", "argsort", "topk", "sort", "max", "min", "multinomial")
"""Calls whose indices choose; behind a cut, they are a second one."""
ESCAPING = {
    "item": "`.item()`", "tolist": "`.tolist()`", "numpy": "`.numpy()`", "__array__": "`.numpy()`",
    "__float__": "`float()` or `torch.Tensor([...])`", "__int__": "`int()`",
}  # fmt: skip
"""Calls that take values out of torch, as a user writes them."""
WRAPPERS = ("zeroinit.symmetry", "torch.overrides", "torch._tensor", "torch.utils", "beartype", "jaxtyping")
DISTRIBUTIONS = "torch.distributions"
MOST_LOST = 8
LOSS = "<loss>"
"""The path of calls that no module makes."""


class Calls(TorchFunctionMode):
    """Writes down the calls of a forward pass, and changes some of them.

    Args:
        model: Whose modules are named.
        changes: What to do instead of a call, by its key: a function of the call and of what computes its result.
        gradients: ``True`` takes every ``no_grad`` inside away.
        attach: Keys of calls that lose the gradient; what follows from them is tied to what they were given.
        numbers: Look for the first NaN and infinity.
        unwrap: Use computed tensors themselves where a parameter was made of them on the way.
        uncopied: Use parameters themselves where copies of them are used.
        keep: Whether calls are written down; they hold all tensors of the pass.

    Attributes:
        calls: In order.
        wrapped: Modules that were given a parameter made of a computed tensor.
        leaves: Modules that used a tensor that requires a gradient and is no parameter, as of ``Variable(x, True)``.
        new_loss: Whether the loss itself is such a tensor.
        copied: Knows which parameters hold the values of others.
        escapes: Where values that depend on a parameter left torch: module and method, what was typed, and what cut
            them off before. Then the tensors with a gradient that they came of, and the line.
        writes: What is written into a tensor outside of its graph, through its ``.data``.
        quiet_in: The module that switched gradients off last; ``quiet_at`` is the line, and its method.
    """

    def __init__(
        self,
        model: nn.Module,
        changes: Mapping[Key, Callable] | None = None,
        *,
        gradients: bool = False,
        attach: Iterable[Key] = (),
        numbers: bool = False,
        unwrap: bool = False,
        uncopied: bool = False,
        keep: bool = True,
    ):
        super().__init__()
        self.calls: list[Call] = []
        self._changes, self._gradients, self._attach, self._numbers = changes or {}, gradients, set(attach), numbers
        self._counts: dict[tuple[str, str], int] = {}
        self.escapes: list[tuple[tuple[str, str], str, list[str], list[Tensor], Line | None]] = []
        self.wrapped: list[tuple[str, str]] = []
        self.leaves: list[tuple[str, str]] = []
        self.new_loss = False
        self._unwrap, self._registered = unwrap, {id(each) for each in model.parameters()}
        self._made: dict[int, Tensor] = {}
        self._stack: list[str] = [LOSS]
        self._handles: list[Any] = []
        self._lost: dict[int, tuple[tuple[Key, Tensor], ...]] = {}
        self.writes = Writes(self._registered)
        self._keep = keep
        self.quiet_in, self._infers = LOSS, False
        self.quiet_at: tuple[Line | None, str] = (None, "")
        self._kept: list[Tensor] = []
        self._model = model
        self._inside: list[list[Tensor]] = []
        self._applied = AppliedFunctions(self._of_function)
        self._no_inference = NoInferenceMode()
        self.copied = CopiedParameters(model, lambda: self._stack[-1], uncopied)

    def __enter__(self):
        self._applied.start()
        self.copied.start()
        if self._gradients:
            self._no_inference.start()
        for path, module in self._model.named_modules():
            self._handles.append(module.register_forward_pre_hook(self._entering(path)))
            self._handles.append(module.register_forward_hook(self._leaving, always_call=True))
        return super().__enter__()

    def __exit__(self, *error):
        self._applied.stop()
        self.copied.stop()
        self._no_inference.stop()
        for handle in self._handles:
            handle.remove()
        return super().__exit__(*error)

    def __deepcopy__(self, memo: dict) -> "Calls":
        """Return this object: the hooks of a module that is copied while it runs lead here as well."""
        return self

    def _entering(self, path: str) -> Callable:
        def enter(module: nn.Module, arguments: tuple) -> None:
            self._note_inference()
            self._stack.append(path)

        return enter

    def _note_inference(self) -> None:
        """Note in which module inference mode was switched on; nothing is called where it is."""
        if torch.is_inference_mode_enabled() and not self._infers:
            self.quiet_in, self.quiet_at = self._stack[-1], (None, "")
        self._infers = torch.is_inference_mode_enabled()

    def _leaving(self, module: nn.Module, arguments: tuple, output: Any) -> None:
        if len(self._stack) > 1:
            self._stack.pop()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if in_transform():  # its tensors have no memory of their own
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        self._note_inference()
        if name == "_set_grad_enabled":
            if not all(args):
                self.quiet_in, self.quiet_at = self._stack[-1], line_at_hand()[:2] if self._keep else (None, "")
            return func(True) if self._gradients and not self._inside else func(*args, **kwargs)
        if func == torch.Tensor.data.__get__:  # ty: ignore
            name = "data"
        if name in ESCAPING and not self._inside and self._has_gradient(args):
            lost = [pair for each in tensors_in(args) for pair in self._lost.get(id(each), ())]
            sources = [each for each in tensors_in(args) if each.requires_grad] + [each for _, each in lost]
            line, method, _ = line_at_hand()
            self.escapes.append(((self._stack[-1], method), ESCAPING[name], [key[1] for key, _ in lost], sources, line))
        if func == torch.Tensor.data.__set__:  # ty: ignore
            lost = [each for _, each in self._lost.get(id(args[1]), ())]
            own = [args[1]] if args[1].requires_grad else []
            call = self._placed("data", func, args, kwargs)
            self._note_written(call, *self.writes.into(args[0], call, own + lost, bool(own)))
            self.copied.filled(args[0])
        if func == torch.Tensor.requires_grad.__set__ and args[0].grad_fn is not None:  # ty: ignore
            return None  # torch refuses it; here a change gave the tensor its gradient back
        if name in SILENT or name in ESCAPING or (name == "type" and len(args) + len(kwargs) < 2):
            return func(*args, **kwargs)
        if name == "copy_" and args and isinstance(args[0], Tensor):
            self.copied.filled(args[0])
        elif torch.is_grad_enabled() and name != "data" and not name.endswith("_"):
            args, kwargs = self.copied.seen(args), self.copied.seen(kwargs)
        if any(map(self._is_new_leaf, tensors_in([args, kwargs]))):
            self.leaves.append((self._stack[-1], line_at_hand()[1]))
            self.new_loss = self.new_loss or (name == "reshape" and self._stack[-1] == LOSS and args[0].numel() == 1)
            args, kwargs = self._unwrapped(args), self._unwrapped(kwargs)
        call = self._placed(name, func, args, kwargs)
        before = [state(each) for each in call.given] if self._numbers else []
        if name == "detach_" and args[0].requires_grad:
            call.held = [args[0].view_as(args[0])]  # with the graph that is lost
        return self._written(call, before, self._made_by(call))

    def _of_function(self, function: type, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Write an autograd function of the user's own down as one call; gradients are off inside by its nature."""
        call = self._placed(function.__name__, func, args, kwargs)
        call.function = function
        before = [state(each) for each in call.given] if self._numbers else []
        self._inside.append([])
        try:
            result = self._made_by(call)
        finally:
            call.held = self._inside.pop()
        return self._written(call, before, result)

    def _has_gradient(self, args: tuple) -> bool:
        return any(each.requires_grad or id(each) in self._lost for each in tensors_in(args))

    def _placed(self, name: str, func: Any, args: tuple, kwargs: dict) -> Call:
        place = (self._stack[-1], name)
        self._counts[place] = self._counts.get(place, 0) + 1
        call = Call((*place, self._counts[place]), func, args, kwargs, quiet=not torch.is_grad_enabled())
        call.quiet_in, call.quiet_at, call.infers = self.quiet_in, self.quiet_at, self._infers
        call.line, call.method, call.through = line_at_hand() if self._keep else (None, "", "")
        if call.quiet or name.strip("_") in ("sub", "rsub"):
            call.within = _within_distribution()
        return call

    def _made_by(self, call: Call) -> Any:
        change = self._changes.get(call.key)
        return call.func(*call.args, **call.kwargs) if change is None else change(call)

    def _written(self, call: Call, before: list[str], result: Any) -> Any:
        found = tensors_in([result]) if result is not None else tensors_in(call.args[:1])
        if not found:
            return result
        call.out, call.nodes = found, [each.grad_fn for each in found]
        if self._numbers:
            call.broken = broken_in(before, [state(each) for each in found if each.is_floating_point()])
        if self._keep:
            self.calls.append(call)
        if self._keep or self._unwrap:
            self._made |= {each.data_ptr(): each for each in found if each.grad_fn is not None and each.numel()}
        return self._followed(call, result)

    def _followed(self, call: Call, result: Any) -> Any:
        """Note where something that depends on a parameter loses its gradient, and tie on what is asked for."""
        lost = list(dict.fromkeys(each for given in call.data for each in self._lost.get(id(given), ())))[:MOST_LOST]
        sources = [_base(each) for each in [*call.data, *call.held] if each.requires_grad]
        self._note_written(call, *self.writes.note(call, result, [*sources, *(each for _, each in lost)]))
        if any(each.requires_grad and not self._is_new_leaf(each) for each in call.out):
            if chosen := [each for each in call.out if not each.is_floating_point() and not each.is_complex()]:
                call.chooses = True
                self._note_lost(chosen, [(call.key, each) for each in sources])
            return self._tied(call, result, lost)
        if self._inside:  # the function around it hands the gradient on, or does not
            self._inside[-1] += sources
            return result
        call.cuts = bool(sources) or (call.name in DETACHED and bool(lost))  # a second cut behind the first
        call.chooses = call.behind = bool(lost) and not sources and call.name in CHOOSING
        own = [*sources, *(each for _, each in lost if call.chooses)]
        lost = [*((call.key, each) for each in own), *lost][:MOST_LOST]
        if not lost:
            return result
        tied = self._tied(call, result, lost)
        if tied is result:
            self._note_lost(call.out, lost)
        return tied

    def _note_lost(self, tensors: list[Tensor], lost: list[tuple[Key, Tensor]]) -> None:
        self._lost |= {id(each): tuple(lost[:MOST_LOST]) for each in tensors}
        self._kept += tensors  # so that no other tensor gets the same identity

    def _note_written(self, call: Call, whole: Tensor | None, sources: list[Tensor]) -> None:
        if whole is not None:
            self._note_lost([whole], [(call.key, each) for each in sources])

    def _tied(self, call: Call, result: Any, lost: list[tuple[Key, Tensor]]) -> Any:
        """Tie each lost tensor that is to be attached to a result that can carry a gradient; its values stay."""
        new = isinstance(result, Tensor) and self._is_new_leaf(result)  # it cuts off once more
        sources = [source for key, source in lost if key in self._attach or (new and self._attach)]
        if not sources or not _can_carry(result):
            return result
        tied = result
        for source in sources:
            mean = (source * noise(source)).mean().to(result.dtype)
            tied = tied + 1e-3 * (mean - mean.detach()) * noise(result)  # a softmax takes out what is even
        call.out, call.nodes = [tied], [tied.grad_fn]
        return tied

    def _unwrapped(self, value: Any) -> Any:
        """Note parameters that were made of computed tensors, and put these in their place if asked to."""
        if isinstance(value, dict):
            return {key: self._unwrapped(each) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(self._unwrapped, value))
        return self.as_made(value) if isinstance(value, Tensor) and self._is_new_leaf(value) else value

    def as_made(self, leaf: Tensor) -> Tensor:
        """Note a leaf made of a computed tensor, and return that tensor if asked to."""
        made = self._made.get(leaf.data_ptr()) if self._is_new_leaf(leaf) else None
        if made is None or made.numel() != leaf.numel() or (type(leaf) is nn.Parameter and made.shape != leaf.shape):
            return leaf
        if type(leaf) is nn.Parameter:
            self.wrapped.append((self._stack[-1], line_at_hand()[1]))
        return made.reshape(leaf.shape) if self._unwrap else leaf

    def _is_new_leaf(self, value: Tensor) -> bool:
        made = value.requires_grad or type(value) is nn.Parameter  # frozen as well, where it is made of a tensor
        return made and value.grad_fn is None and id(value) not in self._registered

    def by_node(self) -> dict[Any, Call]:
        """Return which call made each of autograd's nodes."""
        found: dict[Any, Call] = {}
        for call in self.calls:
            waiting = [each for each in call.nodes if each is not None]
            while waiting:
                node = waiting.pop()
                if node in found or hasattr(node, "variable"):
                    continue
                found[node] = call
                waiting += [each for each, _ in node.next_functions if each is not None]
        return found

    def producer(self, tensor: Tensor) -> Call | None:
        """Return the last call that a tensor came out of."""
        return next((call for call in reversed(self.calls) if any(each is tensor for each in call.out)), None)


def _within_distribution() -> str:
    """Return the function of ``torch.distributions`` that was called and leads to the operation at hand, if any."""
    frame: FrameType | None = sys._getframe(1)
    found = ""
    while frame is not None and (name := str(frame.f_globals.get("__name__"))).startswith((*WRAPPERS, DISTRIBUTIONS)):
        found = frame.f_code.co_qualname if name.startswith(DISTRIBUTIONS) else found
        frame = frame.f_back
    return found


def _base(tensor: Tensor) -> Tensor:
    """Return what a view that was made under ``no_grad`` is a view of."""
    base = tensor._base
    return base if base is not None and tensor.grad_fn is None else tensor


def _can_carry(result: Any) -> bool:
    return isinstance(result, Tensor) and result.is_floating_point() and torch.is_grad_enabled()
