"""Stacks of matrices that a forward pass reads by `einsum`, `matmul` or an index: which axis holds the inputs."""

import math

import torch
from torch import nn

from .audit_harness import fault, healthy

INPUTS, WIDTH, HEADS, SIZE = torch.randn(3, 5, 48), 48, 2, 6


class Heads(nn.Module):
    """A projection for each head, into it and out of it, as TransformerLens keeps them."""

    def __init__(self, how: str):
        super().__init__()
        self.W_Q, self.W_O = (nn.Parameter(torch.empty(HEADS, *sizes)) for sizes in ((WIDTH, SIZE), (SIZE, WIDTH)))
        for stack in (self.W_Q, self.W_O):
            if how == "stack":
                nn.init.kaiming_uniform_(stack)
            for matrix in stack.data if how == "each" else ():
                nn.init.kaiming_uniform_(matrix)
            for matrix in stack.data if how == "each turned" else ():
                nn.init.kaiming_uniform_(matrix.t())
        if how == "by hand":
            nn.init.normal_(self.W_Q, std=WIDTH**-0.5)
            nn.init.normal_(self.W_O, std=(HEADS * SIZE) ** -0.5)

    def forward(self, x):
        return torch.einsum("...nh,nhd->...d", torch.einsum("bpd, ndh -> bpnh", x, self.W_Q), self.W_O)


@fault("TransformerLensOrg/TransformerLens#518", "wrong scale", "ZI205", "W_Q W_O", "is 12 (the forward pass sums over")
def heads_as_a_kernel():
    return {"build": lambda: Heads("stack"), "batch": INPUTS}


@fault("TransformerLensOrg/TransformerLens#518", "wrong scale", "ZI205", "W_Q W_O", "taken as 6 from the shape (48, 6)")
def heads_by_the_wrong_axis():
    return {"build": lambda: Heads("each"), "batch": INPUTS}


@fault("own", "wrong scale", "ZI205", "W_Q W_O", "Draw each matrix alone, as `matrix.t()` if its inputs come first")
def heads_without_a_batch():
    return {"build": lambda: Heads("stack")}


@healthy("TransformerLensOrg/TransformerLens#518", "wrong scale")
def heads_by_the_right_axis():
    return {"build": lambda: Heads("each turned"), "batch": INPUTS}


@healthy("own", "wrong scale")
def heads_by_hand():
    return {"build": lambda: Heads("by hand"), "batch": INPUTS}


class Turned(nn.Module):
    """The projection out of the heads is kept (heads, width, size), so its inputs are the first and the last axis."""

    def __init__(self, turn: bool):
        super().__init__()
        self.W_O = nn.Parameter(torch.empty(8, 24, 6))
        nn.init.kaiming_normal_(self.W_O.data.transpose(0, 1) if turn else self.W_O)

    def forward(self, x):
        return torch.einsum("bnh,ndh->bd", x, self.W_O)


@fault("own", "wrong scale", "ZI205", "W_O", "nn.init.kaiming_normal_(model.W_O.data.transpose(0, 1))")
def heads_with_their_inputs_last():
    return {"build": lambda: Turned(False), "batch": torch.randn(3, 8, 6)}


@healthy("own", "wrong scale")
def heads_with_their_inputs_last_fixed():
    return {"build": lambda: Turned(True), "batch": torch.randn(3, 8, 6)}


class General(nn.Module):
    """A dense layer with two axes of outputs, as in Flax, and one with two axes of inputs, which is right."""

    def __init__(self, right: bool):
        super().__init__()
        self.up, self.down = nn.Parameter(torch.empty(48, 4, 32)), nn.Parameter(torch.empty(32, 4, 12))
        if right:
            nn.init.kaiming_normal_(self.up.data.flatten(1).t())
        else:
            nn.init.kaiming_normal_(self.up)
        nn.init.kaiming_normal_(self.down)

    def forward(self, x):
        up = torch.einsum("bpi,ink->bpnk", x, self.up)
        return torch.einsum("bpnk,onk->bpo", up[..., :12], self.down)


@fault("own", "wrong scale", "ZI205", "up", "is 48 (the forward pass sums over 48 values)")
def two_axes_of_outputs():
    return {"build": lambda: General(False), "batch": INPUTS}


@healthy("own", "wrong scale")
def two_axes_of_outputs_fixed():
    return {"build": lambda: General(True), "batch": INPUTS}


class Ensemble(nn.Module):
    """One matrix for each member, read in one of several ways."""

    def __init__(self, read: str, turn: bool):
        super().__init__()
        self.weight, self.read = nn.Parameter(torch.empty(4, 48, 8)), read
        for matrix in self.weight.data:
            nn.init.kaiming_uniform_(matrix.t() if turn else matrix)

    def forward(self, x):
        if self.read == "einsum":
            return torch.einsum("bpi,nio->bpno", x, self.weight)
        if self.read == "implicit":
            return torch.einsum("bpi,nio", x, self.weight)
        if self.read == "matmul":
            return x[:, None] @ self.weight
        if self.read == "other side":
            return self.weight.transpose(1, 2) @ x[:, None].transpose(2, 3)
        return torch.bmm(x, self.weight[torch.tensor([0, 2, 2])])


def ensemble(read: str, turn: bool) -> dict:
    return {"build": lambda: Ensemble(read, turn), "batch": INPUTS}


SUMS = "the forward pass sums over 48 values"


@fault("own", "wrong scale", "ZI205", "weight", SUMS)
def members_by_einsum():
    return ensemble("einsum", False)


@healthy("own", "wrong scale")
def members_by_einsum_fixed():
    return ensemble("einsum", True)


@fault("own", "wrong scale", "ZI205", "weight", SUMS)
def members_by_einsum_without_an_arrow():
    return ensemble("implicit", False)


@fault("own", "wrong scale", "ZI205", "weight", SUMS)
def members_by_matmul():
    return ensemble("matmul", False)


@healthy("own", "wrong scale")
def members_by_matmul_fixed():
    return ensemble("matmul", True)


@fault("own", "wrong scale", "ZI205", "weight", SUMS)
def members_on_the_other_side():
    return ensemble("other side", False)


@fault("dmlc/dgl RGCN", "wrong scale", "ZI205", "weight", SUMS)
def members_by_an_index():
    return ensemble("index", False)


@healthy("dmlc/dgl RGCN", "wrong scale")
def members_by_an_index_fixed():
    return ensemble("index", True)


class Low(nn.Module):
    """A product of two parameters reads no inputs; a bilinear form sums over two axes, as torch counts them."""

    def __init__(self):
        super().__init__()
        self.basis, self.mix = nn.Parameter(torch.randn(5, 48, 8) / math.sqrt(8)), nn.Parameter(torch.randn(3, 5))
        self.form = nn.Parameter(torch.empty(7, 48, 5))
        nn.init.kaiming_normal_(self.form)

    def forward(self, x):
        weights = torch.einsum("rb,bio->rio", self.mix, self.basis)
        return torch.einsum("bpi,rio->bpo", x, weights), torch.einsum("bpi,oij,bpj->bpo", x, self.form, x[..., :5])


@healthy("own", "wrong scale")
def product_of_parameters_and_a_form():
    return {"build": Low, "batch": INPUTS}
