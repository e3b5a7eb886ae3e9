//! Text cut to a number of bytes, always between characters, and characters that are not seen.

use std::borrow::Cow;

/// Returns `text` cut to at most `bytes_max` bytes.
pub(crate) fn truncated(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// Returns at most `bytes_max` bytes of `text`, followed by `…` if something was cut.
pub(crate) fn ellipsis(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(bytes_max)]))
}

/// Whether a character is not seen, or only changes the direction of others. Joiners are not among them: emoji and some
/// scripts need them.
pub(crate) const fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Formats a size: `512 B`, `5.0 KiB`, `1.3 GiB`.
pub(crate) fn size(count: u64) -> String {
    let mut size = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1_024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1_024.0;
    }
    format!("{size:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::{ellipsis, is_invisible, truncated};

    #[test]
    fn direction_marks_are_invisible_and_joiners_are_not() {
        assert!("\u{200b}\u{202e}\u{2066}\u{2069}\u{feff}".chars().all(is_invisible));
        assert!(!"a é 中 👩\u{200d}💻\u{200c}".chars().any(is_invisible));
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(truncated("aé".to_owned(), 2), "a");
        assert_eq!(truncated("aé".to_owned(), 3), "aé");
        assert_eq!(ellipsis("aé", 2), "a…");
    }

    #[test]
    fn short_text_stays_as_it_is() {
        assert_eq!(truncated("short".to_owned(), 200), "short");
        assert_eq!(ellipsis("short", 5), "short");
    }
}
