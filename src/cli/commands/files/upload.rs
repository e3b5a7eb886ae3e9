//! Uploads a local file: streamed, with a progress bar, from the start again if the server asks to retry.

use super::download::bytes_bar;
use crate::cli::{
    client::{
        envelope::Answer,
        rest::{Api, Repeat},
    },
    error::Error,
    term::output,
};
use indicatif::ProgressBar;
use reqwest::{
    Body, Method,
    multipart::{Form, Part},
};
use std::path::Path;
use tokio::fs::File;
use tokio_util::io::{InspectReader, ReaderStream};

/// Size from which a progress bar is shown.
const BAR_FROM_BYTES: u64 = 1 << 20;

/// Uploads a file and returns the server's answer.
pub(crate) async fn upload(api: &Api, path: &Path) -> Result<Answer, Error> {
    let unusable = |why: &dyn std::fmt::Display| Error::Usage(format!("cannot read {}: {why}", path.display()));
    let metadata = tokio::fs::metadata(path).await.map_err(|error| unusable(&error))?;
    if !metadata.is_file() {
        return Err(unusable(&"not a regular file"));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (size, shown) = (metadata.len(), output::can_draw_bars() && metadata.len() >= BAR_FROM_BYTES);
    let bar = if shown { bytes_bar(size, &name) } else { ProgressBar::hidden() };
    let answer = api
        .call(Repeat::IfUnsent, async || {
            let file = File::open(path).await.map_err(|error| unusable(&error))?;
            bar.set_position(0);
            let counted = InspectReader::new(file, {
                let bar = bar.clone();
                move |bytes: &[u8]| bar.inc(bytes.len() as u64)
            });
            let body = Body::wrap_stream(ReaderStream::new(counted));
            let part = Part::stream_with_length(body, size).file_name(name.clone());
            Ok(api.upload(Method::POST, "/api/files/upload").multipart(Form::new().part("file", part)))
        })
        .await;
    bar.finish_and_clear();
    answer.map_err(|error| error.about(&path.display().to_string()))
}
