"""A compiled model: inspect and watch take it as it is, and it stays compiled. Run: python compiled.py."""

import torch
from torch import nn

import zeroinit

device = "cuda" if torch.cuda.is_available() else "cpu"

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)).to(device)
nn.init.constant_(net[2].bias, -50.0)  # the fault: all units behind it are dead
graphs = []


def backend(graph: torch.fx.GraphModule, inputs: list) -> torch.fx.GraphModule:
    """Count what is compiled; leave the argument out in your script for torch's own backend."""
    graphs.append(graph)
    return graph


model = torch.compile(net, backend=backend)
inputs = torch.randn(64, 16, device=device)
targets = inputs[:, :4].argmax(dim=1)

report = zeroinit.inspect(model, inputs, targets)
print("before:", report.verdict)
print("repair:", report.warnings[0].suggestion)

nn.init.zeros_(net[2].bias)
print("after: ", zeroinit.inspect(model, inputs, targets).verdict)
print("compiled by the inspections:", len(graphs))

optimizer = torch.optim.Adam(model.parameters())
with zeroinit.watch(model) as seen:
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
print("compiled by the loop:", len(graphs))
print(seen)
