//! A device that fails at work: lost, or out of memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, ExecutionError};

/// Characters of a driver's words that are kept.
const LONGEST: usize = 300;

/// What a device failed of, as one sentence without its full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the device failed: {0}")]
pub struct DeviceFailure(String);

impl DeviceFailure {
    /// Out of the words of a driver, which may come with a backtrace, over many lines, and with one cause below another: what
    /// the innermost says is kept.
    pub fn new(words: &str) -> Self {
        let words = words.replace("No backtrace available", "");
        let words = words.replace("Asked at:", "");
        let words = words.split("Backtrace").next().unwrap_or_default();
        let mut causes = words.rsplit("Caused by:").map(str::trim);
        let words = causes.find(|cause| !cause.is_empty()).unwrap_or_default();
        let mut sentence = String::new();
        for word in words.split_whitespace() {
            if sentence.chars().count() + word.chars().count() >= LONGEST {
                sentence.push_str(" …");
                break;
            }
            if !sentence.is_empty() {
                sentence.push(' ');
            }
            sentence.push_str(word);
        }
        let sentence = sentence.trim_end_matches(['.', ':', ',', ';']);
        Self(match sentence {
            "" => "it gave no reason".to_string(),
            words => words.to_string(),
        })
    }
}

impl From<ExecutionError> for DeviceFailure {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::WithContext { reason } | ExecutionError::Generic { reason, .. } => {
                Self::new(&reason)
            }
            ExecutionError::DevicePoisoned { reason } => {
                let Self(words) = Self::new(&reason);
                Self(format!(
                    "it is lost to this process ({words}); start the program again to use it again"
                ))
            }
        }
    }
}

/// Runs `work` on `device`. The layers under the tensors panic where a GPU is lost or has no memory left: that is a
/// failure of the device. On the CPU a panic is a defect and goes on.
///
/// What `work` borrows may be half changed after a failure.
///
/// # Errors
/// Those of `work`, and [`DeviceFailure`].
pub fn guarded<T, E: From<DeviceFailure>>(
    device: &Device,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    if runs_on_host(device) {
        work()
    } else {
        caught(work)
    }
}

fn caught<T, E: From<DeviceFailure>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(DeviceFailure::new(words.unwrap_or_default()).into())
    })
}

/// Whether tensors of this device live in main memory and are computed by the threads of this program.
pub fn runs_on_host(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return true;
    }
    #[cfg(feature = "ndarray")]
    #[allow(deprecated)] // burn names its successor, which is the default here
    if *device == Device::ndarray() {
        return true;
    }
    let _ = device;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_device_is_an_error_with_its_words() {
        let lost = |number: u32| -> Result<(), DeviceFailure> { panic!("lost {number}") };
        assert_eq!(
            caught(|| lost(3)).unwrap_err().to_string(),
            "the device failed: lost 3"
        );
        let full = || -> Result<(), DeviceFailure> { panic!("no memory left.") };
        assert_eq!(caught(full), Err(DeviceFailure::new("no memory left")));
        let strange = || -> Result<(), DeviceFailure> { std::panic::panic_any(7) };
        assert_eq!(
            caught(strange).unwrap_err().to_string(),
            "the device failed: it gave no reason"
        );
        assert_eq!(caught(|| Ok::<_, DeviceFailure>(7)), Ok(7));
    }

    #[test]
    fn words_of_a_driver_become_a_sentence() {
        let long = "very ".repeat(400);
        for (words, sentence) in [
            ("lost:\n  reset\nBacktrace:\n 0: main\n", "lost: reset"),
            ("\nBacktrace:\n 0: main", "it gave no reason"),
            (
                "wgpu error: Validation Error\n\nCaused by:\n  In Device::create_bind_group\n    too large\n",
                "In Device::create_bind_group too large",
            ),
            ("several\nCaused by:\n", "several"),
            (
                "can't allocate buffer of size: 2147483648\nNo backtrace available\nAsked at: No backtrace available\n",
                "can't allocate buffer of size: 2147483648",
            ),
        ] {
            assert_eq!(DeviceFailure::new(words).0, sentence);
        }
        let lost = ExecutionError::DevicePoisoned {
            reason: "reset\nBacktrace:\n 0: main".to_string(),
        };
        assert_eq!(
            DeviceFailure::from(lost).to_string(),
            "the device failed: it is lost to this process (reset); start the program again to use it again"
        );
        let cut = DeviceFailure::new(&long).0;
        assert!(
            cut.chars().count() <= LONGEST + 2 && cut.ends_with("very …"),
            "{cut}"
        );
    }
}
