//! `upload`, `files`, `download`, `rm`.

use super::{Shell, Stack};

#[tokio::test]
async fn a_file_goes_up_and_comes_back_as_it_was() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(shell.folder().join("图 1.bin"), &bytes).unwrap();
    shell.write("small.txt", "hello");
    let out = shell.ok(&["upload", "图 1.bin", "small.txt"]).await;
    let ids: Vec<&str> = out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(out.contains("图 1.bin") && ids.len() == 2, "{out}");

    let listed = shell.run(&["files", "--json"]).await.json();
    assert_eq!(listed["total"], 2);
    let table = shell.ok(&["files", "--kind", "upload"]).await;
    assert!(table.contains("图 1.bin") && table.contains("2.9 MiB"), "{table}");

    shell.ok(&["download", ids[0], ids[1], "--out", "back"]).await;
    assert_eq!(std::fs::read(shell.folder().join("back/图 1.bin")).unwrap(), bytes);
    assert_eq!(std::fs::read(shell.folder().join("back/small.txt")).unwrap(), b"hello");
    assert_eq!(shell.ok(&["download", ids[1], "--out", "-"]).await, "hello");
    // A link is as good as its id.
    let link = listed["items"][0]["url"].as_str().unwrap();
    shell.ok(&["download", link, "--out", "linked"]).await;

    let ran = shell.run(&["rm", ids[0]]).await;
    assert_eq!((ran.code, ran.out), (0, format!("{} deleted: 图 1.bin\n", ids[0])));
    for command in ["rm", "download"] {
        assert_eq!(shell.run(&[command, ids[0]]).await.code, 4, "{command}");
        assert_eq!(shell.run(&[command, "../../etc/passwd"]).await.code, 4, "{command}");
    }
    assert_eq!(shell.run(&["upload", "absent"]).await.code, 2);
    assert_eq!(shell.run(&["upload", "."]).await.code, 2);
    shell.write("empty", "");
    assert_eq!(shell.run(&["upload", "empty"]).await.code, 6);
    assert_eq!(shell.run(&["files", "--kind", "x"]).await.code, 6);
}

#[tokio::test]
async fn bytes_that_are_not_those_stored_are_not_saved() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    shell.write("a.txt", "as it was");
    let id = shell.ok(&["upload", "a.txt"]).await;
    let id = id.split(' ').next().unwrap();
    // The disk of the server forgets.
    let name = stack.stored_files().into_iter().next().unwrap();
    let path = find(&stack.files(), &name).unwrap();
    std::fs::write(path, "as it is!").unwrap();
    let ran = shell.run(&["download", id, "--out", "back"]).await;
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.err.contains("SHA-256"), "{ran:?}");
    assert_eq!(std::fs::read_dir(shell.folder().join("back")).unwrap().count(), 0, "nothing is left");
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() { find(&path, name) } else { (path.file_name()?.to_str()? == name).then_some(path) }
    })
}
