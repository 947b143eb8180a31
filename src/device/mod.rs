//! The registry of backends: what this build can compute on, what this machine has, and which of it a run uses.
//!
//! A device is written as in the configuration: `auto`, `flex`, `ndarray`, `cuda:0`, `vulkan:0`, `wgpu:0`. `auto` takes the first
//! of [`Backend::ALL`] that is really there; an adapter that emulates a GPU on the CPU (llvmpipe) is never taken unasked, because
//! it is slower than the CPU backends.

mod failure;
mod probe;

pub use failure::{DeviceFailure, guarded, runs_on_host};

use burn::tensor::Device;

/// What tensors are computed by, fastest first: the order in which `auto` tries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// NVIDIA GPUs.
    Cuda,
    /// GPUs through Vulkan, with SPIR-V kernels.
    Vulkan,
    /// GPUs through whatever graphics interface the system has, with WGSL kernels.
    Wgpu,
    /// The CPU: the fast one.
    Flex,
    /// The CPU, by the `ndarray` crate: kept for comparison.
    Ndarray,
}

impl Backend {
    pub const ALL: [Backend; 5] = [
        Backend::Cuda,
        Backend::Vulkan,
        Backend::Wgpu,
        Backend::Flex,
        Backend::Ndarray,
    ];

    /// Its name in a device specification, and the cargo feature that builds it in.
    pub fn key(self) -> &'static str {
        match self {
            Backend::Cuda => "cuda",
            Backend::Vulkan => "vulkan",
            Backend::Wgpu => "wgpu",
            Backend::Flex => "flex",
            Backend::Ndarray => "ndarray",
        }
    }

    /// Whether there can be several, so that a specification carries an index.
    pub fn is_indexed(self) -> bool {
        matches!(self, Backend::Cuda | Backend::Vulkan | Backend::Wgpu)
    }

    /// Whether kernels are compiled when they are first used, so that a first step takes long.
    pub fn compiles(self) -> bool {
        self.is_indexed()
    }

    /// Whether this build contains it.
    pub fn is_compiled_in(self) -> bool {
        match self {
            Backend::Cuda => cfg!(feature = "cuda"),
            Backend::Vulkan => cfg!(feature = "vulkan"),
            Backend::Wgpu => cfg!(feature = "wgpu"),
            Backend::Flex => cfg!(feature = "flex"),
            Backend::Ndarray => cfg!(feature = "ndarray"),
        }
    }
}

/// A device as the user writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec {
    Auto,
    At(Backend, usize),
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Spec::Auto => f.write_str("auto"),
            Spec::At(backend, index) if backend.is_indexed() => {
                write!(f, "{}:{index}", backend.key())
            }
            Spec::At(backend, _) => f.write_str(backend.key()),
        }
    }
}

/// The device of a run.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Without autodiff; call `.autodiff()` to train.
    pub device: Device,
    /// What it is, for a person.
    pub name: String,
    /// The specification that names it: never `auto`.
    pub spec: Spec,
    /// Something the user should know, such as that `auto` fell back to the CPU.
    pub notice: Option<String>,
    /// Whether its first steps compile kernels.
    pub compiles: bool,
    /// Whether its tensors lie in the main memory of the machine, rather than in memory of its own.
    pub main_memory: bool,
}

impl Chosen {
    /// What it is, with the threads of the CPU that a run computes on: `CPU, burn-flex, 2 threads`.
    pub fn on_threads(&self, threads: usize) -> String {
        on_threads(&self.name, &self.device, threads)
    }
}

fn on_threads(name: &str, device: &Device, threads: usize) -> String {
    match runs_on_host(device) {
        true => format!("{name}, {}", threads_words(threads)),
        false => name.to_string(),
    }
}

/// A line of `fireside devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What to write in a configuration: `cuda:0`, or `cuda` where there is none to count.
    pub spec: String,
    pub backend: Backend,
    /// Whether this build contains the backend.
    pub compiled_in: bool,
    /// Whether it can be used here and now.
    pub available: bool,
    /// What the device is; where it is not available, why not.
    pub detail: String,
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "unknown device `{0}`; allowed are auto, flex, ndarray, cuda:N, vulkan:N and wgpu:N with N counting from 0"
    )]
    Unknown(String),
    #[error(
        "device `{spec}` is not in this build: rebuild with `cargo build --release --features {feature}` (this build has {present})"
    )]
    NotBuilt {
        spec: String,
        feature: &'static str,
        present: String,
    },
    #[error("device `{spec}` is not available: {reason}")]
    Unavailable { spec: String, reason: String },
    #[error("this build has no backend that works here; `fireside devices` says why")]
    None,
    #[error(
        "cannot use {}: this process already computes on {present}; the number is fixed by its first tensor operation",
        threads_words(*wanted)
    )]
    Threads { wanted: usize, present: usize },
}

impl DeviceError {
    /// The key of the configuration that has to be another; none where it is no matter of one.
    pub fn keys(&self) -> &'static [&'static str] {
        match self {
            DeviceError::Unknown(_)
            | DeviceError::NotBuilt { .. }
            | DeviceError::Unavailable { .. } => &["device"],
            DeviceError::Threads { .. } => &["train.threads"],
            DeviceError::None => &[],
        }
    }
}

/// `1 thread`, `8 threads`.
pub(crate) fn threads_words(threads: usize) -> String {
    let plural = if threads == 1 { "" } else { "s" };
    format!("{threads} thread{plural}")
}

/// A device that a probe found.
#[derive(Debug, Clone)]
struct Found {
    device: Device,
    name: String,
    /// Emulated on the CPU.
    software: bool,
    /// Its tensors lie in main memory.
    main_memory: bool,
}

/// Reads a device specification.
///
/// # Errors
/// [`DeviceError::Unknown`], which lists what is allowed.
pub fn parse(text: &str) -> Result<Spec, DeviceError> {
    let unknown = || DeviceError::Unknown(text.to_string());
    let trimmed = text.trim();
    if trimmed == "auto" {
        return Ok(Spec::Auto);
    }
    let (key, index) = match trimmed.split_once(':') {
        Some((key, index)) => (key, Some(index)),
        None => (trimmed, None),
    };
    let backend = Backend::ALL
        .into_iter()
        .find(|backend| backend.key() == key)
        .ok_or_else(unknown)?;
    match index {
        None => Ok(Spec::At(backend, 0)),
        Some(index) if backend.is_indexed() => {
            let index = index.parse().map_err(|_| unknown())?;
            Ok(Spec::At(backend, index))
        }
        Some(_) => Err(unknown()),
    }
}

/// The device that `spec` means on this machine.
///
/// # Errors
/// An unknown name, a backend that this build does not have, or a device that this machine does not have.
pub fn resolve(spec: &str) -> Result<Chosen, DeviceError> {
    match parse(spec)? {
        Spec::Auto => resolve_auto(probe::hardware_hint),
        Spec::At(backend, index) => resolve_exact(backend, index),
    }
}

/// `hint` says what the machine seems to have for a backend that is not in this build.
fn resolve_auto(hint: impl Fn(Backend) -> Option<String>) -> Result<Chosen, DeviceError> {
    let mut notice = None;
    let mut left_out = None;
    for backend in Backend::ALL {
        if !backend.is_compiled_in() {
            // Of graphics adapters `fireside devices` tells: many are slower than the CPU backends.
            if backend == Backend::Cuda {
                left_out = hint(backend).map(|hint| {
                    format!(
                        "{hint}, but this build computes on the CPU: `cargo build --release --features {}` makes one that can use it",
                        backend.key()
                    )
                });
            }
            continue;
        }
        match probe::find(backend) {
            Ok(found) => {
                let hardware = found.into_iter().enumerate().find(|(_, f)| !f.software);
                if let Some((index, found)) = hardware {
                    if !backend.compiles() {
                        notice = left_out.or(notice);
                    }
                    return Ok(chosen(backend, index, found, notice));
                }
                notice.get_or_insert_with(|| {
                    format!("{}: only an emulated adapter, using the CPU", backend.key())
                });
            }
            Err(reason) => {
                notice.get_or_insert_with(|| format!("{}: {reason}", backend.key()));
            }
        }
    }
    Err(DeviceError::None)
}

fn resolve_exact(backend: Backend, index: usize) -> Result<Chosen, DeviceError> {
    let spec = Spec::At(backend, index).to_string();
    if !backend.is_compiled_in() {
        let present: Vec<_> = Backend::ALL
            .into_iter()
            .filter(|backend| backend.is_compiled_in())
            .map(Backend::key)
            .collect();
        return Err(DeviceError::NotBuilt {
            spec,
            feature: backend.key(),
            present: present.join(", "),
        });
    }
    let mut found = match probe::find(backend) {
        Ok(found) => found,
        Err(reason) => return Err(DeviceError::Unavailable { spec, reason }),
    };
    if index >= found.len() {
        let reason = format!(
            "this machine has {} of that kind, counted from 0",
            found.len()
        );
        return Err(DeviceError::Unavailable { spec, reason });
    }
    let found = found.swap_remove(index);
    let notice = found
        .software
        .then(|| format!("{spec} is emulated on the CPU; `flex` is faster"));
    Ok(chosen(backend, index, found, notice))
}

fn chosen(backend: Backend, index: usize, found: Found, notice: Option<String>) -> Chosen {
    Chosen {
        device: found.device,
        name: found.name,
        spec: Spec::At(backend, index),
        notice,
        compiles: backend.compiles(),
        main_memory: found.main_memory,
    }
}

/// Every backend this program knows, with the devices found of it.
pub fn list() -> Vec<Entry> {
    let mut entries = Vec::new();
    let present = rayon::current_num_threads();
    for backend in Backend::ALL {
        let missing = |compiled_in: bool, detail: String| Entry {
            spec: backend.key().to_string(),
            backend,
            compiled_in,
            available: false,
            detail,
        };
        if !backend.is_compiled_in() {
            let hint = probe::hardware_hint(backend)
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            let detail = format!("not in this build (--features {}){hint}", backend.key());
            entries.push(missing(false, detail));
            continue;
        }
        match probe::find(backend) {
            Ok(found) => entries.extend(found.into_iter().enumerate().map(|(index, found)| {
                let note = if found.software {
                    " (emulated on the CPU; never chosen by auto)"
                } else {
                    ""
                };
                Entry {
                    spec: Spec::At(backend, index).to_string(),
                    backend,
                    compiled_in: true,
                    available: true,
                    detail: format!("{}{note}", on_threads(&found.name, &found.device, present)),
                }
            })),
            Err(reason) => entries.push(missing(true, reason)),
        }
    }
    entries
}

/// Sets how many CPU threads computation uses; 0 means all. Has to come before the first tensor operation of the process.
///
/// Returns the number in use.
///
/// # Errors
/// [`DeviceError::Threads`] when the process already computes on another number.
pub fn set_threads(threads: usize) -> Result<usize, DeviceError> {
    if threads > 0 {
        // An error means that the pool exists already, which is fine when it has the size wanted.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global();
    }
    let present = rayon::current_num_threads();
    if threads == 0 || threads == present {
        Ok(present)
    } else {
        Err(DeviceError::Threads {
            wanted: threads,
            present,
        })
    }
}

/// How many CPU threads a run computes on that asks for `wanted`; 0 means all: `RAYON_NUM_THREADS`, or those of the machine.
pub fn threads(wanted: usize) -> usize {
    let given = || std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok();
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    match wanted {
        0 => given().filter(|threads| *threads > 0).unwrap_or_else(all),
        wanted => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_its_own_number_of_threads() {
        let chosen = resolve("flex").unwrap();
        assert_eq!(chosen.on_threads(1), "CPU, burn-flex, 1 thread");
        assert_eq!(chosen.on_threads(3), "CPU, burn-flex, 3 threads");
        assert_eq!(threads(7), 7);
        assert!(threads(0) >= 1);
    }

    #[test]
    fn specifications_read_back() {
        for text in ["auto", "flex", "ndarray", "cuda:0", "vulkan:1", "wgpu:12"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse("cuda").unwrap(), Spec::At(Backend::Cuda, 0));
    }

    #[test]
    fn unknown_specifications_say_what_is_allowed() {
        for text in [
            "", "gpu", "flex:0", "cuda:", "cuda:-1", "cuda:x", "Flex", "auto:0",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, DeviceError::Unknown(text.to_string()));
            assert!(error.to_string().contains("allowed are auto, flex"));
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn flex_computes() {
        let chosen = resolve("flex").unwrap();
        assert!(!chosen.compiles && chosen.main_memory);
        assert!(!chosen.device.is_autodiff());
        let three = burn::tensor::Tensor::<1>::ones([3], &chosen.device).sum();
        assert_eq!(three.into_scalar::<f32>(), 3.0);
    }

    #[test]
    fn auto_never_fails_where_a_cpu_backend_is_built_in() {
        if cfg!(any(feature = "flex", feature = "ndarray")) {
            let chosen = resolve("auto").unwrap();
            assert_ne!(chosen.spec, Spec::Auto);
        }
    }

    #[cfg(all(feature = "flex", not(feature = "cuda")))]
    #[test]
    fn auto_tells_of_a_card_that_this_build_cannot_use() {
        let nvidia = |backend| match backend {
            Backend::Cuda => Some("an NVIDIA driver is installed".to_string()),
            _ => Some("a graphics device is present".to_string()),
        };
        let chosen = resolve_auto(nvidia).unwrap();
        if chosen.spec == Spec::At(Backend::Flex, 0) {
            let notice = chosen.notice.unwrap();
            assert!(
                notice.starts_with("an NVIDIA driver is installed, but"),
                "{notice}"
            );
            assert!(notice.contains("--features cuda"), "{notice}");
        }
        #[cfg(not(any(feature = "wgpu", feature = "vulkan")))]
        assert_eq!(resolve_auto(|_| None).unwrap().notice, None);
    }

    #[test]
    fn every_backend_is_listed_with_a_detail() {
        let entries = list();
        for backend in Backend::ALL {
            let entry = entries.iter().find(|entry| entry.backend == backend);
            let entry = entry.unwrap_or_else(|| panic!("{} is not listed", backend.key()));
            assert_eq!(entry.compiled_in, backend.is_compiled_in());
            assert!(!entry.detail.is_empty());
            assert!(entry.compiled_in || !entry.available);
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_left_out_of_the_build_is_named() {
        let message = resolve("cuda:0").unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
