//! A sweep: trials of one configuration that differ in a few keys, each a run of its own in a process of its own.
//!
//! - `vary`: `--vary KEY=VALUES`. `plan`: from the wish to checked trials.
//! - `engine`: conducts a sweep: starts the processes, reads what came of them, lets the best go on.
//! - `report`: what it says, as lines, JSON and a table.
//!
//! What a sweep is on disk, and which trials go on, stands in [`crate::run::sweep`].

mod engine;
mod plan;
mod report;
mod vary;

pub use engine::{Conductor, End, SweepEvent, Threads};
pub use plan::{Planned, RUNS, Wish, plan};
pub use report::{Reporter, best_lines, table};
