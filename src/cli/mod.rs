//! Client commands. They use the public API only.

mod sample;

pub use sample::{SampleArgs, sample};
