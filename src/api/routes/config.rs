//! `GET|PUT /api/config`: the fleet. Secrets are never returned; a change is applied completely or not at all.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{
            envelope::Answer,
            extract::{Admin, JsonBody},
            strict_json::{self, Members},
        },
    },
    fleet::{FleetConfig, masked, parse_config},
    json::raw_value,
    queue::ConfigWritten,
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};

/// Attempts of a change without a version, if another client writes between the read and the write.
const TRIES_MAX: usize = 8;

/// Returns the current config. The `ETag` is its version.
#[utoipa::path(
    get, path = "/api/config", operation_id = "getConfig", tag = "config",
    responses((status = 200, description = "the config; values of headers and keys are `***`", body = crate::api::openapi::Envelope<FleetConfig>,
        headers(("ETag" = String, description = "the version in quotes, for `If-Match`")))),
    extensions(("x-errors" = json!(["forbidden"])))
)]
pub(crate) async fn read(State(state): State<ApiState>, _admin: Admin) -> Result<Response> {
    Ok(shown(&state.queue.config().await?))
}

/// Replaces the members that the body has. `If-Match` or `version` guard against lost updates.
#[utoipa::path(
    put, path = "/api/config", operation_id = "changeConfig", tag = "config",
    params(("If-Match" = Option<String>, Header, pattern = r#"^([*]|[0-9]{1,15}|"[0-9]{1,15}")$"#,
        description = "the `ETag` of the config that was read")),
    request_body = crate::api::openapi::ConfigBody,
    responses((status = 200, description = "the config as it is now", body = crate::api::openapi::Envelope<FleetConfig>,
        headers(("ETag" = String, description = "the version in quotes, for `If-Match`")))),
    extensions(("x-errors" = json!(["forbidden", "invalid_header", "invalid_config", "version_conflict", "busy", "secret_key_missing"])))
)]
pub(crate) async fn replace(
    State(state): State<ApiState>,
    _admin: Admin,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let text = strict_json::check(&body)?;
    // `check` has refused duplicate keys, of which the tree below would silently keep the last one.
    let named = Members::parse(text)?.get("version").and_then(raw_value::integer);
    let expected = expected_version(&headers, named.and_then(|version| u64::try_from(version).ok()))?;
    let body = serde_json::from_str(text).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
    for _ in 0..TRIES_MAX {
        let current = state.queue.config().await?;
        if expected.is_some_and(|expected| expected != current.version) {
            return Err(ApiError::VersionConflict(current.version));
        }
        let mut next = parse_config(&body, &current).map_err(ApiError::InvalidConfig)?;
        next.encrypt_keys(state.submitter.encryption())?;
        match state.queue.put_config(&next, Some(current.version)).await? {
            ConfigWritten::Written(config) => return Ok(shown(&config)),
            ConfigWritten::Outdated(now) if expected.is_some() => return Err(ApiError::VersionConflict(now)),
            ConfigWritten::Outdated(_) => {}
        }
    }
    Err(ApiError::Busy)
}

fn shown(config: &FleetConfig) -> Response {
    let mut response = Answer(masked(config)).into_response();
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", config.version)) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Returns the version of `If-Match: "7"` or of `"version":7`; if both exist they must agree.
pub(crate) fn expected_version(headers: &HeaderMap, named: Option<u64>) -> Result<Option<u64>> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (value, None) = (values.next(), values.next()) else {
        return Err(ApiError::InvalidHeader("duplicate header If-Match".to_owned()));
    };
    let Some(value) = value.map(|value| value.to_str().unwrap_or_default().trim()) else { return Ok(named) };
    if value == "*" {
        return Ok(named);
    }
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let is_plain = !quoted.is_empty() && quoted.bytes().all(|byte| byte.is_ascii_digit());
    let version = quoted.parse().ok().filter(|_| is_plain);
    match (version, named) {
        (None, _) => Err(ApiError::InvalidHeader("If-Match must be the ETag of an earlier answer".to_owned())),
        (Some(version), Some(named)) if version != named => {
            Err(ApiError::InvalidHeader("If-Match and `version` name different versions".to_owned()))
        }
        (Some(version), _) => Ok(Some(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::expected_version;
    use axum::http::{HeaderMap, HeaderValue, header};

    fn with(value: &str) -> HeaderMap {
        [(header::IF_MATCH, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    #[test]
    fn a_version_comes_from_header_or_body() {
        assert_eq!(expected_version(&HeaderMap::new(), None).unwrap(), None);
        assert_eq!(expected_version(&HeaderMap::new(), Some(7)).unwrap(), Some(7));
        assert_eq!(expected_version(&with("\"7\""), None).unwrap(), Some(7));
        assert_eq!(expected_version(&with("7"), Some(7)).unwrap(), Some(7));
        assert_eq!(expected_version(&with("*"), None).unwrap(), None);
        for bad in ["", "x", "\"x\"", "W/\"7\"", "-7", "+7", "\"7\", \"8\"", "99999999999999999999"] {
            assert!(expected_version(&with(bad), None).is_err(), "{bad}");
        }
        assert!(expected_version(&with("\"7\""), Some(8)).is_err());
    }
}
