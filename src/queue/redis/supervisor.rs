//! Supervisor of a connection: asks it regularly, reconnects it when an answer is overdue, and replaces its client when
//! that does not help or the client's task has ended.
//!
//! A Redis that falls silent (frozen, cut off without a FIN) closes nothing, so that only a missing answer shows it.
//! Every step has a time limit; a client that hangs in a reconnect or a write is dropped with its sockets.

use super::{
    connect::Driver,
    connection::{Connection, Purpose},
};
use crate::{backoff::Backoff, metrics, process::LogLimit, queue::Error};
use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface},
    types::{Value, config::Server},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Longest time without an answer; then the connection is given up.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Time without an answer after which the supervisor sends a PING of its own.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// The same while the connection is being repaired; also the shortest pause between two looks at the last answer.
const ASK_IN_REPAIR: Duration = Duration::from_millis(250);
/// Interval at which overdue answers are looked for.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// Delay of that check from which on this process itself was paused, and answers may wait in its sockets.
const PAUSED: Duration = Duration::from_secs(2);
/// Interval at which the first answer of a repaired connection is looked for.
const ANSWER_CHECK: Duration = Duration::from_millis(50);
/// Time limit of a reconnection; then a new client is built beside it.
const RECONNECT_MAX: Duration = Duration::from_millis(2_500);
/// Pauses between two attempts to build a client: first, longest.
const REBUILD_PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// The task that drives a client, and the client's reconnects.
pub(super) struct Running {
    driver: Driver,
    reconnects: Receiver<Server>,
}

impl Running {
    pub(super) fn new(client: &Client, driver: Driver) -> Self {
        Self { driver, reconnects: client.reconnect_rx() }
    }
}

/// Keeps a connection working until the task is dropped; the client's task ends with it.
pub(super) async fn supervise(connection: Arc<Connection>, mut running: Running) {
    loop {
        until_ill(&connection, &mut running).await;
        let silent_ms = u64::try_from(connection.owes_for().as_millis()).unwrap_or(u64::MAX);
        let has_ended = running.driver.is_finished();
        tracing::warn!(%connection, silent_ms, has_ended, "redis connection does not answer; reconnecting");
        running = repair(&connection, running).await;
        metrics::redis_silent(connection.purpose().name(), connection.number(), Duration::ZERO);
    }
}

/// Returns when the client's task has ended or an answer is overdue.
async fn until_ill(connection: &Connection, running: &mut Running) {
    let overdue = async {
        while connection.owes_for() < SILENCE_MAX {
            let before = Instant::now();
            tokio::time::sleep(CHECK_EVERY).await;
            if before.elapsed() > PAUSED {
                connection.wait_anew();
            }
        }
    };
    let reconnects = &mut running.reconnects;
    let follow = async {
        while !matches!(reconnects.recv().await, Err(RecvError::Closed)) {
            connection.changed();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ended = &mut running.driver => {}
        () = overdue => {}
        () = keep_asking(connection, ASK_EVERY) => {}
        () = follow => {}
    }
}

/// Sends a PING this long after the last answer; never returns. Events are no answers, and do not prove a subscription to
/// all channels.
async fn keep_asking(connection: &Connection, interval: Duration) {
    loop {
        tokio::time::sleep(interval.saturating_sub(connection.unanswered_for()).max(ASK_IN_REPAIR)).await;
        if connection.unanswered_for() < interval {
            continue;
        }
        if let Ok(answer) = connection.ping(SILENCE_MAX).await
            && connection.purpose() == Purpose::Events
            && !matches!(answer, Value::Array(_))
        {
            // It answers, but not in subscriber mode: the subscription is gone.
            connection.changed();
        }
    }
}

/// Returns at the next answer.
async fn until_answered(connection: &Connection) {
    let seen = connection.answers();
    let answered = async {
        let mut check = tokio::time::interval(ANSWER_CHECK);
        while connection.answers() == seen {
            check.tick().await;
            metrics::redis_silent(connection.purpose().name(), connection.number(), connection.owes_for());
        }
    };
    tokio::select! {
        () = answered => {}
        () = keep_asking(connection, ASK_IN_REPAIR) => {}
    }
}

/// Reconnects the client through the discovery of its URL, or replaces it; returns once there is an answer.
async fn repair(connection: &Connection, running: Running) -> Running {
    let repaired = |how: &'static str| {
        metrics::redis_repaired(connection.purpose().name(), how);
        tracing::info!(%connection, how, "redis connection answers again");
    };
    if !running.driver.is_finished() {
        let client = connection.client();
        let force = async {
            // A client without a connection is reconnecting already.
            if client.is_connected() {
                let _seen_by_the_next_answer = client.force_reconnection().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = until_answered(connection) => {
                repaired("reconnected");
                return running;
            }
            () = force => {}
            () = tokio::time::sleep(RECONNECT_MAX) => {}
        }
    }
    let mut pauses = Backoff::new(REBUILD_PAUSES.0, REBUILD_PAUSES.1);
    loop {
        let has_ended = running.driver.is_finished();
        let rebuilt = async {
            let rebuilt = connection.rebuild().await;
            if rebuilt.is_err() {
                pauses.pause().await;
            }
            rebuilt
        };
        tokio::select! {
            () = until_answered(connection), if !has_ended => {
                repaired("reconnected");
                return running;
            }
            rebuilt = rebuilt => match rebuilt {
                Ok((client, driver)) => {
                    let fresh = Running::new(&client, driver);
                    connection.replace(client);
                    repaired("replaced");
                    return fresh;
                }
                // Waiting will not help: the password was changed, or too many programs are connected.
                Err(Error::Unusable(why) | Error::Refused(why)) => {
                    static LIMIT: LogLimit = LogLimit::new();
                    if let Some(omitted) = LIMIT.admit() {
                        tracing::error!(%connection, why, omitted, "no new redis connection; retrying");
                    }
                }
                Err(error) => tracing::debug!(%connection, %error, "no new redis connection yet"),
            }
        }
    }
}
