//! `shuzhiren doctor`: checks Redis, the store, the instances and the front as the roles use them, and gives advice.
//!
//! Start with [`examine`]; `report` holds the result. Invariant: nothing is changed, except for one probe file in the
//! store, which is deleted again, and Redis' script cache.

mod files;
mod front;
mod instances;
mod memory;
mod redis;
mod report;

pub use report::{Finding, Level, Report};

use crate::{
    fleet::FleetConfig,
    settings::{RedisSettings, StorageSettings},
    store,
};

/// Settings of the checks.
#[derive(Debug)]
pub struct Plan {
    /// Redis, where the queue is.
    pub redis: RedisSettings,
    /// Retention of ended tasks.
    pub keep_tasks: std::time::Duration,
    /// The store, and the base of links to it.
    pub storage: StorageSettings,
    /// Keys of a bucket.
    pub keys: Option<store::Keys>,
    /// The fleet to check if Redis has none yet.
    pub fleet: Option<FleetConfig>,
    /// URL of a running system to check.
    pub url: Option<String>,
}

/// Runs all checks. A check that depends on something unavailable is reported as skipped.
pub async fn examine(plan: &Plan) -> Report {
    let mut report = Report::default();
    let diagnosis = Box::pin(redis::examine(&plan.redis, plan.keep_tasks, &mut report)).await;
    let installation = diagnosis.as_ref().and_then(|diagnosis| diagnosis.installation.as_deref());
    files::examine(&plan.storage, plan.keys.as_ref(), installation, &mut report).await;
    let is_asked = diagnosis.is_some();
    let known = diagnosis.map(|diagnosis| diagnosis.config).filter(|config| config.version > 0);
    match known.as_ref().or(plan.fleet.as_ref()) {
        Some(config) => instances::examine(config, &mut report).await,
        None if !is_asked => report.push(Finding::skip("instances", "Redis, which holds their config, is unavailable")),
        None => report.push(Finding::warn(
            "instances",
            "no instance is configured",
            "add them with PUT /api/config, on the page, or with --config-file",
        )),
    }
    if let Some(url) = &plan.url {
        front::examine(url, Level::Fail, &mut report).await;
    }
    if let Some(url) = plan.storage.public_url.as_ref().filter(|url| Some(*url) != plan.url.as_ref()) {
        // The name may resolve for browsers only.
        front::examine(url, Level::Warn, &mut report).await;
    }
    report
}
