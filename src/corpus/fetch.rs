//! Downloading a corpus of the catalog.
//!
//! A download goes to `NAME.part` beside its final place and is renamed when it is whole and its SHA-256 is right.
//! What a broken connection leaves is continued with an HTTP Range request, now (a few times) or at the next
//! `fetch`; `If-Range` makes sure that it is still the same file. A server that ignores the range sends everything
//! again, and the part starts over.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::catalog::{Entry, folder};
use crate::progress::{Flow, Progress, Update};

/// How often a broken connection is taken up again, as long as every time brings something.
const ATTEMPTS: usize = 5;
/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
const BLOCK: usize = 64 << 10;

/// Why a corpus could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("cannot reach {url}: {problem}")]
    Unreachable { url: String, problem: String },
    #[error("{url} answered {status}: {}", status_hint(*status))]
    Status { url: String, status: u16 },
    #[error(
        "the download of {url} was cut off after {done} bytes{}: run the same command again to go on from there",
        of(*total)
    )]
    CutOff {
        url: String,
        done: u64,
        total: Option<u64>,
    },
    #[error(
        "what {url} sent is not what was expected: its SHA-256 is {found}, {expected} was {known}; the download was \
         removed"
    )]
    Checksum {
        url: String,
        found: String,
        expected: String,
        /// `in the catalog` or `recorded at the first download in FILE`.
        known: String,
    },
    #[error("the archive from {url} cannot be used: {problem}; it was removed")]
    Archive { url: String, problem: String },
    #[error("another fireside is downloading `{name}`")]
    Busy { name: String },
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("stopped; run the same command again to go on")]
    Stopped,
}

fn status_hint(status: u16) -> &'static str {
    match status {
        404 | 410 => "there is no such file any more",
        401 | 403 => "access denied",
        429 => "too many requests, try again later",
        500.. => "the server has a problem, try again later",
        _ => "this is not a download",
    }
}

fn of(total: Option<u64>) -> String {
    total.map_or(String::new(), |total| format!(" of {total}"))
}

/// What [`fetch`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Fetched {
    pub path: PathBuf,
    /// It was there already.
    pub already: bool,
    /// SHA-256 of the download; `None` when nothing was downloaded.
    pub sha256: Option<String>,
    /// The sum was unknown until now and has been recorded.
    pub recorded: bool,
}

/// Downloads `entry` into the data folder `data`, unless it is there.
///
/// # Errors
/// See [`FetchError`]. The corpus is either whole at its place or not there.
pub fn fetch(
    entry: &Entry,
    data: &Path,
    progress: &mut Progress<'_>,
) -> Result<Fetched, FetchError> {
    let path = entry.path(data);
    if path.is_file() {
        return Ok(Fetched {
            path,
            already: true,
            sha256: None,
            recorded: false,
        });
    }
    let folder = folder(data);
    fs::create_dir_all(&folder).map_err(|error| write_error(&folder, error))?;
    let lock_path = folder.join(format!("{}.lock", entry.name));
    let lock = File::create(&lock_path).map_err(|error| write_error(&lock_path, error))?;
    if lock.try_lock().is_err() {
        let name = entry.name.clone();
        return Err(FetchError::Busy { name });
    }
    let download = Download {
        entry,
        part: folder.join(format!("{}.part", entry.name)),
        validator: folder.join(format!("{}.part.validator", entry.name)),
        sums: folder.join("checksums.toml"),
    };
    download.receive(progress)?;
    let (sha256, recorded) = download.check(progress)?;
    download.install(&path)?;
    Ok(Fetched {
        path,
        already: false,
        sha256: Some(sha256),
        recorded,
    })
}

fn write_error(path: &Path, error: io::Error) -> FetchError {
    let path = path.to_path_buf();
    FetchError::Write { path, error }
}

struct Download<'a> {
    entry: &'a Entry,
    part: PathBuf,
    /// Holds the ETag or date of the file that `part` is a part of.
    validator: PathBuf,
    sums: PathBuf,
}

/// How one request ended.
enum End {
    Whole,
    /// The connection broke; this many bytes are there.
    Cut(u64, Option<u64>),
    /// The part does not fit the file any more.
    StartOver,
}

impl Download<'_> {
    fn url(&self) -> String {
        self.entry.url.clone()
    }

    /// Receives until `part` is whole.
    fn receive(&self, progress: &mut Progress<'_>) -> Result<(), FetchError> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            // A range counts the bytes that travel: they must be those of the file.
            .accept_encoding("identity")
            .user_agent(concat!("fireside/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .build()
            .into();
        let mut before = None;
        for _ in 0..ATTEMPTS {
            match self.request(&agent, progress)? {
                End::Whole => return Ok(()),
                End::StartOver => self.discard(),
                End::Cut(done, total) if before.is_some_and(|before| done <= before) => {
                    return Err(self.cut_off(done, total));
                }
                End::Cut(done, _) => before = Some(done),
            }
        }
        Err(self.cut_off(before.unwrap_or(0), None))
    }

    fn cut_off(&self, done: u64, total: Option<u64>) -> FetchError {
        let url = self.url();
        FetchError::CutOff { url, done, total }
    }

    fn discard(&self) {
        let _ = fs::remove_file(&self.part);
        let _ = fs::remove_file(&self.validator);
    }

    /// One request, from where `part` ends.
    fn request(&self, agent: &Agent, progress: &mut Progress<'_>) -> Result<End, FetchError> {
        let have = fs::metadata(&self.part).map_or(0, |data| data.len());
        let mut request = agent.get(&self.entry.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
            if let Ok(validator) = fs::read_to_string(&self.validator) {
                request = request.header("If-Range", validator);
            }
        }
        let mut response = request.call().map_err(|error| FetchError::Unreachable {
            url: self.url(),
            problem: error.to_string(),
        })?;
        let status = response.status().as_u16();
        let from = match status {
            200 => 0,
            206 if range_start(&response) == Some(have) => have,
            206 | 416 if have > 0 => return Ok(End::StartOver),
            _ => {
                let url = self.url();
                return Err(FetchError::Status { url, status });
            }
        };
        let length: Option<u64> =
            header(&response, "content-length").and_then(|text| text.parse().ok());
        let total = length.map(|length| from + length);
        self.remember(&response);
        let mut file = File::options()
            .create(true)
            .append(from > 0)
            .write(true)
            .truncate(from == 0)
            .open(&self.part)
            .map_err(|error| write_error(&self.part, error))?;
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut done = from;
        let mut block = vec![0; BLOCK];
        loop {
            let what = "downloading";
            if progress(Update { what, done, total }) == Flow::Stop {
                return Err(FetchError::Stopped);
            }
            match reader.read(&mut block) {
                Ok(0) if total.is_none_or(|total| done >= total) => return Ok(End::Whole),
                Ok(0) | Err(_) => return Ok(End::Cut(done, total)),
                Ok(read) => {
                    file.write_all(&block[..read])
                        .map_err(|error| write_error(&self.part, error))?;
                    done += read as u64;
                }
            }
        }
    }

    /// Keeps what tells this version of the file from another; a weak ETag cannot.
    fn remember(&self, response: &Response<Body>) {
        let strong = header(response, "etag").filter(|tag| !tag.starts_with("W/"));
        let _ = match strong.or_else(|| header(response, "last-modified")) {
            Some(validator) => fs::write(&self.validator, validator),
            None => fs::remove_file(&self.validator),
        };
    }

    /// Compares the SHA-256 of `part` with the catalog's, or with the first download's. True when it was recorded
    /// just now.
    fn check(&self, progress: &mut Progress<'_>) -> Result<(String, bool), FetchError> {
        let found = sha256(&self.part, progress)?;
        let mut sums = self.recorded_sums();
        let (expected, known) = match (self.entry.sha256(), sums.get(&self.entry.name)) {
            (Some(sum), _) => (sum.to_ascii_lowercase(), "in the catalog".to_string()),
            (None, Some(sum)) => {
                let place = self.sums.display();
                (
                    sum.clone(),
                    format!("recorded at the first download in {place}"),
                )
            }
            (None, None) => {
                sums.insert(self.entry.name.clone(), found.clone());
                self.record(&sums)?;
                return Ok((found, true));
            }
        };
        if found != expected {
            self.discard();
            let url = self.url();
            return Err(FetchError::Checksum {
                url,
                found,
                expected,
                known,
            });
        }
        Ok((found, false))
    }

    fn recorded_sums(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(&self.sums).unwrap_or_default();
        toml::from_str(&text).unwrap_or_default()
    }

    fn record(&self, sums: &BTreeMap<String, String>) -> Result<(), FetchError> {
        let lines: String = sums
            .iter()
            .map(|(name, sum)| format!("{name} = \"{sum}\"\n"))
            .collect();
        let text = format!("# SHA-256 of first downloads; later ones must be the same.\n{lines}");
        let temporary = self.sums.with_extension("tmp");
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &self.sums))
            .map_err(|error| write_error(&self.sums, error))
    }

    /// Puts the text at its place.
    fn install(&self, path: &Path) -> Result<(), FetchError> {
        let whole = match &self.entry.member {
            Some(member) => self.extract(member)?,
            None => self.part.clone(),
        };
        let bytes = fs::metadata(&whole).map_or(0, |data| data.len());
        if let Some(expected) = self.entry.bytes.filter(|expected| *expected != bytes) {
            let _ = fs::remove_file(&whole);
            self.discard();
            return Err(self.archive(format!("the text has {bytes} bytes instead of {expected}")));
        }
        File::open(&whole)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&whole, path))
            .map_err(|error| write_error(path, error))?;
        self.discard();
        Ok(())
    }

    fn archive(&self, problem: String) -> FetchError {
        let url = self.url();
        FetchError::Archive { url, problem }
    }

    fn extract(&self, member: &str) -> Result<PathBuf, FetchError> {
        let unpacked = self.part.with_extension("unpacked");
        let broken = |problem: String| {
            self.discard();
            let _ = fs::remove_file(&unpacked);
            self.archive(problem)
        };
        let file = File::open(&self.part).map_err(|error| write_error(&self.part, error))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| broken(error.to_string()))?;
        let mut text = archive
            .by_name(member)
            .map_err(|_| broken(format!("it holds no `{member}`")))?;
        let mut out = File::create(&unpacked).map_err(|error| write_error(&unpacked, error))?;
        io::copy(&mut text, &mut out).map_err(|error| broken(error.to_string()))?;
        Ok(unpacked)
    }
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(String::from)
}

/// The first byte of a partial answer: `Content-Range: bytes 500-999/1000`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = header(response, "content-range")?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

fn sha256(path: &Path, progress: &mut Progress<'_>) -> Result<String, FetchError> {
    let failed = |error| write_error(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let total = file.metadata().ok().map(|data| data.len());
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let read = file.read(&mut block).map_err(failed)?;
        if read == 0 {
            break;
        }
        hash.update(&block[..read]);
        done += read as u64;
        let what = "checking";
        if progress(Update { what, done, total }) == Flow::Stop {
            return Err(FetchError::Stopped);
        }
    }
    let sum = hash.finalize();
    Ok(sum.iter().map(|byte| format!("{byte:02x}")).collect())
}
