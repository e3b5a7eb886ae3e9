//! Checks an instance periodically and reports its health to Redis.

use super::{health::Health, quarantine, state::Instance};
use crate::{
    clock::{self, since_boot},
    comfy::Probe,
    dispatcher::attempt::watchdog::REFUSED_MAX,
    fleet::{InstanceReport, Phase, Quarantine},
    metrics,
    queue::Written,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Shortest interval of `/system_stats`, which costs the instance 10 ms.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// Checks at the configured interval, and sooner when something seems wrong.
pub(crate) async fn run(instance: Arc<Instance>) {
    let mut probe: Option<(Probe, Instant)> = None;
    let mut reported: Option<InstanceReport> = None;
    loop {
        let checks = instance.checks();
        let was_alive = instance.health().is_alive();
        let remaining = check(&instance, &mut probe, checks.timeout(), checks.failures_to_down).await;
        let is_alive = instance.health().is_alive();
        if is_alive && !was_alive {
            instance.input_cache.forget_all();
        }
        quarantine::end_after_restart(&instance).await;
        report(&instance, probe.as_ref().map(|(probe, _)| probe), remaining, &mut reported).await;
        instance.wake.claimer.notify_one();
        let delay = instance.health().next_check(checks.interval());
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = instance.wake.health_check.notified() => {}
        }
    }
}

/// Checks once. Returns the length of the instance's queue, or `None` without an answer.
async fn check(
    instance: &Instance,
    probe: &mut Option<(Probe, Instant)>,
    timeout: Duration,
    misses_to_down: u32,
) -> Option<u32> {
    let answer = async {
        let is_fresh = probe.as_ref().is_some_and(|(_, at)| at.elapsed() < PROBE_INTERVAL);
        if !is_fresh || !instance.health().is_alive() {
            *probe = Some((instance.client.probe(timeout).await?, Instant::now()));
        }
        instance.client.queue_remaining(timeout).await
    };
    match answer.await {
        Ok(remaining) => {
            instance.health().answered(remaining == 0);
            Some(remaining)
        }
        Err(error) => {
            let mut health = instance.health();
            health.missed(&error.to_string(), misses_to_down);
            health.missed_at(clock::unix_ms(), error.is_refused_connection());
            None
        }
    }
}

async fn report(
    instance: &Instance,
    probe: Option<&Probe>,
    remaining: Option<u32>,
    reported: &mut Option<InstanceReport>,
) {
    // Only shown to people, and never compared with the clock of Redis.
    let unix_ms = clock::unix_ms();
    let gone_after = instance.shared.parts.settings.gone_after;
    let quarantine = instance.quarantine.get();
    let report = {
        let mut health = instance.health();
        health.set_quarantine(quarantine.as_ref().map(Quarantine::reason));
        if health.update_phase(instance.is_enabled(), since_boot(), unix_ms) {
            log_phase(instance, &health);
        }
        InstanceReport {
            alive: health.is_alive(),
            phase: health.phase(),
            version: probe.map(|probe| probe.version.clone()),
            queue_depth: remaining.unwrap_or(0),
            last_error: health.last_error(),
            device: probe.and_then(|probe| probe.device.clone()),
            catalog: instance.catalog.hash(),
            catalog_read_ms: instance.catalog.read_ms(),
            input_files: instance.catalog.input_files().map(|(hash, _)| hash),
            last_heartbeat_ms: match remaining {
                Some(_) => unix_ms,
                None => reported.as_ref().map_or(0, |report| report.last_heartbeat_ms),
            },
            absence: health.absence(gone_after, REFUSED_MAX),
            foreign_before: instance.activity.foreign_before.load(Ordering::Relaxed),
            history: health.history().to_vec(),
        }
    };
    metrics::instance(instance.target.id.as_str(), report.alive, instance.occupied() > 0, quarantine.is_some());
    let announce = reported.as_ref().is_none_or(|before| before.alive != report.alive || before.phase != report.phase);
    match instance.queue().report_and_read(&instance.lease, &report, announce).await {
        Ok((Written::Fenced, _)) => instance.lifetime.lost.cancel(),
        Ok((Written::Done | Written::Retrying | Written::AlreadyEnded(_) | Written::NotThisAttempt, quarantine)) => {
            *reported = Some(report);
            if instance.quarantine.set(quarantine) {
                // Reported and checked at once.
                instance.wake.health_check.notify_one();
            }
        }
        Err(error) => {
            tracing::debug!(instance = %instance.target.id, %error, "health report not written; retrying at the next check");
        }
    }
}

fn log_phase(instance: &Instance, health: &Health) {
    let (instance, phase, reason) = (&instance.target.id, health.phase(), health.last_error());
    match phase {
        Phase::Up => tracing::info!(%instance, ?phase, "instance is up"),
        Phase::Draining => tracing::info!(%instance, ?phase, "instance is draining"),
        Phase::Suspect => tracing::warn!(%instance, ?phase, reason, "instance is suspect"),
        Phase::Down => tracing::warn!(%instance, ?phase, reason, "instance is down"),
        Phase::Quarantined => {
            let reason = health.history().first().and_then(|change| change.reason.as_deref());
            tracing::warn!(%instance, ?phase, reason, "instance is quarantined");
        }
    }
}
