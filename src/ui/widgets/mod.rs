//! Widgets: they know nothing of the application.
