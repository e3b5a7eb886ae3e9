//! REST interface: router, handlers by resource (`routes`), bodies, HTTP parts (`http`), errors, OpenAPI document.
//!
//! Invariants: api never talks to ComfyUI; every answer has the envelope (`http/envelope.rs`, `error.rs`); a body is checked completely
//! before anything happens; text from a client never becomes part of a Redis key. Look first at [`router`].
//!
//! Its documentation is the OpenAPI document ([`document`]), made from the handlers' attributes and from `guides/`: a Markdown file
//! for each subject and language. The page at `/docs` shows it; tests send every example, and check every answer of the API tests against it.

mod bodies;
mod error;
mod http;
mod openapi;
mod routes;

pub use error::{ApiError, ERROR_TYPES, ErrorType};
pub use openapi::document;

use crate::{
    auth::Auth,
    fetch::Fetcher,
    graph::OwnFiles,
    queue::{Queue, Retention, UploadQuota},
    secrets::Encryption,
    settings::FrontSettings,
    store::Store,
    submit::{Limits, Submitter},
    task::Links,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
};
use http::{body_room::BodyRoom, query::Takers};
use routes::{nodes::ListingCache, thumbnail::Thumbnails};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Logins that may wait for their turn. Others get 503 at once, so that a flood of logins does not build up work.
const LOGINS_WAITING_MAX: usize = 64;

/// State shared by the handlers; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    queue: Queue,
    store: Store,
    auth: Auth,
    links: Links,
    front: Arc<FrontSettings>,
    submitter: Submitter,
    logins: Arc<Semaphore>,
    node_listing: Arc<ListingCache>,
    thumbnails: Arc<Thumbnails>,
    retention: Retention,
    bodies: BodyRoom,
}

impl ApiState {
    /// Returns the state of a REST interface for files of at most `file_bytes_max` bytes. It fetches no URLs until it
    /// [has a fetcher](Self::fetching).
    pub fn new(
        queue: Queue,
        store: Store,
        auth: Auth,
        links: Links,
        front: FrontSettings,
        file_bytes_max: u64,
    ) -> Self {
        let limits = Limits { file_bytes_max, rate_burst: front.rate_burst, is_private: links.are_signed() };
        let own = OwnFiles::new(links.public_url(), store.bucket().map(str::to_owned));
        Self {
            submitter: Submitter::new(queue.clone(), store.clone(), limits).with_own_files(own),
            queue,
            store,
            auth,
            links,
            front: Arc::new(front),
            logins: Arc::new(Semaphore::new(LOGINS_WAITING_MAX)),
            node_listing: Arc::default(),
            thumbnails: Arc::new(Thumbnails::new()),
            retention: Retention::default(),
            bodies: BodyRoom::default(),
        }
    }

    /// Sets the quotas of uploads.
    #[must_use]
    pub fn limiting_uploads(self, quota: UploadQuota) -> Self {
        Self { submitter: self.submitter.with_upload_quota(quota), ..self }
    }

    /// Sets the encryption of keys for API nodes; without it, they are refused.
    #[must_use]
    pub fn encrypting(self, encryption: Encryption) -> Self {
        Self { submitter: self.submitter.with_encryption(encryption), ..self }
    }

    /// Sets the retention of files, which is shown with them.
    #[must_use]
    pub fn keeping(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// Sets the fetcher of files at URLs.
    #[must_use]
    pub fn fetching(self, fetcher: Fetcher) -> Self {
        Self { submitter: self.submitter.with_fetcher(fetcher), ..self }
    }
}

/// Returns every route of the REST interface. Router and OpenAPI document are both made from this list.
fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(routes::login::login))
        .routes(routes!(routes::instances::list))
        .routes(routes!(routes::instances::detail, routes::instances::switch))
        .routes(routes!(routes::instances::release))
        .routes(routes!(routes::tasks::list, routes::submit::submit))
        .routes(routes!(routes::tasks::detail, routes::tasks::cancel))
        .routes(routes!(routes::tasks::workflow))
        .routes(routes!(routes::preview::preview))
        .routes(routes!(routes::batches::detail, routes::batches::cancel))
        .routes(routes!(routes::workflows::list))
        .routes(routes!(routes::workflows::detail, routes::workflows::publish, routes::workflows::delete))
        .routes(routes!(routes::workflows::schema))
        .routes(routes!(routes::retry::retry))
        .routes(routes!(routes::nodes::list))
        .routes(routes!(routes::files::list))
        .routes(routes!(routes::upload::upload))
        .routes(routes!(routes::files::delete))
        .routes(routes!(routes::config::read, routes::config::replace))
        .routes(routes!(routes::monitor::overview))
        .routes(routes!(routes::monitor::health))
        .routes(routes!(openapi::show))
        .routes(routes!(routes::download::download))
}

/// Returns the router: the routes, and the envelopes of 404 and 405.
pub fn router(state: ApiState) -> Router {
    let no_store = SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let (routes, document) = routes().split_for_parts();
    let takers = Arc::new(Takers::of(&document));
    routes
        .route_layer(axum::middleware::from_fn_with_state(takers, http::query::refuse_unread))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound("such path"))
        // Every handler limits its body itself: axum's limit only applies while reading.
        .layer(DefaultBodyLimit::disable())
        .layer(no_store)
        .with_state(state)
}
