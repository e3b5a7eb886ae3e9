//! Pretty-prints JSON text without parsing it: numbers and the order of members stay unchanged.
//!
//! Invariant: control characters are written as escapes such as `\u009b`, which mean the same in JSON.

use super::output::is_control;

/// Puts each member on its own line, indented by two spaces per level. Empty objects and lists stay on one line.
pub(crate) fn pretty(json: &str) -> String {
    let (mut text, mut depth, mut letters) = (String::with_capacity(json.len() * 2), 0_usize, json.chars().peekable());
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    while let Some(letter) = letters.next() {
        match letter {
            '"' => {
                text.push(letter);
                let mut is_escaped = false;
                for letter in letters.by_ref() {
                    if is_control(letter) {
                        text.push_str(&format!("\\u{:04x}", u32::from(letter)));
                    } else {
                        text.push(letter);
                    }
                    match letter {
                        _ if is_escaped => is_escaped = false,
                        '\\' => is_escaped = true,
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                text.push(letter);
                if let Some(close) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(letter);
            }
            ',' => {
                text.push(letter);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            letter if letter.is_ascii_whitespace() => {}
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn only_space_and_control_characters_change() {
        let json = r#"{"b":{"x":[1e-7,20.00],"y":"a, \"{b}\" \\"},"a":[ ],"c":{}}"#;
        let printed = pretty(json);
        let expected = "{\n  \"b\": {\n    \"x\": [\n      1e-7,\n      20.00\n    ],\n    \"y\": \"a, \\\"{b}\\\" \\\\\"\n  },\n  \
                        \"a\": [],\n  \"c\": {}\n}";
        assert_eq!(printed, expected);
        assert_eq!(pretty(&printed), printed, "idempotent");
        let harmful = "\"a\u{9b}2J\u{202e}\u{7f}\"";
        assert_eq!(pretty(harmful), r#""a\u009b2J\u202e\u007f""#);
        let same = |text: &str| serde_json::from_str::<String>(text).unwrap();
        assert_eq!(same(&pretty(harmful)), same(harmful));
    }
}
