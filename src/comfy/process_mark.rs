//! A mark in the temp folder of a ComfyUI. The process empties that folder when it starts (protocol §8), and nothing else
//! does: a mark that is gone means a restart. A history that lost a prompt does not, for any client may clear it.

use super::{Client, Error, RemoteFile, limits};
use reqwest::multipart::{Form, Part};

impl Client {
    /// Leaves a mark (POST /upload/image with type `temp`).
    ///
    /// # Errors
    /// The instance does not answer, or cannot store it.
    pub(crate) async fn leave_mark(&self, name: &str) -> Result<(), Error> {
        let file = Part::bytes(b"mark".as_slice()).file_name(name.to_owned());
        let form = Form::new().text("type", "temp").text("overwrite", "true").part("image", file);
        let request = self.http.post("/upload/image").multipart(form);
        self.http.send_known(request, limits::REPLY_BYTES_MAX).await.map(drop)
    }

    /// Whether the mark is there (GET /view).
    ///
    /// # Errors
    /// The instance does not answer.
    pub(crate) async fn has_mark(&self, name: &str) -> Result<bool, Error> {
        let file = RemoteFile { filename: name.to_owned(), subfolder: String::new(), folder_type: "temp".to_owned() };
        match self.view(&file).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
