//! The one table of keys. Dispatch, the `?` overlay, the footer and the palette are all made from it.
//!
//! Where a list has the focus, `g g` goes to its top as in vi. On the dashboard `g` samples: at once on the charts and
//! the samples, which have no `g g`; on its lists a moment later, when no second `g` has come.

use super::{Action, Context};

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub context: Context,
    /// Alternatives; a space inside one separates keys that follow each other (`g g`). Empty: palette only.
    pub keys: &'static [&'static str],
    pub action: Action,
    /// For the help overlay and the palette.
    pub description: &'static str,
    /// One or two words for the footer; `None` keeps it out.
    pub hint: Option<&'static str>,
}

const fn row(
    context: Context,
    keys: &'static [&'static str],
    action: Action,
    description: &'static str,
) -> Row {
    Row {
        context,
        keys,
        action,
        description,
        hint: None,
    }
}

const fn hinted(
    context: Context,
    keys: &'static [&'static str],
    action: Action,
    description: &'static str,
    hint: &'static str,
) -> Row {
    Row {
        context,
        keys,
        action,
        description,
        hint: Some(hint),
    }
}

mod dashboard;
mod everywhere;
mod home;
mod runs;
mod sweep;

/// All rows, in the order in which the footer and the help overlay show them.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let tables = [
        home::TABLE,
        dashboard::TABLE,
        sweep::TABLE,
        runs::TABLE,
        everywhere::TABLE,
    ];
    tables.into_iter().flatten()
}
