//! The installation whose data a process works on. Every script checks that Redis still holds it (`lua/lib/installation.lua`).
//!
//! A process learns the name when it connects and keeps it: a Redis that was emptied (FLUSHALL, a restart without a
//! file) or replaced refuses all its calls with [`Error::Lost`], so that no task is accepted into an empty system. It
//! recovers by itself when the data is back. A process that is started again takes the namespace as it is.

use super::keys::Root;
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
    key: String,
    keys: MultipleKeys,
    is_lost: AtomicBool,
}

impl Installation {
    /// Makes it from its name.
    pub(crate) fn new(root: &Root, id: String) -> Self {
        let key = root.installation(&id);
        let keys = vec![root.as_str().to_owned(), key.clone()].into();
        metrics::redis_data_lost(false);
        Self { id, key, keys, is_lost: AtomicBool::new(false) }
    }

    /// Returns its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the keys of every call: the root, and the key that exists while Redis holds this installation.
    pub(crate) fn keys(&self) -> MultipleKeys {
        self.keys.clone()
    }

    /// Returns the key that exists while Redis holds this installation.
    pub(crate) fn key(&self) -> String {
        self.key.clone()
    }

    /// Whether the last call found that Redis does not hold it.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Takes note of the result of a call; `was_lost` is the state when the call began. Logs changes, not calls. The late
    /// answer to a call from before the loss does not end it.
    pub(crate) fn observe<T>(&self, was_lost: bool, result: &Result<T>) {
        let is_lost = match result {
            Ok(_) if !was_lost => return,
            Ok(_) => false,
            Err(Error::Lost(_)) => true,
            // Refused before the script began, or not answered.
            Err(
                Error::Unavailable(_)
                | Error::MemoryFull(_)
                | Error::Refused(_)
                | Error::NotConfirmed(_)
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
                "redis lost the data of this system: restore it, or restart all processes to begin with an empty system; the files of the lost tasks stay then until the file `installation` is removed from the store"
            ),
            Ok(_) => tracing::warn!(installation = %self.id, "redis holds the data of this system again"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{Error, Installation, Root};

    #[test]
    fn the_answer_to_a_call_from_before_a_loss_does_not_end_it() {
        let installation = Installation::new(&Root::new("ns").unwrap(), "mine".to_owned());
        installation.observe::<()>(false, &Err(Error::Lost(String::new())));
        installation.observe(false, &Ok(()));
        assert!(installation.is_lost());
        installation.observe::<()>(true, &Err(Error::Unavailable(String::new())));
        assert!(installation.is_lost());
        installation.observe(true, &Ok(()));
        assert!(!installation.is_lost());
    }
}
