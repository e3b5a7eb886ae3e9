//! Saves files whole or not at all, without replacing anything that is not a regular file.
//!
//! A path that the user or the operator chose is resolved by [`Target::at`]: symbolic links are followed and stay as
//! they are, the file that they lead to is replaced; a device or a pipe is written to; a directory is an error. A name
//! that comes from elsewhere must not be resolved here, because a link would lead out of its folder.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// Links followed before a chain counts as a loop: the limit of Linux.
const LINKS_MAX: usize = 40;
/// Paths below which a link may lead to an open file of this process, such as standard output redirected to a file.
const OPEN_FILES: [&str; 4] = ["/dev/fd", "/dev/stdout", "/dev/stderr", "/proc"];

/// Destination of bytes that are saved under a chosen path.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// A regular file, or a path that is free: to be written beside it and renamed once complete.
    File(PathBuf),
    /// A device, a pipe or an open file of this process: to be written to in place, see [`open_stream`].
    Stream(PathBuf),
}

impl Target {
    /// Resolves a path, following symbolic links, even one that leads to a missing file.
    ///
    /// # Errors
    /// [`io::ErrorKind::IsADirectory`]; a loop of links; a folder on the way that is missing or cannot be searched.
    pub fn at(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if !metadata.is_file() || OPEN_FILES.iter().any(|open| path.starts_with(open)) => {
                Ok(Self::Stream(path.to_owned()))
            }
            Ok(_) => Ok(Self::File(path.canonicalize()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => end_of_links(path).map(Self::File),
            Err(error) => Err(error),
        }
    }
}

/// Follows a chain of links to the missing file at its end.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(link) => path = folder_of(&path).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// The folder of a path; `.` for a bare name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a device, a pipe or an open file for writing, without creating or truncating it.
///
/// # Errors
/// [`io::ErrorKind::NotConnected`] for a pipe that no process reads yet, instead of blocking until one does.
pub fn open_stream(path: &Path) -> io::Result<File> {
    let is_open_file = fs::metadata(path)?.is_file();
    let mut options = OpenOptions::new();
    options.write(true).append(is_open_file).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() && is_pipe(path) => {
            io::Error::new(io::ErrorKind::NotConnected, "the pipe has no reader")
        }
        _ => error,
    })?;
    // Only opening must not block; a write waits for a slow reader.
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags.difference(rustix::fs::OFlags::NONBLOCK))?;
    Ok(file)
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Gives a complete temporary file the path of [`Target::File`]. A file that it replaces passes its permissions on, but
/// not set-user-ID and set-group-ID.
///
/// # Errors
/// Those of `chmod` and `rename`.
pub fn replace(file: NamedTempFile, path: &Path) -> io::Result<()> {
    if let Ok(replaced) = fs::metadata(path) {
        file.as_file().set_permissions(Permissions::from_mode(replaced.permissions().mode() & 0o777))?;
    }
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Saves a small file that only its owner may read (mode 0600), even in place of a readable file, and syncs it to the
/// disk.
///
/// # Errors
/// Those of [`Target::at`] and [`open_stream`], and of writing.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match Target::at(path)? {
        Target::Stream(path) => open_stream(&path)?.write_all(bytes),
        Target::File(path) => {
            let mut file = tempfile::Builder::new()
                .prefix(".shuzhiren-")
                .permissions(Permissions::from_mode(0o600))
                .tempfile_in(folder_of(&path))?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, open_stream, replace, write_private};
    use std::{
        fs,
        io::{ErrorKind, Read as _, Write as _},
        os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
        path::Path,
    };

    fn fifo(path: &Path) {
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn links_are_followed_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        fs::create_dir(at("deep")).unwrap();
        fs::write(at("deep/file"), "old").unwrap();
        fs::set_permissions(at("deep/file"), fs::Permissions::from_mode(0o640)).unwrap();
        for (link, to) in [("link", "deep/file"), ("second", "link"), ("dangling", "deep/../new"), ("loop", "loop")] {
            symlink(to, at(link)).unwrap();
        }
        assert_eq!(Target::at(&at("second")).unwrap(), Target::File(at("deep/file")));
        assert_eq!(Target::at(&at("dangling")).unwrap(), Target::File(at("deep/../new")));
        assert_eq!(Target::at(&at("free")).unwrap(), Target::File(at("free")));
        assert!(Target::at(&at("loop")).is_err());
        assert_eq!(Target::at(&at("deep")).unwrap_err().kind(), ErrorKind::IsADirectory);

        let mut new = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        new.write_all(b"new").unwrap();
        replace(new, &at("deep/file")).unwrap();
        assert_eq!((fs::read(at("second")).unwrap(), mode(&at("deep/file"))), (b"new".to_vec(), 0o640));
        write_private(&at("second"), b"secret").unwrap();
        assert_eq!((fs::read(at("deep/file")).unwrap(), mode(&at("deep/file"))), (b"secret".to_vec(), 0o600));
        write_private(&at("dangling"), b"secret").unwrap();
        assert_eq!((fs::read(at("new")).unwrap(), mode(&at("new"))), (b"secret".to_vec(), 0o600));
        for link in ["link", "second", "dangling"] {
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        }
    }

    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        fifo(&pipe);
        symlink(&pipe, &link).unwrap();
        let inode = fs::metadata(&pipe).unwrap().ino();
        assert_eq!(Target::at(&link).unwrap(), Target::Stream(link.clone()));
        assert_eq!(open_stream(&link).unwrap_err().kind(), ErrorKind::NotConnected);

        // A reader must not wait for its writer here.
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let mut reader = fs::File::from(rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty()).unwrap());
        write_private(&link, b"secret").unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "secret");
        let metadata = fs::symlink_metadata(&pipe).unwrap();
        assert!(metadata.file_type().is_fifo() && metadata.ino() == inode);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else was made");
    }
}
