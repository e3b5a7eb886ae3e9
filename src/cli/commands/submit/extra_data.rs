//! `extraData` of a task: keys for API nodes, from a file or a variable. Never from an argument, which other users of the
//! machine can see.

use super::submit_request::read_json;
use crate::cli::error::Error;
use clap::Args;
use serde_json::value::RawValue;
use std::path::PathBuf;

/// Variable with the object itself.
const VARIABLE: &str = "SHUZHIREN_EXTRA_DATA";

/// Source of `extraData`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExtraDataArgs {
    /// File with `extraData`, a JSON object with keys for API nodes; `-` = standard input. Without it, the object in the
    /// variable SHUZHIREN_EXTRA_DATA, if set
    ///
    /// E.g. {"api_key_comfy_org": "comfyui-…"}. The server encrypts keys, deletes them when the task ends, and never shows
    /// them.
    #[arg(long, value_name = "FILE")]
    extra_data_file: Option<PathBuf>,
}

impl ExtraDataArgs {
    /// Reads the object; `None` if there is none.
    pub(crate) fn read(&self) -> Result<Option<Box<RawValue>>, Error> {
        if let Some(path) = &self.extra_data_file {
            return read_json(path).map(Some);
        }
        let Some(text) = std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
        let object = text.to_str().and_then(|text| serde_json::from_str(text).ok());
        object.map(Some).ok_or_else(|| Error::Usage(format!("{VARIABLE} is not JSON")))
    }
}
