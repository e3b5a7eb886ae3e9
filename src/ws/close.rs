//! Why a socket is closed. 3000–3499 and 4000–4099: the client should reconnect; 4400–4499: it should not.

/// Code and reason of a close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// RFC 6455 §7.4, or ours.
    pub code: u16,
    /// For people; at most 123 bytes.
    pub reason: &'static str,
}

impl Close {
    /// The client closed, or the connection is gone: nobody is there to be told.
    pub const BY_CLIENT: Self = Self { code: 1000, reason: "" };
    /// The process stops; another one is there or comes back.
    pub const GOING_AWAY: Self = Self { code: 1001, reason: "going away" };
    /// Not RFC 6455.
    pub const PROTOCOL: Self = Self { code: 1002, reason: "websocket protocol violated" };
    /// A binary message.
    pub const BINARY: Self = Self { code: 1003, reason: "text messages only" };
    /// A text that is not UTF-8.
    pub const NOT_UTF8: Self = Self { code: 1007, reason: "not utf-8" };
    /// Too many useless messages.
    pub const NOISE: Self = Self { code: 1008, reason: "too many messages that cannot be understood" };
    /// Longer than `WS_FRAME_BYTES`.
    pub const TOO_BIG: Self = Self { code: 1009, reason: "message is longer than 64 KiB" };
    /// Did not read fast enough.
    pub const SLOW: Self = Self { code: 4001, reason: "slow" };
    /// Did not answer a ping.
    pub const SILENT: Self = Self { code: 4002, reason: "no answer to a ping" };
    /// No valid token, or not any more.
    pub const NOT_LOGGED_IN: Self = Self { code: 4401, reason: "not logged in" };
    /// The token has run out.
    pub const EXPIRED: Self = Self { code: 4401, reason: "the token has expired" };
    /// No login in time.
    pub const LOGIN_TIMEOUT: Self = Self { code: 4408, reason: "no login in time" };

    /// What a failed read deserves. axum hides tungstenite's error type; its texts are held by the test
    /// `bad_frames_are_answered_or_closed`.
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
