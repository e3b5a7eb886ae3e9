//! The task hash: reads Redis' fields as a [`Task`], and makes the [`Task`] that a [`NewTask`] becomes.

use crate::{
    queue::{Error, Result},
    task::{Attempt, AttemptRecord, InstanceId, NewTask, Priority, Progress, Task, TaskFacts, TaskId, TaskState},
};
use fred::types::Value;
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, HashMap};

/// Fields of one task hash.
pub(crate) struct Fields {
    id: String,
    fields: HashMap<String, String>,
}

impl Fields {
    /// Reads the flat list `[name, value, …]` of HGETALL; `None` if the hash does not exist.
    pub(crate) fn new(id: impl ToString, flat: Vec<Value>) -> Option<Self> {
        let mut fields = HashMap::with_capacity(flat.len() / 2);
        let mut items = flat.into_iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            fields.insert(name.into_string()?, value.into_string()?);
        }
        (!fields.is_empty()).then(|| Self { id: id.to_string(), fields })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn corrupt(&self, name: &str) -> Error {
        Error::Corrupt(format!("field {name} of task {}", self.id))
    }

    fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.text(name).map(|text| text.parse().map_err(|_| self.corrupt(name))).transpose()
    }

    fn required<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        self.parse(name)?.ok_or_else(|| self.corrupt(name))
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        self.text(name).map(|text| serde_json::from_str(text).map_err(|_| self.corrupt(name))).transpose()
    }

    /// Returns the facts fixed at acceptance.
    pub(crate) fn facts(&self) -> Result<TaskFacts> {
        Ok(self.json("facts")?.unwrap_or_default())
    }

    /// Returns the facts with the instances that are eligible now.
    fn facts_now(&self) -> Result<TaskFacts> {
        let mut facts = self.facts()?;
        if self.text("only").is_some() {
            facts.eligible = self.instances("only");
        }
        Ok(facts)
    }

    /// Reads a list of instances `,a,b,`.
    fn instances(&self, name: &str) -> Vec<InstanceId> {
        let texts = self.text(name).unwrap_or_default().split(',');
        texts.filter(|id| !id.is_empty()).map(InstanceId::new).collect()
    }

    /// Reads the preferred instances, `<Unix ms>:,a,b,`.
    fn preferred(&self) -> Option<(u64, Vec<InstanceId>)> {
        let (till, ids) = self.text("prefers")?.split_once(':')?;
        let ids = ids.split(',').filter(|id| !id.is_empty()).map(InstanceId::new).collect();
        Some((till.parse().ok()?, ids))
    }

    /// Returns the owner, and the time from the moment it was queued last to the claim.
    pub(crate) fn owner_and_wait(&self) -> Result<(String, std::time::Duration)> {
        let claimed: u64 = self.required("claimed")?;
        let from = self.parse("queued")?.map_or_else(|| self.required("created"), Ok)?;
        Ok((self.required("owner")?, std::time::Duration::from_millis(claimed.saturating_sub(from))))
    }

    /// Returns the keys for API nodes, encrypted.
    pub(crate) fn keys(&self) -> Option<String> {
        self.text("keys").map(str::to_owned)
    }

    /// Returns the highest attempt number allowed: `max_attempts` plus the attempts that were not counted.
    pub(crate) fn attempts_max(&self) -> Result<u32> {
        Ok(self.required::<u32>("max_attempts")?.saturating_add(self.parse("uncounted")?.unwrap_or(0)))
    }

    /// Reads the whole task.
    pub(crate) fn task(&self) -> Result<Task> {
        let state: TaskState = self.required("state")?;
        let lane = self.required("lane")?;
        let attempt = Attempt::new(self.required("attempt")?);
        let instance = self.text("instance").map(InstanceId::new);
        Ok(Task {
            id: self.id.parse().map_err(|_| self.corrupt("id"))?,
            owner: self.fields.get("owner").cloned().unwrap_or_default(),
            state,
            priority: Priority::from_lane(lane).ok_or_else(|| self.corrupt("lane"))?,
            attempt,
            max_attempts: self.required("max_attempts")?,
            version: self.required("version")?,
            created_ms: self.required("created")?,
            updated_ms: self.required("updated")?,
            started_ms: self.parse("started")?,
            finished_ms: self.parse("finished")?,
            expires_ms: self.parse("expires")?,
            retry_at_ms: self.parse("retry_at")?,
            start_by_ms: self.parse("start_by")?,
            progress: self.json("progress")?.unwrap_or_default(),
            outputs: self.json("outputs")?.unwrap_or_default(),
            outputs_dropped: 0,
            output_warnings: self.json("output_warnings")?.unwrap_or_default(),
            gone: self.fields.keys().filter_map(|name| name.strip_prefix("gone:")?.parse().ok()).collect(),
            failure: self.json("failure")?,
            facts: self.facts_now()?,
            attempts: self.history(state, attempt, instance.as_ref())?,
            avoids: self.instances("excluded"),
            prefers: self.preferred(),
            revived: self.parse("revived")?.unwrap_or(0),
            revived_ms: self.parse("revived_at")?,
            cancel_pending: self.text("cancel_pending").is_some(),
            instance,
        })
    }

    /// Reads the ended attempts (one JSON object a line) and adds the current one.
    fn history(&self, state: TaskState, attempt: Attempt, instance: Option<&InstanceId>) -> Result<Vec<AttemptRecord>> {
        let lines = self.text("attempts").unwrap_or_default().lines();
        let mut records: Vec<AttemptRecord> = lines
            .map(|line| serde_json::from_str(line).map_err(|_| self.corrupt("attempts")))
            .collect::<Result<_>>()?;
        if let (TaskState::Claimed | TaskState::Running, Some(instance)) = (state, instance) {
            let instance_id = instance.clone();
            let started_ms = self.required("claimed")?;
            records.push(AttemptRecord {
                attempt,
                instance_id,
                started_ms,
                ended_ms: None,
                outcome: None,
                error: None,
            });
        }
        Ok(records)
    }

    /// Whether `attempt` is the current attempt and has not ended.
    pub(crate) fn is_active(&self, attempt: Attempt) -> Result<bool> {
        let state: TaskState = self.required("state")?;
        let is_active = matches!(state, TaskState::Claimed | TaskState::Running);
        Ok(is_active && self.required::<u32>("attempt")? == attempt.get())
    }
}

/// Returns the task as `enqueue.lua` has just written it.
pub(crate) fn created(new: &NewTask, now_ms: u64) -> Task {
    Task {
        id: new.id,
        owner: new.owner.clone(),
        state: TaskState::Waiting,
        priority: new.priority,
        attempt: Attempt::default(),
        max_attempts: new.max_attempts,
        version: 1,
        instance: None,
        created_ms: now_ms,
        updated_ms: now_ms,
        started_ms: None,
        finished_ms: None,
        expires_ms: None,
        retry_at_ms: None,
        start_by_ms: new.start_by_ms,
        progress: Progress::default(),
        outputs: Vec::new(),
        outputs_dropped: 0,
        output_warnings: Vec::new(),
        gone: BTreeSet::new(),
        failure: None,
        facts: new.facts.clone(),
        attempts: Vec::new(),
        avoids: Vec::new(),
        prefers: None,
        revived: 0,
        revived_ms: None,
        cancel_pending: false,
    }
}

/// Joins ids by commas, the form in which scripts take lists.
pub(crate) fn comma_list(ids: &[TaskId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
