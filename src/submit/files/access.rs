//! Access to stored files: a submission may name the files that its caller may read.

use crate::{
    auth::Caller,
    queue::{Queue, StoredWorkflow},
    submit::{Error, Result, published_workflow::named_files},
    task::FileId,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// Concurrent look-ups.
const LOOKUPS_MAX: usize = 32;

/// Checks that the caller may read every file, other than those that the published workflow names itself.
///
/// Only private mode needs this. Where everyone may read a file whose id they know, and for administrators, whether the
/// files exist is checked by the enqueue.
///
/// # Errors
/// [`Error::NoSuchFile`] for the file of another user, as for one that does not exist.
pub(in crate::submit) async fn check(
    queue: &Queue,
    caller: &Caller,
    published: Option<&StoredWorkflow>,
    files: &[FileId],
) -> Result<()> {
    if caller.may_manage() {
        return Ok(());
    }
    let named = published.filter(|_| !files.is_empty()).map(named_files).unwrap_or_default();
    let own = files.iter().copied().filter(|id| !named.contains(id));
    let check_one = |id: FileId| async move {
        let record = queue.file(id).await?;
        record.filter(|record| caller.may_read(&record.owner)).map(drop).ok_or(Error::NoSuchFile(id))
    };
    stream::iter(own).map(check_one).buffered(LOOKUPS_MAX).try_collect().await
}
