//! The terminal: output, tables, questions, full-screen drawing.

pub(super) mod ask;
pub(super) mod format;
pub(super) mod line_diff;
pub(super) mod output;
pub(super) mod screen;
pub(super) mod table;
