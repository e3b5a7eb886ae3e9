//! The store on a local disk: its folder, and clean-up of files that crashed writers left in it.

use super::Error;
use crate::task::{FileId, ObjectId};
use object_store::local::LocalFileSystem;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use url::Url;

/// Age without a change at which an unfinished file belongs to a dead process.
const STAGED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the folder of `file:///absolute/folder`.
pub(super) fn folder_of(url: &str) -> Result<PathBuf, Error> {
    let unusable = |why: &str| Error::Unusable(format!("the storage URL `{url}` cannot be used: {why}"));
    let Some((scheme, _)) = url.split_once(':') else {
        return Err(unusable("write it like file:///var/lib/shuzhiren/files"));
    };
    if !scheme.eq_ignore_ascii_case("file") {
        return Err(unusable("only file:/// and s3:// are supported"));
    }
    if !url[scheme.len()..].starts_with(":///") {
        return Err(unusable("the folder must be absolute, with three slashes: file:///folder"));
    }
    let parsed = Url::parse(url).map_err(|_| unusable("it is not a URL"))?;
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(unusable("write ? and # in the folder name as %3F and %23"));
    }
    parsed.to_file_path().map_err(|()| unusable("it is not the URL of a folder"))
}

/// Creates the folder and its shards, and deletes old unfinished files.
pub(super) fn open(root: &Path) -> Result<LocalFileSystem, Error> {
    let unusable = |error: io::Error| Error::Unusable(format!("cannot use the folder {}: {error}", root.display()));
    fs::create_dir_all(root).map_err(unusable)?;
    for shard in 0..=u8::MAX {
        let folder = root.join(format!("{shard:02x}"));
        match fs::create_dir(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            Err(error) => return Err(unusable(error)),
        }
        collect(&folder).map_err(unusable)?;
    }
    fs::File::open(root).and_then(|folder| folder.sync_all()).map_err(unusable)?;
    probe(root).map_err(unusable)?;
    let objects = LocalFileSystem::new_with_prefix(root).map_err(|error| Error::Unusable(error.to_string()))?;
    Ok(objects.with_fsync(true))
}

/// Deletes the files of a writer of `id` that could not finish.
pub(super) fn discard(root: &Path, id: ObjectId) -> io::Result<()> {
    let id = id.to_string();
    for entry in fs::read_dir(root.join(&id[..2]))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| staged_id(name) == Some(&id)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Writes and deletes a file, so that a read-only folder is reported at start, not at the first upload. A full disk
/// does not prevent the start.
fn probe(root: &Path) -> io::Result<()> {
    let path = root.join(format!("probe-{}", FileId::new()));
    match fs::File::create_new(&path) {
        Ok(_) => remove(&path),
        Err(error) if matches!(Error::from(io::Error::from(error.kind())), Error::Full) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes the unfinished files of dead writers in a shard.
pub(super) fn collect(shard: &Path) -> io::Result<()> {
    for entry in fs::read_dir(shard)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| staged_id(name).is_some()) && is_old(&entry) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > STAGED_KEPT))
}

/// Returns the id of an unfinished file, which object_store names `<id>#<n>`.
fn staged_id(name: &str) -> Option<&str> {
    let (id, number) = name.split_once('#')?;
    let is_ours =
        id.parse::<FileId>().is_ok() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then_some(id)
}

/// Removes a file; one that another process has removed already is no error.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::{folder_of, staged_id};

    #[test]
    fn only_an_absolute_file_url_is_a_folder() {
        assert_eq!(folder_of("file:///var/x").unwrap(), std::path::PathBuf::from("/var/x"));
        assert_eq!(folder_of("file:///var/a%20b/%E6%96%87/").unwrap(), std::path::PathBuf::from("/var/a b/文/"));
        for url in [
            "",
            "/var/x",
            "data",
            "file:data",
            "file:/var/x",
            "file://var/x",
            "file://host/x",
            "s3://bucket/x",
            "http://x/y",
        ]
        .into_iter()
        .chain(["file:///x?y", "file:///x#1"])
        {
            assert!(folder_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_our_own_unfinished_files_are_collected() {
        let id = crate::task::FileId::new().to_string();
        assert_eq!(staged_id(&format!("{id}#12")), Some(id.as_str()));
        for name in [id.as_str(), &format!("{id}#"), &format!("{id}#1x"), "x#1", "#1"] {
            assert_eq!(staged_id(name), None, "{name}");
        }
    }
}
