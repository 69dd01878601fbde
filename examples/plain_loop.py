"""Your own training loop: inspect before the first update, repair, watch while it trains. Run: python plain_loop.py."""

import torch
from torch import nn

import zeroinit

device = "cuda" if torch.cuda.is_available() else "cpu"


class Block(nn.Module):
    """A residual block that should start as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (self.up, self.down):  # the fault: one zero layer makes the identity, two never learn
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the two layers make of x (batch, width)."""
        return x + self.down(torch.relu(self.up(self.norm(x))))


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(20, 32), Block(32), Block(32), nn.Linear(32, 3)).to(device)
inputs = torch.randn(64, 20, device=device)
targets = inputs[:, :3].argmax(dim=1)

report = zeroinit.inspect(model, inputs, targets)
print("before:", report.verdict)
print("repair:", report.warnings[0].suggestion)

for block in model[1:3]:
    block.up.reset_parameters()  # random again; `down` stays zero, so each block still starts as the identity
print("after: ", zeroinit.inspect(model, inputs, targets).verdict)

optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
with zeroinit.watch(model, every=20) as seen:  # log="runs/plain" writes the numbers for TensorBoard
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
print("loss:  ", f"{loss.item():.3f}")
print(seen)
