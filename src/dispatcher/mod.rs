//! Drives ComfyUI: one actor per leased instance; any number of dispatchers share the fleet.
//!
//! A process leases its fair share of the instances ([`lease_loop`]). For each of them an actor
//! ([`actor`](instance::actor)) renews the lease ([`lease_renewal`](leasing::lease_renewal)), checks the health
//! ([`health_check`](instance::health_check)), reads the socket ([`socket_events`](instance::socket_events),
//! [`previews`](instance::previews)), claims tasks ([`claimer`](instance::claimer)), runs attempts
//! ([`run`](attempt::run)) and traces them ([`spans`](attempt::spans)). Prompts that arrive after their attempt has
//! ended are cancelled ([`orphan_prompts`](instance::orphan_prompts)). Decisions are pure:
//! [`fair_share`](leasing::fair_share), [`takeover_grace`](leasing::takeover_grace), [`health`](instance::health),
//! `attempt/outputs/min_speed`.
//!
//! Invariants: every write of an attempt goes through a fenced verb of the queue. Nothing is submitted, interrupted or
//! deleted at an instance unless the lease was valid a moment ago ([`lease_clock`](leasing::lease_clock)).
//!
//! # Guarantees
//!
//! * A prompt that may still run somewhere is never submitted again while its instance answers. An instance that does
//!   not answer for longer than `--gone-after` counts as dead, and one that refuses connections, because its process is
//!   gone, after 10 s: its tasks run elsewhere. If it comes back with its queue within an hour, the prompts of those
//!   tasks are cancelled.
//! * Outputs that cannot be fetched are left out with a warning; if no result is left, they are made once more, elsewhere
//!   and without caches. Nothing but unusable output names, a history entry of more than 8 MiB (besides the graph), and
//!   more than 4,096 outputs fail the task at once.
//! * A prompt that has executed and gets no entry in the history within a minute ends as it was announced; its instance
//!   gets no tasks until it is restarted.
//! * A dispatcher stays below 256 MB of memory with any bytes that one instance sends (limits: `comfy/limits`).
//! * An instance that answers its checks but fails three runs in a row is paused for 1 s, then 2, 4 … 60 s, until a run
//!   succeeds (`phase` is `suspect`, `lastError` has the reason).
//! * A download of an output that breaks off is retried; one below 64 KiB/s over six HTTP timeouts fails.
//! * An input file is uploaded once per start of an instance, as `fleet/<hash>`, and again if the instance has lost it.
//! * A model or node that is added to an instance is known after its next start or within minutes; waiting tasks that
//!   need it can run there within seconds from then.
//! * ComfyUI 0.3 and later are supported; `/api/jobs` is used where it exists.
//!
//! # Handling of ComfyUI's behaviour
//!
//! Points of the protocol's §17; tests of the same numbers are in `tests/it/dispatcher`: 1 own prompt ids:
//! `TaskId::prompt_id` · 2 recorded before POST, never posted twice blindly: [`submit`](attempt::submit) · 3 registered
//! before POST: `Instance::spawn` · 4 REST is the truth: [`follow`](attempt::follow) · 5 verdict from history:
//! `comfy/history` · 6 lost prompts: [`follow`](attempt::follow), [`settle`](attempt::settle) · 7 partly accepted:
//! `comfy/submit` · 8 sanitised: `graph/`, and a body of our own: `comfy/submit` · 9 prefixes and nonces:
//! `Workflow::isolate` · 10 outputs at once: [`outputs`](attempt::outputs) · 11 depth: `--slots` · 12 cancel until
//! gone: [`cancel_prompt`](attempt::cancel_prompt) · 13 one socket, always drained:
//! [`socket_events`](instance::socket_events), `comfy/socket` · 14 watchdogs: [`watchdog`](attempt::watchdog),
//! [`health`](instance::health) · 15 tolerant parsing: `comfy/python_json` · 16 progress: `comfy/socket/text_frame`,
//! `comfy::ProgressTracker` · 17 uploads by content: [`inputs`](attempt::inputs) · 18 catalog, read once per start:
//! [`catalog_refresh`](instance::catalog_refresh); no `Origin`: `comfy/http` · 19 probe: `comfy/system_stats` · 20 history cleared, 21
//! out of memory: [`settle`](attempt::settle) · 22 instances reachable by dispatchers only: `deploy/README.md`.

mod attempt;
mod background_tasks;
mod instance;
mod keep_bytes;
mod leasing;
mod node_keys;
mod orphan_files;
mod progress_writer;
mod redis_retry;
mod shared;

pub use shared::Parts;

use crate::process::Readiness;
use instance::registry::Registry;
use leasing::lease_loop;
use shared::Shared;
use std::sync::Arc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Dispatches until `stop`, then hands over every instance and returns. Running prompts continue at their instances.
pub async fn run(parts: Parts, readiness: Readiness, stop: CancellationToken) {
    let shared = Arc::new(Shared::new(parts));
    let instances = Arc::new(Registry::default());
    // The services outlive the actors, which need cancels and wake-ups until the end of the hand-over.
    let end = CancellationToken::new();
    let tracker = TaskTracker::new();
    tracker.spawn(end.clone().run_until_cancelled_owned(background_tasks::wake_claimers(shared.clone())));
    tracker.spawn(
        end.clone().run_until_cancelled_owned(background_tasks::follow_events(shared.clone(), instances.clone())),
    );
    tracker.spawn(end.clone().run_until_cancelled_owned(background_tasks::delete_unreferenced(shared.clone())));
    tracker.spawn(end.clone().run_until_cancelled_owned(background_tasks::write_progress(shared.clone())));
    tracker.spawn(end.clone().run_until_cancelled_owned(background_tasks::renew_leases(shared.clone())));
    tracker.spawn(end.clone().run_until_cancelled_owned(background_tasks::poll_work(shared.clone())));
    let orphans = orphan_files::run(shared.parts.queue.clone(), shared.parts.store.clone(), shared.name.clone());
    tracker.spawn(end.clone().run_until_cancelled_owned(orphans));
    let parts = &shared.parts;
    let room = keep_bytes::run(parts.queue.clone(), parts.store.clone(), parts.keep_bytes, shared.name.clone());
    tracker.spawn(end.clone().run_until_cancelled_owned(room));
    tracker.spawn(shared.parts.store.clone().watch_disk(end.clone()));
    let janitor = shared.parts.queue.clone();
    let janitor_stop = end.clone();
    let retention = shared.parts.retention;
    tracker.spawn(async move { janitor.run_janitor(retention, janitor_stop).await });
    tracing::info!(dispatcher = shared.name, "dispatcher started");
    lease_loop::run(shared.clone(), instances, readiness, stop).await;
    end.cancel();
    tracker.close();
    tracker.wait().await;
    tracing::info!(dispatcher = shared.name, "dispatcher stopped; all instances handed over");
}
