//! The last endings, for clients that reconnect with `since`. A cache, not a source of truth: a client whose cursor is
//! older than the cache must read its tasks again.

use super::{
    limits::{REPLAY_BYTES_MAX, REPLAY_COUNT_MAX},
    outbox::Frame,
};
use crate::task::TaskId;
use std::collections::VecDeque;

/// Endings sent by this process, oldest first.
#[derive(Debug)]
pub struct Replay {
    /// Identifies this process: a cursor of another process has no meaning here.
    process_id: String,
    endings: VecDeque<ReplayedEnding>,
    /// Sequence number of the newest ending; 0 = none yet.
    newest: u64,
    bytes: usize,
}

/// An ending as it was sent.
#[derive(Debug)]
pub struct ReplayedEnding {
    /// The task that ended.
    pub task: TaskId,
    /// Owner of the task.
    pub owner: String,
    /// The message sent.
    pub frame: Frame,
}

impl Replay {
    /// Makes an empty replay buffer with a new process id.
    pub fn new() -> Self {
        let process_id = uuid::Uuid::new_v4().simple().to_string();
        Self { process_id, endings: VecDeque::new(), newest: 0, bytes: 0 }
    }

    /// Returns the cursor of a client that has received all endings: `<process id>-<number>`.
    pub fn cursor(&self) -> String {
        format!("{}-{}", self.process_id, self.newest)
    }

    /// Returns the cursor of the ending that is pushed next.
    pub fn next_cursor(&self) -> String {
        format!("{}-{}", self.process_id, self.newest + 1)
    }

    /// Adds an ending and drops the oldest beyond the limits.
    pub fn push(&mut self, ending: ReplayedEnding) {
        self.newest += 1;
        self.bytes += ending.frame.text.len();
        self.endings.push_back(ending);
        while self.endings.len() > REPLAY_COUNT_MAX || self.bytes > REPLAY_BYTES_MAX {
            let Some(oldest) = self.endings.pop_front() else { break };
            self.bytes -= oldest.frame.text.len();
        }
    }

    /// Returns all endings after `cursor`; `None` if some of them may be missing.
    pub fn since(&self, cursor: &str) -> Option<impl Iterator<Item = &ReplayedEnding>> {
        let (process_id, number) = cursor.rsplit_once('-')?;
        let received: u64 = number.parse().ok()?;
        let missed = usize::try_from(self.newest.checked_sub(received)?).ok()?;
        let begin = self.endings.len().checked_sub(missed)?;
        (process_id == self.process_id).then(|| self.endings.range(begin..))
    }
}

#[cfg(test)]
mod tests {
    use super::{Replay, ReplayedEnding};
    use crate::{
        task::TaskId,
        ws::{
            limits::REPLAY_COUNT_MAX,
            outbox::{Frame, FrameKind},
        },
    };

    fn push(replay: &mut Replay, text: &str) {
        let frame = Frame { text: text.into(), kind: FrameKind::Required };
        replay.push(ReplayedEnding { task: TaskId::new(), owner: "a".to_owned(), frame });
    }

    fn since(replay: &Replay, cursor: &str) -> Option<Vec<String>> {
        Some(replay.since(cursor)?.map(|ending| ending.frame.text.to_string()).collect())
    }

    #[test]
    fn a_cursor_returns_the_endings_after_it() {
        let mut replay = Replay::new();
        let start = replay.cursor();
        push(&mut replay, "1");
        let middle = replay.cursor();
        assert_eq!(middle.as_str(), start.replace("-0", "-1"));
        push(&mut replay, "2");
        assert_eq!(since(&replay, &start), Some(vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(since(&replay, &middle), Some(vec!["2".to_owned()]));
        assert_eq!(since(&replay, &replay.cursor()), Some(vec![]));
    }

    #[test]
    fn a_dropped_foreign_or_future_cursor_has_no_replay() {
        let mut replay = Replay::new();
        let start = replay.cursor();
        for n in 0..=REPLAY_COUNT_MAX {
            push(&mut replay, &n.to_string());
        }
        assert_eq!(since(&replay, &start), None);
        for cursor in ["", "-", "0", "other-1", &format!("{}0", replay.cursor()), &Replay::new().cursor()] {
            assert_eq!(since(&replay, cursor), None, "{cursor}");
        }
    }
}
