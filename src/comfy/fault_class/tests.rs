//! Tests of the classes of faults.

use super::{Elsewhere, FaultClass, classify};
use proptest::prelude::*;

fn word(class: FaultClass) -> &'static str {
    match class {
        FaultClass::Memory => "memory",
        FaultClass::Machine => "machine",
        FaultClass::Task => "task",
        FaultClass::Unknown => "unknown",
    }
}

/// Bug reports 1 and 10.
#[test]
fn real_messages_are_judged() {
    let lines = include_str!("messages.txt").lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    for line in lines {
        let parts: Vec<&str> = line.splitn(4, '|').map(str::trim).collect();
        let [expected, exception, node, message] = parts[..] else { panic!("{line}") };
        let found = word(classify(exception, &message.replace("\\n", "\n"), node, Elsewhere::NotTried));
        if found != expected {
            wrong.push(format!("{found} for {line}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn elsewhere_decides_what_the_text_does_not_say() {
    let judge = |exception, elsewhere| classify(exception, "inference failed", "CustomNode", elsewhere);
    assert_eq!(judge("RuntimeError", Elsewhere::NotTried), FaultClass::Unknown);
    assert_eq!(judge("RuntimeError", Elsewhere::Failed), FaultClass::Task);
    assert_eq!(judge("ValueError", Elsewhere::NotTried), FaultClass::Task);
    assert_eq!(judge("torch.AcceleratorError", Elsewhere::Failed), FaultClass::Machine);
}

proptest! {
    #[test]
    fn no_text_panics(exception in ".*", message in "(?s).*", node in ".*") {
        classify(&exception, &message, &node, Elsewhere::NotTried);
    }

    #[test]
    fn a_quoted_text_of_a_user_is_not_the_machine(text in "(CUDA|HIP|MPS backend) (error: |out of memory)[a-z ]{0,20}") {
        let message = format!("cannot use the value '{text}' here");
        prop_assert_eq!(classify("RuntimeError", &message, "CustomNode", Elsewhere::NotTried), FaultClass::Unknown);
    }
}
