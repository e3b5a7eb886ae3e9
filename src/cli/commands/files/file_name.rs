//! File names of downloads: safe ones, and never the name of another file.

use sha2::{Digest, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Maximum bytes of a name: below the 255 of file systems, with room for a number.
const NAME_BYTES_MAX: usize = 200;
/// Numbered names tried before giving up.
const NAMES_MAX: usize = 10_000;

/// Gives a complete file its name. If a file of that name has the same content, it stays; otherwise `name-1.png` and so
/// on are tried. `overwrite` replaces a regular file; symbolic links, directories, devices and pipes never are.
pub(crate) fn give_name(
    mut file: tempfile::NamedTempFile,
    folder: &Path,
    name: &str,
    sha256: &str,
    overwrite: bool,
) -> io::Result<(PathBuf, bool)> {
    if overwrite {
        let path = folder.join(name);
        // The name is the server's: a link would lead out of the folder, a device or a pipe is not a download's to
        // fill.
        if let Ok(metadata) = fs::symlink_metadata(&path)
            && !metadata.is_file()
        {
            let what = if metadata.is_symlink() {
                "a symbolic link"
            } else if metadata.is_dir() {
                "a directory"
            } else {
                "not a regular file"
            };
            return Err(io::Error::other(format!("{name} is {what}; it is not overwritten")));
        }
        file.persist(&path).map_err(|error| error.error)?;
        return Ok((path, false));
    }
    for number in 0..NAMES_MAX {
        let path = folder.join(numbered(name, number));
        file = match file.persist_noclobber(&path) {
            Ok(_) => return Ok((path, false)),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => error.file,
            Err(error) => return Err(error.error),
        };
        if hash_of(&path).is_ok_and(|there| there == sha256) {
            return Ok((path, true));
        }
    }
    Err(io::Error::other(format!("there are already {NAMES_MAX} files named like {name}")))
}

fn hash_of(path: &Path) -> io::Result<String> {
    // Reading a pipe would block.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut hash = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hash)?;
    Ok(format!("{:x}", hash.finalize()))
}

/// Inserts a number before the extension: `a.png` → `a-1.png`.
fn numbered(name: &str, number: usize) -> String {
    match (number, name.rsplit_once('.')) {
        (0, _) => name.to_owned(),
        (_, Some((stem, ending))) => format!("{stem}-{number}.{ending}"),
        (_, None) => format!("{name}-{number}"),
    }
}

/// Makes a server's name safe: it stays in its folder, is not hidden, and is not taken for a command's option.
pub(crate) fn safe_name(name: &str, otherwise: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut safe: String = last
        .chars()
        .map(|letter| if letter.is_control() || "<>:\"|?*".contains(letter) { '_' } else { letter })
        .collect();
    safe = safe.trim().trim_start_matches(['.', '-']).to_owned();
    while safe.len() > NAME_BYTES_MAX {
        // From the front, to keep the extension.
        safe.remove(0);
    }
    if safe.is_empty() { otherwise.to_owned() } else { safe }
}

#[cfg(test)]
mod tests {
    use super::{give_name, numbered, safe_name};
    use sha2::{Digest as _, Sha256};

    #[test]
    fn names_stay_in_their_folder() {
        for (name, expected) in [
            ("图 1.png", "图 1.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\y.png", "y.png"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("a\nb\0c:d", "a_b_c_d"),
            ("..", "id"),
            ("", "id"),
            ("a/", "id"),
        ] {
            assert_eq!(safe_name(name, "id"), expected, "{name:?}");
        }
        let long = safe_name(&format!("{}.png", "图".repeat(200)), "id");
        assert!(long.len() <= 200 && long.ends_with("图.png"));
    }

    #[test]
    fn a_taken_name_gets_a_number_before_its_extension() {
        assert_eq!(["a.tar.gz", "a"].map(|name| numbered(name, 2)), ["a.tar-2.gz", "a-2"]);
        assert_eq!(numbered("a.png", 0), "a.png");
    }

    #[test]
    fn only_overwrite_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let put = |text: &str, overwrite| {
            let file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
            std::fs::write(file.path(), text).unwrap();
            let (path, was_there) =
                give_name(file, folder.path(), "a.png", &format!("{:x}", Sha256::digest(text)), overwrite).unwrap();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), was_there)
        };
        assert_eq!(put("one", false), ("a.png".to_owned(), false));
        assert_eq!(put("two", false), ("a-1.png".to_owned(), false));
        assert_eq!(put("one", false), ("a.png".to_owned(), true));
        assert_eq!(put("three", true), ("a.png".to_owned(), false));
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((text("a.png").as_str(), text("a-1.png").as_str()), ("three", "two"));
    }
}
