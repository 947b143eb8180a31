//! Where fireside keeps what it downloads and what it can make again.

use std::path::PathBuf;

/// Downloads: `FIRESIDE_DATA`, else `$XDG_DATA_HOME/fireside`, else `~/.local/share/fireside`.
///
/// `None` where there is neither a home folder nor one of the variables.
pub fn data() -> Option<PathBuf> {
    folder("FIRESIDE_DATA", "XDG_DATA_HOME", ".local/share")
}

/// What can be made again: `FIRESIDE_CACHE`, else `$XDG_CACHE_HOME/fireside`, else `~/.cache/fireside`.
pub fn cache() -> Option<PathBuf> {
    folder("FIRESIDE_CACHE", "XDG_CACHE_HOME", ".cache")
}

fn folder(own: &str, xdg: &str, in_home: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set(own) {
        return Some(PathBuf::from(folder));
    }
    // The XDG specification says to ignore relative paths.
    let base = set(xdg)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    base.or_else(|| std::env::home_dir().map(|home| home.join(in_home)))
        .map(|base| base.join("fireside"))
}
