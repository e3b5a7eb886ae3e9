//! Limits on the memory of a stand-in.

/// Pending prompts; when exceeded, `POST /prompt` answers 500. The real server has no limit.
pub(super) const PENDING_MAX: usize = 100_000;
/// Entries of the history, as the real server's MAXIMUM_HISTORY_SIZE: the 10,002nd evicts the oldest.
pub(super) const HISTORY_MAX: usize = 10_000;
/// Size of all history entries, bytes.
pub(super) const HISTORY_BYTES_MAX: usize = 256 << 20;
/// Size of all files, bytes; when exceeded, the oldest are deleted and `/view` answers 404.
pub(super) const FILE_BYTES_MAX: usize = 512 << 20;
/// Size of the messages queued for a stalled socket, bytes; when exceeded, messages are dropped.
pub(super) const BACKLOG_BYTES_MAX: usize = 128 << 20;
/// Open connections; when exceeded, a new one is closed at once.
pub(super) const CONNECTIONS_MAX: usize = 4_096;
/// Pixels of all pictures of a batch; when exceeded, the node runs out of memory.
pub(super) const PIXELS_MAX: u64 = 400_000_000;
