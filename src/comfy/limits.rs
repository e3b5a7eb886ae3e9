//! Everything that is bounded in this room.

use std::time::Duration;

/// Longest wait for a TCP (and TLS) connection.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an idle connection is kept; older ComfyUI drop theirs after 75 s (protocol §11).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30);
/// Idle connections kept per instance.
pub(super) const IDLE_CONNECTIONS_MAX: usize = 4;
/// A reply that should be small, bytes.
pub(super) const REPLY_BYTES_MAX: usize = 1 << 20;
/// A refusal echoes values, lists and tracebacks of every node, bytes.
pub(super) const REFUSAL_BYTES_MAX: usize = 16 << 20;
/// A /queue or /history reply holds whole graphs and every text a node showed, bytes.
pub(super) const LEDGER_BYTES_MAX: usize = 64 << 20;
/// /object_info of an instance with very many nodes and models, bytes.
pub(super) const OBJECT_INFO_BYTES_MAX: usize = 64 << 20;
/// A WebSocket message; 8 MB ones were seen (protocol §11).
pub(super) const FRAME_BYTES_MAX: usize = 256 << 20;
/// Signs that wait for their reader.
pub(super) const SIGNS_MAX: usize = 1_024;
/// Names of expanded nodes remembered by a socket.
pub(super) const DISPLAY_NAMES_MAX: usize = 4_096;
/// Node ids taken from one `execution_cached`.
pub(super) const CACHED_NODES_MAX: usize = 10_000;
/// Between two pings.
pub(super) const PING_EVERY: Duration = Duration::from_secs(10);
/// A socket that gave nothing, not even a pong, for this long is dead.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Longest wait for the other side's goodbye, and for a ping to be taken.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Files and texts kept of one prompt.
pub(super) const OUTPUTS_MAX: usize = 4_096;
/// One text output, bytes.
pub(super) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// All text outputs of one prompt, bytes.
pub(super) const TEXTS_BYTES_MAX: usize = 1 << 20;
/// Names and texts taken from one `executed` message, bytes; beyond, the history tells. Many such messages may wait.
pub(super) const LIVE_BYTES_MAX: usize = 256 * 1024;
/// A preview picture, bytes.
pub(super) const PREVIEW_BYTES_MAX: usize = 1 << 20;
/// A file name or subfolder at an instance, bytes.
pub(super) const NAME_BYTES_MAX: usize = 1_024;
/// A word of an instance that is shown to people (version, device, class, exception type), bytes.
pub(super) const WORD_BYTES_MAX: usize = 200;
/// Lines of a traceback.
pub(super) const TRACEBACK_LINES_MAX: usize = 32;
/// A line of a traceback, bytes.
pub(super) const TRACEBACK_LINE_BYTES_MAX: usize = 500;
/// Longest wait for a half-accepted prompt to leave the instance.
pub(super) const TAKE_BACK_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the history entry after a sign of the end.
pub(super) const ENDING_MAX: Duration = Duration::from_secs(2);
