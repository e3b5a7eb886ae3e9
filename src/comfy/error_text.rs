//! Makes error texts of an instance fit for users: no paths of the server, bounded length.

use super::limits;
use crate::{
    task::{Failure, FailureKind},
    text::truncated,
};

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
    /// Builds the failure of a task. Paths in `message` are shortened.
    pub(super) fn into_failure(self, kind: FailureKind, message: &str) -> Failure {
        let short = |text: Option<String>| text.map(|text| truncated(text, limits::WORD_BYTES_MAX));
        Failure {
            node_id: short(self.node_id),
            node_type: short(self.node_type),
            exception_type: short(self.exception_type),
            traceback: innermost_frames(&self.traceback),
            ..Failure::new(kind, without_folders(message.trim()))
        }
    }
}

/// Whether the Python exception means out of memory: `torch.OutOfMemoryError`, `torch.cuda.OutOfMemoryError`,
/// `MemoryError` (protocol §4).
pub(super) fn is_out_of_memory(exception_type: &str) -> bool {
    exception_type.contains("OutOfMemoryError") || exception_type.ends_with("MemoryError")
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
            .map(|line| truncated(without_folders(line), limits::TRACEBACK_LINE_BYTES_MAX))
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
