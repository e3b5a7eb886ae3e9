//! What makes everything stand still: a hang, a freeze, a gc pause.

use tokio::sync::watch;

/// Stands closed while at least one closer has not opened it again.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closers: watch::Sender<u32>,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.closers.send_modify(|closers| *closers += 1);
    }

    pub(crate) fn open(&self) {
        self.closers.send_modify(|closers| *closers = closers.saturating_sub(1));
    }

    /// Returns when it is open.
    pub(crate) async fn pass(&self) {
        if *self.closers.borrow() == 0 {
            return;
        }
        let mut seen = self.closers.subscribe();
        if seen.wait_for(|closers| *closers == 0).await.is_err() {
            tracing::trace!("the gate is gone with its life");
        }
    }
}
