//! Downloads from an HTTP server on this machine that does what servers do.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::catalog::Entry;
use super::fetch::{FetchError, Fetched, fetch};
use crate::progress;

/// How the server answers one request.
#[derive(Clone)]
enum Answer {
    /// As asked, ranges included.
    Proper,
    /// As asked, but the connection breaks after this many bytes of the body.
    Cut(usize),
    /// Everything, whatever range was asked for.
    IgnoreRange,
    Status(u16),
}

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers one request after the other, and is gone after the last answer.
    fn new(body: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/sample.txt", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, body, answers) = (requests.clone(), body.to_vec(), answers.to_vec());
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let head = read_head(&stream);
                respond(stream, &head, &body, &answer);
                seen.lock().unwrap().push(head);
            }
        });
        Self {
            url,
            requests,
            thread: Some(thread),
        }
    }

    /// The heads of all requests.
    fn finish(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        self.requests.lock().unwrap().clone()
    }
}

fn read_head(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            return head.to_lowercase();
        }
        head.push_str(&line);
    }
}

fn respond(mut stream: TcpStream, head: &str, body: &[u8], answer: &Answer) {
    if let Answer::Status(status) = answer {
        let text =
            format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        return;
    }
    let asked = head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="))
        .and_then(|range| range.trim().trim_end_matches('-').parse::<usize>().ok());
    let start = match answer {
        Answer::IgnoreRange => 0,
        _ => asked.unwrap_or(0),
    };
    let mut text = match start {
        0 => "HTTP/1.1 200 OK\r\n".to_string(),
        _ => {
            let (last, all) = (body.len() - 1, body.len());
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{all}\r\n")
        }
    };
    let rest = &body[start..];
    text.push_str(&format!(
        "Content-Length: {}\r\nETag: \"v1\"\r\nConnection: close\r\n\r\n",
        rest.len()
    ));
    stream.write_all(text.as_bytes()).unwrap();
    let sent = match answer {
        Answer::Cut(after) => &rest[..*after],
        _ => rest,
    };
    stream.write_all(sent).unwrap();
}

fn sum(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn body() -> Vec<u8> {
    (0..200_000u32).map(|at| b'a' + (at % 26) as u8).collect()
}

fn entry(server: &Server, sha256: Option<&str>) -> Entry {
    Entry::for_test(server.url.clone(), sha256, None)
}

fn get(entry: &Entry, data: &Path) -> Result<Fetched, FetchError> {
    fetch(entry, data, &mut progress::ignore)
}

/// Names in the folder of corpora, lock files left out.
fn left(data: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(data.join("corpora"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_download_is_checked_and_put_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&body(), &[Answer::Proper]);
    let entry = entry(&server, Some(&sum(&body())));
    let mut last = (0, None);
    let fetched = fetch(&entry, dir.path(), &mut |update: progress::Update<'_>| {
        if update.what == "downloading" {
            last = (update.done, update.total);
        }
        progress::Flow::Continue
    })
    .unwrap();
    assert_eq!(last, (200_000, Some(200_000)));
    assert!(!fetched.already && !fetched.recorded);
    assert_eq!(fs::read(&fetched.path).unwrap(), body());
    assert_eq!(left(dir.path()), ["sample.txt"]);
    let requests = server.finish();
    assert!(
        requests[0].contains("accept-encoding: identity"),
        "{}",
        requests[0]
    );
    // The server is gone: a second call needs none.
    assert!(get(&entry, dir.path()).unwrap().already);
}

#[test]
fn a_cut_connection_is_taken_up_where_it_broke() {
    let dir = tempfile::tempdir().unwrap();
    let answers = [Answer::Cut(70_000), Answer::Cut(50_000), Answer::Proper];
    let server = Server::new(&body(), &answers);
    let fetched = get(&entry(&server, Some(&sum(&body()))), dir.path()).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), body());
    let requests = server.finish();
    assert!(!requests[0].contains("range:"));
    assert!(
        requests[1].contains("range: bytes=70000-") && requests[1].contains("if-range: \"v1\"")
    );
    assert!(requests[2].contains("range: bytes=120000-"));
    assert_eq!(left(dir.path()), ["sample.txt"]);
}

#[test]
fn a_later_call_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&body(), &[Answer::Cut(1000), Answer::Cut(0)]);
    let cut = entry(&server, Some(&sum(&body())));
    let error = get(&cut, dir.path()).unwrap_err().to_string();
    assert!(error.contains("was cut off after 1000 bytes of 200000: run the same command again"));
    server.finish();
    assert_eq!(left(dir.path()), ["sample.part", "sample.part.validator"]);
    let server = Server::new(&body(), &[Answer::Proper]);
    get(&entry(&server, Some(&sum(&body()))), dir.path()).unwrap();
    assert!(server.finish()[0].contains("range: bytes=1000-"));
    assert_eq!(left(dir.path()), ["sample.txt"]);
}

#[test]
fn a_server_that_ignores_ranges_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&body(), &[Answer::Cut(70_000), Answer::IgnoreRange]);
    let fetched = get(&entry(&server, Some(&sum(&body()))), dir.path()).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), body());
    server.finish();
}

#[test]
fn a_part_that_no_longer_fits_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("corpora")).unwrap();
    fs::write(dir.path().join("corpora/sample.part"), vec![b'x'; 300_000]).unwrap();
    let server = Server::new(&body(), &[Answer::Status(416), Answer::Proper]);
    let fetched = get(&entry(&server, Some(&sum(&body()))), dir.path()).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), body());
    server.finish();
}

#[test]
fn a_wrong_checksum_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&body(), &[Answer::Proper]);
    let expected = "0".repeat(64);
    let error = get(&entry(&server, Some(&expected)), dir.path()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(&sum(&body())) && message.contains(&expected),
        "{message}"
    );
    assert!(message.ends_with("was in the catalog; the download was removed"));
    assert!(left(dir.path()).is_empty());
    server.finish();
}

#[test]
fn an_unknown_checksum_is_recorded_and_then_enforced() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&body(), &[Answer::Proper]);
    let fetched = get(&entry(&server, None), dir.path()).unwrap();
    assert!(fetched.recorded);
    assert_eq!(fetched.sha256, Some(sum(&body())));
    server.finish();
    fs::remove_file(fetched.path).unwrap();
    let server = Server::new(b"something else", &[Answer::Proper]);
    let error = get(&entry(&server, None), dir.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("recorded at the first download in"),
        "{error}"
    );
    server.finish();
    let server = Server::new(&body(), &[Answer::Proper]);
    assert!(!get(&entry(&server, None), dir.path()).unwrap().recorded);
    server.finish();
}

#[test]
fn what_a_server_refuses_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(b"", &[Answer::Status(404)]);
    let error = get(&entry(&server, None), dir.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("answered 404: there is no such file any more"),
        "{error}"
    );
    let url = server.url.clone();
    server.finish();
    let gone = Entry::for_test(url.clone(), None, None);
    let error = get(&gone, dir.path()).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot reach {url}: ")),
        "{error}"
    );
}

#[test]
fn a_text_is_taken_out_of_its_archive() {
    let mut zipped = std::io::Cursor::new(Vec::new());
    let mut writer = zip::ZipWriter::new(&mut zipped);
    let options = zip::write::SimpleFileOptions::default();
    writer.start_file("folder/text.raw", options).unwrap();
    writer.write_all(&body()).unwrap();
    writer.finish().unwrap();
    let zipped = zipped.into_inner();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&zipped, &[Answer::Proper, Answer::Proper]);
    let url = server.url.clone();
    let missing = Entry::for_test(url.clone(), None, Some("other.raw"));
    let error = get(&missing, dir.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("it holds no `other.raw`; it was removed"),
        "{error}"
    );
    let entry = Entry::for_test(url, None, Some("folder/text.raw"));
    let fetched = get(&entry, dir.path()).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), body());
    assert_eq!(left(dir.path()), ["checksums.toml", "sample.txt"]);
    server.finish();
}

#[test]
fn two_downloads_of_one_corpus_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("corpora")).unwrap();
    let lock = fs::File::create(dir.path().join("corpora/sample.lock")).unwrap();
    lock.lock().unwrap();
    let entry = Entry::for_test("http://127.0.0.1:9/".into(), None, None);
    assert!(matches!(
        get(&entry, dir.path()),
        Err(FetchError::Busy { .. })
    ));
}

#[test]
fn a_download_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(&body(), &[Answer::Proper]);
    let result = fetch(&entry(&server, None), dir.path(), &mut |_| {
        progress::Flow::Stop
    });
    assert!(matches!(result, Err(FetchError::Stopped)));
}
