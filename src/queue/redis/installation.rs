//! The installation whose data a process works on. Every script checks that Redis still holds it (`lua/lib/installation.lua`).
//!
//! A process learns the name when it connects and keeps it: a Redis that was emptied (FLUSHALL, a restart without a
//! file) or replaced refuses all its calls with [`Error::Lost`], so that no task is accepted into an empty system. It
//! recovers by itself when the data is back. A process that is started again takes the namespace as it is.

use super::{keys::Root, script_call::Reply};
use crate::{
    metrics,
    queue::{Error, Result},
};
use fred::types::MultipleKeys;
use std::sync::atomic::{AtomicBool, Ordering};

/// An installation, and whether Redis held it at the last call.
#[derive(Debug)]
pub(crate) struct Installation {
    id: String,
    keys: MultipleKeys,
    is_lost: AtomicBool,
}

impl Installation {
    /// Makes it from its name.
    pub(crate) fn new(root: &Root, id: String) -> Self {
        let keys = vec![root.as_str().to_owned(), root.installation(&id)].into();
        metrics::redis_data_lost(false);
        Self { id, keys, is_lost: AtomicBool::new(false) }
    }

    /// Returns its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the keys of every call: the root, and the key that exists while Redis holds this installation.
    pub(crate) fn keys(&self) -> MultipleKeys {
        self.keys.clone()
    }

    /// Whether the last call found that Redis does not hold it.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Takes note of the result of a call. Logs and counts changes, not calls.
    pub(crate) fn observe(&self, result: &Result<Reply>) {
        let is_lost = match result {
            Ok(_) => false,
            Err(Error::Lost(_)) => true,
            // Refused before the script began, or not answered.
            Err(
                Error::Unavailable(_)
                | Error::MemoryFull(_)
                | Error::Refused(_)
                | Error::Unusable(_)
                | Error::Corrupt(_),
            ) => return,
        };
        if is_lost == self.is_lost() || self.is_lost.swap(is_lost, Ordering::Relaxed) == is_lost {
            return;
        }
        metrics::redis_data_lost(is_lost);
        match result {
            Err(error) => tracing::error!(
                %error, installation = %self.id,
                "redis lost the data of this system: restore it, or restart all processes to begin with an empty system"
            ),
            Ok(_) => tracing::warn!(installation = %self.id, "redis holds the data of this system again"),
        }
    }
}
