//! Append-only storage in chunks of equal size: no copy on growth and no doubled capacity.

/// Items per chunk. Small enough that several short metrics cost little, large enough that the table of
/// chunks is nothing.
pub(super) const CHUNK: usize = 1024;

/// A list that grows at its end and can be cut short.
#[derive(Debug, Clone)]
pub(super) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Copy> Chunked<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, item: T) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(item);
            self.len += 1;
        }
    }

    /// The item at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Chunked::len`], like a slice.
    pub fn get(&self, index: usize) -> T {
        self.chunks[index / CHUNK][index % CHUNK]
    }

    /// The last `count` items, where a chunk boundary does not lie between them (`count` divides [`CHUNK`]
    /// and the length is a multiple of `count`).
    pub fn tail(&self, count: usize) -> &[T] {
        match self.chunks.last() {
            Some(chunk) => &chunk[chunk.len().saturating_sub(count)..],
            None => &[],
        }
    }

    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.chunks.truncate(len.div_ceil(CHUNK));
        if !len.is_multiple_of(CHUNK)
            && let Some(chunk) = self.chunks.last_mut()
        {
            chunk.truncate(len % CHUNK);
        }
        self.len = len;
    }

    /// Bytes held on the heap.
    pub fn bytes(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| chunk.capacity() * size_of::<T>())
            .sum::<usize>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
    }
}
