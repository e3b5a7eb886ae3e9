//! Text cut to a number of bytes, always between characters.

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

#[cfg(test)]
mod tests {
    use super::{ellipsis, truncated};

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
