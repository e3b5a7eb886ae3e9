//! `POST /api/auth/login`: exchanges a password for a token. Failures are counted in Redis by user and by address; successes are not.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
        http::{
            envelope::Answer,
            extract::{JsonBody, Peer},
            strict_json::{self, Members},
        },
    },
    auth::Role,
    json::raw_value,
    task::rfc3339,
};
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{net::IpAddr, time::Duration};

/// Time after which failures are forgotten, and the longest lock-out.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// Failed logins from an address within the window.
const FAILURES_PER_ADDRESS: u64 = 20;
/// Failed logins of a user within the window, from any address.
const FAILURES_PER_USER: u64 = 50;

/// A token and its user: `{"token":"…","expiresAt":"2024-01-02T00:00:00.000Z","user":{"username":"admin","role":"admin"}}`
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Login)]
pub(crate) struct Login {
    token: String,
    #[schema(format = DateTime)]
    expires_at: String,
    user: User,
}

#[derive(Serialize, utoipa::ToSchema)]
struct User {
    username: String,
    role: Role,
}

/// Returns a token for `{"username","password"}`.
#[utoipa::path(
    post, path = "/api/auth/login", operation_id = "login", tag = "auth", security(()),
    request_body = crate::api::openapi::LoginBody,
    responses((status = 200, description = "logged in", body = crate::api::openapi::Envelope<Login>)),
    extensions(("x-errors" = json!(["invalid_credentials", "too_many_logins", "busy"])))
)]
pub(crate) async fn login(
    State(state): State<ApiState>,
    Peer(peer): Peer,
    JsonBody(body): JsonBody,
) -> Result<Answer<Login>> {
    let members = Members::parse(strict_json::check(&body)?)?;
    members.only(&["username", "password"])?;
    let (username, password) = (text(&members, "username")?, text(&members, "password")?);
    let _place = state.logins.try_acquire().map_err(|_| ApiError::Busy)?;
    let scopes = Scopes::new(&username, peer);
    scopes.refuse_too_many(&state).await?;
    match state.auth.login(&username, &password).await {
        Ok(issued) => Ok(Answer(Login {
            token: issued.token,
            expires_at: rfc3339(issued.caller.expires_at.saturating_mul(1_000)),
            user: User { username: issued.caller.username, role: issued.caller.role },
        })),
        Err(denied) => {
            scopes.count(&state).await?;
            Err(denied.into())
        }
    }
}

fn text(members: &Members<'_>, name: &'static str) -> Result<String> {
    let pointer = format!("/{name}");
    let value: &RawValue =
        members.get(name).ok_or_else(|| ApiError::shape(&pointer, "missing", &format!("a login needs `{name}`")))?;
    raw_value::text(value).ok_or_else(|| ApiError::shape(&pointer, "not_a_text", &format!("`{name}` must be a text")))
}

/// Counters of failed logins by name, with their limits.
struct Scopes(Vec<(String, u64)>);

impl Scopes {
    /// Returns the counters of a login. The queue hashes their names, so text from a client never becomes part of a key.
    fn new(username: &str, peer: Option<IpAddr>) -> Self {
        let user = (format!("user-{username}"), FAILURES_PER_USER);
        let address = peer.map(|peer| (format!("address-{}", network(peer)), FAILURES_PER_ADDRESS));
        Self([user].into_iter().chain(address).collect())
    }

    async fn refuse_too_many(&self, state: &ApiState) -> Result<()> {
        for (scope, limit) in &self.0 {
            let (failures, left) = state.queue.login_failures(scope).await?;
            if failures >= *limit {
                return Err(ApiError::LoginsLimited(left));
            }
        }
        Ok(())
    }

    async fn count(&self, state: &ApiState) -> Result<()> {
        for (scope, _) in &self.0 {
            state.queue.count_login_failure(scope, FAILURE_WINDOW).await?;
        }
        Ok(())
    }
}

/// Returns the network that counts as one address: of IPv6 a /64, because every subscriber gets one.
fn network(peer: IpAddr) -> String {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => v6.segments()[..4].iter().map(|segment| format!("{segment:04x}")).collect(),
    }
}
