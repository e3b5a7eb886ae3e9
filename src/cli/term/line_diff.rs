//! Line diff of two texts.

/// Size of the comparison table, lines × lines. Larger changes are shown as replaced altogether.
const CELLS_MAX: usize = 4_000_000;
/// Unchanged lines shown before and after a change.
const CONTEXT: usize = 3;

/// Returns changed lines prefixed by `-` or `+` and the unchanged lines near them; empty if the texts are equal.
pub(crate) fn diff(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut lines: Vec<(char, &str)> = old[..head].iter().map(|&line| (' ', line)).collect();
    lines.extend(middle(&old[head..old.len() - tail], &new[head..new.len() - tail]));
    lines.extend(old[old.len() - tail..].iter().map(|&line| (' ', line)));
    near_changes(&lines)
}

/// Compares by the longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let removed = |lines: &[&'a str]| lines.iter().map(|&line| ('-', line)).collect::<Vec<_>>();
    let added = |lines: &[&'a str]| lines.iter().map(|&line| ('+', line)).collect::<Vec<_>>();
    if old.len().saturating_mul(new.len()) > CELLS_MAX {
        return [removed(old), added(new)].concat();
    }
    // lengths[i][j] is the length of the longest common subsequence of old[i..] and new[j..].
    let mut lengths = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i][j] =
                if old[i] == new[j] { lengths[i + 1][j + 1] + 1 } else { lengths[i + 1][j].max(lengths[i][j + 1]) };
        }
    }
    let (mut lines, mut i, mut j) = (Vec::new(), 0, 0);
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if lengths[i + 1][j] >= lengths[i][j + 1] {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    lines.extend(removed(&old[i..]));
    lines.extend(added(&new[j..]));
    lines
}

fn near_changes(lines: &[(char, &str)]) -> Vec<String> {
    let is_near = |at: usize| {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(lines.len());
        lines[around].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut shown = Vec::new();
    let mut last = None;
    for (at, (mark, line)) in lines.iter().enumerate().filter(|(at, _)| is_near(*at)) {
        if last.is_some_and(|last| last + 1 < at) {
            shown.push("  …".to_owned());
        }
        shown.push(format!("{mark} {line}"));
        last = Some(at);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn only_changes_and_their_context_are_shown() {
        let before: String = (0..20).map(|n| format!("{n}\n")).collect();
        assert!(diff(&before, &before).is_empty());
        let after = before.replace("10\n", "ten\nten and a half\n");
        let expected = ["  7", "  8", "  9", "- 10", "+ ten", "+ ten and a half", "  11", "  12", "  13"];
        assert_eq!(diff(&before, &after), expected);
        let both = after.replace("0\n", "zero\n").replace("19\n", "");
        let shown = diff(&before, &both);
        assert_eq!((shown[0].as_str(), shown.last().unwrap().as_str()), ("- 0", "- 19"));
        assert!(shown.contains(&"  …".to_owned()));
        assert_eq!(diff("", "a"), ["+ a"]);
        assert_eq!(diff("a", ""), ["- a"]);
    }
}
