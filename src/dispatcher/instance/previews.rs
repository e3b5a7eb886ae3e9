//! Publishes preview images of running prompts: the latest one, at most twice a second, and only while a client watches
//! the task.

use super::state::Instance;
use crate::comfy::Preview;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Shortest interval between two previews of an instance. Previews in between are dropped.
const INTERVAL: Duration = Duration::from_millis(500);

/// Publishes previews until the socket closes.
pub(crate) async fn run(instance: Arc<Instance>, mut previews: watch::Receiver<Option<Preview>>) {
    while previews.changed().await.is_ok() {
        let preview = previews.borrow_and_update().clone();
        if let Some(preview) = preview {
            publish(&instance, &preview).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Publishes a preview if a client wants it. Best effort: failures are only logged.
async fn publish(instance: &Instance, preview: &Preview) {
    let Some(task) = instance.runs.task_of(preview.prompt).filter(|_| instance.clock.may_act()) else { return };
    let queue = instance.queue();
    let published = match queue.is_preview_wanted(task).await {
        Ok(true) => queue.put_preview(task, preview.content_type, &preview.bytes).await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = published {
        tracing::debug!(instance = %instance.target.id, %task, %error, "preview dropped");
    }
}
