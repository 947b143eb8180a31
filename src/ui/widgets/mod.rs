//! Widgets: they draw what they are given and know nothing of the application.

pub mod chart;
pub mod form;
pub mod modal;
pub mod sheet;
pub mod table;
pub mod text_input;
