//! Services for a running node: report progress, sleep, check for interrupts, save files.

use crate::{
    clock,
    sim::{
        engine::{
            process::Process,
            progress::{NodeIds, Progress},
            prompt_heap::QueueItem,
        },
        files::SavePath,
        lock::lock,
        nodes::{inputs::Inputs, value::NodeFailure},
        python,
    },
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Context of a running prompt, used by its nodes.
#[derive(Debug)]
pub(crate) struct Context {
    pub process: Arc<Process>,
    pub item: QueueItem,
    pub client: Option<String>,
    pub progress: Mutex<Progress>,
}

impl Context {
    /// Sends a message to the prompt's client, if it has one.
    pub(crate) fn send_to_client(&self, kind: &str, data: &Value) {
        if self.client.is_some() {
            self.process.hub.send(self.client.as_deref(), kind, data);
        }
    }

    /// Sends a message to the prompt's client, or to all clients if it has none.
    pub(crate) fn send_or_broadcast(&self, kind: &str, data: &Value) {
        self.process.hub.send(self.client.as_deref(), kind, data);
    }

    /// Sends a message to the prompt's client (`to_all`: to all clients if it has none) and records it for the history.
    pub(crate) fn emit(&self, messages: &mut Vec<Value>, kind: &str, mut data: Value, to_all: bool) {
        data["timestamp"] = clock::unix_ms().into();
        if self.client.is_some() || to_all {
            self.process.hub.send(self.client.as_deref(), kind, &data);
        }
        messages.push(json!([kind, data]));
    }

    fn send_state(&self, progress: &Progress) {
        self.process.hub.send_text(self.client.as_deref(), "progress_state", &progress.json(&self.item.id));
    }

    pub(crate) fn start(&self, ids: &NodeIds) {
        let mut progress = lock(&self.progress);
        progress.start(&self.item.id, ids);
        self.send_state(&progress);
    }

    pub(crate) fn finish(&self, ids: &NodeIds) {
        let mut progress = lock(&self.progress);
        progress.finish(&self.item.id, ids);
        self.send_state(&progress);
    }

    /// Reports a step of a node's progress bar, with an optional preview (format 1 JPEG, 2 PNG).
    pub(crate) fn step(
        &self,
        ids: &NodeIds,
        value: u64,
        max: u64,
        preview: Option<(u32, &[u8])>,
    ) -> Result<(), NodeFailure> {
        self.check_interrupt()?;
        {
            let mut progress = lock(&self.progress);
            progress.update(&self.item.id, ids, value, max);
            self.send_state(&progress);
        }
        let with_metadata = self.process.hub.wants_metadata(self.client.as_deref());
        if let (Some((format, bytes)), true) = (preview, with_metadata) {
            let about = json!({
                "node_id": ids.node,
                "prompt_id": self.item.id,
                "display_node_id": ids.display,
                "parent_node_id": ids.parent,
                "real_node_id": ids.display,
                "image_type": if format == 2 { "image/png" } else { "image/jpeg" },
            });
            let about = python::dumps(&about);
            let length = u32::try_from(about.len()).unwrap_or(0).to_be_bytes();
            self.process.hub.send_binary(self.client.as_deref(), 4, &[&length, about.as_bytes(), bytes].concat());
        }
        self.send_or_broadcast(
            "progress",
            &json!({"value": value, "max": max, "prompt_id": self.item.id, "node": ids.node}),
        );
        if let (Some((format, bytes)), false) = (preview, with_metadata) {
            self.process.hub.send_binary(self.client.as_deref(), 1, &[&format.to_be_bytes(), bytes].concat());
        }
        Ok(())
    }

    /// Fails if the interrupt flag is set, and clears it.
    pub(crate) fn check_interrupt(&self) -> Result<(), NodeFailure> {
        if lock(&self.process.instance.faults).interrupt_ignored || !*self.process.interrupt.borrow() {
            return Ok(());
        }
        self.process.interrupt.send_replace(false);
        Err(NodeFailure::Interrupted)
    }

    /// Sleeps until the time is over or the prompt is interrupted.
    pub(crate) async fn wait(&self, seconds: f64) -> Result<(), NodeFailure> {
        self.check_interrupt()?;
        let seconds = (seconds / self.process.instance.options.speed).clamp(0.0, 1e6);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut flag = self.process.interrupt.subscribe();
        let is_interrupted = tokio::select! {
            () = tokio::time::sleep_until(end), if seconds > 0.0 => false,
            _ = flag.wait_for(|raised| *raised), if seconds > 0.0 => true,
            else => false,
        };
        if is_interrupted && lock(&self.process.instance.faults).interrupt_ignored {
            tokio::time::sleep_until(end).await;
        }
        self.wait_until_running().await;
        self.check_interrupt()
    }

    /// Sleeps without checking for interrupts.
    pub(crate) async fn sleep(&self, seconds: f64) {
        self.process.pause(seconds).await;
        self.wait_until_running().await;
    }

    /// Waits while the instance is frozen; forever if its worker is dead.
    pub(crate) async fn wait_until_running(&self) {
        self.process.gate.pass().await;
        if self.process.zombie.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn save_path(
        &self,
        inputs: &Inputs,
        kind: &'static str,
        prefix: &str,
        size: (u32, u32),
    ) -> Result<SavePath, NodeFailure> {
        let prefix = if kind == "temp" { prefix.to_owned() } else { inputs.text("filename_prefix", prefix) };
        self.process
            .instance
            .files
            .save_path(&prefix, kind, size.0, size.1)
            .map_err(|why| NodeFailure::error("Exception", why))
    }

    /// Writes `NAME_00001_.EXT` and returns its `{filename,subfolder,type}`.
    pub(crate) fn save(
        &self,
        slot: &SavePath,
        at: u32,
        kind: &'static str,
        extension: &str,
        content: Vec<u8>,
    ) -> Result<Value, NodeFailure> {
        let counter = slot.counter.saturating_add(u64::from(at));
        let name = slot.name.replace("%batch_num%", &at.to_string());
        let filename = format!("{name}_{counter:05}_.{extension}");
        let key = (kind, slot.subfolder.clone(), filename.clone());
        self.process
            .instance
            .files
            .put(key, content.into())
            .map_err(|error| NodeFailure::error("OSError", error.to_string()))?;
        Ok(json!({"filename": filename, "subfolder": slot.subfolder, "type": kind}))
    }
}
