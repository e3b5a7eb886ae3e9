//! Outputs of an attempt: downloaded from the instance and stored, early or at the end.

pub(super) mod early_outputs;
pub(super) mod file_names;
pub(super) mod final_outputs;
pub(super) mod min_speed;
pub(super) mod store_output;
