//! What a run is: every setting, in one plain, serialisable value.
//!
//! [`RunConfig`] is always complete. Files and `--set` overrides state only differences; [`load`] merges
//! them with the defaults, checks every value against the table of [`fields`], reports all problems at once,
//! and only then builds a `RunConfig`. Key, struct field, label on screen and documentation share one word.
//!
//! A key that was given but has no meaning beside the others (`model.n_heads` for a recurrent model) is an
//! error. In a built `RunConfig` such keys stand at an inert value, and [`RunConfig::to_toml`] leaves them out.

mod describe;
mod draft;
mod error;
mod fields;
mod live;
mod load;
mod own;
mod presets;
mod resolve;
mod rules;
mod table;
mod types;
mod value;

pub use describe::{describe_field, describe_markdown};
pub use draft::Draft;
pub use error::{ConfigErrors, FieldProblem, Place, Problem};
pub(crate) use fields::closest;
pub use fields::{Condition, Field, FieldKind, Limit, Step, did_you_mean, field, fields, sections};
pub use live::{Changes, as_arguments, change, difference, is_live, values};
pub use load::{Finding, Given, Loaded, Look, Source, load, load_looking, load_with_notes};
pub use own::{OwnConfig, OwnConfigs, own_configs, own_folders, own_name, save_own};
pub use presets::{Preset, preset, presets};
pub(crate) use resolve::read_text as read_value;
pub use types::*;
pub use value::Value;
