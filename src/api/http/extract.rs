//! Extractors of caller, peer address, path id and body. Their rejections have the envelope.

use super::body;
use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
    },
    auth::{Caller, Denied},
    settings::limits::JSON_BODY_BYTES,
};
use axum::{
    body::Bytes,
    extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    /// Reads `Authorization: Bearer <token>` only: no cookie, query or other header.
    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        let token = bearer(&parts.headers).ok_or(Denied::Token)?;
        Ok(state.auth.verify(token)?)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

/// A client that need not be logged in.
pub(crate) struct Visitor(Option<Result<Caller>>);

impl Visitor {
    /// Returns the caller, if the request has a token.
    ///
    /// # Errors
    /// [`Denied::Token`] for an invalid token.
    pub(crate) fn caller(self) -> Result<Option<Caller>> {
        self.0.transpose()
    }
}

impl FromRequestParts<ApiState> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        Ok(Self(Some(Caller::from_request_parts(parts, state).await)))
    }
}

/// A caller who may change the fleet.
pub(crate) struct Admin;

impl FromRequestParts<ApiState> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.may_manage() { Ok(Self) } else { Err(ApiError::Forbidden) }
    }
}

/// The `{id}` of a path, decoded. An invalid id is reported as not found.
pub(crate) struct PathId(pub(crate) String);

impl FromRequestParts<ApiState> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self> {
        let id = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiError::NotFound("such id"))?;
        Ok(Self(id.0))
    }
}

/// A JSON body, at most [`JSON_BODY_BYTES`] bytes.
pub(crate) struct JsonBody(pub(crate) Bytes);

impl FromRequest<ApiState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &ApiState) -> Result<Self> {
        Ok(Self(body::read_json(request, JSON_BODY_BYTES).await?))
    }
}

/// The address of the client, if the server knows it.
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl FromRequestParts<ApiState> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())))
    }
}

#[cfg(test)]
mod tests {
    use super::bearer;
    use axum::http::{HeaderMap, HeaderValue, header};

    #[test]
    fn one_header_with_one_token_counts() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            values.iter().map(|one| (header::AUTHORIZATION, HeaderValue::from_static(one))).collect()
        };
        assert_eq!(bearer(&headers(&["Bearer abc"])), Some("abc"));
        assert_eq!(bearer(&headers(&["bearer abc"])), Some("abc"));
        for bad in [&[][..], &[""], &["Bearer"], &["Basic abc"], &["abc"], &["Bearer a", "Bearer a"]] {
            assert_eq!(bearer(&headers(bad)), None, "{bad:?}");
        }
    }
}
