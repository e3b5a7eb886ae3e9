//! The units start roles that exist, with files of secrets that the unit loads, and wait long enough for a stop.

use super::{read, seconds, takes};

const ROLES: [&str; 3] = ["api", "dispatcher", "ws"];

fn values<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[test]
fn units_start_their_role_with_flags_that_exist() {
    for role in ROLES {
        let unit = read(&format!("systemd/shuzhiren-{role}.service"));
        let [start] = values(&unit, "ExecStart")[..] else { panic!("{role}: one ExecStart") };
        let args: Vec<&str> = start.strip_prefix("/usr/local/bin/shuzhiren ").unwrap().split(' ').collect();
        assert_eq!(args[0], role);
        assert_eq!(takes(&args), Ok(()));
    }
}

#[test]
fn every_secret_is_a_loaded_credential() {
    for role in ROLES {
        let unit = read(&format!("systemd/shuzhiren-{role}.service"));
        let loaded: Vec<&str> =
            values(&unit, "LoadCredential").iter().map(|value| value.split_once(':').unwrap().0).collect();
        let set = values(&unit, "Environment");
        assert_eq!(loaded.len(), set.len(), "{role}");
        for (credential, variable) in loaded.iter().zip(&set) {
            let (name, value) = variable.split_once('=').unwrap();
            assert!(name.ends_with("_FILE") && value == format!("%d/{credential}"), "{role}: {variable}");
        }
        assert_eq!(set.len(), if role == "dispatcher" { 1 } else { 3 }, "{role} gets what it needs and no more");
    }
}

#[test]
fn a_stop_is_never_cut_short() {
    let settings = std::fs::read_to_string(super::root().join("../src/settings.rs")).unwrap();
    let drain = settings.split("\"SHUZHIREN_DRAIN_TIMEOUT\", default_value = \"").nth(1).unwrap();
    let drain = seconds(drain.split('"').next().unwrap());
    for role in ROLES {
        let unit = read(&format!("systemd/shuzhiren-{role}.service"));
        let patience: u64 = values(&unit, "TimeoutStopSec")[0].parse().unwrap();
        assert!(patience > 2 * drain, "{role}: requests, then sockets");
    }
}
