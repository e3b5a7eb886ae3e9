//! All connections of a process to Redis, each with its supervisor; which of them does not answer.

use super::{
    connection::{Connection, Purpose, Target},
    keys::Root,
    supervisor::{self, Running, SILENCE_MAX},
};
use crate::{
    metrics,
    queue::{Error, Result},
};
use fred::types::config::Config;
use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::task::AbortOnDropHandle;

/// Number of connections that share the ordinary commands of a process: one that hangs delays a part of them.
const COMMAND_CONNECTIONS: usize = 4;

/// The connections of a process.
#[derive(Clone)]
pub(crate) struct Link {
    target: Target,
    connections: Arc<Mutex<Vec<Weak<Connection>>>>,
}

/// A connection and its supervisor, which ends with it.
pub(crate) struct Supervised {
    connection: Arc<Connection>,
    _supervisor: AbortOnDropHandle<()>,
}

impl Deref for Supervised {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        metrics::redis_silent(self.purpose().name(), self.number(), Duration::ZERO);
    }
}

impl Link {
    /// Makes the link to this server, without a connection.
    pub(crate) fn new(config: Config, root: &Root) -> Self {
        Self { target: Target { config, slot: root.slot() }, connections: Arc::default() }
    }

    /// Returns the address.
    pub(crate) const fn config(&self) -> &Config {
        &self.target.config
    }

    /// Opens a connection.
    pub(crate) async fn open(&self, purpose: Purpose) -> Result<Supervised> {
        self.open_numbered(purpose, self.free_number(purpose)).await
    }

    async fn open_numbered(&self, purpose: Purpose, number: usize) -> Result<Supervised> {
        let (connection, driver) = Connection::open(purpose, number, self.target.clone()).await?;
        let running = Running::new(&connection.client(), driver);
        let connection = Arc::new(connection);
        self.lock().push(Arc::downgrade(&connection));
        metrics::redis_silent(purpose.name(), number, Duration::ZERO);
        let supervisor = AbortOnDropHandle::new(tokio::spawn(supervisor::supervise(connection.clone(), running)));
        Ok(Supervised { connection, _supervisor: supervisor })
    }

    /// Opens the connections of ordinary commands.
    pub(crate) async fn command_pool(&self) -> Result<CommandPool> {
        let opening = (1..=COMMAND_CONNECTIONS).map(|number| self.open_numbered(Purpose::Commands, number));
        let connections = futures_util::future::try_join_all(opening).await?;
        Ok(CommandPool { connections, next: AtomicUsize::new(0) })
    }

    /// Returns the connections whose answer is overdue, as `events-1: no answer for 7 s`.
    pub(crate) fn ill(&self) -> Vec<String> {
        let overdue = |connection: Arc<Connection>| {
            let owes = connection.owes_for();
            (owes >= SILENCE_MAX).then(|| match connection.refusal() {
                Some(refusal) => format!("{connection}: {refusal}"),
                None => format!("{connection}: no answer for {} s", owes.as_secs()),
            })
        };
        self.alive().into_iter().filter_map(overdue).collect()
    }

    /// Returns the time since any connection received an answer.
    pub(crate) fn unanswered_for(&self) -> Duration {
        self.alive().iter().map(|connection| connection.unanswered_for()).min().unwrap_or_default()
    }

    /// Returns the reason for which Redis refuses new connections, if it does: the password was changed, or
    /// it has no free connection.
    pub(crate) fn refusal(&self) -> Option<Error> {
        self.alive().iter().find_map(|connection| connection.refusal())
    }

    fn free_number(&self, purpose: Purpose) -> usize {
        let alive = self.alive();
        let is_taken =
            |number: &usize| alive.iter().any(|other| other.purpose() == purpose && other.number() == *number);
        (1..).find(|number| !is_taken(number)).unwrap_or(1)
    }

    fn alive(&self) -> Vec<Arc<Connection>> {
        let mut connections = self.lock();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connections of ordinary commands, used in turn.
pub(crate) struct CommandPool {
    connections: Vec<Supervised>,
    next: AtomicUsize,
}

impl CommandPool {
    /// Returns the next connection that answers; any if there is none.
    pub(crate) fn next(&self) -> &Connection {
        in_turn::<Supervised>(&self.connections, &self.next, |connection| connection.is_well())
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().map(Deref::deref)
    }
}

/// Returns the item whose turn it is, or the next one after it that is well; any if there is none.
pub(crate) fn in_turn<'a, T>(items: &'a [T], next: &AtomicUsize, is_well: impl Fn(&T) -> bool) -> &'a T {
    let start = next.fetch_add(1, Ordering::Relaxed);
    let turn = |offset: usize| &items[start.wrapping_add(offset) % items.len()];
    (0..items.len()).map(turn).find(|item| is_well(item)).unwrap_or(turn(0))
}

#[cfg(test)]
mod tests {
    use super::{AtomicUsize, in_turn};

    #[test]
    fn a_connection_that_does_not_answer_is_left_out() {
        let next = AtomicUsize::new(0);
        let taken = |is_well: fn(&char) -> bool| -> String {
            (0..6).map(|_| in_turn(&['a', 'b', 'c'], &next, is_well)).collect()
        };
        assert_eq!(taken(|_| true), "abcabc");
        assert_eq!(taken(|item| *item != 'b'), "accacc");
        assert_eq!(taken(|_| false), "abcabc");
    }
}
