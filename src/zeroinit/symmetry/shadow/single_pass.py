"""One forward pass of a copy to its loss, and one backward pass."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.autograd import Variable

from zeroinit._common import InputError
from zeroinit._modules.batch import describe, failed_pass, tensors_in
from zeroinit._modules.copying import copier_of
from zeroinit._modules.replaced import parts_kept
from zeroinit.symmetry.shadow.memory.frugal import frugal
from zeroinit.symmetry.shadow.memory.sharing import WriteGuard, WrittenError
from zeroinit.symmetry.shadow.objective import Objective
from zeroinit.symmetry.shadow.precision import ShadowMode
from zeroinit.symmetry.shadow.trace import Settings
from zeroinit.symmetry.shadow.undisturbed import reseed

__all__ = ["backward", "forward_loss", "one_pass", "running"]


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def running(replica: nn.Module, dtype: torch.dtype, mode: ShadowMode) -> Iterator[None]:
    """Settings under which a copy runs: gradients on, no autocast from outside, frozen weights read in place."""
    copier, device = copier_of(replica), next(replica.parameters()).device.type
    with ExitStack() as stack:
        stack.enter_context(_default_dtype(dtype))
        stack.enter_context(torch.enable_grad())
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
        if copier is not None and copier.shared:
            mode.shared = copier.shared
            stack.enter_context(mode.casts.kept())
            stack.enter_context(WriteGuard(copier.shared))
        yield


def forward_loss(replica: nn.Module, objective: Objective, dtype: torch.dtype, mode: ShadowMode) -> Tensor:
    """Run a copy forward and return its loss.

    Raises:
        InputError: The forward pass failed, or leads to no loss; an error of the model is chained.
    """
    with running(replica, dtype, mode), parts_kept(replica, mode.made):
        try:
            with mode:
                output = objective.output(replica, dtype)
        except WrittenError:
            raise
        except Exception as error:
            without = "" if tensors_in(objective.inputs) else " without a tensor"
            raise InputError(
                f"inputs={describe(objective.inputs)}{without}: {failed_pass(replica, error)}; hand over "
                "inputs for which model(inputs), model(*inputs) or model(**inputs) runs in train mode"
            ) from error
        _refuse_the_original(replica, mode, "model: a hook or an attribute of it")
        with mode, mode.comparing(output):
            loss = objective.loss(output, dtype, replica)
        _refuse_the_original(replica, mode, "loss_fn")
        return loss


def _refuse_the_original(replica: nn.Module, mode: ShadowMode, who: str) -> None:
    """Raise if a call went to the model that was handed over. It would get gradients by this call."""
    copier = copier_of(replica)
    names = [copier.parameters[each] for each in mode.used if each in copier.parameters] if copier else []
    trained = [name for name in names if name in {n for n, p in replica.named_parameters() if p.requires_grad}]
    if trained:
        raise InputError(
            f"{who} works on {trained[0]} of the model that was handed over, and a copy is trained; have loss_fn take "
            "what it needs from the output of model, or hold the model itself in its closure, so that it gets the copy"
        )


def one_pass(
    replica: nn.Module, objective: Objective, dtype: torch.dtype, settings: Settings, mode: ShadowMode, step: int
) -> Tensor:
    """Go forward and backward once, with the draws of a step; return the loss.

    Raises:
        InputError: Either pass failed.
    """
    reseed(settings.seed, step)
    for parameter in replica.parameters():
        parameter.grad = None
    with frugal(replica):
        loss = forward_loss(replica, objective, dtype, mode)
        if mode.reads_gradient:  # what a backward pass inside has left is no gradient of this loss
            replica.zero_grad()
        if loss.requires_grad:
            backward(loss, replica, dtype, mode)
    return loss.detach()


def _keeps_graph(replica: nn.Module) -> str:
    """Name an attribute that holds a tensor with a graph, as a state does that is kept from pass to pass."""
    for path, module in replica.named_modules():
        for name, value in [*vars(module).items(), *module.named_buffers(recurse=False)]:
            plain = not name.startswith("_") or isinstance(value, Tensor)
            if plain and any(each.grad_fn is not None for each in tensors_in(value, 2)):
                return f"`{f'{path}.{name}'.lstrip('.')}`"
    return ""


def backward(loss: Tensor, replica: nn.Module, dtype: torch.dtype, mode: ShadowMode, keep: bool = False) -> None:
    """Go backward under the settings of the forward pass. Checkpointed layers, which run again, meet the same settings.

    Raises:
        InputError: The backward pass failed; its error is chained.
    """
    one = torch.ones_like(loss)
    with running(replica, dtype, mode), parts_kept(replica, mode.made), mode:
        try:  # the engine itself: ``loss.backward`` would leave the mode first
            Variable._execution_engine.run_backward(
                (loss,), (one,), keep, False, (), allow_unreachable=True, accumulate_grad=True
            )
        except (WrittenError, InputError):
            raise
        except Exception as error:
            if (kept := _keeps_graph(replica)) and "second time" in str(error):
                raise InputError(
                    f"model={type(replica).__name__}: the backward pass fails from the second step on, because {kept} "
                    "keeps the graph of the pass before; store it with .detach()"
                ) from error
            if mode.derives and "second time" in str(error):
                raise InputError(
                    f"model={type(replica).__name__}: the backward pass needs the graph that torch.autograd.grad freed;"
                    " call it with create_graph=True"
                ) from error
            out = "loss.backward() has to run for this model and this batch"
            if "second time" in str(error):
                out = "the loss keeps a tensor with its graph from an earlier pass: compute it anew, or .detach() it"
            raise InputError(
                f"model={type(replica).__name__}: the backward pass failed ({type(error).__name__}: {error}); {out}"
            ) from error
