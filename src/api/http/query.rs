//! Query parameters: each at most once, numbers in plain digits.

use crate::{
    api::{
        ApiState,
        error::{ApiError, Result},
    },
    problem::suggest,
    settings::limits::{PAGE_DEFAULT, PAGE_MAX},
};
use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{Method, request::Parts},
    middleware::Next,
    response::Response,
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};
use url::form_urlencoded;

/// Unknown parameters listed in an error.
const NAMED_MAX: usize = 5;
/// Longest name shown in an error, characters.
const NAME_CHARS_MAX: usize = 40;

/// Query parameters of a request.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses a query string, without the `?`.
    pub(crate) fn parse(query: &str) -> Self {
        Self { pairs: form_urlencoded::parse(query.as_bytes()).into_owned().collect() }
    }

    /// Refuses unknown parameters: a mistyped filter would list everything.
    pub(crate) fn only(&self, known: &[&'static str]) -> Result<()> {
        let unknown: BTreeSet<&str> =
            self.pairs.iter().map(|(name, _)| name.as_str()).filter(|name| !known.contains(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let sentences: Vec<String> = unknown.into_iter().take(NAMED_MAX).map(|name| told(name, known)).collect();
        Err(ApiError::InvalidQuery(sentences.join("; ")))
    }

    /// Returns the first of these names that is present.
    pub(crate) fn first_of(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().find(|name| self.pairs.iter().any(|(given, _)| given == *name)).copied()
    }

    /// Returns the value of `name`, which may be present once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(ApiError::InvalidQuery(format!("duplicate parameter `{name}`"))),
        }
    }

    /// Returns the value of `name` as a whole number.
    fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if is_plain => Ok(Some(number)),
            _ => Err(ApiError::InvalidQuery(format!("`{name}` must be a whole number, not negative"))),
        }
    }

    /// Returns `limit`: at least 1, 20 by default; a page has at most 200.
    pub(crate) fn limit(&self) -> Result<u64> {
        match self.number("limit")? {
            Some(0) => Err(ApiError::InvalidQuery("`limit` must be at least 1".to_owned())),
            limit => Ok(limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX)),
        }
    }

    /// Returns `offset`; `None` if absent.
    pub(crate) fn offset(&self) -> Result<Option<u64>> {
        self.number("offset")
    }
}

/// Returns the message for an unknown parameter: `there is no parameter `statsu`: did you mean `status`?`
fn told(name: &str, known: &[&'static str]) -> String {
    let shown: String = name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect();
    match suggest(name, known).first() {
        Some(candidate) => format!("unknown parameter `{shown}`: did you mean `{candidate}`?"),
        None if known.is_empty() => format!("unknown parameter `{shown}`: this operation takes none"),
        None => format!("unknown parameter `{shown}`: this operation takes {}", known.join(", ")),
    }
}

/// Operations that take query parameters, by the OpenAPI document.
#[derive(Debug)]
pub(crate) struct Takers(HashSet<(String, String)>);

impl Takers {
    pub(crate) fn of(document: &utoipa::openapi::OpenApi) -> Self {
        let paths = serde_json::to_value(&document.paths).unwrap_or_default();
        let mut takers = HashSet::new();
        for (path, operations) in paths.as_object().into_iter().flatten() {
            for (method, operation) in operations.as_object().into_iter().flatten() {
                let mut parameters = operation["parameters"].as_array().into_iter().flatten();
                if parameters.any(|parameter| parameter["in"] == "query") {
                    takers.insert((method.to_uppercase(), path.clone()));
                }
            }
        }
        Self(takers)
    }
}

/// Refuses the query of an operation that takes none: an ignored `?dryRun=true` would do what it should only show.
pub(crate) async fn refuse_unread(
    State(takers): State<Arc<Takers>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    if !takers.0.contains(&(method.to_string(), path.as_str().to_owned())) {
        query.only(&[])?;
    }
    Ok(next.run(request).await)
}

impl FromRequestParts<ApiState> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &ApiState) -> Result<Self> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn unknown_parameters_are_named() {
        assert!(Query::parse("limit=1&limit=2").only(&["limit"]).is_ok());
        let known = ["status", "limit", "offset"];
        for (query, word) in
            [("statsu=failed", "`status`?"), ("LIMIT=1", "`limit`?"), ("x=1", "status, limit, offset"), ("=", "``")]
        {
            let told = Query::parse(query).only(&known).unwrap_err().to_string();
            assert!(told.contains(word), "{query}: {told}");
        }
        let told = Query::parse(&format!("{}%00=1", "x".repeat(999))).only(&known).unwrap_err().to_string();
        assert!(told.len() < 150 && !told.contains('\0'), "{told}");
    }

    #[test]
    fn numbers_are_plain_digits() {
        for bad in [
            "-1",
            "1.5",
            "+1",
            "1e3",
            "",
            "%00",
            "1%00",
            "%D9%A1",
            "abc",
            "0x1",
            " 1",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            assert!(Query::parse(&format!("limit={bad}")).limit().is_err(), "{bad}");
            assert!(Query::parse(&format!("offset={bad}")).offset().is_err(), "{bad}");
        }
        assert!(Query::parse("limit=0").limit().is_err());
        assert!(Query::parse("limit=1&limit=2").limit().is_err());
        assert_eq!(Query::parse("").limit().unwrap(), 20);
        assert_eq!(Query::parse("limit=200").limit().unwrap(), 200);
        assert_eq!(Query::parse("limit=18446744073709551615").limit().unwrap(), 200);
        assert_eq!(Query::parse("offset=7").offset().unwrap(), Some(7));
    }
}
