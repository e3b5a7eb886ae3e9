//! `shuzhiren doctor`: looks at Redis, the store, the instances and the front as the roles would, and says what to do.
//!
//! Look first at [`examine`]; `report` is what comes out. Invariant: nothing is changed but one probe file in the store, which is
//! deleted again, and the server's cache of scripts.

mod files;
mod front;
mod instances;
mod redis;
mod report;

pub use report::{Finding, Level, Report};

use crate::{
    fleet::FleetConfig,
    settings::{RedisSettings, StorageSettings},
    store,
};

/// What to look at.
#[derive(Debug)]
pub struct Plan {
    /// The queue.
    pub redis: RedisSettings,
    /// The files, and what links to them start with.
    pub storage: StorageSettings,
    /// The key of a bucket.
    pub keys: Option<store::Keys>,
    /// The fleet where Redis has none yet.
    pub fleet: Option<FleetConfig>,
    /// A running system to call.
    pub url: Option<String>,
}

/// Looks at everything; what cannot be looked at because something else is away is left out with a word.
pub async fn examine(plan: &Plan) -> Report {
    let mut report = Report::default();
    let diagnosis = Box::pin(redis::examine(&plan.redis, &mut report)).await;
    let installation = diagnosis.as_ref().and_then(|diagnosis| diagnosis.installation.as_deref());
    files::examine(&plan.storage, plan.keys.as_ref(), installation, &mut report).await;
    let is_asked = diagnosis.is_some();
    let known = diagnosis.map(|diagnosis| diagnosis.config).filter(|config| config.version > 0);
    match known.as_ref().or(plan.fleet.as_ref()) {
        Some(config) => instances::examine(config, &mut report).await,
        None if !is_asked => report.push(Finding::skip("instances", "Redis, which knows them, cannot be asked")),
        None => report.push(Finding::warn(
            "instances",
            "no instance is configured",
            "name them with PUT /api/config, on the page, or with --config-file",
        )),
    }
    if let Some(url) = &plan.url {
        front::examine(url, Level::Fail, &mut report).await;
    }
    if let Some(url) = plan.storage.public_url.as_ref().filter(|url| Some(*url) != plan.url.as_ref()) {
        // The name may be known to browsers only.
        front::examine(url, Level::Warn, &mut report).await;
    }
    report
}
