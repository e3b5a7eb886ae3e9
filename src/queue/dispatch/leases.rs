//! Leases of instances, and the heartbeats of dispatchers from which the fair share is computed.

use crate::{
    queue::{
        Acquired, Error, InFlight, Lease, Queue, Renewed, Result, Token,
        redis::{
            script_call::{Reply, ms},
            scripts::Verb,
        },
    },
    task::{Attempt, InstanceId},
};
use fred::types::Value;
use std::time::Duration;

impl Queue {
    /// Acquires the lease of an instance if it is free or expired. Repeated with the same token it gives the same
    /// answer.
    pub async fn acquire(
        &self,
        instance: &InstanceId,
        dispatcher: &str,
        token: &Token,
        ttl: Duration,
    ) -> Result<Acquired> {
        let args = vec![instance.as_str().into(), dispatcher.into(), token.as_str().into(), ms(ttl)];
        let mut reply = self.call(Verb::Acquire, args).await?;
        match reply.tag() {
            "ours" => in_flight(&mut reply).map(Acquired::Ours),
            "held" => Ok(Acquired::Held(Duration::from_millis(reply.parse()?))),
            _ => Err(reply.unexpected()),
        }
    }

    /// Renews a lease and returns the tasks in flight.
    pub async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed> {
        let args = vec![lease.instance.as_str().into(), lease.token.as_str().into(), ms(ttl)];
        let mut reply = self.call(Verb::Renew, args).await?;
        match reply.tag() {
            "ours" => in_flight(&mut reply).map(Renewed::Ours),
            "lost" => Ok(Renewed::Lost),
            _ => Err(reply.unexpected()),
        }
    }

    /// Releases a lease at once; tasks in flight stay for the next owner. Does nothing if the lease was lost.
    pub async fn release_lease(&self, lease: &Lease) -> Result<()> {
        self.call(Verb::ReleaseLease, vec![lease.instance.as_str().into(), lease.token.as_str().into()]).await.map(drop)
    }

    /// Reads the leases of all instances: (instance, owner, remaining time; zero = free or expired).
    pub async fn leases(&self) -> Result<Vec<(InstanceId, String, Duration)>> {
        let mut reply = self.call(Verb::Leases, Vec::new()).await?;
        let lease = |row: Vec<Value>| {
            let mut texts = row.into_iter().filter_map(Value::into_string);
            let (instance, owner, left) = (texts.next()?, texts.next()?, texts.next()?.parse().ok()?);
            Some((InstanceId::new(instance), owner, Duration::from_millis(left)))
        };
        let rows = reply.lists()?;
        rows.into_iter().map(|row| lease(row).ok_or_else(|| Error::Corrupt("a row of leases.lua".to_owned()))).collect()
    }

    /// Records a dispatcher's heartbeat and returns the ids of all live dispatchers. A `ttl` of zero removes the
    /// dispatcher.
    pub async fn heartbeat(&self, dispatcher: &str, ttl: Duration) -> Result<Vec<String>> {
        let mut reply = self.call(Verb::Heartbeat, vec![dispatcher.into(), ms(ttl)]).await?;
        Ok(reply.list()?.into_iter().filter_map(Value::into_string).collect())
    }
}

/// Parses `{id, attempt, …}, {cancelled id, …}`.
fn in_flight(reply: &mut Reply) -> Result<InFlight> {
    let (slots, cancelled) = (reply.list()?, reply.list()?);
    let mut texts = slots.into_iter().filter_map(Value::into_string);
    let mut tasks = Vec::new();
    while let (Some(id), Some(attempt)) = (texts.next(), texts.next()) {
        let attempt = Attempt::new(attempt.parse().map_err(|_| reply.unexpected())?);
        tasks.push((id.parse().map_err(|_| reply.unexpected())?, attempt));
    }
    let cancelled = cancelled.into_iter().filter_map(Value::into_string);
    let cancelled = cancelled.map(|id| id.parse().map_err(|_| reply.unexpected())).collect::<Result<_>>()?;
    Ok(InFlight { tasks, cancelled })
}
