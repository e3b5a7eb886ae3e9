//! Switches that make an instance misbehave. `POST /sim/faults` sets some, `GET` returns all, `DELETE` clears all.
//!
//! A counter ([`Times`]) is the number of times that a fault strikes, or `true` for always. Switches survive a restart
//! of the instance, because a fault belongs to the test, not to the simulated process.

use serde::{Deserialize, Serialize};

/// Number of times a fault strikes: `3`, or `true` for always, `false` or `0` for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    /// Never (any more).
    #[default]
    Never,
    /// The next N times.
    Next(u32),
    /// Until cleared.
    Always,
}

impl Times {
    /// Returns true if the fault strikes now, and counts down.
    pub fn strike(&mut self) -> bool {
        match *self {
            Self::Never => false,
            Self::Always => true,
            Self::Next(left) => {
                *self = if left > 1 { Self::Next(left - 1) } else { Self::Never };
                left > 0
            }
        }
    }
}

impl Serialize for Times {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => serializer.serialize_u32(0),
            Self::Next(left) => serializer.serialize_u32(*left),
            Self::Always => serializer.serialize_bool(true),
        }
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Flag(bool),
            Count(u32),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Flag(true) => Self::Always,
            Form::Flag(false) | Form::Count(0) => Self::Never,
            Form::Count(count) => Self::Next(count),
        })
    }
}

/// All switches. All are off by default, except for a habit of the real server (`stale_pop`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// `POST /prompt` answers 500 and queues nothing.
    pub prompt_500: Times,
    /// `POST /prompt` answers 500 although the prompt is queued.
    pub prompt_500_queued: Times,
    /// `POST /prompt` queues nothing and drops the connection.
    pub prompt_drop: Times,
    /// `POST /prompt` queues and drops the connection before the reply.
    pub prompt_drop_queued: Times,
    /// Delay of the reply of `POST /prompt`, after queueing, ms.
    pub prompt_delay_ms: u64,
    /// `POST /prompt` answers 200 with a made-up entry in `node_errors`.
    pub prompt_partial: Times,
    /// Any route but `/sim` answers 500.
    pub http_500: Times,
    /// Any route but `/sim` answers 200 with bytes that are not JSON.
    pub http_garbage: Times,
    /// Any route but `/sim` drops the connection without a reply.
    pub http_drop: Times,
    /// Connections are accepted but nothing is answered; execution stops; sockets stay open.
    pub hang: bool,
    /// Delay between the end of a prompt and its history entry, ms.
    pub history_late_ms: u64,
    /// Finished prompts never appear in history.
    pub history_forget: Times,
    /// `GET /history/{id}` answers `{}` although the entry exists.
    pub history_hide: Times,
    /// `GET /view` answers 404.
    pub view_404: Times,
    /// `GET /view` announces the full length, sends half and drops the connection.
    pub view_truncate: Times,
    /// `GET /view` answers 500.
    pub view_500: Times,
    /// Interval between single bytes of `GET /view`, ms; 0 = send at once.
    pub view_trickle_ms: u64,
    /// Uploads answer 500 and store nothing.
    pub upload_500: Times,
    /// The WebSocket upgrade is refused with 500.
    pub ws_refuse: Times,
    /// No message is sent on any WebSocket (a stalled reader), while HTTP works. Once cleared, all messages are sent
    /// late.
    pub ws_stall: bool,
    /// Messages of these types are never sent, e.g. `["execution_success"]`.
    pub ws_lose: Vec<String>,
    /// A frame that is not JSON precedes a message.
    pub ws_garbage: Times,
    /// An 8 MB frame of an unknown type precedes a message.
    pub ws_big: Times,
    /// An 8 MB `progress_state` of a prompt of 30,000 nodes precedes a message.
    pub ws_flood: Times,
    /// Every message is sent twice.
    pub ws_double: bool,
    /// A newer socket with the same clientId gets no more messages once the older one closes. On by default, as in the
    /// real server.
    pub stale_pop: bool,
    /// `POST /interrupt` answers 200 and does nothing.
    pub interrupt_lost: Times,
    /// Nodes never check the interrupt flag.
    pub interrupt_ignored: bool,
    /// The next prompt that starts fails with a node's exception.
    pub execution_error: Times,
    /// The next prompt that starts fails with out of memory.
    pub execution_oom: Times,
    /// The next prompt that starts reports `ExecutionBlocked` and then succeeds.
    pub execution_blocked: Times,
    /// The next node that uses the GPU fails with a CUDA error, and so does every later one until the process restarts.
    pub gpu_breaks: Times,
    /// The worker ends when it takes the next prompt, which is accepted but never runs.
    pub zombie: Times,
    /// The worker ends when the next prompt has executed, before that has an entry in the history.
    pub worker_dies: Times,
    /// Duration of a pause (gc) after a prompt, at most once per `gc_every_ms`, ms.
    pub gc_pause_ms: u64,
    /// Shortest interval between two gc pauses, ms. The real server's is 10 s.
    pub gc_every_ms: u64,
    /// Model files that were put on the machine since the start, accepted in every model folder.
    pub models_added: Vec<String>,
    /// Model files that were taken from the machine since the start.
    pub models_removed: Vec<String>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            prompt_500: Times::Never,
            prompt_500_queued: Times::Never,
            prompt_drop: Times::Never,
            prompt_drop_queued: Times::Never,
            prompt_delay_ms: 0,
            prompt_partial: Times::Never,
            http_500: Times::Never,
            http_garbage: Times::Never,
            http_drop: Times::Never,
            hang: false,
            history_late_ms: 0,
            history_forget: Times::Never,
            history_hide: Times::Never,
            view_404: Times::Never,
            view_truncate: Times::Never,
            view_500: Times::Never,
            view_trickle_ms: 0,
            upload_500: Times::Never,
            ws_refuse: Times::Never,
            ws_stall: false,
            ws_lose: Vec::new(),
            ws_garbage: Times::Never,
            ws_big: Times::Never,
            ws_flood: Times::Never,
            ws_double: false,
            stale_pop: true,
            interrupt_lost: Times::Never,
            interrupt_ignored: false,
            execution_error: Times::Never,
            execution_oom: Times::Never,
            execution_blocked: Times::Never,
            gpu_breaks: Times::Never,
            zombie: Times::Never,
            worker_dies: Times::Never,
            gc_pause_ms: 0,
            gc_every_ms: 10_000,
            models_added: Vec::new(),
            models_removed: Vec::new(),
        }
    }
}

impl Faults {
    /// Returns these switches, overridden by those in `change` (a JSON object).
    pub(crate) fn with(&self, change: serde_json::Value) -> Result<Self, String> {
        let serde_json::Value::Object(change) = change else { return Err("faults must be a JSON object".to_owned()) };
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Some(map) = all.as_object_mut() {
            map.extend(change);
        }
        serde_json::from_value(all).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Faults, Times};
    use serde_json::json;

    #[test]
    fn a_change_leaves_the_other_switches() {
        let faults = Faults::default().with(json!({"prompt_500": 2})).unwrap().with(json!({"view_404": true})).unwrap();
        assert_eq!((faults.prompt_500, faults.view_404), (Times::Next(2), Times::Always));
        assert!(Faults::default().with(json!({"prompt_5oo": 2})).unwrap_err().contains("prompt_5oo"));
    }

    #[test]
    fn a_count_runs_out() {
        let mut times = Times::Next(2);
        assert_eq!([times.strike(), times.strike(), times.strike()], [true, true, false]);
    }
}
