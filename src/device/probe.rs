//! Which devices a backend has on this machine. Nothing here panics or aborts where there is no driver.

use std::path::Path;

use burn::tensor::Device;

use super::{Backend, Found};

/// The devices of one backend, at least one, or why there are none.
pub(super) fn find(backend: Backend) -> Result<Vec<Found>, String> {
    // Drivers are foreign code behind several layers: what they panic about is a reason, not the end of the program.
    std::panic::catch_unwind(|| match backend {
        Backend::Flex => flex(),
        Backend::Ndarray => ndarray(),
        Backend::Cuda => cuda(),
        Backend::Vulkan => vulkan(),
        Backend::Wgpu => wgpu(),
    })
    .unwrap_or_else(|_| Err("its driver failed while it was being looked for".to_string()))
}

/// What the machine seems to have for a backend that is not in this build.
pub(super) fn hardware_hint(backend: Backend) -> Option<String> {
    match backend {
        Backend::Cuda => nvidia_driver().map(|_| "an NVIDIA driver is installed".to_string()),
        Backend::Vulkan | Backend::Wgpu => {
            let nodes = std::fs::read_dir("/dev/dri").ok()?;
            let found = nodes
                .flatten()
                .any(|node| node.file_name().to_string_lossy().starts_with("renderD"));
            found.then(|| "a graphics device is present".to_string())
        }
        Backend::Flex | Backend::Ndarray => None,
    }
}

/// Where the NVIDIA kernel driver shows, found without loading it.
fn nvidia_driver() -> Option<&'static Path> {
    ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.exists())
}

/// What the cards are called by the driver's folder of them, where all are the same: CUDA counts cards in an order of its own.
#[cfg(any(feature = "cuda", test))]
fn common_model(cards: &Path) -> Option<String> {
    let mut models = std::fs::read_dir(cards).ok()?.flatten().map(|card| {
        let information = std::fs::read_to_string(card.path().join("information")).ok()?;
        let model = information
            .lines()
            .find_map(|line| line.strip_prefix("Model:"))?;
        Some(model.trim().to_string()).filter(|model| !model.is_empty())
    });
    let first = models.next()??;
    models
        .all(|model| model.as_ref() == Some(&first))
        .then_some(first)
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn cpu(device: Device, library: &str) -> Result<Vec<Found>, String> {
    Ok(vec![Found {
        device,
        name: format!("CPU, {library}"),
        software: false,
        main_memory: true,
    }])
}

#[cfg(feature = "flex")]
fn flex() -> Result<Vec<Found>, String> {
    cpu(Device::flex(), "burn-flex")
}

#[cfg(not(feature = "flex"))]
fn flex() -> Result<Vec<Found>, String> {
    Err(not_built())
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // upstream means to drop the backend; here it is the second opinion on numbers
fn ndarray() -> Result<Vec<Found>, String> {
    cpu(
        Device::new(burn_ndarray::NdArrayDevice::Cpu),
        "burn-ndarray",
    )
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Result<Vec<Found>, String> {
    Err(not_built())
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Vec<Found>, String> {
    use burn::tensor::DeviceType;

    if cfg!(target_os = "linux") && nvidia_driver().is_none() {
        return Err("no NVIDIA driver is loaded".to_string());
    }
    let count = Device::enumerate(DeviceType::Cuda).into_iter().count();
    let model = common_model(Path::new("/proc/driver/nvidia/gpus"));
    let found: Vec<Found> = (0..count)
        .map(|index| Found {
            device: Device::new(burn_cuda::CudaDevice::new(index)),
            name: match &model {
                Some(model) => format!("{model} (GPU {index})"),
                None => format!("NVIDIA GPU {index}"),
            },
            software: false,
            main_memory: false,
        })
        .collect();
    if found.is_empty() {
        return Err("the driver is there, but it reports no usable GPU".to_string());
    }
    Ok(found)
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Vec<Found>, String> {
    Err(not_built())
}

#[cfg(feature = "vulkan")]
fn vulkan() -> Result<Vec<Found>, String> {
    use burn::tensor::DeviceType;
    adapters(
        Device::enumerate(DeviceType::Vulkan).into_iter().collect(),
        Device::vulkan,
    )
}

#[cfg(not(feature = "vulkan"))]
fn vulkan() -> Result<Vec<Found>, String> {
    Err(not_built())
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Vec<Found>, String> {
    use burn::tensor::DeviceType;
    adapters(
        Device::enumerate(DeviceType::Wgpu).into_iter().collect(),
        Device::wgpu,
    )
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Vec<Found>, String> {
    Err(not_built())
}

/// Sorts enumerated adapters by kind: discrete GPUs first, emulation last. A device is compared with one made for a kind and
/// number, because the enumeration itself does not say the kind.
#[cfg(any(feature = "wgpu", feature = "vulkan"))]
fn adapters(
    devices: Vec<Device>,
    make: impl Fn(burn::tensor::DeviceKind) -> Device,
) -> Result<Vec<Found>, String> {
    use burn::tensor::DeviceKind;

    let mut rest = devices;
    let mut found = Vec::new();
    let mut take = |kind: DeviceKind, name: String, software: bool| {
        let main_memory = matches!(kind, DeviceKind::IntegratedGpu(_) | DeviceKind::Cpu);
        let device = make(kind);
        if let Some(place) = rest.iter().position(|other| *other == device) {
            rest.remove(place);
            found.push(Found {
                device,
                name,
                software,
                main_memory,
            });
        }
    };
    const MOST: usize = 16;
    for index in 0..MOST {
        let name = format!("discrete GPU {index}");
        take(DeviceKind::DiscreteGpu(index), name, false);
    }
    for index in 0..MOST {
        let name = format!("integrated GPU {index}");
        take(DeviceKind::IntegratedGpu(index), name, false);
    }
    for index in 0..MOST {
        let name = format!("virtual GPU {index}");
        take(DeviceKind::VirtualGpu(index), name, false);
    }
    take(DeviceKind::Cpu, "software adapter".to_string(), true);
    // What fits no kind is not trusted to be hardware.
    found.extend(rest.into_iter().map(|device| Found {
        device,
        name: "adapter of unknown kind".to_string(),
        software: true,
        main_memory: true,
    }));
    if found.is_empty() {
        return Err("no graphics adapter was found (no driver, or no permission)".to_string());
    }
    Ok(found)
}

#[cfg(not(all(
    feature = "flex",
    feature = "ndarray",
    feature = "cuda",
    feature = "vulkan",
    feature = "wgpu"
)))]
fn not_built() -> String {
    "not in this build".to_string()
}

#[cfg(test)]
mod tests {
    use super::common_model;

    #[test]
    fn cards_are_called_by_their_model_where_all_are_the_same() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(common_model(&root.path().join("none")), None);
        assert_eq!(common_model(root.path()), None);
        let card = |bus: &str, information: &str| {
            let folder = root.path().join(bus);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("information"), information).unwrap();
        };
        card("0000:01:00.0", "Model: \t\t NVIDIA A1\nIRQ: 24\n");
        assert_eq!(common_model(root.path()).as_deref(), Some("NVIDIA A1"));
        card("0000:02:00.0", "Model: NVIDIA A1\n");
        assert_eq!(common_model(root.path()).as_deref(), Some("NVIDIA A1"));
        card("0000:03:00.0", "Model: NVIDIA B2\n");
        assert_eq!(common_model(root.path()), None);
        card("0000:03:00.0", "IRQ: 24\n");
        assert_eq!(common_model(root.path()), None);
    }
}
