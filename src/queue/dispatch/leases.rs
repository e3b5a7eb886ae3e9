//! Leases of instances, and the heartbeats of dispatchers from which the fair share is computed.

use crate::{
    queue::{
        Acquired, Error, InFlight, Lease, Queue, Renewed, Result, Token,
        redis::{
            script_call::{Reply, ms, number, switch},
            scripts::Verb,
        },
    },
    task::{Attempt, InstanceId},
};
use fred::types::Value;
use std::{collections::BTreeSet, time::Duration};

/// Number of arguments that `renew.lua` reads for each lease.
const RENEW_FIELDS: u64 = 2;

/// Answer of [`Queue::leases`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    /// Number of instances that have, or had, a lease.
    pub count: usize,
    /// Released and expired leases, with the last owner of an expired one; empty = released.
    pub free: Vec<(InstanceId, String)>,
    /// All instances that have, or had, a lease, if they were asked for.
    pub instances: BTreeSet<InstanceId>,
}

/// Answer of [`Queue::work`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Number of tasks in the lanes.
    pub waiting: u64,
    /// Tasks restricted to some instances.
    pub restricted: Restricted,
}

/// The restricted tasks as a whole; it differs after every new restriction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restricted {
    /// Number of tasks.
    pub count: u64,
    /// Time of the last restriction, Unix ms.
    pub newest_ms: Option<u64>,
}

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
        let renewed = self.renew_many(&[lease], ttl).await?.pop();
        renewed.ok_or_else(|| Error::Corrupt("renew.lua: no reply".to_owned()))?
    }

    /// Renews several leases in one call. Returns an answer for each, in order; one may fail without the others.
    pub async fn renew_many(&self, leases: &[&Lease], ttl: Duration) -> Result<Vec<Result<Renewed>>> {
        let mut args = vec![ms(ttl), number(RENEW_FIELDS)];
        args.extend(leases.iter().flat_map(|lease| [lease.instance.as_str().into(), lease.token.as_str().into()]));
        let mut reply = self.call(Verb::Renew, args).await?;
        let replies = reply.independent_replies()?;
        if replies.len() != leases.len() {
            return Err(reply.unexpected());
        }
        let renewed = |mut reply: Reply| match reply.tag() {
            "ours" => in_flight(&mut reply).map(Renewed::Ours),
            "lost" => Ok(Renewed::Lost),
            _ => Err(reply.unexpected()),
        };
        Ok(replies.into_iter().map(|reply| reply.and_then(renewed)).collect())
    }

    /// Releases a lease at once; tasks in flight stay for the next owner. Does nothing if the lease was lost.
    pub async fn release_lease(&self, lease: &Lease) -> Result<()> {
        self.call(Verb::ReleaseLease, vec![lease.instance.as_str().into(), lease.token.as_str().into()]).await.map(drop)
    }

    /// Reads the leases that may be taken. With `all`, also the instances of all leases.
    pub async fn leases(&self, all: bool) -> Result<Leases> {
        let mut reply = self.call(Verb::Leases, vec![switch(all)]).await?;
        let count = reply.parse()?;
        let (free, instances) = (reply.list()?, reply.list()?);
        let mut texts = free.into_iter().filter_map(Value::into_string);
        let mut leases = Leases { count, ..Leases::default() };
        while let (Some(instance), Some(owner)) = (texts.next(), texts.next()) {
            leases.free.push((InstanceId::new(instance), owner));
        }
        leases.instances = instances.into_iter().filter_map(Value::into_string).map(InstanceId::new).collect();
        Ok(leases)
    }

    /// Reads what idle claimers and eligibility checks wait for.
    pub async fn work(&self) -> Result<Work> {
        let mut reply = self.call(Verb::Work, Vec::new()).await?;
        let (waiting, count) = (reply.parse()?, reply.parse()?);
        let restricted = Restricted { count, newest_ms: reply.parse::<String>()?.parse().ok() };
        Ok(Work { waiting, restricted })
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
