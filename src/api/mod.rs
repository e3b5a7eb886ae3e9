//! REST: the router on one page, handlers by resource, the error envelope.
//!
//! Invariants: api never talks to ComfyUI; every answer has the envelope (`answer.rs`, `error.rs`); a body is checked whole
//! before anything happens; no text of a client becomes part of a Redis key. Look first at [`router`].
//!
//! What users read of it is the OpenAPI document ([`document`]), made from the handlers' own attributes and from `guides/`: a Markdown file
//! for each subject and language. The page at `/docs` shows it; a test sends every example, and holds every answer of every other test against it.

mod arrivals;
mod batch;
mod draft;
mod error;
mod eta;
mod http;
mod inline;
mod knowledge;
mod named;
mod near;
mod openapi;
mod publication;
mod rate;
mod remote;
mod routes;
mod sight;
mod sniff;
mod submission;
mod submit;
mod sweep;
mod traces;

pub use error::{ApiError, ERROR_TYPES, ErrorType, Flaw};
pub use openapi::document;

use crate::{auth::Auth, fetch::Fetcher, queue::Queue, settings::FrontSettings, store::Store, task::Links};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
};
use http::query::Takers;
use knowledge::Knowledge;
use rate::RateLimits;
use routes::thumbnail::Thumbnails;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Logins that may wait for their turn; more get 503 at once instead of a queue of work for whoever floods.
const LOGINS_WAITING_MAX: usize = 64;

/// What the handlers share; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    queue: Queue,
    store: Store,
    auth: Auth,
    links: Links,
    front: Arc<FrontSettings>,
    file_bytes_max: u64,
    rates: Arc<RateLimits>,
    logins: Arc<Semaphore>,
    knowledge: Knowledge,
    fetcher: Fetcher,
    thumbnails: Arc<Thumbnails>,
}

impl ApiState {
    /// `file_bytes_max` bounds an uploaded file. It fetches none from URLs until it [is given a fetcher](Self::fetching).
    pub fn new(
        queue: Queue,
        store: Store,
        auth: Auth,
        links: Links,
        front: FrontSettings,
        file_bytes_max: u64,
    ) -> Self {
        let rates = Arc::new(RateLimits::new(front.rate_burst));
        let logins = Arc::new(Semaphore::new(LOGINS_WAITING_MAX));
        let knowledge = Knowledge::new(queue.clone());
        let fetcher = Fetcher::off();
        let thumbnails = Arc::new(Thumbnails::new());
        let front = Arc::new(front);
        Self { queue, store, auth, links, front, file_bytes_max, rates, logins, knowledge, fetcher, thumbnails }
    }

    /// The same, fetching files from URLs with this.
    pub fn fetching(self, fetcher: Fetcher) -> Self {
        Self { fetcher, ..self }
    }
}

/// Every route of the REST interface. What serves them and what documents them is made from this one list.
fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(routes::login::login))
        .routes(routes!(routes::instances::list))
        .routes(routes!(routes::instances::detail, routes::instances::switch))
        .routes(routes!(routes::tasks::list, submit::submit))
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

/// The routes, and the envelopes of 404 and 405.
pub fn router(state: ApiState) -> Router {
    let no_store = SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let (routes, document) = routes().split_for_parts();
    let takers = Arc::new(Takers::of(&document));
    routes
        .route_layer(axum::middleware::from_fn_with_state(takers, http::query::refuse_unread))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .fallback(async || ApiError::NotFound("such path"))
        // Every handler counts its body by itself: axum's limit only counts while reading.
        .layer(DefaultBodyLimit::disable())
        .layer(no_store)
        .with_state(state)
}
