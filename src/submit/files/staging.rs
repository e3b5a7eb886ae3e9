//! Files that are stored before their tasks are accepted, and deleted again if the tasks are not.

use super::{CheckedFiles, FileRegistry, ReceivedFile, base64::DecodedFile, url};
use crate::{fetch::Fetcher, submit::Result, task::FileId};

/// Stored files that no task uses yet. They are deleted when this is dropped, because a client may disconnect at any
/// moment.
pub(in crate::submit) struct StagedFiles {
    registry: FileRegistry,
    ids: Vec<FileId>,
}

impl StagedFiles {
    /// Fetches, stores and registers the files of a submission for `owner`.
    ///
    /// # Errors
    /// Every problem of the URLs; failures of queue and store. Nothing remains then.
    pub(in crate::submit) async fn store(
        registry: &FileRegistry,
        fetcher: &Fetcher,
        owner: &str,
        files: CheckedFiles,
    ) -> Result<Self> {
        let mut staged = Self { registry: registry.clone(), ids: Vec::new() };
        // URLs take longest, so they come first, while nothing is visible yet.
        for received in url::fetch(registry, fetcher, files.urls).await? {
            staged.register(owner, received).await?;
        }
        for DecodedFile { id, filename, bytes } in files.decoded {
            let mut writer = registry.create(id).await?;
            writer.write(bytes).await?;
            staged.register(owner, ReceivedFile { id, filename, writer }).await?;
        }
        Ok(staged)
    }

    async fn register(&mut self, owner: &str, received: ReceivedFile) -> Result<()> {
        self.ids.push(received.id);
        self.registry.register(owner, received).await.map(drop)
    }

    /// Keeps the files: a task uses them now.
    pub(in crate::submit) fn keep(mut self) {
        self.ids.clear();
    }

    /// Deletes the files that no task uses.
    pub(in crate::submit) async fn discard(mut self) {
        discard(&self.registry, &std::mem::take(&mut self.ids)).await;
    }
}

impl Drop for StagedFiles {
    fn drop(&mut self) {
        let ids = std::mem::take(&mut self.ids);
        if !ids.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let registry = self.registry.clone();
            runtime.spawn(async move { discard(&registry, &ids).await });
        }
    }
}

async fn discard(registry: &FileRegistry, ids: &[FileId]) {
    for id in ids {
        registry.discard(*id).await;
    }
}
