#!/usr/bin/env python3
"""What Python's `tokenizers` and a plain regular expression make of texts: the numbers in tokenizer_ids.json.

    python3 -m venv V && V/bin/pip install tokenizers==0.22.2
    V/bin/python tokenizer_ids.py prose=../../src/tokenizer/tests_prose.txt tiny-shakespeare=FILE > tokenizer_ids.json

FILE is what `fireside corpus fetch tiny-shakespeare` brings. For both parts of a 90/10 split of each text it prints
the number of tokens and a SHA-256 of the ids (little-endian u32) of

  char       sorted(set(text)), as nanoGPT does
  word       lower case; words, numbers, single signs, line breaks; the 9,999 most frequent and <unk>
  bpe        byte-level BPE with 4,096 tokens, trained on the first part

    V/bin/python tokenizer_ids.py --load TOKENIZER_JSON TEXT

loads what `fireside tokenizer train` wrote into Python's `tokenizers` and measures it in the same way.
"""
import collections
import hashlib
import json
import re
import struct
import sys

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[^\w\s]|\n")


def measure(ids):
    packed = struct.pack(f"<{len(ids)}I", *ids)
    return {"tokens": len(ids), "sha256": hashlib.sha256(packed).hexdigest()}


def report(encode, train, validation, vocabulary):
    return {
        "vocabulary": vocabulary,
        "train": measure(encode(train)),
        "validation": measure(encode(validation)),
    }


def parts(path):
    text = open(path, encoding="utf-8", newline="").read()
    cut = int(0.9 * len(text))
    return text, text[:cut], text[cut:]


def all_kinds(path):
    text, train, validation = parts(path)
    result = {"text": hashlib.sha256(text.encode()).hexdigest()}

    ids = {c: i for i, c in enumerate(sorted(set(text)))}
    result["char"] = report(lambda part: [ids[c] for c in part], train, validation, len(ids))

    common = collections.Counter(WORD.findall(train.lower())).most_common(9999)
    words = {word: i + 1 for i, (word, _) in enumerate(common)}
    encode = lambda part: [words.get(word, 0) for word in WORD.findall(part.lower())]
    result["word"] = report(encode, train, validation, len(words) + 1)

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator([train], trainer)
    result["bpe"] = report(lambda part: bpe.encode(part).ids, train, validation, bpe.get_vocab_size())
    return result


if sys.argv[1] == "--load":
    loaded = Tokenizer.from_file(sys.argv[2])
    _, train, validation = parts(sys.argv[3])
    result = report(lambda part: loaded.encode(part).ids, train, validation, loaded.get_vocab_size())
    result["decoded"] = loaded.decode(loaded.encode(validation[:300]).ids)
else:
    result = {name: all_kinds(path) for name, path in (text.split("=") for text in sys.argv[1:])}
    result["script"] = hashlib.sha256(open(__file__, "rb").read()).hexdigest()
    result["tokenizers"] = tokenizers.__version__
print(json.dumps(result, indent=1))
