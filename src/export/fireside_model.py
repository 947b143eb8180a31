"""Loads a model that fireside exported with `--to safetensors`, and computes its logits.

    model = load("FOLDER")                        # needs torch and safetensors
    logits = model(torch.tensor([[1, 2, 3]]))     # [batch, seq] -> [batch, seq, vocab]

Parameters have the names and shapes of model.safetensors; linear weights are [inputs, outputs]. Dropout is left out.
"""

import json
import math
import pathlib

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


class Linear(nn.Module):
    def __init__(self, inputs, outputs, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x):
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


class LayerNorm(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Recurrent(nn.Module):
    """One layer of tanh RNN, GRU (gates: reset, update, new) or LSTM (input, forget, cell, output)."""

    def __init__(self, cell, inputs, hidden):
        super().__init__()
        self.cell, self.hidden = cell, hidden
        width = {"rnn": 1, "gru": 3, "lstm": 4}[cell] * hidden
        self.weight_ih = nn.Parameter(torch.empty(inputs, width))
        self.weight_hh = nn.Parameter(torch.empty(hidden, width))
        self.bias_ih = nn.Parameter(torch.empty(width))
        self.bias_hh = nn.Parameter(torch.empty(width))

    def forward(self, x):
        # A one-hot vector times a matrix is a row of it.
        x = (x @ self.weight_ih if x.is_floating_point() else self.weight_ih[x]) + self.bias_ih
        h = c = x.new_zeros(x.shape[0], self.hidden)
        outputs = []
        for step in x.unbind(1):
            g = h @ self.weight_hh + self.bias_hh
            if self.cell == "rnn":
                h = torch.tanh(step + g)
            elif self.cell == "gru":
                (xr, xz, xn), (hr, hz, hn) = step.chunk(3, -1), g.chunk(3, -1)
                z = torch.sigmoid(xz + hz)
                h = (1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn) + z * h
            else:
                i, f, n, o = (step + g).chunk(4, -1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(n)
                h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, 1)


class PastAttention(nn.Module):
    """tanh(W[hidden; context]), the context being what each state finds in the last `span` states, its own included."""

    def __init__(self, hidden, width, score, span):
        super().__init__()
        self.kind, self.span = score, span
        if score == "additive":
            self.query = Linear(hidden, width)
            self.key = Linear(hidden, width, bias=False)
            self.score = Linear(width, 1, bias=False)
        self.combine = Linear(2 * hidden, hidden)

    def forward(self, h):
        if self.kind == "additive":
            pairs = self.query(h).unsqueeze(2) + self.key(h).unsqueeze(1)
            scores = self.score(torch.tanh(pairs)).squeeze(3)
        else:
            scores = h @ h.transpose(1, 2)
            if self.kind == "scaled-dot":
                scores = scores / math.sqrt(h.shape[2])
        position = torch.arange(h.shape[1])
        back = position.unsqueeze(1) - position
        scores = scores.masked_fill((back < 0) | (back >= self.span), float("-inf"))
        return torch.tanh(self.combine(torch.cat([h, torch.softmax(scores, 2) @ h], 2)))


class RecurrentModel(nn.Module):
    """char-rnn, word-gru and lstm-attention."""

    def __init__(self, c, vocab):
        super().__init__()
        embedded = c["input"] == "embedding"
        self.embedding = nn.Embedding(vocab, c["d_embedding"]) if embedded else None
        inputs = [c["d_embedding"] if embedded else vocab] + [c["hidden_size"]] * (c["n_layers"] - 1)
        self.layers = nn.ModuleList(Recurrent(c["cell"], n, c["hidden_size"]) for n in inputs)
        if c["kind"] == "lstm-attention":
            self.attention = PastAttention(c["hidden_size"], c["d_attention"], c["score"], c["context_length"])
        else:
            self.attention = nn.Identity()
        self.head = Linear(c["hidden_size"], vocab)

    def forward(self, tokens):
        x = tokens if self.embedding is None else self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.attention(x))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["n_heads"]
        self.qkv = Linear(c["d_model"], 3 * c["d_model"], c["bias"] and c["qkv_bias"])
        self.output = Linear(c["d_model"], c["d_model"], c["bias"])

    def forward(self, x):
        batch, seq, width = x.shape
        split = (batch, seq, self.heads, width // self.heads)
        q, k, v = (part.reshape(split).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(batch, seq, width))


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["d_ff"] or 4 * c["d_model"]
        self.up = Linear(c["d_model"], width, c["bias"])
        self.down = Linear(width, c["d_model"], c["bias"])
        self.activation = c["activation"]

    def forward(self, x):
        x = self.up(x)
        if self.activation == "relu":
            return self.down(F.relu(x))
        return self.down(F.gelu(x, approximate="tanh" if self.activation == "gelu-tanh" else "none"))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.post = c["norm"] == "post"
        self.attention_norm = LayerNorm(c["d_model"], c["bias"])
        self.attention = Attention(c)
        self.feed_forward_norm = LayerNorm(c["d_model"], c["bias"])
        self.feed_forward = FeedForward(c)

    def forward(self, x):
        if self.post:
            x = self.attention_norm(x + self.attention(x))
            return self.feed_forward_norm(x + self.feed_forward(x))
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.feed_forward_norm(x))


def sinusoids(count, width):
    column = torch.arange(width)
    rate = torch.exp(-math.log(10000.0) * (column - column % 2).double() / width)
    angle = torch.arange(count).double().unsqueeze(1) * rate
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


class Decoder(nn.Module):
    """transformer and gpt."""

    def __init__(self, c, vocab):
        super().__init__()
        self.scale = math.sqrt(c["d_model"]) if c["scale_embeddings"] else 1.0
        self.token_embedding = nn.Embedding(vocab, c["d_model"])
        learned = c["positions"] == "learned"
        self.position_embedding = nn.Embedding(c["context_length"], c["d_model"]) if learned else None
        self.sinusoids = None if learned else sinusoids(c["context_length"], c["d_model"])
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["n_layers"]))
        self.final_norm = LayerNorm(c["d_model"], c["bias"]) if c["norm"] == "pre" else nn.Identity()
        self.head = None if c["tied_head"] else Linear(c["d_model"], vocab, c["head_bias"])

    def forward(self, tokens):
        table = self.sinusoids if self.position_embedding is None else self.position_embedding.weight
        x = self.token_embedding(tokens) * self.scale + table[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        x = self.final_norm(x)
        return x @ self.token_embedding.weight.T if self.head is None else self.head(x)


def load(folder):
    """The model of an exported folder, with its weights, ready to evaluate."""
    folder = pathlib.Path(folder)
    description = json.loads((folder / "model.json").read_text())
    config, vocab = description["model"], description["vocab_size"]
    kind = Decoder if config["kind"] in ("transformer", "gpt") else RecurrentModel
    model = kind(config, vocab)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()
