//! Everything of this room that is bounded.

use std::time::Duration;

/// Bytes that may wait for one socket; more closes it with 4001.
pub const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// From so many waiting messages on a session counts as behind, and newer progress replaces older.
pub const COALESCE_FROM: usize = 64;
/// Messages written between two looks at what the client says.
pub const BATCH_MAX: usize = 64;
/// axum's default is 128 KiB for each socket, allocated at once.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Gathered before one write to the socket.
pub const WRITE_BUFFER_BYTES: usize = 8 * 1024;
/// The write buffer never holds more than [`WRITE_BUFFER_BYTES`] and one message: this is the longest message.
pub const WRITE_BUFFER_BYTES_MAX: usize = 16 << 20;
/// Task ids of one `subscribe`.
pub const IDS_PER_MESSAGE_MAX: usize = 500;
/// Task ids that one session may watch or mute.
pub const IDS_PER_SESSION_MAX: usize = 10_000;
/// Longest `requestId`, bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Useless messages beyond one per second before the socket is closed with 1008.
pub const STRIKES_MAX: u32 = 50;
/// Useless messages before login.
pub const STRIKES_BEFORE_LOGIN_MAX: u32 = 10;
/// Endings kept for `since`.
pub const REPLAY_COUNT_MAX: usize = 4_096;
/// Bytes of them: half an outbox, so that a replay alone never makes a session slow.
pub const REPLAY_BYTES_MAX: usize = OUTBOX_BYTES_MAX / 2;
/// Unended tasks whose versions are compared with Redis.
pub const TRACKED_MAX: usize = 50_000;
/// Ended tasks remembered, so that a late event is not told twice.
pub const ENDED_MAX: usize = 8_192;
/// Ids in one positioning read.
pub const VERSIONS_PER_READ: usize = 1_000;
/// Tasks in one full read.
pub const TASKS_PER_READ: usize = 200;
/// Unended tasks read at the start and after a gap.
pub const SEED_MAX: usize = 10_000;
/// Tasks created during a gap that are looked through; more than that is a `resync`.
pub const BORN_IN_GAP_MAX: usize = 2_000;
/// Reads of a snapshot that an event overtook.
pub const SNAPSHOT_TRIES: usize = 5;
/// `global_status` at most once in.
pub const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Counts are read again after so long even when nobody said that something changed.
pub const STATUS_STALE: Duration = Duration::from_secs(5);
/// Pause after Redis did not answer.
pub const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// A session waits for the subscription of its process to stand, at a start, at most so long.
pub const LISTEN_WAIT: Duration = Duration::from_secs(5);
/// A close frame to a client that does not read gets so long.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The client's own close frame is waited for.
pub const CLOSE_ECHO: Duration = Duration::from_secs(1);

/// The rhythm of sessions and hub; the default is what the guide of the WebSocket promises, tests use a faster one.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A first message must log in within.
    pub login: Duration,
    /// From one ping to the next.
    pub ping: Duration,
    /// Any sign of life must follow a ping within.
    pub pong: Duration,
    /// A write must get on within.
    pub write: Duration,
    /// From one comparison of versions with Redis to the next.
    pub check: Duration,
}

impl Default for Pace {
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
