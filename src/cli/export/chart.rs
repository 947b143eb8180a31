//! A chart of one run or of several, as a table or a picture.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::super::{CliError, Exit};
use super::Args;
use crate::chart::scale::Scale;
use crate::chart::{Kind, Quantity, Source, View, figure, file, write};
use crate::ui::picture::chart_look;

pub(super) fn run(args: &Args, kind: Kind) -> Result<Exit, CliError> {
    let logged = args.logged()?;
    let sources: Vec<Source<'_>> = logged
        .iter()
        .map(|run| Source {
            name: &run.name,
            history: &run.history,
        })
        .collect();
    let quantity = args.metric.unwrap_or(Quantity::Loss);
    let view = View {
        quantity,
        across: args.x.unwrap_or_default(),
        range: args.range,
        smoothing: args.smooth.unwrap_or(0.0),
        scale: match args.log_y {
            true => Scale::Log,
            false => Scale::Linear,
        },
        ahead: Vec::new(),
    };
    let figure = figure(&sources, &view).map_err(CliError::failed)?;
    let look = chart_look(
        args.theme.as_deref().unwrap_or("light"),
        args.width.unwrap_or(1600),
        args.height.unwrap_or(900),
    );
    let bytes = file(&figure, kind, &look).map_err(CliError::failed)?;
    let out = args.out.clone().unwrap_or_else(|| {
        let (key, ending) = (quantity.key(), kind.ending());
        PathBuf::from(match logged.as_slice() {
            [run] => format!("{}-{key}.{ending}", run.name),
            runs => format!("{key}-of-{}-runs.{ending}", runs.len()),
        })
    });
    if out == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(&bytes).and_then(|()| stdout.flush());
        return match written {
            Ok(()) => Ok(Exit::Success),
            Err(error) => Err(CliError::failed(format!("cannot write: {error}"))),
        };
    }
    write::new(&out, &bytes, args.force).map_err(CliError::failed)?;
    let text = match args.json {
        true => {
            let runs: Vec<_> = logged.iter().map(|run| &run.dir).collect();
            serde_json::json!({
                "runs": runs,
                "format": kind.ending(),
                "metric": quantity.key(),
                "file": out,
                "bytes": bytes.len(),
            })
            .to_string()
        }
        false => {
            let runs: Vec<&str> = logged.iter().map(|run| run.name.as_str()).collect();
            format!(
                "{} of {} → {}",
                quantity.key(),
                runs.join(", "),
                out.display()
            )
        }
    };
    super::super::train::print(&format!("{text}\n"))?;
    Ok(Exit::Success)
}
