//! JSON pointers (RFC 6901).

use crate::text;

/// Bytes of one key kept in a pointer: keys come from clients and instances.
const KEY_BYTES_MAX: usize = 200;

/// Returns the pointer to the member or element `key` of the value at `base`: `~` and `/` of the key are escaped, a long
/// key is cut.
pub(crate) fn child_pointer(base: &str, key: &str) -> String {
    format!("{base}/{}", text::ellipsis(key, KEY_BYTES_MAX).replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::child_pointer;

    #[test]
    fn a_pointer_escapes_what_rfc_6901_reserves() {
        assert_eq!(child_pointer("/params", "a/b~c"), "/params/a~1b~0c");
        assert_eq!(child_pointer("", "~1"), "/~01");
    }

    #[test]
    fn a_long_key_is_cut() {
        assert!(child_pointer("", &"é".repeat(1_000)).len() <= 205);
    }
}
