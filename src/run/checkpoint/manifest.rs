//! What a checkpoint says about itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

use sha2::{Digest, Sha256};

use super::{DAMAGED, MANIFEST, hex};
use crate::protocol::CheckpointReason;
use crate::run::FORMAT_VERSION;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format_version: u32,
    pub program_version: String,
    pub sequence: u64,
    pub step: u64,
    pub reason: CheckpointReason,
    pub best: bool,
    pub val_loss: Option<f64>,
    /// Seconds since 1970, UTC.
    pub created: u64,
    pub files: Vec<FileEntry>,
    /// SHA-256 of the manifest as it is with this field empty. Manifests of before there was one do without.
    #[serde(default)]
    pub checksum: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileEntry {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Manifest {
    /// Reads the manifest of a checkpoint; the error is why the checkpoint cannot be used.
    pub fn read(path: &Path) -> Result<Self, String> {
        if let Ok(reason) = std::fs::read_to_string(path.join(DAMAGED)) {
            return Err(reason.trim().to_string());
        }
        let bytes = std::fs::read(path.join(MANIFEST)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{MANIFEST} is missing"),
            _ => format!("{MANIFEST} cannot be read: {error}"),
        })?;
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        if let Ok(version) = serde_json::from_slice::<Version>(&bytes)
            && version.format_version > FORMAT_VERSION
        {
            return Err(format!(
                "it was written by a newer fireside (format {}; this one reads up to {FORMAT_VERSION})",
                version.format_version
            ));
        }
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| format!("{MANIFEST} is damaged: {error}"))?;
        let sound = manifest.checksum.is_empty()
            || manifest
                .digest()
                .is_ok_and(|digest| digest == manifest.checksum);
        match sound {
            true => Ok(manifest),
            false => Err(format!("{MANIFEST} does not match its checksum")),
        }
    }

    /// The bytes to write, with the checksum in them.
    pub fn sealed(mut self) -> serde_json::Result<(Self, Vec<u8>)> {
        self.checksum = self.digest()?;
        let bytes = serde_json::to_vec_pretty(&self)?;
        Ok((self, bytes))
    }

    fn digest(&self) -> serde_json::Result<String> {
        let bare = Manifest {
            checksum: String::new(),
            ..self.clone()
        };
        Ok(hex(&Sha256::digest(serde_json::to_vec_pretty(&bare)?)))
    }

    /// What the manifest says of a file.
    pub fn file(&self, name: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.name == name)
    }
}
