//! Whether a run fits into the machine, asked before it starts and before it is changed.

use crate::config::RunConfig;
use crate::device::Spec;
use crate::model;

/// Share of the available memory above which a notice warns.
const WARN_ABOVE: f64 = 0.7;

/// What to tell the user before a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Fits,
    Tight(String),
    TooLarge(String),
}

/// Bytes that this process may still take: what the machine has free, or less where the container it runs in
/// has a limit. `None` where the system does not say.
pub fn available() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let free = system.available_memory();
    let limit = system
        .cgroup_limits()
        .map(|limits| limits.free_memory)
        .filter(|free| *free > 0);
    Some(limit.map_or(free, |limit| limit.min(free))).filter(|bytes| *bytes > 0)
}

/// What a run takes on the device that is really in use. What its configuration calls the device decides nothing: `auto` may have
/// fallen back to the CPU, where the kernels keep far less than composed operations do.
pub fn estimate(config: &RunConfig, device: Spec, vocab_size: usize) -> u64 {
    let mut config = config.clone();
    config.device = device.to_string();
    model::memory_estimate(&config, vocab_size)
}

/// Compares an estimate with what is available.
pub fn judge(needed: u64, available: u64) -> Verdict {
    let figures = format!(
        "this run needs about {} of memory and {} are available",
        megabytes(needed),
        megabytes(available)
    );
    let advice = "reduce train.batch_size (and raise train.gradient_accumulation), model.context_length or the model's size";
    if needed > available {
        Verdict::TooLarge(format!("{figures}: {advice}"))
    } else if needed as f64 > WARN_ABOVE * available as f64 {
        Verdict::Tight(format!("{figures}; if it does not fit, {advice}"))
    } else {
        Verdict::Fits
    }
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Backend;

    #[test]
    fn the_device_in_use_decides_and_not_what_the_configuration_calls_it() {
        let mut config = RunConfig::defaults();
        let mut on = |called: &str, backend| {
            config.device = called.to_string();
            estimate(&config, Spec::At(backend, 0), 500)
        };
        for called in ["auto", "flex", "ndarray", "wgpu:0"] {
            assert_eq!(on(called, Backend::Flex), on("flex", Backend::Flex));
            assert_eq!(on(called, Backend::Wgpu), on("wgpu:0", Backend::Wgpu));
        }
        if Backend::Flex.is_compiled_in() {
            let (kernels, composed) = (on("auto", Backend::Flex), on("auto", Backend::Wgpu));
            assert!(kernels < composed, "{kernels} {composed}");
        }
    }

    #[test]
    fn only_the_impossible_is_refused() {
        assert_eq!(judge(600, 1000), Verdict::Fits);
        assert!(matches!(judge(800, 1000), Verdict::Tight(_)));
        match judge(64_000_000_000, 8_000_000_000) {
            Verdict::TooLarge(message) => assert_eq!(
                message,
                "this run needs about 64.0 GB of memory and 8.0 GB are available: reduce train.batch_size (and \
                 raise train.gradient_accumulation), model.context_length or the model's size"
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(available().is_none_or(|bytes| bytes > 1 << 20));
    }
}
