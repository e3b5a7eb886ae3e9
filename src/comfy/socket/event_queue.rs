//! Signs on their way from the socket's task to their reader: bounded, never makes the socket wait.

use crate::comfy::{Sign, limits};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// One writer, one reader.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    post: Mutex<Post>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Post {
    signs: VecDeque<Sign>,
    is_closed: bool,
}

impl Mailbox {
    /// Adds one. A newer step of the same bar replaces the older; when full, what is only progress goes first.
    pub(crate) fn push(&self, sign: Sign) {
        self.lock().push(sign);
        self.arrived.notify_one();
    }

    /// Nothing comes any more; what is there can still be read.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// The next one; `None` when closed and empty. May be dropped while it waits: nothing is lost.
    pub(crate) async fn next(&self) -> Option<Sign> {
        loop {
            {
                let mut post = self.lock();
                if let Some(sign) = post.signs.pop_front() {
                    return Some(sign);
                }
                if post.is_closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Post {
    fn push(&mut self, sign: Sign) {
        if self.signs.back().is_some_and(|last| is_same_bar(last, &sign)) {
            self.signs.pop_back();
        }
        if self.signs.len() == limits::SIGNS_MAX {
            let least = self.signs.iter().position(|sign| !is_essential(sign));
            match least {
                Some(place) => drop(self.signs.remove(place)),
                None if !is_essential(&sign) => return,
                // Only a flood of other people's prompts gets here; looking finds what is lost.
                None => drop(self.signs.pop_front()),
            }
        }
        self.signs.push_back(sign);
    }
}

fn is_essential(sign: &Sign) -> bool {
    matches!(sign, Sign::Started(_) | Sign::Ended(_))
}

fn is_same_bar(last: &Sign, sign: &Sign) -> bool {
    match (last, sign) {
        (Sign::Progress { prompt, node, .. }, Sign::Progress { prompt: other, node: other_node, .. }) => {
            prompt == other && node == other_node
        }
        (Sign::QueueRemaining(_), Sign::QueueRemaining(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Mailbox;
    use crate::comfy::{Sign, limits};
    use uuid::Uuid;

    fn step(node: u32, value: f64) -> Sign {
        Sign::Progress { prompt: Uuid::nil(), node: Some(node.to_string()), value, max: 9.0 }
    }

    fn prompt(n: usize) -> Uuid {
        Uuid::from_u128(n as u128)
    }

    async fn drained(mailbox: &Mailbox) -> Vec<Sign> {
        mailbox.close();
        let mut signs = Vec::new();
        while let Some(sign) = mailbox.next().await {
            signs.push(sign);
        }
        signs
    }

    #[tokio::test]
    async fn steps_of_one_bar_are_conflated() {
        let mailbox = Mailbox::default();
        for sign in [step(1, 1.0), step(1, 2.0), step(2, 1.0), step(1, 3.0)] {
            mailbox.push(sign);
        }
        assert_eq!(drained(&mailbox).await, [step(1, 2.0), step(2, 1.0), step(1, 3.0)]);
    }

    #[tokio::test]
    async fn a_full_box_drops_progress_and_never_an_ending() {
        let mailbox = Mailbox::default();
        for n in 0..limits::SIGNS_MAX - 1 {
            mailbox.push(Sign::Ended(prompt(n)));
            mailbox.push(step(u32::try_from(n).unwrap(), 1.0));
        }
        mailbox.push(Sign::Started(prompt(7)));
        mailbox.push(step(1, 1.0));
        let signs = drained(&mailbox).await;
        assert_eq!(signs.len(), limits::SIGNS_MAX);
        assert_eq!(signs.iter().filter(|sign| matches!(sign, Sign::Ended(_))).count(), limits::SIGNS_MAX - 1);
        assert_eq!(signs.last(), Some(&Sign::Started(prompt(7))));
    }

    #[tokio::test]
    async fn a_flood_is_bounded() {
        let mailbox = Mailbox::default();
        for n in 0..10 * limits::SIGNS_MAX {
            mailbox.push(Sign::Ended(prompt(n)));
        }
        assert_eq!(drained(&mailbox).await.len(), limits::SIGNS_MAX);
    }
}
