//! Look-up of the uploads that a submission names.

use crate::{graph::UploadNames, queue::Queue, store, submit::Result};
use std::collections::HashMap;

/// Returns the uploads of `owner` with these names, in one call.
pub(in crate::submit) async fn look_up(queue: &Queue, owner: &str, names: Vec<String>) -> Result<UploadNames> {
    let stored: Vec<String> = names.iter().map(|name| store::clean_filename(name)).collect();
    let found = queue.uploads_named(owner, &stored).await?;
    Ok(UploadNames::new(names.into_iter().zip(found).collect::<HashMap<_, _>>()))
}
