//! Tests of the home screen.
