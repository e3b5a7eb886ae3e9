//! Names of files: their folder, and paths that stay inside of it.

/// `(input | output | temp, subfolder, name)`.
pub(crate) type Key = (&'static str, String, String);

/// Returns one of the three folders by its name.
pub(crate) fn folder_type(name: &str) -> Option<&'static str> {
    ["input", "output", "temp"].into_iter().find(|kind| *kind == name)
}

/// Folder of the machine that the three folders are in.
const BASE: &str = "/comfyui/";

/// Returns a path below one of the three folders, of which an absolute path names one: `/comfyui/output/a` is `a`.
pub(crate) fn relative<'a>(kind: &str, path: &'a str) -> &'a str {
    let inside = path.strip_prefix(BASE).and_then(|path| path.strip_prefix(kind));
    inside.and_then(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }).unwrap_or(path)
}

/// Normalizes a subfolder, removing `.` and `..`; `None` if it leads outside.
pub(crate) fn normalized(subfolder: &str) -> Option<String> {
    if subfolder.starts_with('/') || subfolder.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in subfolder.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Splits `name [input]` into the name and the folder.
pub(crate) fn split_annotation(name: &str) -> (&str, Option<&'static str>) {
    for (suffix, kind) in [("[output]", "output"), ("[input]", "input"), ("[temp]", "temp")] {
        if let Some(bare) = name.strip_suffix(suffix) {
            // Python removes one more character: the space before the bracket.
            let mut letters = bare.chars();
            letters.next_back();
            return (letters.as_str(), Some(kind));
        }
    }
    (name, None)
}

/// Returns the location of a loader's file.
pub(crate) fn locate(name: &str) -> Option<Key> {
    let (path, kind) = split_annotation(name);
    let path = normalized(path)?;
    let (subfolder, file) = path.rsplit_once('/').unwrap_or(("", &path));
    Some((kind.unwrap_or("input"), subfolder.to_owned(), file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{normalized, relative, split_annotation};

    #[test]
    fn an_absolute_path_is_below_its_folder() {
        assert_eq!(relative("output", "/comfyui/output/a/b"), "a/b");
        assert_eq!(relative("output", "/comfyui/output"), "");
        for other in ["/comfyui/outputs/a", "/comfyui/temp/a", "/etc", "a"] {
            assert_eq!(relative("output", other), other);
        }
    }

    #[test]
    fn subfolders_stay_inside() {
        assert_eq!(normalized("a/./b/../c"), Some("a/c".to_owned()));
        assert_eq!(normalized(""), Some(String::new()));
        for outside in ["..", "a/../../b", "/etc"] {
            assert_eq!(normalized(outside), None, "{outside}");
        }
    }

    #[test]
    fn a_name_may_contain_its_folder() {
        assert_eq!(split_annotation("a.png [input]"), ("a.png", Some("input")));
        assert_eq!(split_annotation("a.png"), ("a.png", None));
        assert_eq!(split_annotation("[temp]"), ("", Some("temp")));
    }
}
