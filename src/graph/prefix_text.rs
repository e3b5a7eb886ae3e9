//! Replacements in a `filename_prefix` that the editor makes when it sends a graph (`%date:yyyy-MM-dd%`,
//! `%KSampler.steps%`): an instance would take them as they are. Those that an instance makes itself, `%width%`, are left.

use super::Workflow;
use crate::{json::raw_value, problem::clip};
use jiff::civil::DateTime;
use serde_json::value::RawValue;

/// Input that sets the file names of save nodes.
const PREFIX: &str = "filename_prefix";
/// Letters of a date's parts, as the editor has them.
const PARTS: [char; 5] = ['d', 'M', 'h', 'm', 's'];
/// Prefixes that are looked at in one graph.
const FILLED_MAX: usize = 200;

/// A prefix with replacements.
pub(super) struct Prefix {
    pub(super) place: usize,
    /// Its new text; `None` if nothing was replaced.
    pub(super) filled: Option<Box<RawValue>>,
    /// The first text that looks like a replacement and names nothing.
    pub(super) kept: Option<String>,
}

impl Workflow {
    /// Returns the literal prefixes that have replacements, with the values that the graph has now.
    pub(super) fn filled_prefixes(&self, now: DateTime) -> Vec<Prefix> {
        let texts = self.nodes().enumerate().filter_map(|(place, node)| {
            let value = node.input(PREFIX).filter(|value| value.get().matches('%').count() > 1)?;
            Some((place, raw_value::text(value)?))
        });
        texts.take(FILLED_MAX).map(|(place, text)| self.fill(place, &text, now)).collect()
    }

    fn fill(&self, place: usize, text: &str, now: DateTime) -> Prefix {
        let (mut filled, mut kept, mut rest) = (String::with_capacity(text.len()), None, text);
        while let Some(start) = rest.find('%') {
            let (before, from) = rest.split_at(start);
            filled.push_str(before);
            // As `/%([^%]+)%/` finds it: two `%` in a row begin none.
            let Some(end) = from[1..].find('%') else {
                filled.push_str(from);
                rest = "";
                break;
            };
            if end == 0 {
                filled.push('%');
                rest = &from[1..];
                continue;
            }
            let name = &from[1..=end];
            match self.replacement(name, now) {
                Some(value) => filled.push_str(&value),
                None => {
                    filled.push_str(&from[..end + 2]);
                    if name == "date" || name.contains(['.', ':']) {
                        kept.get_or_insert_with(|| clip(name));
                    }
                }
            }
            rest = &from[end + 2..];
        }
        filled.push_str(rest);
        Prefix { place, filled: (filled != text).then(|| raw_value::quote(&filled)), kept }
    }

    /// Returns the text for `date:…` or `<class or title>.<input>`.
    fn replacement(&self, name: &str, now: DateTime) -> Option<String> {
        if let Some(format) = name.strip_prefix("date:") {
            return Some(formatted(format, now));
        }
        let (wanted, input) = name.split_once('.').filter(|(_, input)| !input.contains('.'))?;
        let of_class = self.nodes().find(|node| node.class == wanted);
        let node = of_class.or_else(|| self.nodes().find(|node| node.title.as_deref() == Some(wanted)))?;
        let value = node.input(input)?;
        let text = match value.get().as_bytes().first()? {
            b'"' => raw_value::text(value)?,
            b't' | b'f' | b'-' | b'0'..=b'9' => raw_value::canonical(value)?,
            // A link, or a file that has no name yet.
            _ => return None,
        };
        Some(text.chars().map(|letter| if is_unfit(letter) { '_' } else { letter }).collect())
    }
}

/// Whether the editor replaces the letter in a value: it may not be in a file's name.
fn is_unfit(letter: char) -> bool {
    letter.is_ascii_control() || "/?<>\\:*|\"".contains(letter)
}

/// Formats a time as the editor does: `d dd M MM h hh m mm s ss yy yyyy`, all else unchanged. Hours count to 23.
fn formatted(format: &str, now: DateTime) -> String {
    let (mut text, mut rest) = (String::new(), format);
    while let Some(letter) = rest.chars().next() {
        let run = rest.chars().take_while(|next| *next == letter).count();
        let taken = match letter {
            'y' if run >= 2 => run.min(4),
            letter if PARTS.contains(&letter) => run.min(2),
            _ => letter.len_utf8(),
        };
        let number: i32 = match letter {
            'd' => now.day().into(),
            'M' => now.month().into(),
            'h' => now.hour().into(),
            'm' => now.minute().into(),
            's' => now.second().into(),
            _ => now.year().into(),
        };
        match letter {
            'y' if taken == 4 => text.push_str(&number.to_string()),
            'y' if taken == 2 => text.push_str(&format!("{:02}", number % 100)),
            letter if PARTS.contains(&letter) => text.push_str(&format!("{number:0taken$}")),
            _ => text.push_str(&rest[..taken]),
        }
        rest = &rest[taken..];
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set up should panic where it stands")]
mod tests {
    use super::Workflow;
    use serde_json::{json, value::RawValue};

    /// Returns the prefix after its replacement, and the text that was kept.
    fn filled(prefix: &str) -> (Option<String>, Option<String>) {
        let graph = json!({"1": {"class_type": "EmptyImage", "inputs": {"width": 16, "color": "a/b:c", "cfg": 1.50, "on": true, "link": ["2", 0]}},
            "2": {"class_type": "EmptyImage", "inputs": {"width": 32}, "_meta": {"title": "Big"}},
            "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": prefix}}});
        let graph = RawValue::from_string(graph.to_string()).unwrap();
        let now = jiff::civil::date(2026, 2, 3).at(14, 5, 6, 0);
        let found = Workflow::from_stored(&graph).unwrap().filled_prefixes(now).into_iter().next();
        let Some(found) = found else { return (None, None) };
        (found.filled.map(|text| serde_json::from_str(text.get()).unwrap()), found.kept)
    }

    /// Finding 13.
    #[test]
    fn dates_and_values_are_filled_in_as_the_editor_does() {
        for (prefix, expected) in [
            ("%date:yyyy-MM-dd%/x", "2026-02-03/x"),
            ("%date:yy.M.d hh-mm-ss%", "26.2.3 14-05-06"),
            ("%date:yyyyMMdd_hms%", "20260203_1456"),
            ("%date:yyy y HH é%", "yyy y HH é"),
            ("%EmptyImage.width%x%Big.width%_%EmptyImage.color%", "16x32_a_b_c"),
            ("%EmptyImage.cfg%%EmptyImage.on%", "1.5true"),
            ("100%_%date:yyyy%", "100%_2026"),
        ] {
            let (found, _) = filled(prefix);
            // `/%([^%]+)%/` takes `%_%` first, so the date behind it is none.
            let expected = if prefix.starts_with("100") { None } else { Some(expected.to_owned()) };
            assert_eq!(found, expected, "{prefix}");
        }
        for (prefix, kept) in [
            ("x", None),
            ("%width%x%height%_%year%", None),
            ("50%_of_60%", None),
            ("%Nobody.width%", Some("Nobody.width")),
            ("%EmptyImage.link%", Some("EmptyImage.link")),
            ("%EmptyImage.height%", Some("EmptyImage.height")),
            ("%date%", Some("date")),
        ] {
            assert_eq!(filled(prefix), (None, kept.map(str::to_owned)), "{prefix}");
        }
    }
}
