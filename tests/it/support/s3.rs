//! An S3 server for a single test, in this process: the real protocol with signatures over HTTP, files in a folder.

use hyper_util::rt::TokioIo;
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use shuzhiren::{settings::Secret, store::Keys};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

const ACCESS_KEY: &str = "the-access-key";
const SECRET_KEY: &str = "the-secret-key-of-tests";
/// The only bucket.
const BUCKET: &str = "files";

/// The server. Dropping it deletes its files.
pub struct S3 {
    address: SocketAddr,
    folder: tempfile::TempDir,
    service: S3Service,
    serving: Option<AbortOnDropHandle<()>>,
}

impl S3 {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = builder.build();
        let serving = Some(serve(listener, service.clone()));
        Self { address, folder, service, serving }
    }

    /// Closes all connections and accepts no more.
    pub fn stop(&mut self) {
        self.serving = None;
    }

    /// Serves again, on the same address.
    pub async fn resume(&mut self) {
        let listener = super::eventually("the address to be free", std::time::Duration::from_secs(10), async || {
            TcpListener::bind(self.address).await.ok()
        });
        self.serving = Some(serve(listener.await, self.service.clone()));
    }

    /// Returns `SHUZHIREN_STORAGE_URL` for a prefix.
    pub fn url(&self, prefix: &str) -> String {
        self.url_of(BUCKET, prefix)
    }

    pub fn url_of(&self, bucket: &str, prefix: &str) -> String {
        format!("s3://{bucket}/{prefix}?endpoint=http://{}&region=us-east-1", self.address)
    }

    pub fn keys(&self) -> Keys {
        Keys { access: ACCESS_KEY.to_owned(), secret: Secret::new(SECRET_KEY) }
    }

    /// Returns the environment of a process that stores its files here.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("SHUZHIREN_STORAGE_URL", self.url("one/two").as_str()),
            ("SHUZHIREN_S3_ACCESS_KEY", ACCESS_KEY),
            ("SHUZHIREN_S3_SECRET_KEY", SECRET_KEY),
            // Requests to a bucket use the proxies of the environment.
            ("NO_PROXY", "127.0.0.1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Returns the folder of the objects under a prefix.
    pub fn folder(&self, prefix: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(prefix)
    }

    /// Returns the parts of unfinished uploads.
    pub fn parts(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_part = |path: &PathBuf| name(path).starts_with(".upload_id-");
        entries.filter(is_part).collect()
    }
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Serves until the handle is dropped, which also closes the connections.
fn serve(listener: TcpListener, service: S3Service) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            connections.spawn(async move {
                // A client may disconnect at any time.
                let _ended =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
        }
    }))
}
