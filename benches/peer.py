#!/usr/bin/env python3
"""Trains the same small language models with PyTorch and with fireside, in turn, and prints the ratios.

    python3 benches/peer.py [--fireside PATH] [--rungs 1,2,..] [--rounds 5] [--steps 40] [--threads 2]
                            [--modes eager,fused,compiled] [--json FILE]

Needs Python 3.11, PyTorch (any recent version, on the CPU) and a fireside built with `cargo build --release`; no texts, as both sides read
uniform random tokens. A round runs every mode of PyTorch and fireside once, each as a process of its own, so that a slow moment of
the machine meets all of them. Reported are medians over the rounds of each run's median and 10th percentile of the time a step.

A step is: gather a batch, forward, backward, clip the gradients by their global norm, update. Both sides compute the same models
in float32 with Adam (AdamW for GPT) on the same number of threads:

    1     character RNN      embedding 256, tanh RNN 256; 32 windows of 128 tokens, 65 characters
    2     word GRU           embedding 256, GRU 256; 32 windows of 64 tokens, 10 000 words
    3     LSTM + attention   embedding 256, LSTM 256, additive attention of width 256 over the past; as 2
    4     Transformer        post-norm, ReLU, width 128, 4 layers, 4 heads, feed-forward 512; as 2
    4c    the same on characters (65)
    5     GPT                nanoGPT's CPU recipe: width 128, 4 layers, 4 heads; 12 windows of 64, 65 characters, tied head
    5bpe  GPT                width 192, 6 layers, 6 heads; 16 windows of 128, 4096 pieces

and, by their names, the five default presets (char-rnn, word-gru, lstm-attention, transformer, gpt) with the vocabularies that they
have on their own text. What a model is made of is read from `fireside config print`, so that both sides train the same.

Modes of PyTorch: `eager`; `fused` (eager, with the fused optimizer); `compiled` (torch.compile and the fused optimizer; needs a
C++ compiler). Processor time counts all threads of a process and says something on a busy machine too; take the elapsed
times from a machine that does nothing else.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
import tomllib

# name: preset, vocabulary, keys of fireside besides those of `keys`.
CHARACTERS, WORDS = 65, 10_000
EMBEDDED = ["model.input=embedding", "model.d_embedding=256", "model.hidden_size=256", "model.n_layers=1"]
POST_NORM = ["model.d_model=128", "model.n_layers=4", "model.n_heads=4", "model.d_ff=512", "model.activation=relu"]
GPT_KEYS = ["model.activation=gelu", "model.bias=false", "optimizer.weight_decay=0.1", "optimizer.beta2=0.99"]
CONTEXT = ["model.context_length=64"]
RUNGS = {
    "1": ("char-rnn", CHARACTERS, EMBEDDED + ["model.context_length=128", "optimizer.grad_clip=5.0"]),
    "2": ("word-gru", WORDS, EMBEDDED + CONTEXT),
    "3": ("lstm-attention", WORDS, EMBEDDED + CONTEXT + ["model.score=additive", "model.d_attention=256"]),
    "4": ("transformer", WORDS, POST_NORM + CONTEXT),
    "4c": ("transformer", CHARACTERS, POST_NORM + CONTEXT),
    "5": ("gpt", CHARACTERS, GPT_KEYS + ["train.batch_size=12"]),
    "5bpe": (
        "gpt",
        4096,
        GPT_KEYS
        + ["model.context_length=128", "train.batch_size=16"]
        + ["model.d_model=192", "model.n_layers=6", "model.n_heads=6"],
    ),
    "char-rnn": ("char-rnn", 0, []),
    "word-gru": ("word-gru", 0, []),
    "lstm-attention": ("lstm-attention", 0, []),
    "transformer": ("transformer", 0, []),
    "gpt": ("gpt", 0, []),
}
MODES = ["eager", "fused", "compiled"]


def keys(rung, threads):
    """The preset and `--set` arguments of a rung."""
    preset, _, extra = RUNGS[rung]
    if rung == preset:
        common = []
    elif preset == "gpt":
        common = ["optimizer.kind=adamw", "optimizer.grad_clip=1.0", "optimizer.learning_rate=1e-3"]
    else:
        common = ["optimizer.kind=adam", "optimizer.weight_decay=0.0", "optimizer.grad_clip=1.0"]
        common += ["optimizer.learning_rate=1e-3", "train.batch_size=32"]
    sets = ["model.dropout=0.0", "train.batching=random", f"train.threads={threads}", *common, *extra]
    # What comes later overrides.
    return [preset, *(word for key in sets for word in ("--set", key))]


def setting(program, rung, threads):
    """What both sides train: the resolved configuration, as fireside prints it, and the vocabulary."""
    command = [program, "config", "print", *keys(rung, threads)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    config = tomllib.loads(printed)
    vocabulary = RUNGS[rung][1] or run_fireside(program, rung, 1, threads)["vocabulary"]
    return {
        "model": config["model"],
        "optimizer": config["optimizer"],
        "batch": config["train"]["batch_size"],
        "vocabulary": vocabulary,
        "threads": threads,
    }


def run_fireside(program, rung, steps, threads):
    command = [program, "bench", "train", *keys(rung, threads), "--json", "--steps", str(steps)]
    if RUNGS[rung][1]:
        command += ["--vocab", str(RUNGS[rung][1])]
    row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    memory = row["peak_memory_bytes"]
    return {
        "ms": row["ms"],
        "p10": row["ms_p10"],
        "cpu": row["processor_ms"],
        "parameters": row["parameters"],
        "vocabulary": row["vocab_size"],
        "mb": memory and memory / 1e6,
    }


def run_torch(given, mode, steps):
    command = [sys.executable, os.path.abspath(__file__), "--worker", json.dumps(given), mode, str(steps)]
    threads = str(given["threads"])
    environment = dict(os.environ, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        print(f"{mode}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def worker(given, mode, steps):
    """One run of PyTorch, in this process; prints one line of JSON."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(given["threads"])
    torch.manual_seed(7)
    shape, rule = given["model"], given["optimizer"]
    vocab, context, batch = given["vocabulary"], shape["context_length"], given["batch"]
    model = build(torch, shape, vocab)
    fused = {} if mode == "eager" else {"fused": True}
    decay = rule.get("weight_decay", 0.0)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[rule["kind"]]
    betas = (rule["beta1"], rule["beta2"])
    optimizer = kind(groups, lr=rule["learning_rate"], betas=betas, **fused)

    def loss_of(tokens, targets):
        return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())

    if mode == "compiled":
        loss_of = torch.compile(loss_of)
    text = torch.randint(vocab, (1 << 20,))
    window = torch.arange(context)
    times = []
    warm = max(steps // 5, 5 if mode == "compiled" else 2)
    for step in range(warm + steps):
        if step == warm:
            busy = time.process_time()
        started = time.perf_counter()
        at = torch.randint(len(text) - context, (batch, 1)) + window
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(text[at], text[at + 1])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), rule["grad_clip"])
        optimizer.step()
        loss.item()
        if step >= warm:
            times.append((time.perf_counter() - started) * 1e3)
    busy = (time.process_time() - busy) * 1e3 / steps
    times.sort()
    at = lambda share: times[round((len(times) - 1) * share)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak if sys.platform == "darwin" else peak * 1024
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"ms": at(0.5), "p10": at(0.1), "cpu": busy, "parameters": parameters, "mb": peak / 1e6}))


def build(torch, shape, vocab):
    """The model of this configuration, out of PyTorch's own modules."""
    nn, F = torch.nn, torch.nn.functional
    context, layers = shape["context_length"], shape["n_layers"]

    class Recurrent(nn.Module):
        """Rungs 1 to 3."""

        def __init__(self):
            super().__init__()
            width, hidden = shape.get("d_embedding", vocab), shape["hidden_size"]
            cell = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[shape["cell"]]
            self.embedding = nn.Embedding(vocab, width) if shape["input"] == "embedding" else None
            self.layer = cell(width, hidden, layers, batch_first=True)
            self.head = nn.Linear(hidden, vocab)
            self.kind = shape.get("score")
            if self.kind is not None:
                future = torch.ones(context, context, dtype=torch.bool).triu(1)
                self.register_buffer("future", future)
                self.combine = nn.Linear(2 * hidden, hidden)
            if self.kind == "additive":
                inner = shape["d_attention"]
                self.query, self.key = nn.Linear(hidden, inner), nn.Linear(hidden, inner, bias=False)
                self.score = nn.Linear(inner, 1, bias=False)
            elif self.kind == "scaled-dot":
                self.scale = hidden**-0.5

        def scores(self, hidden):
            if self.kind == "additive":
                pairs = self.query(hidden)[:, :, None] + self.key(hidden)[:, None]
                return self.score(pairs.tanh())[..., 0]
            return hidden @ hidden.transpose(1, 2) * self.scale

        def forward(self, tokens):
            entered = self.embedding(tokens) if self.embedding else F.one_hot(tokens, vocab).float()
            hidden, _ = self.layer(entered)
            if self.kind is not None:
                weights = self.scores(hidden).masked_fill(self.future, -math.inf).softmax(-1)
                hidden = self.combine(torch.cat([hidden, weights @ hidden], -1)).tanh()
            return self.head(hidden)

    width, bias = shape.get("d_model"), shape.get("bias")
    inner = shape.get("d_ff") or 4 * (width or 0)
    activation = {
        "relu": F.relu,
        "gelu": F.gelu,
        "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
        None: None,
    }[shape.get("activation")]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
            self.up, self.down = nn.Linear(width, inner, bias=bias), nn.Linear(inner, width, bias=bias)
            self.first, self.second = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)

        def attend(self, x):
            heads = shape["n_heads"]
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(mixed.transpose(1, 2).flatten(2))

    class PreNorm(Block):
        def forward(self, x):
            x = x + self.attend(self.first(x))
            return x + self.down(activation(self.up(self.second(x))))

    class PostNorm(Block):
        def forward(self, x):
            x = self.first(x + self.attend(x))
            return self.second(x + self.down(activation(self.up(x))))

    class Decoder(nn.Module):
        """Rungs 4 and 5."""

        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocab, width)
            nn.init.normal_(self.embedding.weight, std=0.02 if shape["tied_head"] else width**-0.5)
            if shape["positions"] == "learned":
                self.positions = nn.Parameter(torch.randn(context, width) * 0.02)
            else:
                angles = torch.arange(context)[:, None] * 10_000 ** (-torch.arange(0, width, 2) / width)
                table = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
                self.register_buffer("positions", table)
            self.scale = math.sqrt(width) if shape["scale_embeddings"] else 1.0
            pre = shape["norm"] == "pre"
            block = PreNorm if pre else PostNorm
            self.blocks = nn.Sequential(*[block() for _ in range(layers)])
            self.norm = nn.LayerNorm(width, bias=bias) if pre else nn.Identity()
            self.head = nn.Linear(width, vocab, bias=shape.get("head_bias", False))
            if shape["tied_head"]:
                self.head.weight = self.embedding.weight

        def forward(self, tokens):
            x = self.embedding(tokens)
            x = (x if self.scale == 1.0 else x * self.scale) + self.positions
            return self.head(self.norm(self.blocks(x)))

    return Recurrent() if "hidden_size" in shape else Decoder()


def middle(runs, field):
    values = [run[field] for run in runs if run and run[field] is not None]
    return statistics.median(values) if values else math.nan


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fireside", default=os.path.join(here, "..", "target", "release", "fireside"))
    parser.add_argument("--rungs", default=",".join(RUNGS))
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="append one line a rung to this file")
    options = parser.parse_args()
    modes, rungs = options.modes.split(","), options.rungs.split(",")
    for name, given, known in [("--rungs", rungs, RUNGS), ("--modes", modes, MODES)]:
        if not set(given) <= set(known):
            parser.error(f"{name}: {','.join(given)}; there are {', '.join(known)}")
    columns = ["rung", "torch", "best ms", "p10", "CPU ms", "MB", "fireside ms", "p10", "CPU ms", "MB"]
    columns += ["× faster", "× p10", "× CPU", "× memory"]
    print("  ".join(f"{c:>11}" for c in columns), flush=True)
    for rung in rungs:
        given = setting(options.fireside, rung, options.threads)
        runs = {mode: [] for mode in [*modes, "fireside"]}
        for _ in range(options.rounds):
            for mode in modes:
                runs[mode].append(run_torch(given, mode, options.steps))
            runs["fireside"].append(run_fireside(options.fireside, rung, options.steps, options.threads))
        ours = {field: middle(runs["fireside"], field) for field in ("ms", "p10", "cpu", "mb", "parameters")}
        theirs = {
            mode: {field: middle(runs[mode], field) for field in ours} for mode in modes if any(runs[mode])
        }
        if not theirs:
            sys.exit(f"rung {rung}: PyTorch ran in no mode")
        sizes = {round(run["parameters"]) for run in theirs.values()}
        # PyTorch keeps two biases in recurrent layers, as fireside does: the counts agree exactly.
        if sizes != {round(ours["parameters"])}:
            sys.exit(f"rung {rung}: {sizes} parameters in PyTorch, {ours['parameters']} in fireside")
        # Each figure against the mode that is best in it: 1.2 means that fireside needs 1/1.2 of the time.
        best = min(theirs, key=lambda mode: theirs[mode]["ms"])
        least = {field: min(run[field] for run in theirs.values()) for field in ("ms", "p10", "cpu", "mb")}
        ratios = {field: least[field] / ours[field] for field in least}
        cells = [rung, best]
        cells += [f"{least[f]:.1f}" for f in ("ms", "p10", "cpu", "mb")]
        cells += [f"{ours[f]:.1f}" for f in ("ms", "p10", "cpu", "mb")]
        cells += [f"{ratios[f]:.2f}" for f in ("ms", "p10", "cpu", "mb")]
        print("  ".join(f"{c:>11}" for c in cells), flush=True)
        if options.json:
            line = {"rung": rung, "threads": options.threads, "torch": theirs, "fireside": ours, "runs": runs}
            with open(options.json, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()
