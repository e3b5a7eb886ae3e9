//! Types of linked inputs, as ComfyUI compares them (`comfy_execution/validation.py`).

use super::{Class, Input};

/// Prefix of types that ComfyUI resolves while it validates: `COMFY_MATCHTYPE_V3`, `COMFY_AUTOGROW_V3`.
const DYNAMIC: &str = "COMFY_";

impl Input {
    /// Whether its type is resolved by the instance: its inputs are named `name.part`, or it takes several types.
    pub(in crate::graph) fn is_dynamic_type(&self) -> bool {
        self.type_name().starts_with(DYNAMIC)
    }

    /// Whether an output of this type may be linked to the input.
    pub(in crate::graph) fn takes_type(&self, received: &str) -> bool {
        may_be_equal(received, self.type_name())
    }
}

impl Class {
    /// Returns the type of the output at `slot`; `Ok(None)` if the instance decides.
    ///
    /// # Errors
    /// The number of outputs, if there is none at `slot`. As in Python, a negative slot counts from the end.
    pub(in crate::graph) fn output_at(&self, slot: i128) -> Result<Option<&str>, usize> {
        let count = self.outputs.len();
        let from_end = i128::try_from(count).unwrap_or_default() + slot;
        let place = if slot < 0 { from_end } else { slot };
        let output = usize::try_from(place).ok().and_then(|place| self.outputs.get(place));
        match (output, self.outputs.last()) {
            (Some((_, kind)), _) => Ok(Some(kind)),
            // A class that ends with an output of any type may have more than it declares.
            (None, Some((_, last))) if is_open(last) => Ok(None),
            (None, None) if !self.has_no_output => Ok(None),
            (None, _) => Err(count),
        }
    }
}

fn may_be_equal(received: &str, wanted: &str) -> bool {
    if received == wanted || is_open(received) || is_open(wanted) {
        return true;
    }
    received.split(',').any(|one| wanted.split(',').any(|other| one.trim() == other.trim()))
}

/// Whether a type may be equal to types of other names. The lists of two combos are compared by the instance.
fn is_open(kind: &str) -> bool {
    kind.is_empty() || kind.contains('*') || kind.contains(DYNAMIC) || kind.split(',').any(|one| one.trim() == "COMBO")
}

#[cfg(test)]
mod tests {
    use super::may_be_equal;

    #[test]
    fn types_are_compared_as_comfyui_does() {
        for (received, wanted) in [
            ("IMAGE", "IMAGE"),
            ("IMAGE", "*"),
            ("*", "IMAGE"),
            ("INT", "FLOAT,INT"),
            ("INT, FLOAT", "STRING,FLOAT"),
            ("COMFY_MATCHTYPE_V3", "IMAGE"),
            ("IMAGE", "COMFY_AUTOGROW_V3"),
            ("COMBO", "STRING"),
            ("", "IMAGE"),
        ] {
            assert!(may_be_equal(received, wanted), "{received} {wanted}");
        }
        for (received, wanted) in [("LATENT", "IMAGE"), ("INT", "FLOAT"), ("IMAGE", "IMAGES"), ("A,B", "C,D")] {
            assert!(!may_be_equal(received, wanted), "{received} {wanted}");
        }
    }
}
