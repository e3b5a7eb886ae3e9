//! Inputs, outputs and temp files of an instance: in memory, or in a folder. They outlive a restart, temp files do not.
//!
//! Invariant: at most `FILE_BYTES_MAX` bytes are kept; the oldest files go first, and `/view` answers 404 for them, as it does
//! when somebody cleans the output folder of a real instance.

use super::{FILE_BYTES_MAX, lock};
use axum::body::Bytes;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::SystemTime,
};

/// Longest file name, as Linux has it.
const NAME_BYTES_MAX: usize = 255;

/// `(input | output | temp, subfolder, name)`.
pub(super) type Key = (&'static str, String, String);

/// What is known about a file.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub bytes: usize,
    pub modified: SystemTime,
    pub digest: [u8; 32],
    order: u64,
    content: Option<Bytes>,
}

#[derive(Debug, Default)]
struct Shelf {
    files: BTreeMap<Key, File>,
    oldest: BTreeMap<u64, Key>,
    folders: BTreeSet<(&'static str, String)>,
    bytes: usize,
    next: u64,
}

/// All files of one instance.
#[derive(Debug, Default)]
pub(super) struct Files {
    folder: Option<PathBuf>,
    shelf: Mutex<Shelf>,
}

/// Where a save node writes.
pub(super) struct Slot {
    pub subfolder: String,
    pub name: String,
    pub counter: u64,
}

/// One of the three folders by its name.
pub(super) fn kind_of(name: &str) -> Option<&'static str> {
    ["input", "output", "temp"].into_iter().find(|kind| *kind == name)
}

/// A subfolder without `.` and `..`; `None` if it leads outside.
pub(super) fn inside(subfolder: &str) -> Option<String> {
    if subfolder.starts_with('/') || subfolder.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in subfolder.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

impl Files {
    /// Takes over what lies in `folder`.
    pub(super) fn open(folder: Option<PathBuf>) -> Result<Self, String> {
        let files = Self { folder, shelf: Mutex::default() };
        let Some(folder) = &files.folder else { return Ok(files) };
        for kind in ["input", "output", "temp"] {
            let root = folder.join(kind);
            std::fs::create_dir_all(&root).map_err(|error| format!("cannot create {}: {error}", root.display()))?;
            files.scan(kind, &root, "").map_err(|error| format!("cannot read {}: {error}", root.display()))?;
        }
        Ok(files)
    }

    fn scan(&self, kind: &'static str, folder: &Path, subfolder: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let about = entry.metadata()?;
            if about.is_dir() {
                let deeper = if subfolder.is_empty() { name } else { format!("{subfolder}/{name}") };
                self.scan(kind, &entry.path(), &deeper)?;
            } else if about.is_file() {
                let content = std::fs::read(entry.path())?;
                self.shelve((kind, subfolder.to_owned(), name), &content, None, about.modified()?);
            }
        }
        Ok(())
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(key.0).join(&key.1).join(&key.2))
    }

    /// Writes a file, over an older one if there is one.
    pub(super) fn put(&self, key: Key, content: Bytes) -> io::Result<()> {
        if key.2.len() > NAME_BYTES_MAX || key.1.split('/').any(|part| part.len() > NAME_BYTES_MAX) {
            return Err(io::Error::other("[Errno 36] File name too long"));
        }
        let kept = match self.path(&key) {
            Some(path) => {
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(path, &content)?;
                None
            }
            None => Some(content.clone()),
        };
        self.shelve(key, &content, kept, SystemTime::now());
        Ok(())
    }

    fn shelve(&self, key: Key, content: &[u8], kept: Option<Bytes>, modified: SystemTime) {
        let digest = Sha256::digest(content).into();
        let mut shelf = lock(&self.shelf);
        shelf.next += 1;
        let order = shelf.next;
        let file = File { bytes: content.len(), modified, digest, order, content: kept };
        shelf.bytes += file.bytes;
        shelf.oldest.insert(order, key.clone());
        shelf.folders.insert((key.0, key.1.clone()));
        if let Some(old) = shelf.files.insert(key, file) {
            shelf.bytes -= old.bytes;
            shelf.oldest.remove(&old.order);
        }
        while shelf.bytes > FILE_BYTES_MAX
            && let Some((_, oldest)) = shelf.oldest.pop_first()
        {
            self.forget(&mut shelf, &oldest);
        }
    }

    fn forget(&self, shelf: &mut Shelf, key: &Key) {
        if let Some(file) = shelf.files.remove(key) {
            shelf.bytes -= file.bytes;
            shelf.oldest.remove(&file.order);
        }
        if let Some(path) = self.path(key)
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::debug!(%error, path = %path.display(), "cannot delete");
        }
    }

    pub(super) fn about(&self, key: &Key) -> Option<File> {
        lock(&self.shelf).files.get(key).cloned()
    }

    /// The content, if the file is there.
    pub(super) async fn read(&self, key: &Key) -> Option<Bytes> {
        let file = self.about(key)?;
        match file.content {
            Some(content) => Some(content),
            None => tokio::fs::read(self.path(key)?).await.ok().map(Bytes::from),
        }
    }

    pub(super) fn has_folder(&self, kind: &'static str, subfolder: &str) -> bool {
        subfolder.is_empty() || lock(&self.shelf).folders.contains(&(kind, subfolder.to_owned()))
    }

    /// Names in a folder's top level, newest first.
    pub(super) fn top_level(&self, kind: &str) -> Vec<String> {
        let shelf = lock(&self.shelf);
        let mut found: Vec<(u64, String)> = shelf
            .files
            .iter()
            .filter(|((of, subfolder, _), _)| *of == kind && subfolder.is_empty())
            .map(|((_, _, name), file)| (file.order, name.clone()))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, name)| name).collect()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.shelf).files.len()
    }

    pub(super) fn wipe_temp(&self) {
        self.delete(|key| key.0 == "temp");
    }

    pub(super) fn delete_inputs(&self) -> usize {
        self.delete(|key| key.0 == "input" && !key.1.is_empty())
    }

    pub(super) fn delete_outputs(&self, filename: Option<&str>) -> usize {
        self.delete(|key| key.0 != "input" && filename.is_none_or(|name| key.2 == name))
    }

    fn delete(&self, matches: impl Fn(&Key) -> bool) -> usize {
        let mut shelf = lock(&self.shelf);
        let keys: Vec<Key> = shelf.files.keys().filter(|key| matches(key)).cloned().collect();
        for key in &keys {
            self.forget(&mut shelf, key);
        }
        keys.len()
    }

    /// `get_save_image_path`: the folder, the name and the next free number for a prefix.
    pub(super) fn slot(&self, prefix: &str, kind: &'static str, width: u32, height: u32) -> Result<Slot, String> {
        let prefix = expanded(prefix, width, height);
        let full = inside(&prefix).ok_or_else(|| {
            format!(
                "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: {prefix}\n         \
                 output_dir: {kind}\n         commonpath: /"
            )
        })?;
        let (subfolder, name) = full.rsplit_once('/').unwrap_or(("", &full));
        // `normpath("")` is a dot.
        let name = if name.is_empty() { "." } else { name };
        if subfolder.split('/').any(|part| part.len() > NAME_BYTES_MAX) {
            return Err("[Errno 36] File name too long".to_owned());
        }
        let mut shelf = lock(&self.shelf);
        shelf.folders.insert((kind, subfolder.to_owned()));
        let start = (kind, subfolder.to_owned(), format!("{name}_"));
        let taken = shelf
            .files
            .range(start.clone()..)
            .take_while(|((of, sub, file), _)| *of == kind && *sub == start.1 && file.starts_with(&start.2))
            .filter_map(|((_, _, file), _)| file[start.2.len()..].split('_').next()?.parse::<u64>().ok())
            .max();
        let counter = taken.unwrap_or(0).saturating_add(1);
        Ok(Slot { subfolder: subfolder.to_owned(), name: name.to_owned(), counter })
    }
}

fn expanded(prefix: &str, width: u32, height: u32) -> String {
    if !prefix.contains('%') {
        return prefix.to_owned();
    }
    let now = jiff::Timestamp::now();
    let mut name = prefix.replace("%width%", &width.to_string()).replace("%height%", &height.to_string());
    for (word, form) in
        [("%year%", "%Y"), ("%month%", "%m"), ("%day%", "%d"), ("%hour%", "%H"), ("%minute%", "%M"), ("%second%", "%S")]
    {
        name = name.replace(word, &now.strftime(form).to_string());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::{Files, inside};
    use axum::body::Bytes;

    #[test]
    fn subfolders_stay_inside() {
        assert_eq!(inside("a/./b/../c"), Some("a/c".to_owned()));
        assert_eq!(inside(""), Some(String::new()));
        for outside in ["..", "a/../../b", "/etc"] {
            assert_eq!(inside(outside), None, "{outside}");
        }
    }

    #[test]
    fn the_counter_is_one_above_the_largest_in_its_folder() {
        let files = Files::default();
        let put = |sub: &str, name: &str| files.put(("output", sub.to_owned(), name.to_owned()), Bytes::new()).unwrap();
        put("", "out_00007_.png");
        put("", "out_x.png");
        put("deep", "out_00099_.png");
        assert_eq!(files.slot("out", "output", 1, 1).unwrap().counter, 8);
        assert_eq!(files.slot("deep/out", "output", 1, 1).unwrap().counter, 100);
        assert_eq!(files.slot("new", "output", 1, 1).unwrap().counter, 1);
        assert_eq!(files.slot("a%width%x%height%", "output", 3, 4).unwrap().name, "a3x4");
        assert!(files.slot("../x", "output", 1, 1).is_err());
        assert_eq!(files.delete_outputs(Some("out_00007_.png")), 1);
        assert_eq!(files.slot("out", "output", 1, 1).unwrap().counter, 1, "deleting a file frees its number");
    }
}
