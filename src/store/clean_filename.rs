//! File names given by users and instances: shown, never part of a path.

/// Maximum length of a name, bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest extension that is kept when a name is cut, bytes.
const EXTENSION_BYTES_MAX: usize = 16;
/// Name used if nothing is left of the given one.
const NAME_DEFAULT: &str = "file";

/// Returns a display name: last path component, no control or bidi characters, at most 255 bytes, never empty.
pub fn clean_filename(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last.chars().filter(|&character| !is_unseen(character)).collect();
    let shown = shown.trim().trim_end_matches(['.', ' ']);
    if shown.is_empty() {
        return NAME_DEFAULT.to_owned();
    }
    cut(shown)
}

/// Cuts a name in the middle, to keep its extension.
fn cut(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |at| &name[at..]);
    let extension = if extension.len() <= EXTENSION_BYTES_MAX { extension } else { "" };
    let end = name.floor_char_boundary(NAME_BYTES_MAX - extension.len());
    format!("{}{extension}", &name[..end])
}

/// Whether a character is a control character, a line separator, or a mark that reorders or hides text (U+202E shows
/// `gpj.exe` as `exe.jpg`).
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::clean_filename;

    #[test]
    fn a_name_is_one_component_of_visible_characters() {
        for (given, expected) in [
            ("a.png", "a.png"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\x.png", "x.png"),
            ("/abs/y.png", "y.png"),
            ("C:\\tmp\\z.png", "z.png"),
            ("a\r\nSet-Cookie: x.png", "aSet-Cookie: x.png"),
            ("n\0ul.png", "nul.png"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("图片 1.png", "图片 1.png"),
            ("\"q;uote's.png", "\"q;uote's.png"),
            (".htaccess", ".htaccess"),
            ("x. . ", "x"),
        ] {
            assert_eq!(clean_filename(given), expected, "{given:?}");
        }
        for nothing in ["", ".", "..", "/", "a/", "\u{200b}", " \t\n", "..."] {
            assert_eq!(clean_filename(nothing), "file", "{nothing:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let name = clean_filename(&format!("{}.png", "é".repeat(5_000)));
        assert!(name.len() <= 255 && name.len() > 250 && name.ends_with("é.png"), "{name}");
        let name = clean_filename(&"x".repeat(5_000));
        assert_eq!(name.len(), 255);
        assert_eq!(clean_filename(&format!("a.{}", "x".repeat(5_000))).len(), 255);
    }
}
