"""A ControlNet whose control has no effect: one zero convolution too many. Run: python controlnet.py."""

import torch
from torch import nn

import zeroinit

device = "cuda" if torch.cuda.is_available() else "cpu"


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """Start a convolution at zero, so that the control has no effect at first."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Controlled(nn.Module):
    """A frozen network, and a trained copy of its first half that sees the control, too."""

    def __init__(self, channels: int = 8):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.SiLU())
        self.second = nn.Conv2d(channels, 3, 3, padding=1)
        self.requires_grad_(False)
        self.hint = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.SiLU(), zero(nn.Conv2d(channels, 3, 1)))
        self.copy = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.SiLU())
        self.mix = zero(nn.Conv2d(channels, channels, 1))
        self.out = zero(nn.Conv2d(channels, channels, 1))  # the fault: `mix` in front of it is zero already

    def forward(self, image: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        """Add what the copy makes of image (batch, 3, h, w) and control (batch, 1, h, w)."""
        added = self.out(self.mix(self.copy(image + self.hint(control))))
        return self.second(self.first(image) + added)


torch.manual_seed(0)
model = Controlled().to(device)
image, control = torch.randn(4, 3, 16, 16, device=device), torch.randn(4, 1, 16, 16, device=device)
target = torch.randn(4, 3, 16, 16, device=device)

report = zeroinit.inspect(model, (image, control), target)
print("before:", report.verdict)
print("repair:", report.warnings[0].suggestion)

model.mix.reset_parameters()  # `out` alone keeps the control without effect at the start
report = zeroinit.inspect(model, (image, control), target)
print("after: ", report.verdict)
for name in ("out.weight", "mix.weight", "hint.2.weight", "hint.0.weight"):
    print(f"  {name} gets its first gradient at update {report.first_gradient_steps[name]}")
