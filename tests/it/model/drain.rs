//! The end of a run: one healthy dispatcher ends every task, and no keys are left.

use super::{
    KEEP,
    actors::{Dispatcher, INSTANCES, Model, TTL},
    truth::Violation,
};
use crate::support::audit::dump;
use shuzhiren::{
    queue::{Acquired, Token},
    task::InstanceId,
};
use std::time::Duration;

impl Model<'_> {
    /// Leaves one healthy dispatcher, which must be able to end every task and free every slot.
    pub async fn drain(&mut self) -> Result<String, Violation> {
        self.world.advance(TTL);
        self.dispatchers = vec![Dispatcher { name: "last".to_owned(), ..Dispatcher::default() }];
        for round in 0..10_000 {
            self.world.advance(Duration::from_secs(6));
            self.world.queue.run_janitor_once().await.map_err(|error| error.to_string())?;
            self.record_endings_of_the_janitor().await?;
            self.drain_round().await?;
            let counts = self.world.queue.counts().await.map_err(|error| error.to_string())?;
            let busy = (0..INSTANCES).any(|number| self.slots(&InstanceId::new(format!("i{number}"))) > 0);
            if counts.pending + counts.running == 0 && !busy {
                self.audit()?;
                return self.check_collection(round).await;
            }
        }
        Err("a healthy dispatcher cannot end the remaining tasks".to_owned())
    }

    pub(super) async fn drain_round(&mut self) -> Result<(), Violation> {
        for number in 0..INSTANCES {
            let instance = InstanceId::new(format!("i{number}"));
            if !self.dispatchers[0].leases.contains_key(&instance) {
                let token = Token::new();
                let answer = self.world.queue.acquire(&instance, "last", &token, TTL).await;
                if let Acquired::Ours(in_flight) = answer.map_err(|error| error.to_string())? {
                    self.truth.acquired(&instance, token.as_str(), self.world.now_ms(), TTL.as_millis() as u64)?;
                    self.adopt(0, &instance, token, in_flight);
                }
            }
        }
        for _ in 0..INSTANCES * 2 {
            self.claim(0).await?;
            self.settle(0).await?;
        }
        self.renew(0).await?;
        for _ in 0..INSTANCES * 2 {
            self.release(0).await?;
        }
        Ok(())
    }

    /// Checks that long afterwards no keys of tasks are left.
    pub(super) async fn check_collection(&mut self, rounds: usize) -> Result<String, Violation> {
        let unended = self.truth.tasks.values().filter(|ending| ending.is_none()).count();
        if unended > 0 {
            return Err(format!("{unended} tasks have ended but no caller got that answer"));
        }
        self.world.advance(KEEP);
        self.world.queue.run_janitor_once().await.map_err(|error| error.to_string())?;
        let left: Vec<String> = dump(self.world)
            .names()
            .into_iter()
            .filter(|key| {
                ["task:", "payload:", "index:", "wait:", "expiry", "delayed"].iter().any(|of| key.starts_with(of))
            })
            .collect();
        if !left.is_empty() {
            return Err(format!("left after collection: {left:?}"));
        }
        Ok(format!("{} tasks, {} claims, drained in {rounds} rounds", self.truth.tasks.len(), self.claims))
    }
}
