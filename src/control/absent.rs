//! Stands in for the socket where the system has none: the same names, and one answer.

use std::convert::Infallible;
use std::path::Path;
use std::sync::mpsc::Receiver;

use super::wire::Role;
use super::{ControlError, Link};
use crate::protocol::{Command, Event, Remote, WeakCommandSender};
use crate::run::Logged;

/// There is none.
#[derive(Debug)]
pub struct Server(Infallible);

/// There is none.
#[derive(Debug, Clone)]
pub struct Tee(Infallible);

impl Server {
    pub fn open(_: &Path, _: Logged, _: WeakCommandSender) -> Result<Self, ControlError> {
        Err(ControlError::Unsupported)
    }

    pub fn tee(&self) -> Tee {
        match self.0 {}
    }

    pub fn heard(&self) -> Option<Remote> {
        match self.0 {}
    }

    pub fn take_away(&mut self) {
        match self.0 {}
    }
}

impl Tee {
    pub fn publish(&self, _: &Event) {
        match self.0 {}
    }

    pub fn logged(&self, _: Logged) {
        match self.0 {}
    }
}

pub fn connect(_: &Path, _: Role, _: Receiver<Command>) -> Result<Link, ControlError> {
    Err(ControlError::Unsupported)
}
