//! `cargo bench --bench kernels [-- FILTER]`: the fused operations on the sizes of nanoGPT's CPU recipe and of a word model with
//! 10 000 words. Microseconds a call: the best and the median of many, and the mean processor time of all threads together;
//! nanoseconds an element or GFLOP/s from the last.
//!
//! `RAYON_NUM_THREADS` sets the threads. On a machine that does other work as well, only the processor time on one thread says something.

use std::hint::black_box;
use std::time::Instant;

use fireside::kernel::cpu::activation::{self, Activation, Mask};
use fireside::kernel::cpu::attention::{self, Sizes};
use fireside::kernel::cpu::head::Head;
use fireside::kernel::cpu::recurrent::{self, Cell, Initial};
use fireside::kernel::cpu::sublayer::{Affine, Middle, Norm, Operands, Sublayer};
use fireside::kernel::cpu::{additive, dot_attention, embedding, layer_norm, linear};

/// As in the program: with the system's allocator, every large result would be memory that has to be filled with zeros first.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the work of one call is counted in.
enum Work {
    Elements(usize),
    /// Multiplications and additions.
    Operations(usize),
}

struct Bench {
    filter: Option<String>,
}

impl Bench {
    fn run<R>(&self, name: &str, work: Work, mut call: impl FnMut() -> R) {
        if self.filter.as_ref().is_some_and(|f| !name.contains(f)) {
            return;
        }
        black_box(call());
        let mut times = Vec::new();
        let (started, busy) = (Instant::now(), processor_seconds());
        while times.len() < 15 || (started.elapsed().as_millis() < 300 && times.len() < 2000) {
            let before = Instant::now();
            black_box(call());
            times.push(before.elapsed().as_secs_f64());
        }
        let busy = processor_seconds()
            .zip(busy)
            .map(|(after, before)| after - before);
        let count = times.len();
        times.sort_by(f64::total_cmp);
        let (best, median) = (times[0], times[count / 2]);
        let busy = busy.map_or(best, |busy| busy / count as f64);
        let rate = match work {
            Work::Elements(n) => format!("{:8.3} ns/element", busy * 1e9 / n as f64),
            Work::Operations(n) => format!("{:8.1} GFLOP/s", n as f64 / busy / 1e9),
        };
        let [best, median, busy] = [best, median, busy].map(|s| s * 1e6);
        println!("{name:34} {best:10.1} {median:10.1} {busy:10.1} {rate}");
    }
}

/// Processor time of all threads so far, seconds, where Linux tells.
fn processor_seconds() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e9)
}

/// Numbers in [-scale, scale) that repeat after a long while.
fn numbers(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

fn ids(count: usize, vocab: usize) -> Vec<i64> {
    (0..count).map(|i| ((i * 7919) % vocab) as i64).collect()
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let bench = Bench { filter };
    println!(
        "{:34} {:>10} {:>10} {:>10}",
        "operation", "best µs", "median µs", "CPU µs"
    );
    products(&bench);
    elementwise(&bench);
    attentions(&bench);
    sublayers(&bench);
    recurrences(&bench);
    losses(&bench);
}

fn products(bench: &Bench) {
    for (rows, n_in, n_out) in [(768, 128, 512), (768, 512, 128), (2048, 256, 10_000)] {
        let (x, weight) = (numbers(rows * n_in, 1.0), numbers(n_in * n_out, 0.1));
        let (bias, dy) = (numbers(n_out, 1.0), numbers(rows * n_out, 1.0));
        let work = || Work::Operations(2 * rows * n_in * n_out);
        let name = |what: &str| format!("{what} {rows}x{n_in}x{n_out}");
        bench.run(&name("linear"), work(), || {
            linear::forward(&x, &weight, Some(&bias), n_in, n_out)
        });
        bench.run(&name("linear dx"), work(), || {
            linear::input_gradient(&dy, &weight, n_in, n_out)
        });
        bench.run(&name("linear dW"), work(), || {
            linear::weight_gradient(&x, &dy, n_in, n_out)
        });
        bench.run(&name("linear db"), Work::Elements(rows * n_out), || {
            linear::bias_gradient(&dy, n_out)
        });
    }
}

fn elementwise(bench: &Bench) {
    let count = 768 * 512;
    let x = numbers(count, 3.0);
    let mut dy = numbers(count, 1.0);
    for (name, kind) in [
        ("relu", Activation::Relu),
        ("gelu", Activation::Gelu),
        ("gelu-tanh", Activation::GeluTanh),
    ] {
        let work = || Work::Elements(count);
        let mut y = x.clone();
        bench.run(name, work(), || {
            y.copy_from_slice(&x);
            activation::with_bias_and_slope(kind, &mut y, None)
        });
        let slope = match kind {
            Activation::Relu => y.clone(),
            _ => activation::with_bias_and_slope(kind, &mut y, None),
        };
        let backward = match kind {
            Activation::Relu => activation::relu_backward,
            _ => activation::backward,
        };
        bench.run(&format!("{name} backward"), work(), || {
            backward(&slope, &mut dy);
            // Gradients that shrink to denormal numbers would be slower than any real ones.
            dy.fill(1.0);
        });
    }
    bench.run("dropout", Work::Elements(count), || {
        activation::dropout(&mut dy, Mask::new(1, 0.1));
        dy.fill(1.0);
    });
    let (rows, d) = (768, 128);
    let (x, dy) = (numbers(rows * d, 1.0), numbers(rows * d, 1.0));
    let (gamma, beta) = (numbers(d, 1.0), numbers(d, 1.0));
    let (_, saved) = layer_norm::forward(&x, &gamma, Some(&beta), 1e-5);
    bench.run("layer norm", Work::Elements(rows * d), || {
        layer_norm::forward(&x, &gamma, Some(&beta), 1e-5)
    });
    bench.run("layer norm backward", Work::Elements(rows * d), || {
        layer_norm::backward(&x, &gamma, &saved, &dy)
    });
    let tokens = ids(2048, 10_000);
    let (table, grad) = (numbers(10_000 * 256, 1.0), numbers(2048 * 256, 1.0));
    bench.run("embedding", Work::Elements(2048 * 256), || {
        embedding::gather(&table, &tokens, 256)
    });
    bench.run("embedding backward", Work::Elements(10_000 * 256), || {
        embedding::scatter(&grad, &tokens, 10_000, 256)
    });
}

/// Both sublayers of nanoGPT's CPU recipe, and of a GPT of width 192.
fn sublayers(bench: &Bench) {
    for (batch, seq, d, n_heads) in [(12, 64, 128, 4), (16, 128, 192, 6)] {
        let rows = batch * seq;
        let (x, dy) = (numbers(rows * d, 1.0), numbers(rows * d, 1.0));
        let gamma = numbers(d, 1.0);
        for (name, middle, [n, m]) in [
            (
                "attention",
                Middle::Attention {
                    n_heads,
                    mask: None,
                },
                [3 * d, d],
            ),
            (
                "feed-forward",
                Middle::FeedForward(Activation::Gelu),
                [4 * d, 4 * d],
            ),
        ] {
            let (first, second) = (numbers(d * n, 0.1), numbers(m * d, 0.1));
            let map = |weight, n_in, n_out| Affine {
                weight,
                bias: None,
                n_in,
                n_out,
            };
            let operands = Operands {
                x: &x,
                batch,
                seq,
                gamma: &gamma,
                beta: None,
                first: map(&first, d, n),
                second: map(&second, m, d),
            };
            let of = Sublayer {
                norm: Norm::Pre,
                epsilon: 1e-5,
                middle,
                mask: None,
            };
            let name = |pass: &str| format!("{name} sublayer {rows}x{d}{pass}");
            // The products with the weights alone.
            let operations = 2 * rows * d * (n + m);
            bench.run(&name(""), Work::Operations(operations), || {
                of.forward(&operands)
            });
            let (_, kept) = of.forward(&operands);
            bench.run(&name(" backward"), Work::Operations(2 * operations), || {
                of.backward(&operands, &kept, &dy)
            });
        }
    }
}

fn attentions(bench: &Bench) {
    for (batch, seq) in [(12, 64), (24, 128), (2, 1024)] {
        let sizes = Sizes {
            batch,
            seq,
            n_heads: 4,
            d_head: 32,
        };
        let qkv = numbers(batch * seq * 384, 1.0);
        let grad = numbers(batch * seq * 128, 1.0);
        let (out, logs) = attention::forward(&qkv, sizes, None);
        // The causal half of two products, and of five.
        let pairs = batch * 4 * seq * (seq + 1) / 2 * 2 * 32;
        bench.run(
            &format!("attention {batch}x{seq}"),
            Work::Operations(2 * pairs),
            || attention::forward(&qkv, sizes, None),
        );
        bench.run(
            &format!("attention {batch}x{seq} backward"),
            Work::Operations(5 * pairs),
            || attention::backward(&qkv, &out, &logs, &grad, sizes, None),
        );
    }
    let sizes = additive::Sizes {
        batch: 32,
        queries: 64,
        keys: 64,
        d: 256,
        width: 256,
        span: 64,
    };
    let parts = [32 * 64 * 256, 32 * 64 * 256, 256, 32 * 64 * 256].map(|n| numbers(n, 1.0));
    let operands = [&parts[0][..], &parts[1], &parts[2], &parts[3]];
    let (out, logs) = additive::forward(operands, sizes);
    let grad = numbers(out.len(), 1.0);
    let tanhs = 32 * (64 * 65 / 2) * 256;
    bench.run("additive attention", Work::Elements(tanhs), || {
        additive::forward(operands, sizes)
    });
    bench.run("additive attention backward", Work::Elements(tanhs), || {
        additive::backward(operands, &out, &logs, &grad, sizes)
    });
    let sizes = dot_attention::Sizes {
        batch: 16,
        seq: 32,
        past: 31,
        width: 192,
        span: 32,
        scale: 0.07,
    };
    let [hidden, memory] = [16 * 32 * 192, 16 * 31 * 192].map(|n| numbers(n, 1.0));
    let (out, logs) = dot_attention::forward(&hidden, &memory, sizes);
    let grad = numbers(out.len(), 1.0);
    // What each query sees, in two products, and in six.
    let products = 16 * 32 * 32 * 2 * 192;
    bench.run("dot attention", Work::Operations(2 * products), || {
        dot_attention::forward(&hidden, &memory, sizes)
    });
    bench.run(
        "dot attention backward",
        Work::Operations(6 * products),
        || dot_attention::backward([&hidden, &memory], &out, &logs, &grad, sizes),
    );
}

fn recurrences(bench: &Bench) {
    for (name, cell, batch, seq) in [
        ("rnn", Cell::Rnn, 32, 128),
        ("gru", Cell::Gru, 32, 64),
        ("lstm", Cell::Lstm, 32, 64),
    ] {
        let hidden = 256;
        let width = cell.gates() * hidden;
        let sizes = recurrent::Sizes { batch, seq, hidden };
        let projected = numbers(batch * seq * width, 1.0);
        let (weight, bias) = (numbers(hidden * width, 0.06), numbers(width, 0.06));
        let initial = Initial {
            hidden: vec![0.0; batch * hidden],
            cell: vec![
                0.0;
                if cell == Cell::Lstm {
                    batch * hidden
                } else {
                    0
                }
            ],
        };
        let operands = [&projected[..], &weight, &bias];
        let found = recurrent::forward(cell, sizes, operands, &initial);
        let grad = numbers(found.output.len(), 1.0);
        let work = |passes: usize| Work::Operations(passes * 2 * batch * seq * hidden * width);
        bench.run(name, work(1), || {
            recurrent::forward(cell, sizes, operands, &initial)
        });
        bench.run(&format!("{name} backward"), work(2), || {
            let kept = [&found.output[..], &found.kept];
            recurrent::backward(cell, sizes, &weight, &initial, kept, &grad)
        });
    }
}

fn losses(bench: &Bench) {
    for (rows, d, vocab) in [(768, 128, 65), (2048, 256, 10_000), (2048, 192, 4096)] {
        let (x, weight) = (numbers(rows * d, 1.0), numbers(d * vocab, 0.1));
        let bias = numbers(vocab, 0.1);
        let targets = ids(rows, vocab);
        for (name, transposed) in [("head", false), ("tied head", true)] {
            let head = Head {
                label_smoothing: 0.0,
                weight: &weight,
                transposed,
                bias: (!transposed).then_some(&bias),
                d,
                vocab,
            };
            let work = |products: usize| Work::Operations(products * 2 * rows * d * vocab);
            let name = format!("{name} {rows}x{d}x{vocab}");
            bench.run(&format!("{name} loss"), work(1), || head.loss(&x, &targets));
            bench.run(&format!("{name} and gradients"), work(3), || {
                head.loss_and_gradients(&x, &targets, 1.0 / rows as f32)
            });
        }
    }
}
