"""Holds fireside's exports to `transformers`, and makes GPT-2 folders with it for fireside to import. Run by tests/export/.

    hf.py check MANIFEST    compares every export that the JSON file MANIFEST lists with what it should compute
    hf.py make FOLDER       writes random GPT-2 folders, and expected.json with their logits

Needs torch, transformers, safetensors and tokenizers from PyPI; nothing is downloaded.
"""

import importlib.util
import json
import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils import logging

logging.set_verbosity_error()
torch.set_num_threads(1)
TOLERANCE = 1e-4
TEXT = "Once upon a time there was an old mill by the river, and in the mill there lived a miller. "


def difference(ours, theirs):
    ours = torch.tensor(ours)
    assert ours.shape == theirs.shape, f"shapes {list(ours.shape)} and {list(theirs.shape)}"
    assert torch.isfinite(theirs).all(), "logits that are not finite"
    return (ours - theirs).abs().max().item()


def check_hf(entry):
    folder = entry["folder"]
    model, report = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        assert not report.get(problem), f"{problem}: {report[problem]}"
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == model.config.vocab_size, f"{len(tokenizer)} tokens"
    ids = tokenizer(entry["text"])["input_ids"]
    assert ids == entry["ids"], f"ids {ids} instead of {entry['ids']}"
    assert tokenizer.decode(ids) == entry["decoded"], f"text {tokenizer.decode(ids)!r}"
    tokens = torch.tensor([ids])
    with torch.no_grad():
        found = difference(entry["logits"], model(tokens).logits[0])
        count = len(entry["greedy"])
        written = model.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=count, pad_token_id=0
        )
    assert written[0, len(ids) :].tolist() == entry["greedy"], "greedy text differs"
    return found


def check_plain(entry):
    folder = pathlib.Path(entry["folder"])
    spec = importlib.util.spec_from_file_location("fireside_model", folder / "fireside_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(entry["text"]).ids
    assert ids == entry["ids"], f"ids {ids} instead of {entry['ids']}"
    model = module.load(folder)
    with torch.no_grad():
        return difference(entry["logits"], model(torch.tensor([ids]))[0])


def check(manifest):
    failed = False
    for entry in json.loads(pathlib.Path(manifest).read_text()):
        name = pathlib.Path(entry["folder"]).name
        try:
            found = (check_hf if entry["format"] == "hf" else check_plain)(entry)
            assert found <= TOLERANCE, f"logits differ by {found:.2e}"
            print(f"{name}: logits differ by {found:.1e}")
        except Exception as error:
            failed = True
            print(f"{name}: {type(error).__name__}: {error}")
    return 1 if failed else 0


def byte_level(vocabulary, special):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT * 20], trainer)
    return tokenizer


def make(out):
    out = pathlib.Path(out)
    variants = {
        "tied": (dict(), dict(), ["<|endoftext|>"]),
        "untied": (dict(tie_word_embeddings=False, activation_function="gelu", n_inner=72), dict(), []),
        "sharded": (dict(activation_function="relu", n_layer=3), dict(max_shard_size="50KB"), []),
    }
    expected = []
    for seed, (name, (changes, saving, special)) in enumerate(variants.items()):
        torch.manual_seed(seed)
        tokenizer = byte_level(300, special)
        end = tokenizer.token_to_id("<|endoftext|>")
        settings = dict(n_positions=32, n_embd=32, n_layer=2, n_head=4, bos_token_id=end, eos_token_id=end)
        config = GPT2Config(vocab_size=tokenizer.get_vocab_size(), **{**settings, **changes})
        model = GPT2LMHeadModel(config).eval()
        # Biases and norms that are zeros and ones would hide a mix-up.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        folder = out / name
        model.save_pretrained(folder, **saving)
        end = {"bos_token": special[0], "eos_token": special[0]} if special else {}
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **end).save_pretrained(folder)
        ids = AutoTokenizer.from_pretrained(folder)(TEXT)["input_ids"][:24]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        expected.append(dict(name=name, text=TEXT, ids=ids, logits=logits.tolist()))
    (out / "expected.json").write_text(json.dumps(expected))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("check", "make"):
        sys.exit(__doc__)
    sys.exit({"check": check, "make": make}[sys.argv[1]](sys.argv[2]))
