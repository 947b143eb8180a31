"""Records learning-rate tables in schedules.json. Run: python schedules.py (torch 2.x, CPU).

Every table lists the rate of optimizer steps 0, 1, 2, ... as torch.optim.lr_scheduler gives it. Warmup is its LinearLR, put
before the others by SequentialLR: from 1/(warmup + 1) of the peak, as a rate of 0 in the first step would waste it.
`warmup-cosine-nanogpt` is the rule of nanoGPT's training script, written out below.
"""

import hashlib
import json
import math
import pathlib

import torch

PEAK = 0.002
schedulers = torch.optim.lr_scheduler


def table(make, steps):
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=PEAK)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def warm(make, warmup=10):
    """`make` after a linear warmup."""

    def both(optimizer):
        parts = [
            schedulers.LinearLR(optimizer, start_factor=1.0 / (warmup + 1), end_factor=1.0, total_iters=warmup),
            make(optimizer),
        ]
        return schedulers.SequentialLR(optimizer, parts, milestones=[warmup])

    return both


def plateau(losses, factor, patience):
    """The rate after each of these validation losses."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=PEAK)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", factor=factor, patience=patience, threshold=1e-4, threshold_mode="rel"
    )
    rates = []
    for loss in losses:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def warmup_cosine(step, warmup, end, final):
    if step < warmup:
        return PEAK * (step + 1) / (warmup + 1)
    if step > end:
        return final
    share = (step - warmup) / (end - warmup)
    return final + 0.5 * (1.0 + math.cos(math.pi * share)) * (PEAK - final)


LOSSES = [
    3.0, 2.5, 2.6, 2.49, 2.49, 2.4899, 2.5, 2.51, 2.52, 2.3, 2.2999, 2.29985, 2.2998, 2.2997, 2.31, 2.32,
    2.33, 2.34, 2.35, 2.36, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1, 2.1,
]

cosine = lambda o: schedulers.CosineAnnealingLR(o, T_max=40, eta_min=PEAK * 0.1)
linear = lambda o: schedulers.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=40)
exponential = lambda o: schedulers.ExponentialLR(o, gamma=0.97)
step = lambda o: schedulers.StepLR(o, step_size=7, gamma=0.5)
constant = lambda o: schedulers.ConstantLR(o, factor=1.0)
result = {
    "torch": torch.__version__,
    "script_sha256": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(),
    "peak": PEAK,
    "constant": table(constant, 60),
    "cosine": table(cosine, 41),
    "linear": table(linear, 60),
    "exponential": table(exponential, 60),
    "step": table(step, 60),
    # CosineAnnealingLR rises again after its end; the tables stop there.
    "warmup-constant": table(warm(constant), 60),
    "warmup-cosine": table(warm(cosine), 51),
    "warmup-linear": table(warm(linear), 60),
    "warmup-exponential": table(warm(exponential), 60),
    "warmup-step": table(warm(step), 60),
    "warmup-cosine-nanogpt": [warmup_cosine(step, 10, 50, PEAK * 0.1) for step in range(70)],
    "plateau": {"losses": LOSSES, "rates": plateau(LOSSES, factor=0.5, patience=2)},
}
path = pathlib.Path(__file__).with_name("schedules.json")
path.write_text(json.dumps(result, indent=1) + "\n")
