#!/usr/bin/env python3
"""Trains the same seven small language models with PyTorch and with fireside, in turn, and prints the ratios.

    python3 benches/peer.py [--fireside PATH] [--rungs 1,2,..] [--rounds 5] [--steps 40] [--threads 2]
                            [--modes eager,fused,compiled] [--json FILE]

Needs PyTorch (any recent version, on the CPU) and a fireside built with `cargo build --release`; no texts, as both sides read
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

# name: vocabulary, context, batch, gradient clip, keys of fireside besides those of `keys`.
WORDS = 10_000
EMBEDDED = ["model.input=embedding", "model.d_embedding=256", "model.hidden_size=256", "model.n_layers=1"]
POST_NORM = ["model.d_model=128", "model.n_layers=4", "model.n_heads=4", "model.d_ff=512", "model.activation=relu"]
GPT_KEYS = ["model.activation=gelu", "model.bias=false", "optimizer.weight_decay=0.1", "optimizer.beta2=0.99"]
RUNGS = {
    "1": ("char-rnn", 65, 128, 32, 5.0, EMBEDDED),
    "2": ("word-gru", WORDS, 64, 32, 1.0, EMBEDDED),
    "3": ("lstm-attention", WORDS, 64, 32, 1.0, EMBEDDED + ["model.score=additive", "model.d_attention=256"]),
    "4": ("transformer", WORDS, 64, 32, 1.0, POST_NORM),
    "4c": ("transformer", 65, 64, 32, 1.0, POST_NORM),
    "5": ("gpt", 65, 64, 12, 1.0, GPT_KEYS + ["model.d_model=128", "model.n_layers=4", "model.n_heads=4"]),
    "5bpe": ("gpt", 4096, 128, 16, 1.0, GPT_KEYS + ["model.d_model=192", "model.n_layers=6", "model.n_heads=6"]),
}
MODES = ["eager", "fused", "compiled"]


def keys(rung, threads):
    """The `--set` arguments of a rung."""
    kind, _, context, batch, clip, extra = RUNGS[rung]
    optimizer = ["optimizer.kind=adamw"] if kind == "gpt" else ["optimizer.kind=adam", "optimizer.weight_decay=0.0"]
    return [
        f"model.context_length={context}",
        f"train.batch_size={batch}",
        f"optimizer.grad_clip={clip}",
        f"train.threads={threads}",
        "optimizer.learning_rate=1e-3",
        "model.dropout=0.0",
        "train.batching=random",
        *optimizer,
        *extra,
    ]


def run_fireside(program, rung, steps, threads):
    kind, vocab = RUNGS[rung][:2]
    command = [program, "bench", "train", kind, "--json", "--steps", str(steps), "--vocab", str(vocab)]
    for key in keys(rung, threads):
        command += ["--set", key]
    row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    memory = row["peak_memory_bytes"]
    return {
        "ms": row["ms"],
        "p10": row["ms_p10"],
        "cpu": row["processor_ms"],
        "parameters": row["parameters"],
        "mb": memory and memory / 1e6,
    }


def run_torch(rung, mode, steps, threads):
    command = [sys.executable, os.path.abspath(__file__), "--worker", rung, mode, str(steps), str(threads)]
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        print(f"rung {rung}, {mode}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def worker(rung, mode, steps, threads):
    """One run of PyTorch, in this process; prints one line of JSON."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(7)
    kind, vocab, context, batch, clip, _ = RUNGS[rung]
    model = build(torch, kind, vocab, context, 192 if rung == "5bpe" else 128, 6 if rung == "5bpe" else 4)
    fused = {} if mode == "eager" else {"fused": True}
    if kind == "gpt":
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        vectors = [p for p in model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), **fused)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **fused)

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
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
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


def build(torch, kind, vocab, context, width, layers):
    """The model of a rung, out of PyTorch's own modules."""
    nn, F = torch.nn, torch.nn.functional

    class Recurrent(nn.Module):
        """Rungs 1 to 3."""

        def __init__(self):
            super().__init__()
            layer = {"char-rnn": nn.RNN, "word-gru": nn.GRU, "lstm-attention": nn.LSTM}[kind]
            self.embedding = nn.Embedding(vocab, 256)
            self.layer = layer(256, 256, batch_first=True)
            self.head = nn.Linear(256, vocab)
            if kind == "lstm-attention":
                self.query, self.key = nn.Linear(256, 256), nn.Linear(256, 256, bias=False)
                self.score, self.combine = nn.Linear(256, 1, bias=False), nn.Linear(512, 256)
                future = torch.ones(context, context, dtype=torch.bool).triu(1)
                self.register_buffer("future", future)

        def forward(self, tokens):
            hidden, _ = self.layer(self.embedding(tokens))
            if kind == "lstm-attention":
                pairs = self.query(hidden)[:, :, None] + self.key(hidden)[:, None]
                scores = self.score(pairs.tanh())[..., 0]
                weights = scores.masked_fill(self.future, -math.inf).softmax(-1)
                hidden = self.combine(torch.cat([hidden, weights @ hidden], -1)).tanh()
            return self.head(hidden)

    class Block(nn.Module):
        def __init__(self, bias):
            super().__init__()
            self.heads = layers  # As many heads as layers, in all of these settings.
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
            self.up, self.down = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)
            self.first, self.second = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)

        def attend(self, x):
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(mixed.transpose(1, 2).flatten(2))

    class PreNorm(Block):
        def forward(self, x):
            x = x + self.attend(self.first(x))
            return x + self.down(F.gelu(self.up(self.second(x))))

    class PostNorm(Block):
        def forward(self, x):
            x = self.first(x + self.attend(x))
            return self.second(x + self.down(F.relu(self.up(x))))

    class Decoder(nn.Module):
        """Rungs 4 and 5."""

        def __init__(self):
            super().__init__()
            gpt = kind == "gpt"
            self.embedding = nn.Embedding(vocab, width)
            nn.init.normal_(self.embedding.weight, std=0.02 if gpt else width**-0.5)
            if gpt:
                self.positions = nn.Parameter(torch.randn(context, width) * 0.02)
            else:
                angles = torch.arange(context)[:, None] * 10_000 ** (-torch.arange(0, width, 2) / width)
                table = torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
                self.register_buffer("positions", table)
            self.scale = 1.0 if gpt else math.sqrt(width)
            block = PreNorm if gpt else PostNorm
            self.blocks = nn.Sequential(*[block(bias=not gpt) for _ in range(layers)])
            self.norm = nn.LayerNorm(width, bias=False) if gpt else nn.Identity()
            self.head = nn.Linear(width, vocab, bias=not gpt)
            if gpt:
                self.head.weight = self.embedding.weight

        def forward(self, tokens):
            x = self.embedding(tokens)
            x = (x if self.scale == 1.0 else x * self.scale) + self.positions
            return self.head(self.norm(self.blocks(x)))

    return Recurrent() if kind in ("char-rnn", "word-gru", "lstm-attention") else Decoder()


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
        runs = {mode: [] for mode in [*modes, "fireside"]}
        for _ in range(options.rounds):
            for mode in modes:
                runs[mode].append(run_torch(rung, mode, options.steps, options.threads))
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
        worker(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
