//! Tokens: readable by their owner only, and sent only to the address that issued them.

use super::{PASSWORD, Shell, Stack};
use crate::support::stack::free_port;
use std::os::unix::fs::PermissionsExt as _;

#[tokio::test]
async fn a_login_is_kept_for_its_owner_until_the_logout() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::new(&stack.client.base);
    let ran = shell.run(&["tasks"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("shuzhiren login --url"), "{ran:?}");

    let ran = shell.with_input(&["login", "--password-stdin", "--json"], &format!("{PASSWORD}\n")).await;
    assert_eq!(
        (&ran.json()["user"]["role"], &ran.json()["url"]),
        (&"admin".into(), &stack.client.base.as_str().into())
    );
    assert!(!ran.out.contains("eyJ"), "a token is kept, not shown: {ran:?}");
    let file = shell.folder().join("config/shuzhiren/logins.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

    let whoami = shell.run(&["whoami", "--json"]).await.json();
    assert_eq!((&whoami["user"]["username"], &whoami["user"]["role"]), (&"admin".into(), &"admin".into()), "{whoami}");
    assert!(shell.ok(&["whoami"]).await.starts_with("admin (admin) at http://"));
    // After a login the address need not be given again.
    let mut nameless = shell.command(&["tasks"]);
    assert_eq!(super::ended(nameless.env_remove("SHUZHIREN_URL").spawn().unwrap()).await.code, 0);

    assert!(shell.ok(&["logout"]).await.starts_with("logged out of"));
    assert!(shell.ok(&["logout"]).await.starts_with("not logged in at"));
    assert_eq!(shell.run(&["whoami"]).await.code, 3);
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_token_are_code_3() {
    let stack = Stack::start(1, 0).await;
    let mut shell = Shell::new(&stack.client.base);
    shell.variables.push(("SHUZHIREN_PASSWORD".to_owned(), "wrong".to_owned()));
    let ran = shell.run(&["login"]).await;
    assert_eq!((ran.code, ran.err.contains("wrong username or password")), (3, true), "{ran:?}");
    let ran = shell.run(&["tasks", "--token", "no.good.token"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    let token = shell.write("token", &format!("{}\n", stack.client.token));
    assert_eq!(shell.run(&["tasks", "--token-file", &token]).await.code, 0);
    shell.variables.push(("SHUZHIREN_TOKEN".to_owned(), stack.client.token.clone()));
    assert_eq!(shell.run(&["tasks"]).await.code, 0);
}

#[tokio::test]
async fn a_token_goes_to_no_other_address() {
    let stack = Stack::start(1, 0).await;
    let shell = Shell::logged_in(&stack).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}", listener.local_addr().unwrap());
    let ran = shell.run(&["tasks", "--url", &elsewhere]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    let asked = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await;
    assert!(asked.is_err(), "not even a connection was made");
}

#[tokio::test]
async fn an_unreachable_system_is_an_error_at_once() {
    let shell = Shell::new(&format!("http://127.0.0.1:{}", free_port()));
    let began = std::time::Instant::now();
    let ran = shell.run(&["tasks", "--token", "x"]).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(ran.err.contains("no answer from"), "{ran:?}");
    for url in ["127.0.0.1:3000", "ftp://x", "http://a:b@127.0.0.1"] {
        assert_eq!(shell.run(&["tasks", "--url", url, "--token", "x"]).await.code, 2, "{url}");
    }
}
