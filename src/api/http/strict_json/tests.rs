//! The JSON half of the bad-input catalogue (safety.md §2.2), and that good numbers pass as they came.

use super::{ApiError, Members, check};
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let members = Members::parse(check(bytes)?)?;
    Ok(members.iter().map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect())
}

fn word(bytes: &[u8]) -> &'static str {
    parse(bytes).unwrap_err().word()
}

#[test]
fn broken_documents_are_refused() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let deep_objects = format!("{}1{}", "{\"a\":".repeat(101), "}".repeat(101));
    for body in [
        "",
        " ",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\":1}x",
        "{\"a\":1}{}",
        "{\"a\":1} // no",
        "{/**/\"a\":1}",
        "{'a':1}",
        "{a:1}",
        "\u{feff}{\"a\":1}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":01}",
        "{\"a\":0x1}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":1e999999}",
        "{\"a\":-1e400}",
        "{\"a\":[1E+309]}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\ud800\\ud800\"}",
        "{\"a\":\"\\ud83d\"}",
        "{\"\\ud800\":1}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\uzzzz\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\0\"}",
        "{\"a\":\"",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"x\":{\"a\":1,\"a\":2}}",
        "{\"x\":[0,{\"y\":{\"a\":1,\"\\u0061\":2}}]}",
        &deep,
        &deep_objects,
        &format!("{{\"a\":{}}}", "9".repeat(100_000)),
        &"[".repeat(100_000),
        "{\"a\":tru}",
        "nul",
        &format!("{{\"a\":{}}}", "9".repeat(400)),
    ] {
        assert_eq!(word(body.as_bytes()), "invalid_json", "{}", &body[..body.len().min(80)]);
    }
    assert_eq!(word(b"{\"a\":\"\xff\"}"), "invalid_json");
    assert_eq!(word(b"\xff\xfe{\0}\0"), "invalid_json");
    let many: Vec<String> = (0..65).map(|n| format!("\"{n}\":1")).collect();
    assert_eq!(word(format!("{{{}}}", many.join(",")).as_bytes()), "invalid_json");
}

#[test]
fn other_documents_are_not_objects() {
    for body in ["null", "[]", "1", "\"a\"", "true", "[{}]"] {
        assert_eq!(word(body.as_bytes()), "invalid_request", "{body}");
    }
}

#[test]
fn values_stay_what_they_were() {
    let deep = format!("{}{}", "[".repeat(99), "]".repeat(99));
    let surrogates = "\"\\ud83d\\ude00 \\\\u \\\" \\u0000\"";
    for value in [
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0.1",
        "1.0",
        "1e2",
        "1E+2",
        "1e-7",
        "1e-999999",
        "-0.0",
        "1.10",
        "3.141592653589793238",
        "{\"b\":1,\"a\":2,\"A\":3}",
        "[ 1 , 2 ]",
        "\"a b\"",
        surrogates,
        &deep,
    ] {
        let body = format!(" {{\"x\" : {value} }} ");
        assert_eq!(parse(body.as_bytes()).unwrap(), [("x".to_owned(), value.to_owned())]);
    }
}

#[test]
fn unknown_members_are_named_with_near_names() {
    let members = Members::parse("{\"workflow\":1,\"Priority\":2,\"zzz\":3}").unwrap();
    let Err(ApiError::UnknownField(flaws)) = members.only(&["workflow", "priority"]) else { panic!("must be refused") };
    assert_eq!((flaws[0].pointer.as_str(), flaws[0].candidates.clone()), ("/Priority", vec!["priority".to_owned()]));
    assert_eq!((flaws[1].pointer.as_str(), flaws[1].candidates.len()), ("/zzz", 0));
    assert!(members.only(&["workflow", "Priority", "zzz"]).is_ok());
}

proptest! {
    /// No input panics, and every accepted text is JSON to other parsers.
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if parse(&bytes).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }

    /// The same with texts that look like JSON.
    #[test]
    fn any_json_like_text_is_judged(text in r#"(\{"a":)?([\[\]{}",:0-9eE+.\\u dD8cC-]|"a"|true|null){0,24}\}?"#) {
        if parse(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
