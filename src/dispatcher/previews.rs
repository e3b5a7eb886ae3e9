//! Hands on the pictures of a running prompt: the latest, twice a second at most, and only while somebody looks at the task.

use super::instance::Instance;
use crate::comfy::Preview;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Between two pictures of an instance; those in between are dropped.
const EVERY: Duration = Duration::from_millis(500);

/// Ends with the socket.
pub(super) async fn run(instance: Arc<Instance>, mut previews: watch::Receiver<Option<Preview>>) {
    while previews.changed().await.is_ok() {
        let preview = previews.borrow_and_update().clone();
        if let Some(preview) = preview {
            show(&instance, &preview).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Nothing depends on it: what fails is gone.
async fn show(instance: &Instance, preview: &Preview) {
    let Some(task) = instance.task_of(preview.prompt).filter(|_| instance.clock.may_act()) else { return };
    let queue = instance.queue();
    let shown = match queue.is_preview_wanted(task).await {
        Ok(true) => queue.put_preview(task, preview.content_type, &preview.bytes).await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = shown {
        tracing::debug!(%task, %error, "a preview is dropped");
    }
}
