//! What is said over the control socket: one JSON object a line, both ways.
//!
//! The client says [`Hello`] first, then [`Command`]s; the server answers the hello with a [`Welcome`] and then tells
//! what happens, as [`Line`]s.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::protocol::{Command, Event, LayerHealth, Phase, RunInfo, SchedulePoint};
use crate::run::Logged;

/// Of the protocol. Ends that differ in it do not talk.
pub const VERSION: u32 = 1;
/// The longest line that a server reads, in bytes.
pub const LONGEST_LINE: usize = 64 << 10;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// See everything, ask for nothing.
    Watch,
    /// Send commands too. One client at a time has this role.
    Control,
}

/// The first line of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: u32,
    /// Name and version, for people.
    pub program: String,
    pub pid: u32,
    /// What the client would like to be.
    pub role: Role,
}

impl Hello {
    pub fn of_this_process(role: Role) -> Self {
        Self {
            version: VERSION,
            program: program(),
            pid: std::process::id(),
            role,
        }
    }
}

/// `fireside 0.1.0`
pub fn program() -> String {
    concat!("fireside ", env!("CARGO_PKG_VERSION")).to_string()
}

/// What a client is, and who steers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleNow {
    pub role: Role,
    /// The process that has the controls, if any.
    pub controller: Option<u32>,
}

/// The first line of a server: the run as it stands. What the logs hold up to `logged`, and what the events that follow
/// this line tell of the kind that is logged, are together everything of that kind, each thing once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    pub version: u32,
    pub program: String,
    pub pid: u32,
    /// Folder of the run.
    pub run: PathBuf,
    #[serde(flatten)]
    pub role: RoleNow,
    pub logged: Logged,
    /// `None` while the run is still loading.
    pub info: Option<Box<RunInfo>>,
    pub phase: Phase,
    pub schedule: Vec<SchedulePoint>,
    /// The norms by layer told last.
    pub health: Vec<LayerHealth>,
}

/// A line of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    Hello(Box<Welcome>),
    Event(Event),
    Role(RoleNow),
    /// What was asked for is not done; the connection stays.
    Refused(String),
    /// Why the server closes the connection now.
    Bye(String),
}

impl Line {
    /// With its line break. Writing plain data as JSON cannot fail.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self)
            .unwrap_or_else(|error| format!(r#"{{"bye":"{error}"}}"#).into_bytes());
        bytes.push(b'\n');
        bytes
    }
}

/// Whether a command may come from outside, and makes sense.
///
/// # Errors
/// A sentence that says why not.
pub fn check(command: &Command) -> Result<(), String> {
    match command {
        Command::Pause
        | Command::Resume
        | Command::StepOnce
        | Command::RunUntil { .. }
        | Command::Stop
        | Command::Set { .. }
        | Command::Evaluate
        | Command::Save => Ok(()),
        // A name, never a way out of the folder.
        Command::Rewind { checkpoint } if checkpoint.contains(['/', '\\']) => Err(format!(
            "`{checkpoint}` is not the name of a checkpoint; expected one such as step-00000200"
        )),
        Command::Rewind { .. } => Ok(()),
        Command::Sample { settings } => {
            // The rules of a configuration hold for settings from outside as well.
            let config = RunConfig {
                sample: settings.clone(),
                ..RunConfig::defaults()
            };
            match RunConfig::from_toml("sample", &config.to_toml()) {
                Ok(_) => Ok(()),
                Err(problems) => Err(problems.to_string().trim_end().replace('\n', "; ")),
            }
        }
        Command::Start { .. }
        | Command::Shutdown
        | Command::Preview { .. }
        | Command::FindRate { .. } => Err(format!(
            "`{command}` is for the process that trains alone; from outside come pause, resume, step-once, run-until, \
             set, evaluate, sample, save, rewind and stop"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::*;

    /// Every kind of event, with numbers that JSON does not have.
    fn events() -> Vec<EventKind> {
        let nan = f64::NAN;
        let mut config = RunConfig::defaults();
        config.name = "a name".into();
        vec![
            EventKind::Phase(Phase::Diverged {
                step: 3,
                layer: Some("blocks.0".into()),
                message: "not a number".into(),
            }),
            EventKind::Started(Box::new(RunInfo {
                dir: "runs/a".into(),
                name: "a".into(),
                model: crate::config::ModelKind::Gpt,
                config,
                device: "flex".into(),
                parameters: 3,
                vocab_size: 65,
                train_tokens: 10,
                validation_tokens: 1,
                bytes_per_token: nan,
                uniform_loss: f64::INFINITY,
                unigram_loss: nan,
                source_entropy: Some((0.1 + 0.2, true)),
                tokens_per_step: 64,
                start_step: 0,
                total_steps: 10,
                program_version: "0".into(),
            })),
            EventKind::Steps(vec![StepReport {
                step: 1,
                epoch: nan,
                tokens: 64,
                loss: nan,
                learning_rate: 0.1 + 0.2,
                grad_norm: f64::NEG_INFINITY,
                tokens_per_second: f64::INFINITY,
                ms: nan,
                forward_ms: nan,
                backward_ms: nan,
                optimizer_ms: nan,
                seconds: nan,
            }]),
            EventKind::Evaluated(EvalReport {
                step: 1,
                tokens: 1,
                seconds: nan,
                train_loss: nan,
                val_loss: nan,
                perplexity: f64::INFINITY,
                bits_per_byte: nan,
                unknown_fraction: nan,
                best: false,
            }),
            EventKind::SamplePiece {
                step: 1,
                prompt: 0,
                piece: SamplePiece {
                    text: "\u{1f525} \"a\"\n".into(),
                    probability: f32::NAN,
                },
            },
            EventKind::SampleDone(SampleRecord {
                step: 1,
                prompt_index: 0,
                prompt: "p".into(),
                text: "t".into(),
                temperature: 0.8,
                top_k: 1,
                top_p: 1.0,
                tokens_per_second: nan,
                complete: true,
            }),
            EventKind::Spiked(Spike {
                step: 1,
                loss: nan,
                mean: nan,
            }),
            EventKind::Health {
                step: 1,
                layers: vec![LayerHealth {
                    name: "a".into(),
                    grad_norm: nan,
                    weight_norm: nan,
                    update_ratio: nan,
                    saturation: Some(Saturation {
                        kind: SaturationKind::States,
                        share: nan,
                    }),
                }],
            },
            EventKind::Schedule(vec![SchedulePoint {
                step: 1,
                learning_rate: nan,
            }]),
            EventKind::Remote(Remote {
                pid: 3,
                act: RemoteAct::Asked(Box::new(Command::RunUntil {
                    until: Until::Loss(1.25),
                })),
            }),
            EventKind::RatePoint(RatePoint {
                step: 1,
                learning_rate: nan,
                loss: nan,
                smoothed: nan,
            }),
            EventKind::Finished(FinishReport {
                step: 1,
                reason: FinishReason::Stopped,
                val_loss: None,
                best_val_loss: None,
                best_step: None,
                seconds: nan,
            }),
        ]
    }

    /// What comes out says the same as what went in. NaN is unlike itself, so texts are compared; an infinity is read
    /// as NaN, which is what `finite` promises.
    #[test]
    fn every_event_survives_the_wire() {
        for kind in events() {
            let line = Line::Event(Event { run: 7, kind });
            let bytes = line.to_bytes();
            assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
            let read: Line = serde_json::from_slice(&bytes)
                .unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&bytes)));
            let plain = |line: &Line| {
                format!("{line:?}")
                    .replace("-inf", "NaN")
                    .replace("inf", "NaN")
            };
            assert_eq!(plain(&read), plain(&line));
        }
    }

    #[test]
    fn what_may_come_from_outside() {
        let sample = |change: &dyn Fn(&mut crate::config::SampleConfig)| {
            let mut settings = RunConfig::defaults().sample;
            change(&mut settings);
            check(&Command::Sample { settings })
        };
        assert_eq!(sample(&|_| {}), Ok(()));
        let message = sample(&|settings| settings.temperature = 11.0).unwrap_err();
        assert!(message.contains("sample.temperature"), "{message}");
        let message = sample(&|settings| settings.length = 0).unwrap_err();
        assert!(message.contains("sample.length"), "{message}");
        let rewind = |checkpoint: &str| {
            check(&Command::Rewind {
                checkpoint: checkpoint.into(),
            })
        };
        assert_eq!(rewind("step-00000200"), Ok(()));
        assert!(rewind("../other/step-1").is_err());
        assert_eq!(check(&Command::Pause), Ok(()));
        let message = check(&Command::Shutdown).unwrap_err();
        assert!(message.contains("shut down"), "{message}");
        assert!(
            check(&Command::Preview {
                request: 1,
                config: Box::new(RunConfig::defaults())
            })
            .is_err()
        );
    }
}
