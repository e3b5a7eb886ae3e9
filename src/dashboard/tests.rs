//! The page is complete: every file is served, imports and message keys resolve, and security headers are set.

use super::{FILES, Page, content_security_policy, router};
use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
    response::Response,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use tower::ServiceExt as _;

/// Most lines of a file of the page.
const LINES_MAX: usize = 300;

async fn request(method: Method, path: &str, known: Option<&str>) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(etag) = known {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    router(None).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

fn on_disk() -> BTreeSet<String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/page");
    let mut found = BTreeSet::new();
    walk(&root, &root, &mut found);
    found
}

fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied().filter(|(name, _)| name.ends_with(".js"))
}

#[test]
fn every_file_of_the_page_is_embedded() {
    let embedded: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(embedded, on_disk());
}

#[test]
fn every_import_resolves() {
    let names: BTreeSet<&str> = FILES.iter().map(|(name, _)| *name).collect();
    let mut imports = 0;
    for (name, text) in scripts() {
        for rest in text.split(" from '").skip(1) {
            let wanted = rest.split('\'').next().unwrap();
            let mut parts: Vec<&str> = name.split('/').collect();
            parts.pop();
            for part in wanted.split('/') {
                match part {
                    "." => {}
                    ".." => drop(parts.pop().unwrap()),
                    other => parts.push(other),
                }
            }
            assert!(names.contains(parts.join("/").as_str()), "{name} imports {wanted}");
            imports += 1;
        }
    }
    assert!(imports > 100, "no imports found");
}

#[test]
fn every_file_has_a_header_comment_and_is_short() {
    for (name, text) in scripts() {
        assert!(text.starts_with("// "), "{name}");
    }
    for (name, text) in FILES {
        assert!(text.lines().count() <= LINES_MAX, "{name}");
        assert!(!name.ends_with(".css") || text.starts_with("/* "), "{name}");
    }
}

/// Untrusted text is never parsed as markup, and nothing needs what the policy forbids.
#[test]
fn no_script_parses_text_as_markup() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
        "srcdoc",
    ];
    for (name, text) in scripts() {
        for word in forbidden {
            assert!(!text.contains(word), "{name}: {word}");
        }
    }
    let index = FILES.iter().find(|(name, _)| *name == "index.html").unwrap().1;
    assert!(!index.contains("style=") && !index.contains("<style") && !index.contains("onclick"));
}

/// Messages of a language by key, from all its files.
fn messages(language: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for part in ["", "-errors", "-workflows"] {
        let name = format!("words/{language}{part}.js");
        let text = FILES.iter().find(|(file, _)| *file == name).unwrap().1;
        for line in text.lines().filter_map(|line| line.strip_prefix("  '")) {
            let (key, rest) = line.split_once("': '").unwrap();
            let duplicate = found.insert(key.to_owned(), rest.trim_end_matches("',").to_owned());
            assert_eq!(duplicate, None, "{name}: {key}");
        }
    }
    found
}

/// Placeholders `{name}` of a message.
fn placeholders(message: &str) -> BTreeSet<&str> {
    message.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

#[test]
fn both_languages_have_the_same_messages() {
    let (english, chinese) = (messages("en"), messages("zh"));
    assert_eq!(english.keys().collect::<Vec<_>>(), chinese.keys().collect::<Vec<_>>());
    for (key, message) in &english {
        assert!(!message.is_empty() && !chinese[key].is_empty(), "{key}");
        let wanted = placeholders(message);
        assert!(placeholders(&chinese[key]).is_subset(&wanted), "{key}: the Chinese message has other placeholders");
    }
    assert!(english.len() > 250);
}

#[test]
fn every_message_key_in_use_exists() {
    let known = messages("en");
    let mut used = BTreeSet::new();
    for (name, text) in scripts() {
        for (at, call) in text.match_indices("t('") {
            // `split('…')` is not a call of `t`.
            let is_call = !text[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '.');
            let key = text[at + call.len()..].split('\'').next().unwrap();
            if is_call {
                assert!(known.contains_key(key), "{name}: {key}");
                used.insert(key);
            }
        }
    }
    assert!(used.len() > 150);
}

#[tokio::test]
async fn the_index_names_its_version_and_is_revalidated() {
    let response = request(Method::GET, "/", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["content-security-policy"], content_security_policy(None));
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let body = text(response).await;
    assert!(!body.contains('{') && !body.contains("<!-- modules"), "{body}");
    assert!(body.contains(&format!("src=\"page/{}/app.js\"", Page::new(None).version)));
    assert!(body.contains("rel=\"modulepreload\""));
    let etag = headers["etag"].to_str().unwrap();
    for known in [etag.to_owned(), format!("W/{etag}, \"x\""), "*".to_owned()] {
        assert_eq!(request(Method::GET, "/", Some(&known)).await.status(), StatusCode::NOT_MODIFIED, "{known}");
    }
    assert_eq!(request(Method::GET, "/", Some("\"old\"")).await.status(), StatusCode::OK);
}

/// Only images, video and audio may come from there, never scripts or requests.
#[tokio::test]
async fn media_of_a_redirecting_store_is_allowed_by_the_policy() {
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    let response = router(Some("https://store.example:9000")).oneshot(request).await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let named: Vec<&str> = policy.split("; ").filter(|part| part.contains("https://store.example:9000")).collect();
    assert_eq!(
        named,
        ["img-src 'self' blob: data: https://store.example:9000", "media-src 'self' blob: https://store.example:9000"]
    );
    assert_eq!(policy.replace(" https://store.example:9000", ""), content_security_policy(None));
}

#[tokio::test]
async fn the_api_reference_is_served() {
    let response = request(Method::GET, "/docs", None).await;
    assert_eq!(
        (response.status(), &response.headers()["content-security-policy"]),
        (StatusCode::OK, &content_security_policy(None).parse().unwrap())
    );
    let (body, version) = (text(response).await, Page::new(None).version);
    assert!(!body.contains('{') && body.contains(&format!("src=\"page/{version}/docs/docs.js\"")), "{body}");
    for file in ["docs/docs.js", "docs/docs.css", "docs/schema.js"] {
        assert_eq!(
            request(Method::GET, &format!("/page/{version}/{file}"), None).await.status(),
            StatusCode::OK,
            "{file}"
        );
    }
}

#[tokio::test]
async fn a_file_of_this_version_is_cached_forever() {
    let version = Page::new(None).version;
    for (name, kind) in [
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let response = request(Method::GET, &format!("/page/{version}/{name}"), None).await;
        assert_eq!((response.status(), &response.headers()["content-type"]), (StatusCode::OK, &kind.parse().unwrap()));
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(response.headers()["content-security-policy"], content_security_policy(None));
    }
    let other = request(Method::GET, "/page/0000000000000000/components/ui/chart.js", None).await;
    assert_eq!((other.status(), &other.headers()["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
}

#[tokio::test]
async fn a_path_that_is_not_utf8_has_the_envelope() {
    let response = request(Method::GET, "/page/x/%ff.js", None).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(text(response).await.starts_with(r#"{"code":404,"#));
}

#[tokio::test]
async fn unknown_files_are_404_and_other_methods_405() {
    let version = Page::new(None).version;
    for path in ["/page/x/index.html", "/page/x/../../Cargo.toml", "/page/x/%2e%2e/mod.rs", "/page/x/nothing.js"] {
        let response = request(Method::GET, path, None).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(text(response).await.contains("\"type\":\"not_found\""), "{path}");
    }
    for path in ["/", &format!("/page/{version}/app.js")] {
        let head = request(Method::HEAD, path, None).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(text(head).await, "");
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let response = request(method, path, None).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert!(text(response).await.contains("\"type\":\"method_not_allowed\""));
        }
    }
}
