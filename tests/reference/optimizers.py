"""Records ten steps of torch.optim on a small linear problem in optimizers.json. Run: python optimizers.py (CPU).

The problem: minimise the mean square of x W^T + b - y, float32, from fixed numbers. Every case lists, per step, the
loss and the global gradient norm before clipping, and the weights after the tenth step.
"""

import hashlib
import json
import pathlib

import torch

INPUTS, OUTPUTS, ROWS, STEPS = 4, 3, 5, 10


def numbers(count, a, b):
    """Fixed numbers between -1 and 1 that any language can make exactly: multiples of 1/64."""
    return [((i * a + b) % 129 - 64) / 64.0 for i in range(count)]


WEIGHT = numbers(OUTPUTS * INPUTS, 37, 11)
BIAS = numbers(OUTPUTS, 53, 29)
X = numbers(ROWS * INPUTS, 71, 5)
Y = numbers(ROWS * OUTPUTS, 23, 90)


def run(make, clip=0.0, decay_matrices_only=False, weight_decay=0.0):
    weight = torch.nn.Parameter(torch.tensor(WEIGHT).reshape(OUTPUTS, INPUTS))
    bias = torch.nn.Parameter(torch.tensor(BIAS))
    x = torch.tensor(X).reshape(ROWS, INPUTS)
    y = torch.tensor(Y).reshape(ROWS, OUTPUTS)
    groups = [
        {"params": [weight], "weight_decay": weight_decay},
        {"params": [bias], "weight_decay": 0.0 if decay_matrices_only else weight_decay},
    ]
    optimizer = make(groups)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = ((x @ weight.T + bias - y) ** 2).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([weight, bias], clip if clip > 0 else float("inf"))
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return {
        "losses": losses,
        "norms": norms,
        "weight": weight.detach().flatten().tolist(),
        "bias": bias.detach().tolist(),
    }


SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
result = {
    "torch": torch.__version__,
    "script_sha256": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(),
    "problem": {"weight": WEIGHT, "bias": BIAS, "x": X, "y": Y},
    "cases": {
        "sgd": run(lambda g: SGD(g, lr=0.1)),
        "sgd-momentum": run(lambda g: SGD(g, lr=0.05, momentum=0.9)),
        "sgd-nesterov": run(lambda g: SGD(g, lr=0.05, momentum=0.9, nesterov=True)),
        "sgd-l2": run(lambda g: SGD(g, lr=0.05, momentum=0.9), weight_decay=0.1),
        "adam": run(lambda g: Adam(g, lr=0.05, betas=(0.9, 0.999), eps=1e-8)),
        "adam-l2": run(lambda g: Adam(g, lr=0.05, betas=(0.9, 0.95), eps=1e-8), weight_decay=0.1),
        "adamw": run(lambda g: AdamW(g, lr=0.05, betas=(0.9, 0.99), eps=1e-8), weight_decay=0.1),
        "adamw-matrices": run(
            lambda g: AdamW(g, lr=0.05, betas=(0.9, 0.99), eps=1e-8), weight_decay=0.1, decay_matrices_only=True
        ),
        "sgd-clipped": run(lambda g: SGD(g, lr=0.5, momentum=0.9), clip=0.25),
        "adamw-clipped": run(
            lambda g: AdamW(g, lr=0.05, betas=(0.9, 0.99), eps=1e-3), clip=0.1, weight_decay=0.1
        ),
    },
}
path = pathlib.Path(__file__).with_name("optimizers.json")
path.write_text(json.dumps(result, indent=1) + "\n")
