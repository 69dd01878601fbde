"""The faults of the gallery: which models of tests/field it shows, what went wrong in a sentence, and the repair."""

from dataclasses import dataclass

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """A model with a fault, and its repair.

    Attributes:
        name: Its function in tests/field.
        title: A heading.
        story: What went wrong.
        typed: Lines to type after the model is made.
        changed: Lines of the model to write in another way, each with the new form.
    """

    name: str
    title: str
    story: str
    typed: str = ""
    changed: tuple[tuple[str, str], ...] = ()


FAULTS: dict[str, tuple[Fault, ...]] = {
    "Zeros that keep each other at zero": (
        Fault(
            "lora_a_and_b_zero",
            "LoRA: both matrices start at zero",
            "The gradient of each matrix has the other one as a factor, so neither ever moves.",
            typed="for layer in (model.q.a, model.v.a):\n    nn.init.normal_(layer.weight, std=0.02)",
        ),
        Fault(
            "two_zero_convs_in_a_row",
            "ControlNet: two zero convolutions in a row",
            "One zero convolution lets a control start without effect. Two in a row keep each other at zero.",
            typed="model.ctrl.proj_out.reset_parameters()",
        ),
        Fault(
            "residual_branch_all_zero",
            "A residual branch with two zero layers",
            "The second layer gets a zero input, and the first one a zero gradient.",
            typed="nn.init.normal_(model.block.c1.weight, std=0.02)",
        ),
        Fault(
            "kl_times_zero",
            "A term of the loss with weight zero",
            "The learned prior occurs only in the KL term, and this term is multiplied by 0.",
            changed=(("+ 0.0 * kl", "+ 0.1 * kl"),),
        ),
    ),
    "Identical units and layers": (
        Fault(
            "factorisation_constant_tables",
            "Matrix factorization with constant tables",
            "Both tables are filled with one value. All latent features are equal and get equal gradients.",
            typed="nn.init.normal_(model.user.weight, std=0.1)\nnn.init.normal_(model.item.weight, std=0.1)",
        ),
        Fault(
            "ensemble_of_deepcopies",
            "An ensemble of deep copies",
            "The members start from the same weights, and their outputs are averaged. They stay equal for ever.",
            changed=(
                (
                    "self.members = nn.ModuleList(copy.deepcopy(one) for _ in range(3))",
                    "self.members = nn.ModuleList(mk() for _ in range(3))",
                ),
            ),
        ),
        Fault(
            "twin_critics_identical",
            "Two critics from the same weights",
            "Both critics learn the same target from the same weights. The minimum of the two is one of them.",
            changed=(("self.q2 = copy.deepcopy(self.q1)", "self.q2 = mk()"),),
        ),
        Fault(
            "net2wider_without_noise",
            "A network made wider by copying units",
            "Each pair has equal incoming and equal outgoing weights.",
            typed="model[0].weight.data[8:] += 0.01 * torch.randn(8, 6)",
        ),
    ),
    "Cut off from the loss": (
        Fault(
            "vae_sample_instead_of_rsample",
            "A VAE that draws with sample()",
            "`sample()` hands on no gradient, so the encoder is cut off.",
            changed=(("return self.dec(d.sample())", "return self.dec(d.rsample())"),),
        ),
        Fault(
            "vq_codebook_loss_on_ste",
            "The codebook loss on the straight-through output",
            "In this output the codebook stands only inside `detach()`.",
            changed=(("code = F.mse_loss(ste, z.detach())", "code = F.mse_loss(q, z.detach())"),),
        ),
        Fault(
            "parameter_read_through_data",
            "A parameter that is read through .data",
            "Learned exemplars are read through `.data`, so they are constants for the backward pass.",
            changed=(("e = self.exemplars.data", "e = self.exemplars"),),
        ),
        Fault(
            "projection_inside_no_grad",
            "A projection head under no_grad",
            "The text branch is meant to be frozen. Its projection head is under `no_grad` too.",
            changed=(
                (
                    "with torch.set_grad_enabled(False):\n            t = self.text_proj(torch.relu(self.text(tx)))",
                    "t = self.text_proj(torch.relu(self.text(tx)))",
                ),
            ),
        ),
        Fault(
            "stn_output_not_used",
            "A spatial transformer whose output is thrown away",
            "The transformed image is computed, and the classifier reads the other one.",
            changed=(
                (
                    "F.grid_sample(x, grid, align_corners=False)\n        return self.cnn(x)",
                    "return self.cnn(F.grid_sample(x, grid, align_corners=False))",
                ),
            ),
        ),
        Fault(
            "custom_function_drops_gradient",
            "A function of your own that returns no gradient",
            "The backward pass returns `None` for both inputs.",
            changed=(
                ("_x, _k = ctx.saved_tensors", "x, k = ctx.saved_tensors"),
                ("return (None, None)", "return g @ k.T, x.T @ g"),
            ),
        ),
    ),
    "Not registered, not used, not in the optimizer": (
        Fault(
            "layers_in_python_list",
            "Layers in a plain list",
            "The hidden layers are no parameters of the model, so no optimizer gets them.",
            changed=(("self.hidden = hs", "self.hidden = nn.ModuleList(hs)"),),
        ),
        Fault(
            "parameters_in_nested_dict",
            "Parameters in nested dictionaries",
            "torch does not look into plain dictionaries.",
            changed=(
                ("self.rel = {", "self.rel = nn.ModuleList("),
                (
                    'r: {"w": nn.Parameter(torch.randn(6, 6) * 0.3), "b": nn.Parameter(torch.zeros(6))} for',
                    'nn.ParameterDict({"w": torch.randn(6, 6) * 0.3, "b": torch.zeros(6)}) for',
                ),
                ("}\n        self.out", ")\n        self.out"),
            ),
        ),
        Fault(
            "head_not_in_optimizer",
            "A head that the optimizer does not hold",
            "The optimizer was made from the parameters of the backbone. The head came later.",
            changed=(("torch.optim.AdamW(list(ps)[:4], lr=0.001)", "torch.optim.AdamW(list(ps), lr=0.001)"),),
        ),
        Fault(
            "forward_uses_plain_copy",
            "The forward pass reads a plain copy",
            "A transposed copy of the weight is made once and is a plain tensor. The registered weight is never used.",
            changed=(
                ("self.weight_t = self.weight.detach().clone().T.contiguous()\n        ", ""),
                ("self.weight_t.to(x.dtype)", "self.weight.T"),
            ),
        ),
        Fault(
            "leftover_tokens",
            "Parameters that an older version used",
            "They are registered, and the forward pass does not read them.",
            changed=(
                ("self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))\n        ", ""),
                ("self.pos_embed = nn.Parameter(torch.zeros(1, 6, 8))\n        ", ""),
            ),
        ),
    ),
    "Flat": (
        Fault(
            "pointer_softmax_over_singleton",
            "A softmax over one value",
            "The softmax runs over the last axis, which has one entry. So each attention weight is 1.",
            changed=(("a = torch.softmax(e, dim=-1)", "a = torch.softmax(e, dim=1)"),),
        ),
        Fault(
            "moe_top1_softmax_after_topk",
            "A router whose softmax comes after topk",
            "With one expert kept, its weight is always 1. The router gets no gradient.",
            changed=(
                ("top, idx = logits.topk(1, -1)", "p, idx = logits.softmax(-1).topk(1, -1)"),
                ("p = top.softmax(-1)\n        ", ""),
            ),
        ),
        Fault(
            "one_class_cross_entropy",
            "Cross entropy over one class",
            "The probability of the only class is 1, so the loss is 0.",
            changed=(
                ("nn.Linear(8, 1))", "nn.Linear(8, 2))"),
                ("torch.zeros(16, dtype=torch.long)", "torch.randint(2, (16,))"),
            ),
        ),
        Fault(
            "relu_on_regression_output",
            "A ReLU on the output of a regression",
            "The output is below zero for every example, and a ReLU makes it 0.",
            changed=(("return torch.relu(y)", "return y"),),
        ),
        Fault(
            "tanh_saturated_by_large_bias",
            "A tanh with biases of 40",
            "In float32 the tanh is exactly 1 there, and its slope is 0.",
            typed="nn.init.zeros_(model[0].bias)",
        ),
        Fault(
            "sign_without_straight_through",
            "A sign without straight-through gradient",
            "`torch.sign` has slope zero everywhere. It stands on activations and on weights.",
            changed=(("return torch.sign(x)", "return x + (torch.sign(x) - x).detach()"),),
        ),
        Fault(
            "kan_inputs_outside_grid",
            "Inputs outside of a grid of splines",
            "The grid covers -1 to 1, and the inputs lie between 3 and 5.",
            changed=(("x = torch.rand(24, 3) * 2 + 3", "x = torch.rand(24, 3) * 2 - 1"),),
        ),
    ),
    "Norms": (
        Fault(
            "layernorm_over_one_feature",
            "A layer norm over one feature",
            "It subtracts the value from itself, and returns its bias whatever comes in.",
            changed=(
                ("self.fc = nn.Linear(6, 1)", "self.fc = nn.Linear(6, 8)"),
                ("self.norm = nn.LayerNorm(1)", "self.norm = nn.LayerNorm(8)"),
                ("self.out = nn.Linear(1, 1)", "self.out = nn.Linear(8, 1)"),
            ),
        ),
    ),
    "Losses and numbers": (
        Fault(
            "mse_broadcast",
            "Outputs (N, 1) against targets (N,)",
            "Broadcasting compares each output with every target. The model learns the mean of the targets.",
            changed=(("y = 10 + 9 * x[:, 0] - 2 * x[:, 1]", "y = (10 + 9 * x[:, 0] - 2 * x[:, 1])[:, None]"),),
        ),
        Fault(
            "all_labels_ignored",
            "A batch in which every label is ignored",
            "The mean cross entropy is 0 / 0.",
            changed=(("y = torch.full((3, 5), -100)", "y = torch.randint(20, (3, 5))"),),
        ),
        Fault(
            "sqrt_of_zero_colour_loss",
            "The square root of a difference that is zero",
            "The last layer is zero, so the difference is exactly 0, and the slope of the root is infinite there. "
            "The three colors are also identical and would stay so.",
            changed=(
                ("e = 0.0", "e = 1e-6"),
                ("nn.init.zeros_(self.net[2].weight)", "nn.init.normal_(self.net[2].weight, std=0.02)"),
            ),
        ),
        Fault(
            "weight_norm_of_zero_weight",
            "Weight norm of a zero weight",
            "Weight norm divides the weight by its norm, which is 0.",
            changed=(("nn.init.zeros_(lin.weight)", "nn.init.normal_(lin.weight, std=0.02)"),),
        ),
    ),
}
"""By group; each is inspected, mended and inspected again when the page is written and when it is tested."""
