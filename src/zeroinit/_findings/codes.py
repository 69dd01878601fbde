"""The table of findings: stable codes, what each means, and what to do."""

from dataclasses import dataclass

__all__ = ["CODES", "Code", "in_full", "meant"]


@dataclass(frozen=True)
class Code:
    """What a finding's code stands for."""

    severity: str
    title: str
    suggestion: str


def in_full(code: str) -> str:
    """Return a code as the table has it.

    Example:
        >>> in_full("6"), in_full("zi6"), in_full("ZI0")
        ('ZI006', 'ZI006', 'ZI000')
    """
    number = code.upper().removeprefix("ZI")
    return f"ZI{int(number):03d}" if number.isdecimal() else code.upper()


def meant(code: str) -> str:
    """Return the code that a wrong one may stand for: its digits alone, in full.

    Example:
        >>> meant("ZI06x"), meant("zio6"), meant("dead")
        ('ZI006', 'ZI006', 'dead')
    """
    digits = "".join(each for each in code.upper().replace("O", "0") if each.isdecimal())
    return in_full(digits) if digits else code


CODES: dict[str, Code] = {
    "ZI001": Code(
        "warning",
        "units are identical and receive identical updates",
        "Draw this layer's weights or biases at random; dropout during the first steps breaks the symmetry, too.",
    ),
    "ZI002": Code(
        "warning",
        "units are identical up to rounding",
        "Draw this layer's weights or biases at random; differences of the size of rounding grow slowly, if at all.",
    ),
    "ZI003": Code(
        "warning",
        "units are each other's negative and stay so",
        "Draw the layer anew; mirrored units count only once.",
    ),
    "ZI004": Code(
        "warning",
        "layers are copies of each other and receive identical updates",
        "Initialize each copy with other random values, or keep only one.",
    ),
    "ZI005": Code(
        "warning",
        "units are dead for every input of this size",
        "Use positive biases, smaller ones, or an activation with a slope below zero.",
    ),
    "ZI006": Code(
        "warning",
        "two factors are zero, so that each cuts off the other",
        "Let one of the two start at random values.",
    ),
    "ZI007": Code(
        "warning",
        "zeros elsewhere cut the gradient off, and stay zero",
        "Start the parameter that is named at random values; this one then learns.",
    ),
    "ZI008": Code(
        "warning",
        "an activation is flat for the whole batch",
        "Check the biases and the scale in front of the activation.",
    ),
    "ZI009": Code(
        "warning",
        "takes part in the forward pass, but no gradient leads back",
        "Look for detach(), no_grad(), .data, argmax or rounding between it and the loss.",
    ),
    "ZI010": Code(
        "warning",
        "does not take part in the forward pass",
        "Use it or remove it; an optimizer never moves it.",
    ),
    "ZI011": Code(
        "warning",
        "weights have a gradient through rounding alone",
        "Draw the norm's shift (beta) at random, or let norms act as affine maps in the first steps.",
    ),
    "ZI012": Code("warning", "no gradient arrives", "Follow the path from it to the loss."),
    "ZI013": Code(
        "warning",
        "loss or gradients are not finite",
        "Lower the learning rate or the scale of the weights; check the batch.",
    ),
    "ZI014": Code(
        "warning",
        "a gradient was there and is exactly zero to the end",
        "Lower the learning rate.",
    ),
    "ZI015": Code("warning", "the loss grows a thousandfold", "Lower the learning rate."),
    "ZI016": Code(
        "warning",
        "something is trained through, but not registered",
        "Register it: nn.Parameter, nn.ModuleList, nn.ModuleDict or nn.ParameterList, made in __init__.",
    ),
    "ZI017": Code(
        "warning",
        "the loss compares each output with every target",
        "Give output and targets the same shape.",
    ),
    "ZI018": Code(
        "warning",
        "the optimizer does not move it",
        "Make the optimizer after the model is complete, with a learning rate above 0 for each group.",
    ),
    "ZI019": Code("warning", "a hook sets the gradient to zero", "Remove the hook."),
    "ZI020": Code(
        "warning",
        "every update is smaller than rounding",
        "Start with larger weights, add skip connections, or put norms between the layers.",
    ),
    "ZI021": Code(
        "warning",
        "a parameter shares its memory with something else",
        "Give each its own memory with .clone(), or use one parameter in both places.",
    ),
    "ZI022": Code(
        "warning",
        "each forward pass undoes its updates",
        "Compute with a new tensor, and leave the parameter as it is.",
    ),
    "ZI023": Code(
        "warning",
        "the loss applies an activation that the output has already",
        "Return the values in front of the last activation.",
    ),
    "ZI024": Code(
        "warning",
        "an attribute was set that freezes nothing",
        "Call `module.requires_grad_(False)`.",
    ),
    "ZI025": Code(
        "warning",
        "a derivative in the loss carries no gradient",
        "Call `torch.autograd.grad(..., create_graph=True)`, and use smooth activations for second derivatives.",
    ),
    "ZI101": Code("info", "starts at zero and gets a gradient", "Nothing to do."),
    "ZI102": Code("info", "is frozen", "Nothing to do if that is meant."),
    "ZI103": Code("info", "a bias has no effect", "Leave it out (bias=False): what it adds is removed again."),
    "ZI104": Code("info", "has no gradient after the last step, but gets one later", "Ask for more steps."),
    "ZI105": Code(
        "info", "gets no gradient from this batch and loss", "Nothing to do if another batch, task or loss uses it."
    ),
    "ZI106": Code("info", "units coincide in lower precision", "Keep these parameters in float32 until units differ."),
    "ZI107": Code("info", "units have no gradient on this batch", "Try a larger batch."),
    "ZI109": Code(
        "info",
        "updates are lost in the model's own precision",
        "Keep these parameters in float32, or train float32 weights under autocast.",
    ),
    "ZI110": Code(
        "info",
        "targets lie outside the range of the output",
        "Take the last activation out, or scale the targets.",
    ),
    "ZI111": Code("info", "each forward pass sets it to the same values", "Nothing to do if that is meant."),
    "ZI112": Code("info", "a hook keeps a part of it still", "Nothing to do if that is meant; else remove the hook."),
    "ZI113": Code("info", "the optimizer leaves a whole network out", "Nothing to do if that is meant."),
    "ZI114": Code("info", "updates are tiny beside the values", "Start with larger values, or use Adam."),
    "ZI115": Code(
        "info", "one module stands at several places", "Build one for each place, unless they are meant to share."
    ),
    "ZI108": Code("info", "slices of a parameter stay identical", "Nothing to do if they see identical inputs."),
    "ZI201": Code(
        "warning",
        "values were never written",
        "Set it where the model is initialized, after `to_empty` if the model comes from the meta device.",
    ),
    "ZI202": Code(
        "warning",
        "an initializer wrote a temporary tensor",
        "Write to the parameter itself, or assign the new values.",
    ),
    "ZI203": Code(
        "warning",
        "a general rule wrote over a special one",
        "Call the special rule last.",
    ),
    "ZI204": Code(
        "warning",
        "loaded values were written over",
        "Initialize first and load last.",
    ),
    "ZI205": Code(
        "warning",
        "the scale comes from a wrong fan",
        "Draw each part alone, or hand over the right standard deviation.",
    ),
    "ZI206": Code(
        "warning",
        "random values are there twice",
        "Draw each anew.",
    ),
    "ZI207": Code(
        "warning",
        "ranks hold equal shards",
        "Give each rank a generator of its own for sharded values.",
    ),
    "ZI208": Code(
        "warning",
        "replicas start with different values",
        "Seed all ranks equally before replicated values are drawn, or broadcast them.",
    ),
    "ZI209": Code(
        "warning",
        "tied parameters are split",
        "Tie them again at the end.",
    ),
    "ZI210": Code(
        "warning",
        "separate parameters are joined",
        "Give each its own memory, or use one parameter in all places.",
    ),
    "ZI211": Code(
        "warning",
        "values depend on the device that the model was built on",
        "Let the initializing function set all of the values.",
    ),
    "ZI251": Code(
        "info",
        "packed projections or gates are counted as one, as by default",
        "Nothing to do, or draw each projection or gate alone.",
    ),
    "ZI252": Code(
        "info",
        "biases of separate layers are equal",
        "Nothing to do: the weights of these layers differ.",
    ),
    "ZI253": Code(
        "info",
        "a rule wrote over the number that a constructor chose",
        "Nothing to do if that is meant; else let the rule set this number.",
    ),
}
"""Findings by code."""
