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

/// Longest stem of a portable name, bytes: with what is appended to it, the name fits into 143 bytes, the limit of
/// encrypted home folders.
const STEM_BYTES_MAX: usize = 80;

/// Returns stem and extension (with its dot, or empty) of a name such that `<stem>_<anything plain><extension>` is a
/// valid file name on Windows, Linux and macOS, is not hidden, and is no option of a command.
pub fn portable_parts(name: &str) -> (String, String) {
    let name = clean_filename(name);
    let is_extension = |end: &&str| {
        (1..EXTENSION_BYTES_MAX).contains(&end.len()) && end.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let parts = name.rsplit_once('.').filter(|(_, end)| is_extension(end));
    let (stem, extension) = parts.map_or((name.as_str(), String::new()), |(stem, end)| (stem, format!(".{end}")));
    let is_special = |letter: char| "<>:\"/\\|?*.%".contains(letter);
    let stem: String = stem.chars().map(|letter| if is_special(letter) { '_' } else { letter }).collect();
    let stem = stem.trim_start_matches(|letter: char| letter.is_whitespace() || "-~_".contains(letter)).trim_end();
    let stem = &stem[..stem.floor_char_boundary(STEM_BYTES_MAX)];
    (if stem.is_empty() { NAME_DEFAULT.to_owned() } else { stem.to_owned() }, extension)
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
    use super::{clean_filename, portable_parts};

    #[test]
    fn a_portable_name_is_valid_on_every_system() {
        for (given, stem, extension) in [
            ("img_00001_.png", "img_00001_", ".png"),
            ("con.png", "con", ".png"),
            ("con.x.tar.gz", "con_x_tar", ".gz"),
            ("a:b*c?\"<d>|e%.PNG", "a_b_c___d__e_", ".PNG"),
            ("--help.txt", "help", ".txt"),
            (".htaccess", "file", ".htaccess"),
            ("~x .mp4", "x", ".mp4"),
            ("图 片.webp", "图 片", ".webp"),
            ("no extension", "no extension", ""),
            ("odd.ex tension", "odd_ex tension", ""),
            ("a\r\nX: y.png", "aX_ y", ".png"),
            ("___.glb", "file", ".glb"),
        ] {
            assert_eq!(portable_parts(given), (stem.to_owned(), extension.to_owned()), "{given:?}");
        }
        let (stem, extension) = portable_parts(&format!("{}.png", "é".repeat(500)));
        assert_eq!((stem.len(), extension.as_str()), (80, ".png"));
    }

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
