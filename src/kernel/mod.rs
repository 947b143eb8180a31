//! Fused CPU operations behind burn's backend extension, each with a composed form that every backend can run.
//!
//! Empty so far: the composed forms are in `model::layers`, one function per operation that a kernel here may take over.
