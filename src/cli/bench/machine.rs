//! What the operating system and the processor say about a measurement.

use std::time::{Duration, Instant};

use crate::kernel::cpu::matmul::{Output, Threads, View, ViewMut, matmul};

/// The largest resident size of this process, bytes, from Linux's `/proc`.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Processor time of all threads of this process so far, seconds, from Linux's `/proc`. Unlike elapsed time it hardly
/// depends on what else the machine does.
pub fn processor_seconds() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += text.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e9)
}

/// The fastest of many float32 products of two 768 × 768 matrices on all threads, GFLOP/s. Takes half a second.
pub fn matmul_peak() -> f64 {
    const SIZE: usize = 768;
    let a: Vec<f32> = (0..SIZE * SIZE).map(|i| (i % 7) as f32 - 3.0).collect();
    let mut out = vec![0.0; SIZE * SIZE];
    let mut best = Duration::MAX;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        let view = View::new(&a, SIZE, SIZE);
        let before = Instant::now();
        matmul(
            ViewMut::new(&mut out, SIZE, SIZE),
            view,
            view,
            1.0,
            Output::Replace,
            Threads::All,
        );
        best = best.min(before.elapsed());
    }
    2.0 * (SIZE as f64).powi(3) / best.as_secs_f64() / 1e9
}
