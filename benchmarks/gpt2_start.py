"""How long a start of GPT-2 small takes, and how much memory beside the model: 124 million random weights.

    python benchmarks/gpt2_start.py

Each way runs in a process of its own, on Linux. Memory is the largest resident size while initializing, less the size
before, and less the model itself where it comes from the meta device. On a busy machine, read the seconds of the CPU.
"""

import json
import subprocess
import sys
import time

WAYS = ("generator", "seed", "meta")


def build():
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config())


def one(way: str) -> dict:
    import torch

    from zeroinit import initialize_, make_initializer

    rule = make_initializer("variance_scaling", distribution="normal", embedding_std=0.02)
    if way == "meta":
        with torch.device("meta"):
            model = build().transformer.h  # GPT-2 has buffers that nothing computes
    else:
        model = build()
    size = sum(each.numel() * each.element_size() for each in model.parameters()) / 2**20
    settings = {"generator": {"generator": torch.Generator().manual_seed(0)}, "seed": {"seed": 0}}
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # forget the largest size while building
    before, began, computed = _resident("VmRSS"), time.monotonic(), time.process_time()
    initialize_(model, rule, **settings.get(way, {"seed": 0, "device": "cpu"}))
    seconds, computed = time.monotonic() - began, time.process_time() - computed
    beside = _resident("VmHWM") - before - (size if way == "meta" else 0)
    weights = sum(each.numel() for each in model.parameters())
    timed = {"seconds": round(seconds, 2), "cpu_seconds": round(computed, 2)}
    return {"way": way, "weights": weights, **timed, "model_mib": round(size), "beside_mib": round(beside)}


def _resident(field: str) -> float:
    """Return a size of this process in MiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 2**10


def main() -> None:
    for way in WAYS:
        found = subprocess.run([sys.executable, __file__, way], capture_output=True, text=True, check=True)
        print(found.stdout.strip().splitlines()[-1], flush=True)


if __name__ == "__main__":
    print(json.dumps(one(sys.argv[1]))) if len(sys.argv) > 1 else main()
