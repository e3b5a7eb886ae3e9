//! Encryption and masking.

use super::{Encryption, KEY_BYTES_MAX, NoSecretKey, NodeKeys, Unreadable, is_encrypted};
use crate::settings::Secret;

const SECRET_KEY: &str = "0123456789abcdef0123456789abcdef";

fn encryption(key: &str) -> Encryption {
    Encryption::new(&Secret::new(key)).unwrap()
}

fn keys(key: &str) -> NodeKeys {
    let mut keys = NodeKeys::default();
    keys.add("api_key_comfy_org", key).unwrap();
    keys
}

fn masked(key: &str, text: &str) -> String {
    let mut text = text.to_owned();
    keys(key).mask(&mut text);
    text
}

#[test]
fn what_is_stored_is_read_back_for_the_same_owner_only() {
    let here = encryption(SECRET_KEY);
    let stored = here.encrypt_keys("task 1", &keys("comfyui-0000")).unwrap();
    assert!(is_encrypted(&stored) && !stored.contains("comfyui"), "{stored}");
    assert_ne!(stored, here.encrypt_keys("task 1", &keys("comfyui-0000")).unwrap(), "each has a nonce of its own");
    assert_eq!(here.decrypt_keys("task 1", &stored), Ok(keys("comfyui-0000")));
    assert_eq!(here.decrypt_keys("task 2", &stored), Err(Unreadable::OtherKey));
    let other = encryption("another key of another installation");
    assert_eq!(other.decrypt_keys("task 1", &stored), Err(Unreadable::OtherKey));
    assert_eq!(Encryption::default().decrypt_keys("task 1", &stored), Err(Unreadable::NoSecretKey));
    for damaged in ["", "encrypted:v1:", "encrypted:v1:AAAA", &stored[..stored.len() - 1], &stored[13..]] {
        assert!(here.decrypt_keys("task 1", damaged).is_err(), "{damaged}");
    }
}

#[test]
fn without_an_installation_key_nothing_is_encrypted() {
    let none = Encryption::default();
    assert_eq!(none.check(), Err(NoSecretKey));
    assert_eq!(none.encrypt("task 1", "x"), Err(NoSecretKey));
    assert_eq!(none.fingerprint("x"), Err(NoSecretKey));
    assert!(Encryption::new(&Secret::new("short")).unwrap_err().contains("32 are needed"));
}

#[test]
fn a_fingerprint_depends_on_the_installation_key() {
    let here = encryption(SECRET_KEY);
    assert_eq!(here.fingerprint("a"), here.fingerprint("a"));
    assert_ne!(here.fingerprint("a"), here.fingerprint("b"));
    assert_ne!(here.fingerprint("a"), encryption("another key of another installation").fingerprint("a"));
}

#[test]
fn a_key_is_bounded_and_has_a_known_name() {
    let mut none = NodeKeys::default();
    assert!(none.add("api_key", "x").unwrap_err().contains("api_key_comfy_org"));
    for bad in ["", "a\nb", "a\0", &"x".repeat(KEY_BYTES_MAX + 1), "encrypted:v1:AAAA"] {
        let why = none.add("api_key_comfy_org", bad).unwrap_err();
        assert!(bad.len() < 2 || !why.contains(bad), "{why}");
    }
    assert!(none.is_empty());
    none.add("api_key_comfy_org", &"x".repeat(KEY_BYTES_MAX)).unwrap();
}

#[test]
fn a_key_is_masked_in_every_form_it_may_come_back_in() {
    assert_eq!(masked("comfyui-0000", "bad key comfyui-0000, comfyui-0000!"), "bad key ***, ***!");
    assert_eq!(masked("a\"b\\c", r#"{"key": "a\"b\\c"}"#), r#"{"key": "***"}"#);
    assert_eq!(masked("comfyui-0000", "Unauthorized: comfyui-0…"), "Unauthorized: ***…");
    assert_eq!(masked("comfyui-0000", "Unauthorized: comfyui-000"), "Unauthorized: ***");
    assert_eq!(masked("comfyui-0000", "the key comf"), "the key comf");
    assert_eq!(masked("图图图图图图", "键 图图图图"), "键 ***");
    assert_eq!(masked("abc", "abcdef"), "abcdef", "too short to be told from a word");
    assert!(!format!("{:?} {:?}", keys("comfyui-0000"), encryption(SECRET_KEY)).contains("0000"));
}

#[test]
fn the_keys_of_a_task_win_over_those_of_its_server() {
    let mut server = keys("of the server");
    server.add("auth_token_comfy_org", "token of the server").unwrap();
    let both = keys("of the task").or(server);
    let exposed: Vec<_> = both.expose().collect();
    assert_eq!(exposed, [("api_key_comfy_org", "of the task"), ("auth_token_comfy_org", "token of the server")]);
}
