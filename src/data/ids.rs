//! Token ids, in memory or memory-mapped.

use std::sync::Arc;

/// A sequence of token ids. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TokenIds {
    ids: Arc<[u32]>,
}

impl TokenIds {
    /// Ids held in memory.
    pub fn from_ids(ids: &[u32]) -> Self {
        Self { ids: ids.into() }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces `out` by ids `start .. start + len`.
    ///
    /// # Panics
    /// When the window does not lie inside the sequence.
    pub fn window(&self, start: usize, len: usize, out: &mut Vec<u32>) {
        out.clear();
        out.extend_from_slice(&self.ids[start..start + len]);
    }
}
