//! Close codes. 3000–3499 and 4000–4099: the client should reconnect; 4400–4499: it should not.

/// Code and reason of a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// A code of RFC 6455 §7.4, or one of ours.
    pub code: u16,
    /// Human-readable reason; at most 123 bytes.
    pub reason: &'static str,
}

impl Close {
    /// The client closed, or the connection is gone: no close frame is sent.
    pub const BY_CLIENT: Self = Self { code: 1000, reason: "" };
    /// The process stops; the client should reconnect.
    pub const GOING_AWAY: Self = Self { code: 1001, reason: "going away" };
    /// A violation of RFC 6455.
    pub const PROTOCOL: Self = Self { code: 1002, reason: "websocket protocol violated" };
    /// A binary message.
    pub const BINARY: Self = Self { code: 1003, reason: "text messages only" };
    /// A text message that is not UTF-8.
    pub const NOT_UTF8: Self = Self { code: 1007, reason: "not utf-8" };
    /// Too many invalid messages.
    pub const NOISE: Self = Self { code: 1008, reason: "too many invalid messages" };
    /// A message longer than `WS_FRAME_BYTES`.
    pub const TOO_BIG: Self = Self { code: 1009, reason: "message is longer than 64 KiB" };
    /// A client that does not read fast enough.
    pub const SLOW: Self = Self { code: 4001, reason: "slow" };
    /// A client that did not answer a ping.
    pub const SILENT: Self = Self { code: 4002, reason: "no answer to a ping" };
    /// No valid token.
    pub const NOT_LOGGED_IN: Self = Self { code: 4401, reason: "not logged in" };
    /// An expired token.
    pub const EXPIRED: Self = Self { code: 4401, reason: "the token has expired" };
    /// A token in the URL, which is never read.
    pub const TOKEN_IN_URL: Self = Self { code: 4401, reason: "send the token in a header or message, not in the URL" };
    /// No login within [`Timing::login`](super::limits::Timing).
    pub const LOGIN_TIMEOUT: Self = Self { code: 4408, reason: "no login in time" };

    /// Returns the close code for a failed read. axum hides tungstenite's error type, so its texts are matched; the
    /// test `bad_frames_are_answered_or_closed` fails if they change.
    pub fn of_read_error(error: &axum::Error) -> Self {
        let text = error.to_string();
        if text.starts_with("Space limit exceeded") {
            Self::TOO_BIG
        } else if text.starts_with("UTF-8 encoding error") {
            Self::NOT_UTF8
        } else if text.contains("without closing handshake") || text.starts_with("IO error") {
            Self::BY_CLIENT
        } else {
            Self::PROTOCOL
        }
    }
}
