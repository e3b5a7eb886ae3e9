//! Makes error texts of an instance fit for users: no paths of the server, bounded length.

use super::limits;
use crate::{
    task::{Failure, FailureKind},
    text::{is_invisible, truncated},
};
use std::borrow::Cow;

/// Folders that are kept in a shortened path: they identify the code without revealing the server's layout.
const KNOWN_FOLDERS: [&str; 4] = ["custom_nodes/", "site-packages/", "comfy_extras/", "ComfyUI/"];

/// The node that failed, and its exception.
#[derive(Debug, Default)]
pub(super) struct FailedNode {
    pub(super) node_id: Option<String>,
    pub(super) node_type: Option<String>,
    pub(super) exception_type: Option<String>,
    pub(super) traceback: Vec<String>,
}

impl FailedNode {
    /// Builds the failure of a task. All its texts are cut, lose their control characters, and name no folder of the
    /// server.
    pub(super) fn into_failure(self, kind: FailureKind, message: &str) -> Failure {
        let word =
            |text: Option<String>| text.map(|text| displayable(&without_folders(cut(&text, limits::NAME_BYTES_MAX))));
        let message = without_controls(cut(message, limits::MESSAGE_BYTES_MAX).trim());
        Failure {
            node_id: word(self.node_id),
            node_type: word(self.node_type),
            exception_type: word(self.exception_type),
            traceback: innermost_frames(&self.traceback),
            ..Failure::new(kind, without_folders(&message))
        }
    }
}

/// Makes a word of the instance displayable: on one line, without invisible characters, and short.
pub(super) fn displayable(text: &str) -> String {
    let is_visible = |c: &char| !c.is_control() && !is_invisible(*c);
    let text = without_escapes(cut(text, limits::MESSAGE_BYTES_MAX));
    truncated(text.chars().filter(is_visible).collect(), limits::WORD_BYTES_MAX)
}

/// Removes control and invisible characters but line breaks and tabs, and the colours of a terminal.
fn without_controls(text: &str) -> String {
    let text = without_escapes(text);
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(*c))).collect()
}

/// Removes control sequences of a terminal: `ESC [ 31 m`.
fn without_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains("\u{1b}[") {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split("\u{1b}[");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| matches!(c, ' '..='?'));
        // Its last character is a letter or a sign.
        kept.push_str(rest.strip_prefix(|c: char| matches!(c, '@'..='~')).unwrap_or(rest));
    }
    Cow::Owned(kept)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Shortens absolute paths so that they do not reveal the server's layout: `/srv/x/ComfyUI/nodes.py` becomes
/// `…/ComfyUI/nodes.py`.
pub(super) fn without_folders(text: &str) -> String {
    let is_edge =
        |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '(' | ')' | '[' | ']' | ',' | ';' | '=');
    let mut cleaned = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_edge) {
        let (word, edge) = match piece.chars().next_back() {
            Some(last) if is_edge(last) => piece.split_at(piece.len() - last.len_utf8()),
            _ => (piece, ""),
        };
        match path_tail(word) {
            Some(tail) => {
                cleaned.push_str("…/");
                cleaned.push_str(&tail);
            }
            None => cleaned.push_str(word),
        }
        cleaned.push_str(edge);
    }
    cleaned
}

/// Returns the part of an absolute path that may be shown; `None` if the word is not an absolute path.
fn path_tail(word: &str) -> Option<String> {
    let path = word.replace('\\', "/");
    let bytes = path.as_bytes();
    let has_drive = bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && bytes[2] == b'/';
    let is_absolute = has_drive || (path.starts_with('/') && path[1..].contains('/'));
    if !is_absolute {
        return None;
    }
    let known = KNOWN_FOLDERS.iter().find_map(|folder| path.rfind(&format!("/{folder}")));
    let start = known.or_else(|| path.trim_end_matches('/').rfind('/')).map_or(0, |at| at + 1);
    Some(path[start..].to_owned())
}

/// Returns the innermost frames that fit, without the lines of carets that Python adds.
fn innermost_frames(traceback: &[String]) -> Vec<String> {
    let mut frames = Vec::new();
    let mut lines_left = limits::TRACEBACK_LINES_MAX;
    for frame in traceback.iter().rev() {
        let is_code = |line: &&str| line.chars().any(|c| !matches!(c, ' ' | '^' | '~'));
        let lines: Vec<String> = frame
            .lines()
            .filter(is_code)
            .take(limits::TRACEBACK_LINES_MAX)
            .map(|line| without_folders(&without_controls(cut(line, limits::MESSAGE_BYTES_MAX))))
            .map(|line| truncated(line, limits::TRACEBACK_LINE_BYTES_MAX))
            .collect();
        if lines.len() > lines_left {
            break;
        }
        lines_left -= lines.len();
        if !lines.is_empty() {
            frames.push(lines.join("\n"));
        }
    }
    frames.reverse();
    frames
}

#[cfg(test)]
mod tests {
    use super::{FailedNode, without_folders};
    use crate::{comfy::limits, task::FailureKind};
    use proptest::prelude::*;

    #[test]
    fn paths_are_shortened() {
        for (text, wanted) in [
            ("[Errno 2] No such file: '/home/ann/in/x.png'", "[Errno 2] No such file: '…/x.png'"),
            ("  File \"/srv/a/ComfyUI/execution.py\", line 3", "  File \"…/ComfyUI/execution.py\", line 3"),
            ("/opt/ComfyUI/custom_nodes/pack/nodes.py:7", "…/custom_nodes/pack/nodes.py:7"),
            (r"C:\ComfyUI\models\a.safetensors", "…/ComfyUI/models/a.safetensors"),
            ("see https://example.org/a/b, 1/2 and /tmp", "see https://example.org/a/b, 1/2 and /tmp"),
            ("/a/b/", "…/b/"),
        ] {
            assert_eq!(without_folders(text), wanted);
        }
    }

    #[test]
    fn a_traceback_keeps_its_innermost_frames() {
        let frames: Vec<String> =
            (0..100).map(|n| format!("  File \"/a/b/n.py\", line {n}\n    f()\n    ~^^\n")).collect();
        let failure =
            FailedNode { traceback: frames, ..FailedNode::default() }.into_failure(FailureKind::NodeError, "x\n");
        assert_eq!(failure.traceback.len(), limits::TRACEBACK_LINES_MAX / 2);
        assert_eq!(failure.traceback.last().unwrap(), "  File \"…/n.py\", line 99\n    f()");
        assert_eq!(failure.message, "x");
    }

    #[test]
    fn no_text_of_a_failure_has_folders_or_control_characters() {
        let odd = "/srv/ComfyUI/custom_nodes/pack.nodes.Odd\u{1b}[2J\u{202e}\r\n";
        let node = FailedNode {
            node_id: Some(odd.to_owned()),
            node_type: Some(odd.to_owned()),
            exception_type: Some(odd.to_owned()),
            traceback: vec![odd.to_owned()],
        };
        let failure = node.into_failure(FailureKind::NodeError, &format!("a\n\tb {odd}"));
        let clean = "…/custom_nodes/pack.nodes.Odd";
        for text in [failure.node_id, failure.node_type, failure.exception_type] {
            assert_eq!(text.as_deref(), Some(clean));
        }
        assert_eq!((failure.message, failure.traceback), (format!("a\n\tb {clean}"), vec![clean.to_owned()]));
    }

    #[test]
    fn colours_of_a_terminal_are_removed() {
        let coloured = "\u{1b}[1;31mCUDA error\u{1b}[0m: lost\u{0} \u{1b}[";
        let failure = FailedNode::default().into_failure(FailureKind::NodeError, coloured);
        assert_eq!(failure.message.trim(), "CUDA error: lost");
    }

    #[test]
    fn long_texts_are_cut_before_they_are_cleaned() {
        let text = "/a/b ".repeat(1 << 20);
        let long = Some(text.clone());
        let node =
            FailedNode { node_id: long.clone(), node_type: long.clone(), exception_type: long, traceback: Vec::new() };
        let failure = node.into_failure(FailureKind::NodeError, &text);
        assert!(failure.message.len() <= 2_000 && failure.node_id.unwrap().len() <= limits::WORD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", frames in proptest::collection::vec(".*", 0..5)) {
            FailedNode { traceback: frames, ..FailedNode::default() }.into_failure(FailureKind::NodeError, &text);
        }

        #[test]
        fn no_folder_of_the_server_is_left(folder in "[a-z]{3,8}", name in "[a-z]{3,8}") {
            let cleaned = without_folders(&format!("cannot open '/secret/{folder}/{name}.x' (/secret/{name}/y)"));
            prop_assert!(!cleaned.contains("secret"), "{}", cleaned);
        }
    }
}
