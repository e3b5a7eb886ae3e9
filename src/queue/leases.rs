//! The right to act for an instance: leases, and the heartbeats that make their shares fair.

use super::{
    Acquired, Error, InFlight, Lease, Queue, Renewed, Result, Token,
    call::{Reply, ms},
    scripts::Verb,
};
use crate::task::{Attempt, InstanceId};
use fred::types::Value;
use std::time::Duration;

impl Queue {
    /// Takes the lease of an instance if it is free or has run out; the same token again gives the same answer.
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

    /// Prolongs a lease and tells what is in flight.
    pub async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Renewed> {
        let args = vec![lease.instance.as_str().into(), lease.token.as_str().into(), ms(ttl)];
        let mut reply = self.call(Verb::Renew, args).await?;
        match reply.tag() {
            "ours" => in_flight(&mut reply).map(Renewed::Ours),
            "lost" => Ok(Renewed::Lost),
            _ => Err(reply.unexpected()),
        }
    }

    /// Gives a lease back at once; what is in flight stays for the next owner. One that was lost is left alone.
    pub async fn yield_lease(&self, lease: &Lease) -> Result<()> {
        self.call(Verb::Yield, vec![lease.instance.as_str().into(), lease.token.as_str().into()]).await.map(drop)
    }

    /// Leases of all instances: (instance, owner, remaining; zero = free or run out).
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

    /// Heartbeat of a dispatcher; gives the ids of all live ones, for the fair share. A `ttl` of zero says that it leaves.
    pub async fn heartbeat(&self, dispatcher: &str, ttl: Duration) -> Result<Vec<String>> {
        let mut reply = self.call(Verb::Heartbeat, vec![dispatcher.into(), ms(ttl)]).await?;
        Ok(reply.list()?.into_iter().filter_map(Value::into_string).collect())
    }
}

/// `{id, attempt, …}, {cancelled id, …}`.
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
