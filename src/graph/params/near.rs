//! Near names by edit distance, for the `candidates` of a problem.

/// Names offered.
const CANDIDATES_MAX: usize = 5;
/// Problems of a request that get near names: a search looks at thousands of names.
pub(super) const SEARCHES_MAX: usize = 5;
/// Names looked at.
const NAMES_MAX: usize = 5_000;
/// Longer names have no near ones.
const NAME_CHARS_MAX: usize = 64;

/// The names nearest to `wanted`, nearest first: at most a third of its characters differ (at least two may).
pub fn near(wanted: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let wanted: Vec<char> = wanted.chars().take(NAME_CHARS_MAX + 1).collect();
    if wanted.len() > NAME_CHARS_MAX {
        return Vec::new();
    }
    let distance_max = (wanted.len() / 3).max(2);
    let mut found: Vec<(usize, String)> =
        names.take(NAMES_MAX).filter_map(|name| Some((distance(&wanted, &name, distance_max)?, name))).collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().take(CANDIDATES_MAX).map(|(_, name)| name).collect()
}

/// Levenshtein's distance if it is at most `distance_max`.
fn distance(wanted: &[char], name: &str, distance_max: usize) -> Option<usize> {
    let name: Vec<char> = name.chars().take(NAME_CHARS_MAX + 1).collect();
    if name.len() > NAME_CHARS_MAX || name.len().abs_diff(wanted.len()) > distance_max {
        return None;
    }
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (deleted, &from) in wanted.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = deleted + 1;
        for (inserted, &to) in name.iter().enumerate() {
            let replaced = diagonal + usize::from(!from.eq_ignore_ascii_case(&to));
            diagonal = row[inserted + 1];
            row[inserted + 1] = replaced.min(diagonal + 1).min(row[inserted] + 1);
        }
    }
    row.last().copied().filter(|&distance| distance <= distance_max)
}

#[cfg(test)]
mod tests {
    use super::near;

    fn names(list: &[&str]) -> impl Iterator<Item = String> {
        list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn the_nearest_come_first_and_strangers_never() {
        let all = ["6.text", "7.text", "6.clip", "3.sampler_name", "16.texts"];
        assert_eq!(near("6.txt", names(&all)), ["6.text", "7.text"]);
        assert_eq!(near("3.sampler", names(&all)), Vec::<String>::new());
        assert_eq!(near("3.SamplerName", names(&all)), ["3.sampler_name"]);
        assert!(near(&"x".repeat(1_000_000), names(&all)).is_empty());
    }
}
