//! A gate that freezes the whole process: for a hang, a freeze, a gc pause.

use tokio::sync::watch;

/// Closed while it was closed more often than opened.
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

    /// Waits until the gate is open.
    pub(crate) async fn pass(&self) {
        if *self.closers.borrow() == 0 {
            return;
        }
        let mut seen = self.closers.subscribe();
        if seen.wait_for(|closers| *closers == 0).await.is_err() {
            tracing::trace!("gate dropped with its process");
        }
    }
}
