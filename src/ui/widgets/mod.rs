//! Widgets: they know nothing of the application.

pub mod chart;
