"""How the updates of a run go to a device: one operation at a time, or recorded once and replayed."""

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.optim import Optimizer
from torch.optim import optimizer as torch_optimizer

from zeroinit._common import InputError, lookup
from zeroinit.bench.training.steps.stacked import StackedModel, has_hooks, why_not_stackable

__all__ = [
    "EXECUTIONS",
    "ExecutionWarning",
    "Forward",
    "Updates",
    "choose_execution",
    "fastest_convolutions",
    "record_cuda_graph",
]

EXECUTIONS = {
    "auto": "graphed on a CUDA device if the model consists of modules that zeroinit knows, else eager",
    "eager": "each operation goes to the device separately",
    "graphed": "an update is recorded as a CUDA graph and replayed, without a pause between its operations",
    "compiled": "torch.compile compiles the model, and on a CUDA device the update is graphed as with auto; compiling "
    "takes a minute or more",
}
WARM_UPS = 3
"""Eager updates of each batch shape before one is recorded. Libraries choose their kernels meanwhile."""
RECORDABLE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop)
"""Optimizers whose step reads nothing back from the device."""
GLOBAL_HOOKS = (
    *("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks"),
)

Update = Callable[[Tensor, Tensor], Tensor]
Recorder = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


class ExecutionWarning(UserWarning):
    """Updates run one operation at a time, because they cannot be recorded."""


def choose_execution(
    execution: str, model: nn.Module, optimizers: Sequence[Optimizer], device: torch.device
) -> tuple[bool, bool]:
    """Return whether updates are recorded, and whether the model is compiled.

    A recorded update repeats what the device did once. It does not run the model's Python code again: for example, a
    layer that ``random`` drops in one update would be dropped in all. So ``"auto"`` records only models that consist of
    modules that zeroinit knows.

    Args:
        execution: A key of ``EXECUTIONS``.
        model: The model that is trained.
        optimizers: The optimizers that update the model.
        device: The model's device.

    Raises:
        InputError: The name is unknown, or ``"graphed"`` is impossible here.

    Example:
        >>> choose_execution("auto", nn.Linear(2, 2), [], torch.device("cpu"))
        (False, False)
    """
    lookup(EXECUTIONS, execution, "execution")
    of_known_kind = all(type(optimizer) in RECORDABLE for optimizer in optimizers)
    on_cuda = device.type == "cuda"
    if execution == "graphed" and not (on_cuda and of_known_kind):
        reason = (
            f"{', '.join(type(each).__name__ for each in optimizers)} cannot be recorded"
            if on_cuda
            else f"the model is on {device.type}, and CUDA graphs need a CUDA device"
        )
        raise InputError(f"execution='graphed': {reason}; use 'auto' or 'eager'")
    if execution in ("eager", "graphed"):
        return execution == "graphed", False
    return on_cuda and of_known_kind and _is_known(model), execution == "compiled"


def _is_known(model: nn.Module) -> bool:
    """Whether a forward pass only calls known modules and adds their outputs.

    The test uses a copy that shares the tensors, because the forward pass of a user's model may count its calls.
    """
    if isinstance(model, StackedModel):
        return True
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    try:
        return why_not_stackable([copy.deepcopy(model, shared)]) is None
    except Exception:  # a model that cannot be copied counts as unknown
        return False


@contextmanager
def fastest_convolutions(search: bool) -> Iterator[None]:
    """Let cuDNN try its algorithms for each new shape and keep the fastest.

    An update of the ResNet-50 in bfloat16 takes 0.88 of the time on an H200; see docs/guides/gpu.md. The search takes a
    moment for each shape, so it suits updates that come again and again. With deterministic algorithms it stays off.

    Args:
        search: Whether to search.

    Example:
        >>> with fastest_convolutions(True):
        ...     torch.backends.cudnn.benchmark
        True
    """
    before = torch.backends.cudnn.benchmark
    wanted = not (torch.backends.cudnn.deterministic or torch.are_deterministic_algorithms_enabled())
    try:
        torch.backends.cudnn.benchmark = before or (search and wanted)
        yield
    finally:
        torch.backends.cudnn.benchmark = before


class Forward:
    """A model's forward pass, compiled for full batches; with hooks or other batches the model itself runs.

    Args:
        model: Maps images to logits.
        batch_size: The size of a full batch.
        compiler: A function like ``torch.compile``.
    """

    def __init__(self, model: nn.Module, batch_size: int, compiler: Callable = torch.compile):
        self._model = model
        self._batch_size = batch_size
        self._compiled = compiler(model, dynamic=False)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the logits."""
        is_full = len(inputs) == self._batch_size and self._model.training
        return self._compiled(inputs) if is_full and not has_hooks(self._model) else self._model(inputs)


@dataclass
class _Record:
    """One recorded update: the tensors for its batch, how to run it, and the tensor of its loss."""

    inputs: Tensor
    labels: Tensor
    replay: Callable[[], None]
    loss: Tensor


class Updates:
    """Runs updates; records and replays an update if its batch shape comes again.

    While hooks are on the model or on optimizers, nothing is recorded or replayed: a replay would not call the hooks.

    Args:
        update: Does one update from inputs and labels and returns its loss; does not wait for the device.
        model: The model that it updates.
        optimizers: The optimizers that it uses.
        recorder: A function like ``record_cuda_graph``.
        may_record: Whether all further updates differ only in their batch.
    """

    def __init__(
        self,
        update: Update,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        recorder: Recorder,
        may_record: Callable[[], bool] = lambda: True,
    ):
        self._update = update
        self._model = model
        self._optimizers = optimizers
        self._recorder = recorder
        self._may_record = may_record
        self._seen: dict[tuple, int] = {}
        self._records: dict[tuple, _Record] = {}
        self._failed = False

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Do one update; return the loss before the update."""
        key = (inputs.shape, inputs.dtype, inputs.stride(), labels.shape)
        if self._failed or not self._may_record() or self._is_hooked():
            return self._update(inputs, labels)
        if key not in self._records:
            self._seen[key] = self._seen.get(key, 0) + 1
            if self._seen[key] <= WARM_UPS or not self._record(key, inputs, labels):
                return self._update(inputs, labels)
        record = self._records[key]
        record.inputs.copy_(inputs)
        record.labels.copy_(labels)
        record.replay()
        return record.loss.clone()

    def _is_hooked(self) -> bool:
        return (
            has_hooks(self._model)
            or any(_hooks_of(optimizer) for optimizer in self._optimizers)
            or any(getattr(torch_module, name, None) for name in GLOBAL_HOOKS)
            or any(_concerns(hook, self._model) for hook in _hooks_of_all_optimizers())
        )

    def _record(self, key: tuple, inputs: Tensor, labels: Tensor) -> bool:
        """Record an update of this shape without running it; return whether this worked."""
        static_inputs, static_labels = inputs.detach().clone(), labels.clone()
        try:
            replay, loss = self._recorder(lambda: self._update(static_inputs, static_labels))
        except RuntimeError as error:
            self._failed = True
            warnings.warn(
                "updates run one operation at a time, which is slower: they cannot be recorded as a CUDA graph "
                f"({str(error).splitlines()[0]}); pass execution='eager' to get no warning",
                ExecutionWarning,
                stacklevel=2,
            )
            return False
        self._records[key] = _Record(static_inputs, static_labels, replay, loss)
        return True


def _hooks_of_all_optimizers() -> list[Callable]:
    hooks = (torch_optimizer._global_optimizer_pre_hooks, torch_optimizer._global_optimizer_post_hooks)
    return [hook for each in hooks for hook in each.values()]


def _concerns(hook: Callable, model: nn.Module) -> bool:
    """Whether a hook wants to be called for a model; one that says nothing about it does."""
    concerns = getattr(hook, "concerns", None)
    return concerns is None or concerns(model)


def _hooks_of(optimizer: Optimizer) -> Iterable:
    return [*optimizer._optimizer_step_pre_hooks, *optimizer._optimizer_step_post_hooks]


def record_cuda_graph(work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record, without running them, the operations of ``work`` on the current CUDA device.

    Returns:
        A function that runs the operations, and the tensor that then holds their result.
    """
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph.replay, result
