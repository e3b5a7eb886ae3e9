//! Saves a download under a path that the user typed.

use super::download::{Download, NEW_FILE_MODE, StoredFile, fetch};
use crate::{
    cli::{client::rest::Api, error::Error, term::output},
    save_file::{self, Target, folder_of},
};
use std::{
    fs::File,
    io::{self, Seek as _},
    path::Path,
    time::Duration,
};
use tokio::time::sleep;

/// Pause between two attempts to open a pipe that has no reader.
const READER_POLL: Duration = Duration::from_millis(50);

/// Saves a stored file under a path that the user typed and returns its size. A symbolic link is followed and stays; a
/// device or a pipe receives the bytes once they are complete and verified.
pub(crate) async fn save_as(api: &Api, stored: &StoredFile, path: &Path) -> Result<u64, Error> {
    let failed = |error: io::Error| cannot_write(path, &error);
    match Target::at(path).map_err(failed)? {
        Target::File(file_path) => {
            let Download { file, size_bytes, .. } = fetch(api, stored, folder_of(&file_path), NEW_FILE_MODE).await?;
            save_file::replace(file, &file_path).map_err(failed)?;
            Ok(size_bytes)
        }
        Target::Stream(stream_path) => {
            // Other users can read the folder of temporary files.
            let Download { mut file, size_bytes, .. } = fetch(api, stored, &std::env::temp_dir(), 0o600).await?;
            let mut stream = open_when_read(&stream_path).await.map_err(failed)?;
            file.rewind().and_then(|()| io::copy(&mut file, &mut stream)).map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Error::ReaderGone,
                _ => failed(error),
            })?;
            Ok(size_bytes)
        }
    }
}

/// Fails early on a path that [`save_as`] cannot write to.
pub(crate) fn check_target(path: &Path) -> Result<(), Error> {
    let target = Target::at(path).map_err(|error| cannot_write(path, &error))?;
    match target {
        Target::File(file) if !folder_of(&file).is_dir() => {
            Err(Error::Local(format!("cannot write {}: its folder does not exist", path.display())))
        }
        Target::File(_) | Target::Stream(_) => Ok(()),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    Error::Local(format!("cannot write {}: {why}", path.display()))
}

/// Opens a device or a pipe; a pipe that has no reader is waited for, as a shell does.
async fn open_when_read(path: &Path) -> io::Result<File> {
    let mut is_first = true;
    loop {
        match save_file::open_stream(path) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                if std::mem::take(&mut is_first) {
                    output::hint(&format!("waiting for a reader of {}", path.display()));
                }
                sleep(READER_POLL).await;
            }
            opened => return opened,
        }
    }
}
