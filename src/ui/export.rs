//! Writing what a chart shows into the run's folder, or into that of all runs. The screens only say what is shown; the values come from the run's log,
//! in full, off the thread of the screens.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::chart::{CurveKind, Figure, Look, Source, View, figure, write};
use crate::run::{self, History};

/// Folder below the run's.
const FOLDER: &str = "exports";
/// The log follows the run by a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartExport {
    /// The run's folder.
    pub dir: PathBuf,
    pub name: String,
    /// The newest step on screen.
    pub newest: u64,
    pub view: View,
    pub look: Look,
}

impl ChartExport {
    /// Writes the files and says which they are, or what went wrong.
    ///
    /// # Errors
    /// The run cannot be read, has nothing to show, or the folder cannot be written.
    pub fn write(&self) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let history = loop {
            let history = run::read_history(&self.dir).map_err(|error| error.to_string())?;
            let known = history.steps.last().map_or(0, |report| report.step);
            if known >= self.newest || Instant::now() >= deadline {
                break history;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let source = Source {
            name: &self.name,
            history: &history,
        };
        let figure = figure(&[source], &self.view).map_err(|error| error.to_string())?;
        let folder = self.dir.join(FOLDER);
        let stem = format!("{}-step-{}", self.view.quantity.key(), self.newest);
        written(&folder, &stem, &figure, &self.look)
    }
}

/// Curves of several runs, as the screen of runs lays them over each other.
#[derive(Debug, Clone, PartialEq)]
pub struct OverlayExport {
    /// Folder and name of each.
    pub runs: Vec<(PathBuf, String)>,
    pub view: View,
    /// Whether training and validation curves are shown.
    pub training: bool,
    pub validation: bool,
    pub look: Look,
}

impl OverlayExport {
    /// Writes the files below the folder of all runs and says which they are, or what went wrong.
    ///
    /// # Errors
    /// A run cannot be read or has nothing to show, or the folder cannot be written.
    pub fn write(&self, root: &Path) -> Result<String, String> {
        let read = |(dir, _): &(PathBuf, String)| run::read_history(dir);
        let histories: Result<Vec<History>, _> = self.runs.iter().map(read).collect();
        let histories = histories.map_err(|error| error.to_string())?;
        let named = self.runs.iter().zip(&histories);
        let sources: Vec<Source> = named
            .map(|((_, name), history)| Source { name, history })
            .collect();
        let mut figure = figure(&sources, &self.view).map_err(|error| error.to_string())?;
        for run in &mut figure.runs {
            run.curves.retain(|curve| match curve.kind {
                CurveKind::Train => self.training,
                CurveKind::Validation => self.validation,
                // The overlay has none of these.
                CurveKind::Left { .. } | CurveKind::Ahead | CurveKind::Pending => false,
            });
        }
        let [quantity, across] = [self.view.quantity.key(), self.view.across.key()];
        let stem = format!("overlay-{quantity}-by-{across}");
        written(&root.join(FOLDER), &stem, &figure, &self.look)
    }
}

/// Writes a figure in every kind of file, and says which.
fn written(folder: &Path, stem: &str, figure: &Figure, look: &Look) -> Result<String, String> {
    let written = write::all(folder, stem, figure, look).map_err(|error| error.to_string())?;
    let mut words = format!("wrote {} to {}", names(&written.files), folder.display());
    for problem in written.problems {
        words.push_str(&format!("; {problem}"));
    }
    Ok(words)
}

/// `loss-step-100.csv, .json and .svg`.
fn names(files: &[PathBuf]) -> String {
    let mut words = String::new();
    for (at, file) in files.iter().enumerate() {
        if at == 0 {
            words.push_str(&lossy(file.file_name().map(Path::new)));
            continue;
        }
        words.push_str(if at + 1 == files.len() {
            " and ."
        } else {
            ", ."
        });
        words.push_str(&lossy(file.extension().map(Path::new)));
    }
    words
}

fn lossy(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::scale::Scale;
    use crate::chart::{Across, Quantity};
    use crate::config::{RunConfig, Source as ConfigSource, load};
    use crate::protocol::StepReport;
    use crate::run::{Record, RunDir};
    use crate::ui::picture::chart_look;

    fn step(step: u64) -> Record {
        Record::Step(StepReport {
            step,
            epoch: 0.0,
            tokens: step * 10,
            // No f32 holds this.
            loss: 1.0 / step as f64,
            learning_rate: 1e-3,
            grad_norm: 1.0,
            tokens_per_second: 1.0,
            ms: 1.0,
            forward_ms: 0.3,
            backward_ms: 0.4,
            optimizer_ms: 0.3,
            seconds: step as f64,
        })
    }

    #[test]
    fn what_is_shown_is_written_in_full_once_the_log_has_it() {
        let place = tempfile::tempdir().unwrap();
        let config: RunConfig = load(ConfigSource::Defaults, &[]).unwrap();
        let dir = place.path().join("x");
        let mut run = RunDir::create(place.path(), Some(&dir), &config).unwrap();
        (1..=6).for_each(|at| run.append(&step(at)));
        run.flush().unwrap();
        let export = |newest: u64| ChartExport {
            dir: dir.clone(),
            name: "x".into(),
            newest,
            view: View {
                quantity: Quantity::Loss,
                across: Across::Step,
                range: Some((3.0, 6.0)),
                smoothing: 0.9,
                scale: Scale::Linear,
                ahead: Vec::new(),
            },
            look: chart_look("dark", 640, 360),
        };
        let words = export(6).write().unwrap();
        assert!(words.starts_with("wrote loss-step-6.csv, .json"), "{words}");
        let csv = std::fs::read_to_string(dir.join("exports/loss-step-6.csv")).unwrap();
        let rows: Vec<&str> = csv.lines().skip(1).collect();
        assert_eq!(rows.len(), 4, "{csv}");
        assert!(
            rows[0].starts_with("x,train,3,30,3,,0.3333333333333333,"),
            "{csv}"
        );
        // A step that the screen knows and the log not yet.
        let waiting = std::thread::spawn({
            let export = export(7);
            move || export.write()
        });
        std::thread::sleep(Duration::from_millis(300));
        run.append(&step(7));
        run.flush().unwrap();
        let words = waiting.join().unwrap().unwrap();
        assert!(words.starts_with("wrote loss-step-7.csv"), "{words}");
        // Nothing takes the place of anything.
        let words = export(6).write().unwrap();
        assert!(words.starts_with("wrote loss-step-6-2.csv"), "{words}");
        // Two runs over each other, of which only the training loss is shown.
        let overlay = OverlayExport {
            runs: ["a", "b"]
                .map(|name| (dir.to_path_buf(), name.to_string()))
                .to_vec(),
            view: export(6).view,
            training: true,
            validation: false,
            look: chart_look("dark", 640, 480),
        };
        let words = overlay.write(place.path()).unwrap();
        assert!(words.contains("overlay-loss-by-step.csv"), "{words}");
        let csv = place.path().join("exports/overlay-loss-by-step.csv");
        let csv = std::fs::read_to_string(csv).unwrap();
        assert!(
            csv.contains("a,train,3,") && csv.contains("b,train,3,"),
            "{csv}"
        );
        let missing = OverlayExport {
            runs: vec![(place.path().join("gone"), "gone".to_string())],
            ..overlay
        };
        assert!(missing.write(place.path()).unwrap_err().contains("gone"));

        let none = ChartExport {
            dir: place.path().join("gone"),
            ..export(6)
        };
        assert!(none.write().unwrap_err().contains("gone"));
    }
}
