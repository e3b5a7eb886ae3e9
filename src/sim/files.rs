//! Inputs, outputs and temp files of an instance, in memory or in a folder. All but temp files survive a restart.
//!
//! Invariant: at most `FILE_BYTES_MAX` bytes are stored. The oldest files are deleted first, and `/view` answers 404
//! for them, as after a cleanup of a real instance's output folder.

use crate::sim::{
    file_paths::{Key, normalized},
    limits::FILE_BYTES_MAX,
    lock::lock,
};
use axum::body::Bytes;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::SystemTime,
};

/// Length of a file name, bytes, as on Linux.
const NAME_BYTES_MAX: usize = 255;

/// Metadata of a file, and its content if that is kept in memory.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub bytes: usize,
    pub modified: SystemTime,
    pub digest: [u8; 32],
    order: u64,
    content: Option<Bytes>,
}

#[derive(Debug, Default)]
struct Index {
    files: BTreeMap<Key, File>,
    oldest: BTreeMap<u64, Key>,
    folders: BTreeSet<(&'static str, String)>,
    bytes: usize,
    next: u64,
}

/// All files of an instance.
#[derive(Debug, Default)]
pub(super) struct Files {
    folder: Option<PathBuf>,
    index: Mutex<Index>,
}

/// Destination of a save node.
pub(super) struct SavePath {
    pub subfolder: String,
    pub name: String,
    pub counter: u64,
}

impl Files {
    /// Opens the store. Existing files of `folder` are included.
    pub(super) fn open(folder: Option<PathBuf>) -> Result<Self, String> {
        let files = Self { folder, index: Mutex::default() };
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
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                let deeper = if subfolder.is_empty() { name } else { format!("{subfolder}/{name}") };
                self.scan(kind, &entry.path(), &deeper)?;
            } else if metadata.is_file() {
                let content = std::fs::read(entry.path())?;
                self.add((kind, subfolder.to_owned(), name), &content, None, metadata.modified()?);
            }
        }
        Ok(())
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(key.0).join(&key.1).join(&key.2))
    }

    /// Writes a file, replacing an existing one.
    pub(super) fn put(&self, key: Key, content: Bytes) -> io::Result<()> {
        if key.2.len() > NAME_BYTES_MAX || key.1.split('/').any(|part| part.len() > NAME_BYTES_MAX) {
            return Err(io::Error::other("[Errno 36] File name too long"));
        }
        let in_memory = match self.path(&key) {
            Some(path) => {
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(path, &content)?;
                None
            }
            None => Some(content.clone()),
        };
        self.add(key, &content, in_memory, SystemTime::now());
        Ok(())
    }

    fn add(&self, key: Key, content: &[u8], in_memory: Option<Bytes>, modified: SystemTime) {
        let digest = Sha256::digest(content).into();
        let mut index = lock(&self.index);
        index.next += 1;
        let order = index.next;
        let file = File { bytes: content.len(), modified, digest, order, content: in_memory };
        index.bytes += file.bytes;
        index.oldest.insert(order, key.clone());
        index.folders.insert((key.0, key.1.clone()));
        if let Some(old) = index.files.insert(key, file) {
            index.bytes -= old.bytes;
            index.oldest.remove(&old.order);
        }
        while index.bytes > FILE_BYTES_MAX
            && let Some((_, oldest)) = index.oldest.pop_first()
        {
            self.remove(&mut index, &oldest);
        }
    }

    fn remove(&self, index: &mut Index, key: &Key) {
        if let Some(file) = index.files.remove(key) {
            index.bytes -= file.bytes;
            index.oldest.remove(&file.order);
        }
        if let Some(path) = self.path(key)
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::debug!(%error, path = %path.display(), "cannot delete file");
        }
    }

    pub(super) fn metadata(&self, key: &Key) -> Option<File> {
        lock(&self.index).files.get(key).cloned()
    }

    /// Returns the content of a file, if it exists.
    pub(super) async fn read(&self, key: &Key) -> Option<Bytes> {
        let file = self.metadata(key)?;
        match file.content {
            Some(content) => Some(content),
            None => tokio::fs::read(self.path(key)?).await.ok().map(Bytes::from),
        }
    }

    pub(super) fn has_folder(&self, kind: &'static str, subfolder: &str) -> bool {
        subfolder.is_empty() || lock(&self.index).folders.contains(&(kind, subfolder.to_owned()))
    }

    /// Returns the names in the top level of a folder, newest first.
    pub(super) fn top_level(&self, kind: &str) -> Vec<String> {
        let index = lock(&self.index);
        let mut found: Vec<(u64, String)> = index
            .files
            .iter()
            .filter(|((of, subfolder, _), _)| *of == kind && subfolder.is_empty())
            .map(|((_, _, name), file)| (file.order, name.clone()))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, name)| name).collect()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.index).files.len()
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
        let mut index = lock(&self.index);
        let keys: Vec<Key> = index.files.keys().filter(|key| matches(key)).cloned().collect();
        for key in &keys {
            self.remove(&mut index, key);
        }
        keys.len()
    }

    /// Python's `get_save_image_path`: folder, name and next free number for a prefix.
    pub(super) fn save_path(
        &self,
        prefix: &str,
        kind: &'static str,
        width: u32,
        height: u32,
    ) -> Result<SavePath, String> {
        let prefix = expanded(prefix, width, height);
        let full = normalized(&prefix).ok_or_else(|| {
            format!(
                "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: {prefix}\n         \
                 output_dir: {kind}\n         commonpath: /"
            )
        })?;
        let (subfolder, name) = full.rsplit_once('/').unwrap_or(("", &full));
        // `normpath("")` is `.`.
        let name = if name.is_empty() { "." } else { name };
        if subfolder.split('/').any(|part| part.len() > NAME_BYTES_MAX) {
            return Err("[Errno 36] File name too long".to_owned());
        }
        let mut index = lock(&self.index);
        index.folders.insert((kind, subfolder.to_owned()));
        let start = (kind, subfolder.to_owned(), format!("{name}_"));
        let taken = index
            .files
            .range(start.clone()..)
            .take_while(|((of, sub, file), _)| *of == kind && *sub == start.1 && file.starts_with(&start.2))
            .filter_map(|((_, _, file), _)| file[start.2.len()..].split('_').next()?.parse::<u64>().ok())
            .max();
        let counter = taken.unwrap_or(0).saturating_add(1);
        Ok(SavePath { subfolder: subfolder.to_owned(), name: name.to_owned(), counter })
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
    use super::Files;
    use axum::body::Bytes;

    #[test]
    fn the_counter_is_one_above_the_largest_in_its_folder() {
        let files = Files::default();
        let put = |sub: &str, name: &str| files.put(("output", sub.to_owned(), name.to_owned()), Bytes::new()).unwrap();
        put("", "out_00007_.png");
        put("", "out_x.png");
        put("deep", "out_00099_.png");
        assert_eq!(files.save_path("out", "output", 1, 1).unwrap().counter, 8);
        assert_eq!(files.save_path("deep/out", "output", 1, 1).unwrap().counter, 100);
        assert_eq!(files.save_path("new", "output", 1, 1).unwrap().counter, 1);
        assert_eq!(files.save_path("a%width%x%height%", "output", 3, 4).unwrap().name, "a3x4");
        assert!(files.save_path("../x", "output", 1, 1).is_err());
        assert_eq!(files.delete_outputs(Some("out_00007_.png")), 1);
        assert_eq!(files.save_path("out", "output", 1, 1).unwrap().counter, 1, "deleting a file frees its number");
    }
}
