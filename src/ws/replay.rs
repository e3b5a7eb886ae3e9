//! The last endings, for clients that come back with `since`. A cache, not a source of truth: whoever asks for more than it
//! holds is told to read the state again.

use super::{
    limits::{REPLAY_BYTES_MAX, REPLAY_COUNT_MAX},
    outbox::Frame,
};
use crate::task::TaskId;
use std::collections::VecDeque;

/// Endings told by this process, oldest first.
#[derive(Debug)]
pub struct Replay {
    /// Names the process: numbers of another one mean nothing here.
    process: String,
    endings: VecDeque<Ending>,
    /// Number of the newest ending; 0 = none yet.
    newest: u64,
    bytes: usize,
}

/// One ending as it was sent.
#[derive(Debug)]
pub struct Ending {
    /// The task.
    pub task: TaskId,
    /// Whose.
    pub owner: String,
    /// The message.
    pub frame: Frame,
}

impl Replay {
    /// An empty one with a name of its own.
    pub fn new() -> Self {
        let process = uuid::Uuid::new_v4().simple().to_string();
        Self { process, endings: VecDeque::new(), newest: 0, bytes: 0 }
    }

    /// Where a client stands that has heard everything: `<process>-<number>`.
    pub fn cursor(&self) -> String {
        format!("{}-{}", self.process, self.newest)
    }

    /// The cursor of the ending that is pushed next.
    pub fn next_cursor(&self) -> String {
        format!("{}-{}", self.process, self.newest + 1)
    }

    /// Keeps an ending, forgets the oldest.
    pub fn push(&mut self, ending: Ending) {
        self.newest += 1;
        self.bytes += ending.frame.text.len();
        self.endings.push_back(ending);
        while self.endings.len() > REPLAY_COUNT_MAX || self.bytes > REPLAY_BYTES_MAX {
            let Some(oldest) = self.endings.pop_front() else { break };
            self.bytes -= oldest.frame.text.len();
        }
    }

    /// Everything after `cursor`; `None` = it cannot be shown to be everything.
    pub fn since(&self, cursor: &str) -> Option<impl Iterator<Item = &Ending>> {
        let (process, number) = cursor.rsplit_once('-')?;
        let heard: u64 = number.parse().ok()?;
        let missed = usize::try_from(self.newest.checked_sub(heard)?).ok()?;
        let begin = self.endings.len().checked_sub(missed)?;
        (process == self.process).then(|| self.endings.range(begin..))
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, Replay};
    use crate::{
        task::TaskId,
        ws::{
            limits::REPLAY_COUNT_MAX,
            outbox::{Frame, FrameKind},
        },
    };

    fn push(replay: &mut Replay, text: &str) {
        let frame = Frame { text: text.into(), kind: FrameKind::Must };
        replay.push(Ending { task: TaskId::new(), owner: "a".to_owned(), frame });
    }

    fn since(replay: &Replay, cursor: &str) -> Option<Vec<String>> {
        Some(replay.since(cursor)?.map(|ending| ending.frame.text.to_string()).collect())
    }

    #[test]
    fn a_cursor_gives_what_came_after_it() {
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
    fn what_is_forgotten_foreign_or_from_the_future_is_no_replay() {
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
