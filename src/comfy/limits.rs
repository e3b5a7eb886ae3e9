//! Limits on requests, replies, frames and outputs of an instance.

use std::time::Duration;

/// Time limit of a TCP (and TLS) connect.
pub(super) const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Lifetime of an idle connection. Older ComfyUI close theirs after 75 s (protocol §11).
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30);
/// Idle connections kept per instance.
pub(super) const IDLE_CONNECTIONS_MAX: usize = 4;
/// Size above which a reply or frame is large, bytes. Of large replies an instance has one at a time in memory; large
/// replies and frames are parsed off the runtime.
pub(super) const LARGE_BYTES: usize = 64 << 10;
/// Large replies and frames of all instances that are parsed at the same time.
pub(super) const PARSES_MAX: usize = 2;
/// Size of a reply that is expected to be small, bytes.
pub(super) const REPLY_BYTES_MAX: usize = 1 << 20;
/// Size of the body of an error (not of a refused prompt), bytes. Its content is not used.
pub(super) const ERROR_BYTES_MAX: usize = 64 << 10;
/// Size of a refusal of a prompt, bytes. It echoes values, lists and tracebacks of every node.
pub(super) const REFUSAL_BYTES_MAX: usize = 16 << 20;
/// Size of a /queue reply, bytes. It contains the graph of every prompt.
pub(super) const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Size of a /history or /api/jobs reply beyond the echo of the prompt's own graph, bytes.
pub(super) const HISTORY_BYTES_MAX: usize = 8 << 20;
/// Factor on a graph's size that bounds its echo: ComfyUI writes `é` as `\u00e9`, and a space behind each comma.
pub(super) const ECHO_FACTOR: usize = 3;
/// Size of /object_info on an instance with very many nodes and models, bytes.
pub(super) const OBJECT_INFO_BYTES_MAX: usize = 32 << 20;
/// Size of a WebSocket message, bytes. Messages of 8 MB were observed (protocol §11).
pub(super) const FRAME_BYTES_MAX: usize = 16 << 20;
/// Events queued for the reader of a socket, or for an attempt.
pub(super) const EVENTS_MAX: usize = 1_024;
/// Size of the queued events, bytes.
pub(super) const EVENT_BYTES_MAX: usize = 4 << 20;
/// Display ids of expanded nodes remembered by a socket.
pub(super) const DISPLAY_IDS_MAX: usize = 4_096;
/// Node ids read from one `execution_cached`.
pub(super) const CACHED_NODES_MAX: usize = 4_096;
/// Nodes read from one history entry: of its graph, its outputs, and its meta.
pub(super) const NODES_MAX: usize = 10_000;
/// Nodes read from one refusal of a prompt.
pub(super) const REFUSED_NODES_MAX: usize = 4_096;
/// Prompts read from one /queue reply.
pub(super) const QUEUED_MAX: usize = 50_000;
/// Length of the id of a prompt, bytes. Ours have 36.
pub(super) const PROMPT_ID_BYTES_MAX: usize = 128;
/// Length of a node id, bytes: an id of the graph has up to 200, and expanded nodes append numbers to it. The rest of a
/// longer one is cut before it is looked at.
pub(super) const NODE_ID_BYTES_MAX: usize = 256;
/// Interval between pings.
pub(super) const PING_EVERY: Duration = Duration::from_secs(10);
/// Silence (not even a pong) after which a socket counts as dead.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Time limit for the peer's close frame, and for sending a ping.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Files and texts kept per prompt.
pub(super) const OUTPUTS_MAX: usize = 4_096;
/// Size of a value (text, JSON) that becomes part of its task, bytes; a longer one is stored as a file.
pub(super) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Size of all values of one prompt that become part of its task, bytes; further ones are stored as files.
pub(super) const TEXTS_BYTES_MAX: usize = 1 << 20;
/// Size of one value, bytes: as much as a whole history reply has beyond the graph.
pub(super) const LONG_TEXT_BYTES_MAX: usize = HISTORY_BYTES_MAX;
/// Values of one list that become outputs of their own; a longer list is one JSON value.
pub(super) const VALUES_MAX: usize = 256;
/// Memory of the outputs kept from one `executed` message, bytes; the rest comes from the history. Many such messages
/// may be queued.
pub(super) const LIVE_BYTES_MAX: usize = 256 * 1024;
/// Size of the pictures of all sockets that were sent as results and wait to be stored, KiB.
pub(super) const PICTURES_KIB_MAX: usize = 64 << 10;
/// Size of a preview picture, bytes.
pub(super) const PREVIEW_BYTES_MAX: usize = 1 << 20;
/// Size of the metadata of a preview picture, bytes.
pub(super) const PREVIEW_METADATA_BYTES_MAX: usize = 16 << 10;
/// Length of a file name or subfolder on an instance, bytes.
pub(super) const NAME_BYTES_MAX: usize = 1_024;
/// Length of a string from an instance that is shown to users (version, device, class, exception type), bytes.
pub(super) const WORD_BYTES_MAX: usize = 200;
/// Length of a message that is read, bytes. It may become shorter when it is cleaned.
pub(super) const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Lines kept of a traceback.
pub(super) const TRACEBACK_LINES_MAX: usize = 32;
/// Length of a line of a traceback, bytes.
pub(super) const TRACEBACK_LINE_BYTES_MAX: usize = 500;
/// First and longest delay between two attempts to cancel a prompt that was accepted in part (protocol §17.12).
pub(super) const CANCEL_PARTIAL_DELAYS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// Time limit for cancelling a prompt that was accepted in part.
pub(super) const CANCEL_PARTIAL_MAX: Duration = Duration::from_secs(10);
/// First and longest delay between two reads of the history entry, which follows the end by milliseconds (protocol §3).
pub(super) const HISTORY_DELAYS: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(200));
/// Time limit for the history entry to appear after an event that suggests the end.
pub(super) const HISTORY_WAIT_MAX: Duration = Duration::from_secs(2);
