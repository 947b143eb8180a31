"""Records what PyTorch makes of the five models, in models.json and models.safetensors. Run: python models.py (CPU).

Needs torch from PyPI and nothing else. The models are written here once more, out of PyTorch's own parts wherever it has one
(nn.RNN, nn.GRU, nn.LSTM, F.scaled_dot_product_attention, F.layer_norm, F.gelu, F.cross_entropy, torch.optim, clip_grad_norm_).
Everything is computed in float64 from float32 weights, so that a difference to what float32 gives is all on the other side.

Every case has a configuration, weights, a text of token ids cut into rows (`train.batching = "stream"`), and records

  pass      logits, loss and every gradient of the second window, with the state carried out of the first; the logits of the
            first row alone, from nothing, too
  <kind>    for SGD, Adam and AdamW: loss and gradient norm (before clipping) of ten optimizer steps, and the weights after
            them. The text is shorter than the steps, so that it begins anew in between. Adam's steps smooth the targets.

Names and shapes are fireside's: linear weights are [inputs, outputs].
"""

import array
import hashlib
import json
import math
import pathlib
import struct

import torch
import torch.nn.functional as F
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

WINDOWS = 7
STEPS = 10


class Recurrent(nn.Module):
    """Rungs 1 to 3: input, recurrent layers, for rung 3 attention over the past, head."""

    def __init__(self, c, vocab):
        super().__init__()
        self.c, self.vocab = c, vocab
        one_hot = c["input"] == "one-hot"
        hidden = c["hidden_size"]
        self.embedding = None if one_hot else nn.Embedding(vocab, c["d_embedding"])
        cell = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[c["cell"]]
        self.layers = cell(vocab if one_hot else c["d_embedding"], hidden, c["n_layers"], batch_first=True)
        self.head = nn.Linear(hidden, vocab)
        self.score = c.get("score")
        if self.score:
            self.combine = nn.Linear(2 * hidden, hidden)
        if self.score == "additive":
            self.query = nn.Linear(hidden, c["d_attention"])
            self.key = nn.Linear(hidden, c["d_attention"], bias=False)
            self.v = nn.Linear(c["d_attention"], 1, bias=False)

    def names(self):
        """(fireside's name, parameter, whether it is stored transposed)"""
        if self.embedding is not None:
            yield "embedding.weight", self.embedding.weight, False
        for layer in range(self.c["n_layers"]):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                parameter = getattr(self.layers, f"{part}_l{layer}")
                yield f"layers.{layer}.{part}", parameter, parameter.dim() == 2
        if self.score == "additive":
            yield "attention.query.weight", self.query.weight, True
            yield "attention.query.bias", self.query.bias, False
            yield "attention.key.weight", self.key.weight, True
            yield "attention.score.weight", self.v.weight, True
        if self.score:
            yield "attention.combine.weight", self.combine.weight, True
            yield "attention.combine.bias", self.combine.bias, False
        yield "head.weight", self.head.weight, True
        yield "head.bias", self.head.bias, False

    def forward(self, tokens, state):
        recurrent, memory = state if state is not None else (None, None)
        if self.embedding is None:
            x = F.one_hot(tokens, self.vocab).to(self.head.weight.dtype)
        else:
            x = self.embedding(tokens)
        hidden, recurrent = self.layers(x, recurrent)
        output = hidden
        if self.score:
            states = hidden if memory is None else torch.cat([memory, hidden], 1)
            output = self.attend(hidden, states)
            kept = min(self.c["context_length"] - 1, states.shape[1])
            memory = states[:, states.shape[1] - kept :]
        return self.head(output), (recurrent, memory)

    def attend(self, hidden, states):
        """Position t sees the last `context_length` states, its own included."""
        queries, keys, width = hidden.shape[1], states.shape[1], hidden.shape[2]
        at = torch.arange(keys - queries, keys)[:, None]
        key = torch.arange(keys)[None, :]
        seen = (key <= at) & (key > at - self.c["context_length"])
        if self.score == "additive":
            scores = self.v(torch.tanh(self.query(hidden)[:, :, None] + self.key(states)[:, None, :])).squeeze(-1)
            context = scores.masked_fill(~seen, -math.inf).softmax(-1) @ states
        else:
            scale = 1.0 if self.score == "dot" else 1.0 / math.sqrt(width)
            context = F.scaled_dot_product_attention(hidden, states, states, attn_mask=seen, scale=scale)
        return torch.tanh(self.combine(torch.cat([hidden, context], -1)))


class Norm(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-5)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        d, ff, bias = c["d_model"], c["d_ff"] or 4 * c["d_model"], c["bias"]
        self.attention_norm, self.feed_forward_norm = Norm(d, bias), Norm(d, bias)
        self.qkv = nn.Linear(d, 3 * d, bias=bias and c["qkv_bias"])
        self.output = nn.Linear(d, d, bias=bias)
        self.up, self.down = nn.Linear(d, ff, bias=bias), nn.Linear(ff, d, bias=bias)

    def attend(self, x):
        batch, seq, d = x.shape
        heads = self.c["n_heads"]
        q, k, v = (part.view(batch, seq, heads, d // heads).transpose(1, 2) for part in self.qkv(x).split(d, 2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(batch, seq, d))

    def feed_forward(self, x):
        activation = {
            "relu": F.relu,
            "gelu": F.gelu,
            "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
        }[self.c["activation"]]
        return self.down(activation(self.up(x)))

    def forward(self, x):
        if self.c["norm"] == "post":
            x = self.attention_norm(x + self.attend(x))
            return self.feed_forward_norm(x + self.feed_forward(x))
        x = x + self.attend(self.attention_norm(x))
        return x + self.feed_forward(self.feed_forward_norm(x))


class Transformer(nn.Module):
    """Rungs 4 and 5."""

    def __init__(self, c, vocab):
        super().__init__()
        self.c = c
        d, context = c["d_model"], c["context_length"]
        self.tokens = nn.Embedding(vocab, d)
        self.positions = nn.Embedding(context, d) if c["positions"] == "learned" else None
        if self.positions is None:
            angles = torch.arange(context)[:, None] * torch.exp(-math.log(10000.0) * torch.arange(0, d, 2) / d)
            self.sinusoids = torch.stack([angles.sin(), angles.cos()], -1).reshape(context, d)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["n_layers"]))
        self.norm = Norm(d, c["bias"]) if c["norm"] == "pre" else None
        self.head = None if c["tied_head"] else nn.Linear(d, vocab, bias=c["head_bias"])

    def names(self):
        yield "token_embedding.weight", self.tokens.weight, False
        if self.positions is not None:
            yield "position_embedding.weight", self.positions.weight, False

        def both(name, part):
            yield f"{name}.weight", part.weight, isinstance(part, nn.Linear)
            if part.bias is not None:
                yield f"{name}.bias", part.bias, False

        for index, block in enumerate(self.blocks):
            at = f"blocks.{index}"
            yield from both(f"{at}.attention_norm", block.attention_norm)
            yield from both(f"{at}.attention.qkv", block.qkv)
            yield from both(f"{at}.attention.output", block.output)
            yield from both(f"{at}.feed_forward_norm", block.feed_forward_norm)
            yield from both(f"{at}.feed_forward.up", block.up)
            yield from both(f"{at}.feed_forward.down", block.down)
        if self.norm is not None:
            yield from both("final_norm", self.norm)
        if self.head is not None:
            yield from both("head", self.head)

    def forward(self, tokens, state):
        seq = tokens.shape[1]
        x = self.tokens(tokens)
        if self.c["scale_embeddings"]:
            x = x * math.sqrt(self.c["d_model"])
        x = x + (self.sinusoids[:seq] if self.positions is None else self.positions.weight[:seq])
        for block in self.blocks:
            x = block(x)
        if self.norm is not None:
            x = self.norm(x)
        return (F.linear(x, self.tokens.weight) if self.head is None else self.head(x)), None


def fill(model, seed):
    """Weights of a size that lets every part matter, biases and norms included; multiples of 1/1024, so exact in float32."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter, _ in model.names():
            draw = torch.randn(parameter.shape, generator=generator)
            if name.endswith("embedding.weight"):
                draw = 0.5 * draw
            elif parameter.dim() == 2:
                draw = draw * 1.2 / math.sqrt(parameter.shape[1])
            else:
                draw = 0.3 * draw + (1.0 if name.endswith("norm.weight") else 0.0)
            parameter.copy_(torch.round(draw * 1024) / 1024)


def detached(state):
    if state is None or isinstance(state, torch.Tensor):
        return state if state is None else state.detach()
    return tuple(detached(part) for part in state)


class Stream:
    """The text in rows of equal length; every row's next window, and from the start when less than a window is left."""

    def __init__(self, tokens, batch, seq):
        self.tokens, self.batch, self.seq = torch.tensor(tokens), batch, seq
        self.row = (len(tokens) - 1) // batch
        self.window = 0

    def next(self):
        if self.window == self.row // self.seq:
            self.window = 0
        starts = [row * self.row + self.window * self.seq for row in range(self.batch)]
        fresh = self.window == 0
        self.window += 1
        pick = lambda shift: torch.stack([self.tokens[s + shift : s + shift + self.seq] for s in starts])
        return pick(0), pick(1), fresh


def loss_of(logits, targets, label_smoothing=0.0):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=label_smoothing)


OPTIMIZERS = {
    "sgd": {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01, "decay_group": "all", "grad_clip": 0.2},
    "adam": {
        "learning_rate": 0.005, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01,
        "decay_group": "matrices", "grad_clip": 0.0,
    },
    "adamw": {
        "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": 0.1,
        "decay_group": "matrices", "grad_clip": 0.2,
    },
}  # fmt: skip
ACCUMULATION = {"sgd": 2, "adam": 1, "adamw": 2}
LABEL_SMOOTHING = {"sgd": 0.0, "adam": 0.1, "adamw": 0.0}
SCHEDULE = {"sgd": "constant", "adam": "constant", "adamw": "cosine"}


def optimizer_of(kind, model):
    o = OPTIMIZERS[kind]
    parameters = [parameter for _, parameter, _ in model.names()]
    decayed = [p for p in parameters if o["decay_group"] == "all" or p.dim() >= 2]
    free = [p for p in parameters if not (o["decay_group"] == "all" or p.dim() >= 2)]
    groups = [{"params": decayed, "weight_decay": o["weight_decay"]}, {"params": free, "weight_decay": 0.0}]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=o["learning_rate"], momentum=o["momentum"])
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    return make(groups, lr=o["learning_rate"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])


def train(kind, model, stream):
    optimizer = optimizer_of(kind, model)
    parameters = [parameter for _, parameter, _ in model.names()]
    scheduler = None
    if SCHEDULE[kind] == "cosine":
        low = 0.1 * OPTIMIZERS[kind]["learning_rate"]
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=low)
    clip = OPTIMIZERS[kind]["grad_clip"]
    losses, norms, state = [], [], None
    for _ in range(STEPS):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(ACCUMULATION[kind]):
            tokens, targets, fresh = stream.next()
            logits, state = model(tokens, None if fresh else state)
            state = detached(state)
            loss = loss_of(logits, targets, LABEL_SMOOTHING[kind]) / ACCUMULATION[kind]
            loss.backward()
            total += loss.item()
        norm = nn.utils.clip_grad_norm_(parameters, clip if clip > 0 else math.inf)
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(total)
        norms.append(norm.item())
    return losses, norms


def oriented(tensor, transposed):
    return (tensor.T if transposed else tensor).detach().clone()


def record(name, kind, config, vocab, batch, seed, tensors, optimizers=("sgd", "adam", "adamw")):
    seq = config["context_length"]
    generator = torch.Generator().manual_seed(1000 + seed)
    tokens = torch.randint(vocab, (batch * (WINDOWS * seq + 2) + 1,), generator=generator).tolist()

    def fresh_model():
        model = (Recurrent if "cell" in config else Transformer)(config, vocab)
        fill(model, seed)
        return model

    model = fresh_model()
    stream = Stream(tokens, batch, seq)
    first, _, _ = stream.next()
    second, targets, _ = stream.next()
    with torch.no_grad():
        alone, _ = model(first[:1], None)
        _, state = model(first, None)
    logits, _ = model(second, state)
    loss = loss_of(logits, targets)
    loss.backward()
    for path, parameter, transposed in model.names():
        tensors[f"{name}/weight/{path}"] = oriented(parameter, transposed)
        tensors[f"{name}/gradient/{path}"] = oriented(parameter.grad, transposed)
    tensors[f"{name}/logits"] = logits.detach()
    tensors[f"{name}/alone"] = alone

    runs = {}
    for optimizer in optimizers:
        model = fresh_model()
        losses, norms = train(optimizer, model, Stream(tokens, batch, seq))
        for path, parameter, transposed in model.names():
            tensors[f"{name}/{optimizer}/{path}"] = oriented(parameter, transposed)
        runs[optimizer] = {"losses": losses, "norms": norms}
    return {
        "name": name, "kind": kind, "model": effective(config), "vocab": vocab, "batch": batch, "tokens": tokens,
        "loss": loss.item(), "runs": runs,
    }  # fmt: skip


def effective(config):
    """Without the keys that mean nothing beside the others, which fireside refuses to be given."""
    idle = {
        "d_embedding": config.get("input") == "one-hot",
        "d_attention": config.get("score") != "additive",
        "qkv_bias": not config.get("bias"),
        "head_bias": config.get("tied_head"),
    }
    return {key: value for key, value in config.items() if not idle.get(key, False)}


def recurrent(cell, given, n_layers, seq=6, hidden=7, embedding=5, **more):
    return {
        "context_length": seq, "input": given, "cell": cell, "d_embedding": embedding, "hidden_size": hidden,
        "n_layers": n_layers, "dropout": 0.0, **more,
    }  # fmt: skip


def transformer(norm, positions, activation, tied, **more):
    return {
        "context_length": 7, "d_model": 10, "n_heads": 2, "n_layers": 2, "d_ff": 13, "dropout": 0.0, "norm": norm,
        "activation": activation, "positions": positions, "scale_embeddings": True, "tied_head": tied, "bias": True,
        "qkv_bias": True, "head_bias": not tied, **more,
    }  # fmt: skip


def cases():
    """name, kind, model, vocabulary, batch"""
    for cell in ("rnn", "gru", "lstm"):
        for given in ("embedding", "one-hot"):
            kind = "word-gru" if (cell, given) == ("gru", "embedding") else "char-rnn"
            yield f"{cell}-{given}", kind, recurrent(cell, given, 2), 11, 3
    yield "rnn-deep", "char-rnn", recurrent("rnn", "embedding", 3, hidden=9), 11, 1
    yield "gru-shallow", "word-gru", recurrent("gru", "one-hot", 1, hidden=16, seq=5), 8, 2
    yield "lstm-shallow", "word-gru", recurrent("lstm", "embedding", 1, hidden=17, seq=9), 13, 4
    attentive = lambda score, **more: {"score": score, "d_attention": 5, **more}
    for score in ("additive", "dot", "scaled-dot"):
        yield f"attention-{score}", "lstm-attention", recurrent("lstm", "embedding", 1, **attentive(score)), 11, 3
    yield "attention-gru-deep", "lstm-attention", recurrent("gru", "one-hot", 2, **attentive("additive")), 11, 2
    yield "attention-rnn-dot", "lstm-attention", recurrent("rnn", "one-hot", 1, **attentive("dot")), 11, 1
    long = recurrent("lstm", "embedding", 1, seq=21, hidden=18, **attentive("additive", d_attention=19))
    yield "attention-long", "lstm-attention", long, 12, 2

    t = transformer
    yield "post-sinusoidal-relu", "transformer", t("post", "sinusoidal", "relu", False), 11, 3
    yield "post-learned-gelu-tied", "transformer", t("post", "learned", "gelu", True, qkv_bias=False), 11, 2
    yield "pre-sinusoidal-gelu-tanh", "transformer", t("pre", "sinusoidal", "gelu-tanh", False, head_bias=False), 11, 2
    yield "bare-post", "transformer", t("post", "sinusoidal", "gelu-tanh", False, bias=False), 11, 3
    plain = {"scale_embeddings": False}
    gpt = lambda *a, **more: t(*a, **{**plain, **more})
    yield "pre-learned-gelu-tanh-tied", "gpt", gpt("pre", "learned", "gelu-tanh", True, d_ff=0, n_heads=5), 11, 3
    yield "bare-pre-tied", "gpt", gpt("pre", "learned", "gelu", True, bias=False), 11, 1
    yield "pre-untied-relu", "gpt", gpt("pre", "learned", "relu", False, n_heads=1, d_model=9, n_layers=3), 11, 2
    yield "bare-pre-untied", "gpt", gpt("pre", "learned", "relu", False, bias=False, head_bias=False), 11, 2
    yield "bare-sinusoidal-tied", "gpt", gpt("pre", "sinusoidal", "gelu", True, bias=False, d_model=6, n_heads=6), 11, 4
    wide = gpt("pre", "learned", "gelu-tanh", True, context_length=35, d_model=34, n_heads=2, n_layers=1, d_ff=0)
    yield "wide", "gpt", wide, 37, 3


def initial_distributions():
    """Standard deviation and largest magnitude of what PyTorch's own modules start with."""
    torch.manual_seed(7)
    modules = {
        "linear": nn.Linear(400, 300), "embedding": nn.Embedding(300, 200), "rnn": nn.RNN(100, 256),
        "gru": nn.GRU(100, 256), "lstm": nn.LSTM(100, 256),
    }  # fmt: skip
    return {
        kind: {
            name: {"std": p.std().item(), "largest": p.abs().max().item(), "shape": list(p.shape)}
            for name, p in module.named_parameters()
        }
        for kind, module in modules.items()
    }


def write_safetensors(path, tensors):
    header, offset, parts = {}, 0, []
    for name, tensor in tensors.items():
        values = array.array("f", tensor.flatten().tolist())
        data = values.tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        parts.append(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def main():
    here = pathlib.Path(__file__)
    tensors, recorded = {}, []
    for seed, (name, kind, config, vocab, batch) in enumerate(cases()):
        # The one wide model would fill the file with weights: one optimizer is enough for it.
        optimizers = ("adamw",) if name == "wide" else ("sgd", "adam", "adamw")
        recorded.append(record(name, kind, config, vocab, batch, seed, tensors, optimizers))
    values = here.with_name("models.safetensors")
    write_safetensors(values, tensors)
    result = {
        "torch": torch.__version__,
        "script_sha256": hashlib.sha256(here.read_bytes()).hexdigest(),
        "values_sha256": hashlib.sha256(values.read_bytes()).hexdigest(),
        "optimizers": {
            kind: {
                "optimizer": o, "accumulation": ACCUMULATION[kind], "schedule": SCHEDULE[kind],
                "label_smoothing": LABEL_SMOOTHING[kind],
            }  # fmt: skip
            for kind, o in OPTIMIZERS.items()
        },
        "initial": initial_distributions(),
        "cases": recorded,
    }
    here.with_name("models.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
