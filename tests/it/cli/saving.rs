//! Commands that save: devices, pipes, directories and symbolic links in the place of a file.

use super::{PASSWORD, Shell, Stack, ended};
use crate::support::stack::workflow;
use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

fn fifo(path: &Path) -> PathBuf {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    path.to_owned()
}

/// A private copy of `/dev/null`, which a fault may replace without harm; `None` where devices cannot be made or used.
fn null_device(path: &Path) -> Option<PathBuf> {
    let kind = rustix::fs::FileType::CharacterDevice;
    let made = rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o600.into(), rustix::fs::makedev(1, 3));
    (made.is_ok() && fs::OpenOptions::new().write(true).open(path).is_ok()).then(|| path.to_owned())
}

/// Reads a pipe to its end in the background.
fn reader_of(pipe: &Path) -> tokio::task::JoinHandle<Vec<u8>> {
    let pipe = pipe.to_owned();
    tokio::task::spawn_blocking(move || fs::read(pipe).unwrap())
}

/// Both ends of a pipe, so that a command finds a reader whenever it comes.
fn held(pipe: &Path) -> File {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    fs::OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open(pipe).unwrap()
}

/// Reads what a command that has ended wrote into a pipe.
fn drain(mut pipe: File) -> String {
    let mut bytes = Vec::new();
    assert_eq!(pipe.read_to_end(&mut bytes).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    String::from_utf8(bytes).unwrap()
}

/// The entry itself, not what a link leads to.
fn inode(path: &Path) -> (u64, fs::FileType) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.ino(), metadata.file_type())
}

fn is_png(path: &Path) -> bool {
    fs::read(path).unwrap().starts_with(b"\x89PNG")
}

#[tokio::test]
async fn sample_writes_into_devices_and_pipes_and_follows_links() {
    let stack = Stack::start(1, 1).await;
    let shell = Shell::new(&stack.client.base);
    let at = |name: &str| shell.folder().join(name);
    let sample = async |out: &str| shell.run(&["sample", "--password", PASSWORD, "--out", out]).await;

    let pipe = fifo(&at("pipe"));
    symlink("pipe", at("to-pipe")).unwrap();
    let before = (inode(&pipe), inode(&at("to-pipe")));
    for name in ["pipe", "to-pipe"] {
        let read = reader_of(&pipe);
        let ran = sample(name).await;
        assert!(ran.code == 0 && ran.out.contains(&format!("saved   {name}")), "{ran:?}");
        assert!(read.await.unwrap().starts_with(b"\x89PNG"));
    }
    assert_eq!((inode(&pipe), inode(&at("to-pipe"))), before);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());

    if let Some(device) = null_device(&at("null")) {
        symlink("null", at("to-null")).unwrap();
        let before = (inode(&device), inode(&at("to-null")));
        for name in ["null", "to-null"] {
            let ran = sample(name).await;
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        assert_eq!((inode(&device), inode(&at("to-null"))), before);
    }

    // A link stays; the file that it leads to is replaced, or made.
    fs::create_dir(at("deep")).unwrap();
    fs::write(at("deep/old.png"), "old").unwrap();
    fs::set_permissions(at("deep/old.png"), fs::Permissions::from_mode(0o640)).unwrap();
    for (link, to) in [("link.png", "deep/old.png"), ("dangling.png", "deep/new.png")] {
        symlink(to, at(link)).unwrap();
        let before = inode(&at(link));
        let ran = sample(link).await;
        assert!(ran.code == 0 && is_png(&at(to)), "{ran:?}");
        assert_eq!(inode(&at(link)), before);
    }
    assert_eq!(fs::metadata(at("deep/old.png")).unwrap().permissions().mode() & 0o777, 0o640);

    for (out, why) in [("deep", "it is a directory"), ("absent/a.png", "folder does not exist")] {
        let ran = sample(out).await;
        assert!(ran.code == 7 && ran.err.contains(why) && ran.out.is_empty(), "no task was submitted: {ran:?}");
    }
}

#[tokio::test]
async fn a_download_never_follows_a_link_out_of_its_folder() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let at = |name: &str| shell.folder().join(name);
    shell.write("a.txt", "from the server");
    let id = shell.ok(&["upload", "a.txt"]).await;
    let id = id.split(' ').next().unwrap();
    shell.write("mine", "mine");
    fs::create_dir(at("out")).unwrap();
    let entry = at("out/a.txt");
    let make: [fn(&Path); 4] = [
        |path| symlink("../mine", path).unwrap(),
        |path| symlink("../absent", path).unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| drop(fifo(path)),
    ];
    for make in make {
        make(&entry);
        let before = inode(&entry);
        let ran = shell.run(&["download", id, "--out", "out", "--overwrite"]).await;
        assert!(ran.code == 7 && ran.err.contains("not overwritten"), "{ran:?}");
        let ran = shell.run(&["download", id, "--out", "out"]).await;
        assert!(ran.code == 0 && ran.out.contains("saved out/a-1.txt"), "{ran:?}");
        assert_eq!(inode(&entry), before);
        fs::remove_file(at("out/a-1.txt")).unwrap();
        assert_eq!(fs::read_dir(at("out")).unwrap().count(), 1, "nothing else is left");
        if before.1.is_dir() { fs::remove_dir(&entry).unwrap() } else { fs::remove_file(&entry).unwrap() }
    }
    assert_eq!((fs::read(at("mine")).unwrap(), at("absent").exists()), (b"mine".to_vec(), false));

    // The folder was typed: a link to it is followed, anything else is an error.
    symlink("out", at("link")).unwrap();
    shell.ok(&["download", id, "--out", "link"]).await;
    assert_eq!(fs::read(&entry).unwrap(), b"from the server");
    for out in ["mine", "a.txt"] {
        let ran = shell.run(&["download", id, "--out", out]).await;
        assert!(ran.code == 7 && ran.err.contains("not a directory"), "{ran:?}");
    }
}

#[tokio::test]
async fn workflows_get_writes_into_pipes_and_follows_links() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let at = |name: &str| shell.folder().join(name);
    let graph = shell.write("graph.json", &workflow::steps(2, 0.0).to_string());
    shell.ok(&["workflows", "set", "steps", &graph]).await;
    let text = shell.ok(&["workflows", "get", "steps"]).await;

    let pipe = fifo(&at("pipe"));
    let before = inode(&pipe);
    let held = held(&pipe);
    let ran = shell.run(&["workflows", "get", "steps", "-o", "pipe"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!((drain(held), inode(&pipe)), (text.clone(), before));

    symlink("kept.json", at("link")).unwrap();
    shell.ok(&["workflows", "get", "steps", "-o", "link"]).await;
    assert_eq!(fs::read_to_string(at("kept.json")).unwrap(), text);
    assert_eq!(shell.run(&["workflows", "get", "steps", "-o", "link"]).await.code, 7, "a file that exists stays");
    shell.write("kept.json", "old");
    shell.ok(&["workflows", "get", "steps", "-o", "link", "--overwrite"]).await;
    assert_eq!(fs::read_to_string(at("kept.json")).unwrap(), text);
    assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
    let ran = shell.run(&["workflows", "get", "steps", "-o", "."]).await;
    assert!(ran.code == 7 && ran.err.contains("it is a directory"), "{ran:?}");
}

#[tokio::test]
async fn a_linked_login_file_stays_a_link_and_private() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::new(&stack.client.base);
    let config = shell.folder().join("config/shuzhiren");
    fs::create_dir_all(&config).unwrap();
    let (link, kept) = (config.join("logins.json"), shell.folder().join("dotfiles.json"));
    symlink(&kept, &link).unwrap();
    let login = async || {
        let ran = shell.with_input(&["login", "--password-stdin"], PASSWORD).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    for _ in ["a link to a missing file", "a link to a file that others may read"] {
        login().await;
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        shell.ok(&["whoami"]).await;
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o644)).unwrap();
    }
    shell.ok(&["logout"]).await;
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

    // A pipe keeps nothing, and stays what it is.
    fs::remove_file(&link).unwrap();
    let pipe = fifo(&link);
    let before = inode(&pipe);
    let held = held(&pipe);
    let ran = ended(shell.command(&["login"]).env("SHUZHIREN_PASSWORD", PASSWORD).spawn().unwrap()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(drain(held).contains("\"token\""));
    assert_eq!(inode(&pipe), before);
    assert_eq!(shell.run(&["whoami"]).await.code, 3);
}
