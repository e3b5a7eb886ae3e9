//! Near names, for people who mistype.

/// Further apart than this, two names have nothing to do with one another.
const DISTANCE_MAX: usize = 2;

/// The known names that `name` may have been meant to be, nearest first.
pub(super) fn near(name: &str, known: &[&'static str]) -> Vec<&'static str> {
    let lower = name.to_lowercase();
    let mut found: Vec<(usize, &'static str)> = known
        .iter()
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= DISTANCE_MAX && *distance < candidate.len())
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// How many letters must be put in, left out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (at, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn names_are_near_by_letters_and_case() {
        let known = ["workflow", "params", "maxAttempts", "startBy"];
        assert_eq!(near("wrokflow", &known), ["workflow"]);
        assert_eq!(near("param", &known), ["params"]);
        assert_eq!(near("max_attempts", &known), ["maxAttempts"]);
        assert_eq!(near("STARTBY", &known), ["startBy"]);
        assert!(near("client_id", &known).is_empty());
        assert!(near("", &known).is_empty());
    }
}
