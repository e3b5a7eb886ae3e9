//! Limits and intervals of the WebSocket.

use std::time::Duration;

/// Bytes that may wait for one socket; beyond that it is closed with 4001.
pub const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Number of waiting messages from which a session counts as behind and newer progress replaces older.
pub const COALESCE_FROM: usize = 64;
/// Messages written before the socket is read again.
pub const BATCH_MAX: usize = 64;
/// Read buffer of a socket. axum's default is 128 KiB, allocated at once.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Bytes gathered before a write to the socket.
pub const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// Bytes of the snapshots in one `subscribed`; more of them come in further ones.
pub const SNAPSHOTS_BYTES_MAX: usize = 4 << 20;
/// Bytes of a snapshot besides its longer texts.
pub const SNAPSHOT_FACTS_BYTES: usize = 1024;
/// Bytes of one write for which a client has the time limit of a write once more.
pub const WRITE_BYTES: usize = 256 * 1024;
/// Longest message: the write buffer never holds more than [`WRITE_BUFFER_BYTES`] and one message.
pub const WRITE_BUFFER_BYTES_MAX: usize = 16 << 20;
/// Task ids in one `subscribe`.
pub const IDS_PER_MESSAGE_MAX: usize = 500;
/// Task ids that one session may subscribe to or mute.
pub const IDS_PER_SESSION_MAX: usize = 10_000;
/// Longest `requestId`, bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Invalid messages beyond one per second before the socket is closed with 1008.
pub const STRIKES_MAX: u32 = 50;
/// Invalid messages before login.
pub const STRIKES_BEFORE_LOGIN_MAX: u32 = 10;
/// Endings kept for `since`.
pub const REPLAY_COUNT_MAX: usize = 4_096;
/// Bytes of the kept endings: half an outbox, so that a replay alone never makes a session slow.
pub const REPLAY_BYTES_MAX: usize = OUTBOX_BYTES_MAX / 2;
/// Unended tasks whose versions are compared with Redis.
pub const TRACKED_MAX: usize = 50_000;
/// Ended tasks remembered, so that no ending is sent twice.
pub const ENDED_MAX: usize = 8_192;
/// Task ids in one read of versions.
pub const VERSIONS_PER_READ: usize = 1_000;
/// Tasks in one read of whole tasks.
pub const TASKS_PER_READ: usize = 200;
/// Unended tasks read at start and after a gap.
pub const SEED_MAX: usize = 10_000;
/// Tasks created during a gap that are searched; beyond that clients get a `resync`.
pub const CREATED_IN_GAP_MAX: usize = 2_000;
/// Attempts to read a snapshot that events keep overtaking.
pub const SNAPSHOT_TRIES: usize = 5;
/// Minimum interval between two `global_status`.
pub const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Maximum age of the counts, even if no event reported a change.
pub const STATUS_STALE: Duration = Duration::from_secs(5);
/// Delay before a failed Redis call is retried.
pub const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Longest time a new session waits until its process has subscribed to Redis.
pub const LISTEN_WAIT: Duration = Duration::from_secs(5);
/// Time limit for sending a close frame to a client that does not read.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the client's close frame.
pub const CLOSE_ECHO: Duration = Duration::from_secs(1);

/// Timeouts and intervals of sessions and hub. The defaults are those of the WebSocket guide; tests use shorter ones.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Time limit for the login by the first message.
    pub login: Duration,
    /// Interval between pings.
    pub ping: Duration,
    /// Time limit for any message from the client after a ping.
    pub pong: Duration,
    /// Time limit for one write.
    pub write: Duration,
    /// Interval between comparisons of versions with Redis.
    pub check: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            login: crate::settings::limits::WS_AUTH_TIMEOUT,
            ping: Duration::from_secs(20),
            pong: Duration::from_secs(10),
            write: Duration::from_secs(10),
            check: Duration::from_secs(10),
        }
    }
}
