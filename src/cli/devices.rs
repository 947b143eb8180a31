//! `fireside devices`: what this build has, what this machine has, and why something is missing.

use std::io::Write;

use super::{CliError, Exit};
use crate::device::{self, Entry};

/// List the devices that a run can use
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON array instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let entries = device::list();
    let auto = device::resolve("auto").ok().map(|chosen| chosen.spec);
    let auto = auto.map(|spec| spec.to_string());
    let text = if args.json {
        json(&entries, auto.as_deref())
    } else {
        table(&entries, auto.as_deref())
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that closed the pipe has seen all it wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CliError::failed(format!("cannot write the list: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}

fn table(entries: &[Entry], auto: Option<&str>) -> String {
    let mut text = format!(
        "{:<10} {:<10} {:<10} {}\n",
        "device", "in build", "usable", "what"
    );
    for entry in entries {
        let mark = if auto == Some(entry.spec.as_str()) {
            "  <- auto"
        } else {
            ""
        };
        text.push_str(&format!(
            "{:<10} {:<10} {:<10} {}{mark}\n",
            entry.spec,
            yes_no(entry.compiled_in),
            yes_no(entry.available),
            entry.detail,
        ));
    }
    if auto.is_none() {
        text.push_str("\nNothing here can compute: build with --features flex.\n");
    }
    text
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn json(entries: &[Entry], auto: Option<&str>) -> String {
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            serde_json::json!({
                "device": entry.spec,
                "backend": entry.backend.key(),
                "compiled_in": entry.compiled_in,
                "available": entry.available,
                "auto": auto == Some(entry.spec.as_str()),
                "detail": entry.detail,
            })
        })
        .collect();
    format!("{}\n", serde_json::Value::Array(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Backend;

    fn entries() -> Vec<Entry> {
        vec![
            Entry {
                spec: "cuda".to_string(),
                backend: Backend::Cuda,
                compiled_in: false,
                available: false,
                detail: "not in this build (--features cuda)".to_string(),
            },
            Entry {
                spec: "flex".to_string(),
                backend: Backend::Flex,
                compiled_in: true,
                available: true,
                detail: "CPU, burn-flex, 2 threads".to_string(),
            },
        ]
    }

    #[test]
    fn table_marks_what_auto_takes() {
        assert_eq!(
            table(&entries(), Some("flex")),
            "device     in build   usable     what\n\
             cuda       no         no         not in this build (--features cuda)\n\
             flex       yes        yes        CPU, burn-flex, 2 threads  <- auto\n"
        );
    }

    #[test]
    fn json_is_an_array_of_devices() {
        let value: serde_json::Value =
            serde_json::from_str(&json(&entries(), Some("flex"))).unwrap();
        assert_eq!(value[0]["available"], false);
        assert_eq!(value[1]["device"], "flex");
        assert_eq!(value[1]["auto"], true);
    }
}
