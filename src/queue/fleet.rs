//! The fleet in Redis: config, disabled instances, and the reports of instances.

use super::{
    ConfigWritten, Error, Lease, Queue, Result, Written,
    dispatch::attempts::written,
    redis::{
        script_call::{ScriptCaller, list, switch},
        scripts::Verb,
    },
};
use crate::{
    fleet::{FleetConfig, InstanceReport, InstanceStatus, InstanceView, Quarantine},
    task::InstanceId,
};
use fred::types::Value;
use std::collections::BTreeSet;

impl Queue {
    /// Reads the config in force; the default (no servers, version 0) if none was ever set.
    pub async fn config(&self) -> Result<FleetConfig> {
        config_of(&self.inner.caller).await
    }

    /// Reads the config if its version is not `known`.
    pub async fn config_unless(&self, known: u64) -> Result<Option<FleetConfig>> {
        let args = vec![self.root().config().into(), "version".into()];
        let version: Option<u64> = self.inner.caller.command("HGET", args).await?;
        if version.unwrap_or_default() == known {
            return Ok(None);
        }
        self.config().await.map(Some)
    }

    /// Reads the disabled instances.
    pub async fn disabled(&self) -> Result<BTreeSet<InstanceId>> {
        let args = vec![self.root().disabled().into()];
        let ids: Vec<String> = self.inner.caller.command("SMEMBERS", args).await?;
        Ok(ids.into_iter().map(InstanceId::new).collect())
    }

    /// Replaces the config if its version is `expected` (`None` = any) and publishes an event.
    pub async fn put_config(&self, config: &FleetConfig, expected: Option<u64>) -> Result<ConfigWritten> {
        let document =
            serde_json::to_string(config).map_err(|error| Error::Corrupt(format!("fleet config: {error}")))?;
        let expected = expected.map(|version| version.to_string()).unwrap_or_default();
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let args = vec![document.into(), expected.into(), nonce.into()];
        let mut reply = self.call_durably(Verb::ConfigPut, args).await?;
        let version = reply.parse()?;
        match reply.tag() {
            "written" => Ok(ConfigWritten::Written(FleetConfig { version, ..config.clone() })),
            "outdated" => Ok(ConfigWritten::Outdated(version)),
            _ => Err(reply.unexpected()),
        }
    }

    /// Enables or disables an instance and publishes an event. Survives restarts. A disabled instance gets no tasks.
    pub async fn set_enabled(&self, instance: &InstanceId, enabled: bool) -> Result<()> {
        self.call_durably(Verb::Enable, vec![instance.as_str().into(), switch(enabled)]).await.map(drop)
    }

    /// Reads the status of each instance, in the order given; `None` = never seen and not disabled.
    pub async fn instances(&self, ids: &[InstanceId]) -> Result<Vec<Option<InstanceStatus>>> {
        let joined = ids.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(",");
        let mut reply = self.call(Verb::Instances, vec![joined.into()]).await?;
        let rows = reply.lists()?;
        if rows.len() != ids.len() {
            return Err(reply.unexpected());
        }
        ids.iter().zip(rows).map(|(id, row)| status(id, row)).collect()
    }

    /// Returns every instance of the config with its state, in the order of the config.
    pub async fn instance_views(&self) -> Result<Vec<InstanceView>> {
        let targets = self.config().await?.targets();
        let ids: Vec<InstanceId> = targets.iter().map(|target| target.id.clone()).collect();
        let statuses = self.instances(&ids).await?;
        Ok(targets.iter().zip(&statuses).map(|(target, status)| InstanceView::new(target, status.as_ref())).collect())
    }

    /// Stores the report of an instance, and publishes an event if `announce`. If the instance is alive, its heartbeat
    /// time becomes the time of Redis.
    pub async fn report(&self, lease: &Lease, report: &InstanceReport, announce: bool) -> Result<Written> {
        self.report_and_read(lease, report, announce).await.map(|(written, _)| written)
    }

    /// Like [`Queue::report`]. Returns the instance's quarantine, too.
    pub async fn report_and_read(
        &self,
        lease: &Lease,
        report: &InstanceReport,
        announce: bool,
    ) -> Result<(Written, Option<Quarantine>)> {
        let json = serde_json::to_string(report).map_err(|error| Error::Corrupt(format!("report: {error}")))?;
        let args = vec![
            lease.instance.as_str().into(),
            lease.token.as_str().into(),
            json.into(),
            switch(report.alive),
            switch(announce),
        ];
        let mut reply = self.call(Verb::ReportInstance, args).await?;
        let quarantine = match reply.tag() {
            "done" => serde_json::from_str(&reply.parse::<String>()?).map_err(|_| reply.unexpected())?,
            _ => None,
        };
        Ok((written(reply)?, quarantine))
    }

    /// Ends the quarantine of an instance: for the operator without a lease, else for its owner. Returns whether it was
    /// in one.
    pub async fn end_quarantine(&self, instance: &InstanceId, lease: Option<&Lease>) -> Result<bool> {
        let token = lease.map(|lease| lease.token.as_str()).unwrap_or_default();
        let reply = self.call_durably(Verb::EndQuarantine, vec![instance.as_str().into(), token.into()]).await?;
        Ok(reply.tag() == "done")
    }
}

pub(super) async fn config_of(caller: &ScriptCaller) -> Result<FleetConfig> {
    let args = vec![caller.root.config().into(), "document".into(), "version".into()];
    let found: Vec<Option<String>> = caller.command("HMGET", args).await?;
    let [Some(document), Some(version)] = found.as_slice() else { return Ok(FleetConfig::default()) };
    let mut config: FleetConfig =
        serde_json::from_str(document).map_err(|error| Error::Corrupt(format!("fleet config: {error}")))?;
    config.version = version.parse().map_err(|_| Error::Corrupt("version of the fleet config".to_owned()))?;
    Ok(config)
}

/// Parses `{}` or `{enabled, leased, report, {task, …}, quarantine}`.
fn status(id: &InstanceId, row: Vec<Value>) -> Result<Option<InstanceStatus>> {
    if row.is_empty() {
        return Ok(None);
    }
    let corrupt = || Error::Corrupt(format!("status of instance {id}"));
    let mut row = row.into_iter();
    let mut text = || row.next().and_then(Value::into_string).ok_or_else(corrupt);
    let (enabled, leased, report) = (text()? == "1", text()? == "1", text()?);
    let tasks = row.next().and_then(list).ok_or_else(corrupt)?;
    let quarantine = row.next().and_then(Value::into_string).ok_or_else(corrupt)?;
    let tasks = tasks.into_iter().map(|task| task.into_string().and_then(|id| id.parse().ok()).ok_or_else(corrupt));
    Ok(Some(InstanceStatus {
        id: id.clone(),
        enabled,
        leased,
        tasks: tasks.collect::<Result<_>>()?,
        report: serde_json::from_str(&report).map_err(|_| corrupt())?,
        quarantine: serde_json::from_str(&quarantine).map_err(|_| corrupt())?,
    }))
}
