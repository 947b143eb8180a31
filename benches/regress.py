#!/usr/bin/env python3
"""Whether one build of fireside trains more slowly than another: both in turn, pair by pair.

    python3 benches/regress.py OLD NEW [--configs gpt,word-gru,..] [--rounds 5] [--steps 30] [--threads 1] [--limit 1.05]

OLD and NEW are fireside programs built with `cargo build --release`. In every round each config is trained a few steps by OLD
and then by NEW, each as a process of its own, so that a slow moment of the machine meets both. Compared are the processor times a
step (which say something on a busy machine too) and the peak memory: the median over the rounds of NEW / OLD. Above the limit the
script says which configs are slower or larger and ends with 1. No absolute time decides.
"""

import argparse
import json
import statistics
import subprocess
import sys

PRESETS = ["char-rnn", "word-gru", "lstm-attention", "transformer", "gpt", "nanogpt-cpu"]


def measure(program, config, steps, threads):
    command = [program, "bench", "train", config, "--json", "--steps", str(steps), "--vocab", "1024"]
    command += ["--set", f"train.threads={threads}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    row = json.loads(done.stdout)
    return row["processor_ms"], row["peak_memory_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--configs", default=",".join(PRESETS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1.05)
    given = parser.parse_args()
    configs = given.configs.split(",")
    pairs = {config: [] for config in configs}
    for _ in range(given.rounds):
        for config in configs:
            old = measure(given.old, config, given.steps, given.threads)
            new = measure(given.new, config, given.steps, given.threads)
            pairs[config].append((old, new))
    worse = []
    print(f"{'config':18} {'old ms':>8} {'new ms':>8} {'time':>7} {'memory':>7}")
    for config in configs:
        rounds = pairs[config]
        time = statistics.median(new[0] / old[0] for old, new in rounds)
        memory = statistics.median(new[1] / old[1] for old, new in rounds)
        old_ms = statistics.median(old[0] for old, _ in rounds)
        new_ms = statistics.median(new[0] for _, new in rounds)
        print(f"{config:18} {old_ms:8.2f} {new_ms:8.2f} {time:7.3f} {memory:7.3f}")
        if max(time, memory) > given.limit:
            worse.append(config)
    if worse:
        sys.exit(f"above {given.limit} times the old: {', '.join(worse)}")


if __name__ == "__main__":
    main()
