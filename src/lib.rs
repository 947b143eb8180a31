//! **fireside**: a terminal workbench for training small language models.
//!
//! The code map, from the outside in:
//!
//! - [`cli`]: one file per subcommand; arguments in, exit code out.
//! - [`ui`] and [`headless`]: two readers of the same events, as screens and as lines.
//! - [`protocol`]: the commands and events that cross between them and the training thread.
//! - [`control`]: the same border across processes, over a socket in the run's folder.
//! - [`worker`]: the training thread: drains commands, drives the trainer, publishes events.
//! - [`train`]: one optimizer step at a time; evaluation; snapshots. No threads, no terminal.
//! - [`generate`]: samplers and generation sessions.
//! - [`model`], [`optim`], [`schedule`], [`device`], [`kernel`]: what a step is made of.
//! - [`corpus`], [`tokenizer`], [`data`]: from text to token ids; [`progress`]: how they say how far they are.
//! - [`sweep`]: many runs of one configuration, as processes.
//! - [`state`]: named tensors as plain data, what a snapshot is made of.
//! - [`run`]: the run on disk. [`config`]: what a run is.
//! - [`export`]: models that leave and arrive as folders of other programs; runs as TensorBoard logs.
//! - [`chart`]: charts of runs as tables and pictures. [`words`]: numbers in sentences.

#![deny(unsafe_code)]

pub mod chart;
pub mod cli;
pub mod config;
pub mod control;
pub mod corpus;
pub mod data;
pub mod device;
pub mod export;
pub mod generate;
pub mod headless;
pub mod kernel;
pub mod logging;
pub mod model;
pub mod optim;
pub mod preview;
pub mod progress;
pub mod protocol;
pub mod run;
pub mod schedule;
pub mod state;
pub mod sweep;
pub mod tokenizer;
pub mod train;
pub mod ui;
pub mod words;
pub mod worker;
