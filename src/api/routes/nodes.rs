//! `GET /api/nodes`: node classes of the fleet, merged, as forms need them.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{query::Query, range_headers},
    },
    auth::Caller,
    submit::FleetSnapshot,
};
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// Classes requested by name.
const CLASSES_MAX: usize = 200;
/// Largest answer, bytes; a larger fleet is read by class.
const BYTES_MAX: usize = 32 << 20;
/// Hex digits of the digest in an `ETag`.
const TAG_DIGITS: usize = 32;

/// Answer that can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    body: Bytes,
    etag: String,
}

impl Listing {
    /// Makes the answer for these classes, all by default.
    fn new(fleet: &FleetSnapshot, classes: Option<&[&str]>) -> Self {
        let body = format!("{{\"code\":200,\"data\":{}}}", fleet.catalog.listing(classes));
        let digest = format!("{:.TAG_DIGITS$x}", Sha256::digest(&body));
        Self { body: body.into(), etag: format!("\"{digest}\"") }
    }
}

/// The listing of all classes, made once for each state of the fleet.
#[derive(Default)]
pub(crate) struct ListingCache(Mutex<Option<(Arc<FleetSnapshot>, Listing)>>);

impl ListingCache {
    /// Returns the listing of all classes. Callers that come while it is being made wait for it.
    fn of_all(&self, fleet: &Arc<FleetSnapshot>) -> Listing {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((of, listed)) if Arc::ptr_eq(of, fleet) => listed.clone(),
            _ => {
                let listed = Listing::new(fleet, None);
                *cached = Some((fleet.clone(), listed.clone()));
                listed
            }
        }
    }
}

/// Lists all classes, or those of `?class=KSampler,SaveImage`. An unchanged listing is a 304.
#[utoipa::path(
    get, path = "/api/nodes", operation_id = "listNodes", tag = "instances",
    params(
        ("class" = Option<String>, Query, pattern = "[^,]", description = "only these, several with commas; at most 200"),
        ("If-None-Match" = Option<String>, Header, description = "304 if this is still the `ETag`"),
    ),
    responses(
        (status = 200, description = "the classes", body = crate::api::openapi::Envelope<crate::api::openapi::Nodes>,
            headers(("ETag" = String, description = "of this answer"))),
        (status = 304, description = "nothing has changed"),
    ),
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    _caller: Caller,
    query: Query,
    headers: HeaderMap,
) -> Result<Response> {
    query.only(&["class"])?;
    let wanted = query.one("class")?.map(classes_of).transpose()?;
    let fleet = state.submitter.catalogs().current().await;
    let cache = state.node_listing.clone();
    let listed = tokio::task::spawn_blocking(move || match wanted {
        None => cache.of_all(&fleet),
        Some(classes) => Listing::new(&fleet, Some(&classes.iter().map(String::as_str).collect::<Vec<_>>())),
    });
    let listed = listed.await.map_err(|_| ApiError::Internal)?;
    if listed.body.len() > BYTES_MAX {
        return Err(ApiError::InvalidQuery(format!(
            "the answer has more than {BYTES_MAX} bytes: ask for some with `class`"
        )));
    }
    let mut etags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut response = if etags.any(|list| range_headers::names(list, &listed.etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], listed.body).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&listed.etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    Ok(response)
}

fn classes_of(text: &str) -> Result<Vec<String>> {
    let classes: Vec<String> = text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if classes.is_empty() || classes.len() > CLASSES_MAX {
        return Err(ApiError::InvalidQuery(format!("`class` takes 1 to {CLASSES_MAX} names with commas between")));
    }
    Ok(classes)
}
