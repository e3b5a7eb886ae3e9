//! The servers that `bin/test-servers` unpacked: other versions of Redis, and Valkey.

use std::path::PathBuf;

/// Returns the program of a server by its name there, e.g. `valkey-9`. If it is missing, this is printed; with
/// `SERVER_TESTS=required` it is a failure.
pub fn server(name: &str) -> Option<PathBuf> {
    // The test binary is `<target>/debug/deps/it-…`.
    let binary = std::env::current_exe().unwrap();
    let folder = binary.ancestors().nth(3).unwrap().join("servers");
    let program = folder.join(name).join("server");
    if program.exists() {
        return Some(program);
    }
    let message = format!("NOT TESTED: the server {name} is missing; run: bin/test-servers {}", folder.display());
    assert!(std::env::var("SERVER_TESTS").as_deref() != Ok("required"), "{message}");
    println!("{message}");
    None
}
