//! Bytes of request bodies that are in memory at once, of all users and of one: many large bodies, or many that arrive
//! slowly, must not use up the memory of the process.

use crate::{
    api::error::{ApiError, Result},
    settings::limits::BODIES_BYTES_MAX,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The bytes in use.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyRoom(Arc<Mutex<InUse>>);

#[derive(Debug, Default)]
struct InUse {
    all: u64,
    users: HashMap<String, u64>,
}

/// Bytes of one body; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct BodyBytes {
    room: BodyRoom,
    user: String,
    bytes: u64,
}

impl BodyRoom {
    /// Begins with no bytes.
    pub(crate) fn of(&self, user: &str) -> BodyBytes {
        BodyBytes { room: self.clone(), user: user.to_owned(), bytes: 0 }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, InUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyBytes {
    /// Takes bytes until it has `bytes`.
    ///
    /// # Errors
    /// [`ApiError::Busy`]: all bodies together would have more than [`BODIES_BYTES_MAX`], or those of the user more than half.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<()> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let mut in_use = self.room.lock();
        let used = in_use.users.get(&self.user).copied().unwrap_or(0);
        let (all, of_user) = (in_use.all + more, used + more);
        // One body alone may be larger: its own limit is a setting.
        let is_too_much = all > BODIES_BYTES_MAX && in_use.all > self.bytes;
        if is_too_much || of_user > BODIES_BYTES_MAX / 2 && used > self.bytes {
            return Err(ApiError::Busy);
        }
        in_use.all += more;
        in_use.users.insert(self.user.clone(), of_user);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for BodyBytes {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut in_use = self.room.lock();
        in_use.all -= self.bytes;
        let left = in_use.users.get(&self.user).copied().unwrap_or(0).saturating_sub(self.bytes);
        if left == 0 {
            in_use.users.remove(&self.user);
        } else {
            in_use.users.insert(self.user.clone(), left);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{ApiError, BODIES_BYTES_MAX, BodyRoom};

    #[test]
    fn one_user_gets_half_and_all_get_everything_once() {
        let room = BodyRoom::default();
        let half = BODIES_BYTES_MAX / 2;
        let mut first = room.of("a");
        first.reserve(half - 1).unwrap();
        first.reserve(half).unwrap();
        let mut second = room.of("a");
        assert!(matches!(second.reserve(1), Err(ApiError::Busy)));
        let mut other = room.of("b");
        other.reserve(half).unwrap();
        assert!(matches!(room.of("c").reserve(1), Err(ApiError::Busy)));
        drop(first);
        second.reserve(half).unwrap();
        drop((second, other));
        let in_use = room.lock();
        assert_eq!((in_use.all, in_use.users.len()), (0, 0));
    }
}
