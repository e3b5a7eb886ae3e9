//! Which stored files a submission may name: those that its caller may read.

use super::{
    ApiState,
    error::{ApiError, Result},
    named::Named,
};
use crate::{auth::Caller, task::FileId};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use std::collections::BTreeSet;

/// Files looked at at a time.
const AT_ONCE: usize = 32;

/// In private mode a user's task takes the user's own files, and what a published workflow names itself. Where everybody may
/// read, and for admins, nothing is asked: whether the files exist is seen when the task is accepted.
///
/// # Errors
/// [`ApiError::NoSuchFile`], as for one that does not exist.
pub(super) async fn check(
    state: &ApiState,
    caller: &Caller,
    named: Option<&Named>,
    files: impl Iterator<Item = FileId>,
) -> Result<()> {
    if !state.links.are_signed() || caller.may_manage() {
        return Ok(());
    }
    let files: BTreeSet<FileId> = files.filter(|id| !named.is_some_and(|named| named.names(*id))).collect();
    let one = |id: FileId| async move {
        let record = state.queue.file(id).await?;
        record.filter(|record| caller.may_read(&record.owner)).map(drop).ok_or(ApiError::NoSuchFile(id))
    };
    stream::iter(files).map(one).buffered(AT_ONCE).try_collect().await
}
