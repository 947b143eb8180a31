//! What crosses the border between the screens and the training thread: owned, plain data.
//!
//! A [`Command`] asks, an [`Event`] states what happened. No tensor, no handle, no borrowed value crosses.
//! Every event names its run, so that a reader can drop what belongs to a run it no longer shows.
//!
//! - `command`: what is asked. `event`: what happened. `report`: what events carry.
//! - `rate`: the learning-rate range test, in both directions.
//! - `channel`: the two ends that a front end holds.

mod channel;
mod command;
mod event;
mod rate;
mod report;

pub use channel::{CommandSender, Engine, WeakCommandSender};
pub use command::{Command, Edit, EditAuthor, EditRecord, Origin, Until};
pub use event::{
    Event, EventKind, FinishReason, FinishReport, Notice, NoticeLevel, Phase, Remote, RemoteAct,
};
pub use rate::{RatePoint, RateReport, RateSweep};
pub use report::{
    CheckpointInfo, CheckpointReason, EvalReport, LayerHealth, Preview, Rewound, RunInfo,
    SamplePiece, SampleRecord, Saturation, SaturationKind, SchedulePoint, Spike, StepReport,
    StepTime, unknown_words,
};

/// Chosen by whoever sends [`Command::Start`]; unique within the process.
pub type RunId = u64;

/// Numbers in JSON, which has no NaN and no infinity: what is not finite is written as `null` and read as NaN.
pub mod finite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// As [`finite`], for `f32`.
pub mod finite32 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
        Ok(Option::<f32>::deserialize(deserializer)?.unwrap_or(f32::NAN))
    }
}
