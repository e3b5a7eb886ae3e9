//! A script call: arguments, tagged reply, errors.

use super::{
    installation::Installation,
    keys::Root,
    scripts::{Scripts, Verb},
};
use crate::{
    metrics,
    queue::{Error, Result},
};
use fred::{
    clients::{Client, Pool},
    error::{Error as FredError, ErrorKind},
    types::{MultipleKeys, Value},
};
use std::{str::FromStr, sync::Arc, time::Duration};

/// Timeout of every verb, including reconnects.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Runs scripts on a pool.
#[derive(Clone)]
pub(crate) struct ScriptCaller {
    pub(crate) pool: Pool,
    pub(crate) scripts: Scripts,
    pub(crate) root: Root,
    /// Fence of every call; `None` before it is known.
    pub(crate) installation: Option<Arc<Installation>>,
}

impl ScriptCaller {
    /// Runs a script on any client of the pool.
    pub(crate) async fn call(&self, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        self.call_on(self.pool.next_connected(), verb, args).await
    }

    /// Runs a script on this client. Loads the script first if the server does not have it.
    pub(crate) async fn call_on(&self, client: &Client, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        let installation = self.installation.as_deref();
        let keys = installation.map_or_else(|| self.root.as_str().into(), Installation::keys);
        let result = self.evalsha(client, verb, keys, args).await;
        if let Some(installation) = installation {
            installation.observe(&result);
        }
        result
    }

    /// Runs a script whether or not Redis holds this installation.
    pub(crate) async fn call_unfenced(&self, client: &Client, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        self.evalsha(client, verb, self.root.as_str().into(), args).await
    }

    async fn evalsha(&self, client: &Client, verb: Verb, keys: MultipleKeys, args: Vec<Value>) -> Result<Reply> {
        let reply = self.scripts.get(verb).evalsha_with_reload::<Value, _, _>(client, keys, args);
        Reply::new(verb, with_timeout(reply).await?)
    }
}

/// Waits for an answer of Redis, at most [`CALL_TIMEOUT`]. Counts errors in the metrics.
pub(crate) async fn with_timeout<T>(answer: impl Future<Output = std::result::Result<T, FredError>>) -> Result<T> {
    let answer = match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(from_fred),
        Err(_elapsed) => Err(Error::Unavailable(format!("no answer within {CALL_TIMEOUT:?}"))),
    };
    if let Err(error) = &answer {
        metrics::redis_error(match error {
            Error::Unavailable(_) => "unavailable",
            Error::MemoryFull(_) => "memory_full",
            Error::Refused(_) => "refused",
            Error::Lost(_) => "lost",
            Error::Unusable(_) => "unusable",
            Error::Corrupt(_) => "corrupt",
        });
    }
    answer
}

/// Maps fred's errors to [`Error`], by what the caller can do.
pub(crate) fn from_fred(error: FredError) -> Error {
    let details = error.details().to_owned();
    let word = details.split_whitespace().next().unwrap_or_default();
    match word {
        "NOTOURS" => return Error::Lost(details.split_whitespace().nth(1).unwrap_or_default().to_owned()),
        "OOM" => return Error::MemoryFull(details),
        "READONLY" | "MISCONF" | "NOREPLICAS" | "NOPERM" => return Error::Refused(details),
        // The script was flushed between its load and its call; the next call loads it again.
        "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "BUSY" | "UNBLOCKED" | "NOSCRIPT" => {
            return Error::Unavailable(details);
        }
        _ => {}
    }
    match error.kind() {
        ErrorKind::Auth | ErrorKind::Config | ErrorKind::Url | ErrorKind::Tls => Error::Unusable(details),
        ErrorKind::IO
        | ErrorKind::Canceled
        | ErrorKind::Timeout
        | ErrorKind::Backpressure
        | ErrorKind::Routing
        | ErrorKind::Cluster
        | ErrorKind::Protocol
        | ErrorKind::Sentinel => Error::Unavailable(format!("{error}")),
        // "Too many failed write attempts." and the like: fred gave up on a connection. An error of the server begins
        // with a word in capitals.
        ErrorKind::Unknown if !is_code(word) => Error::Unavailable(format!("{error}")),
        _ => Error::Corrupt(format!("{error}")),
    }
}

/// Whether `word` is an error code of a Redis server: `ERR`, `WRONGTYPE`.
fn is_code(word: &str) -> bool {
    word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// A tagged reply `{'tag', …}`, read from the left.
pub(crate) struct Reply {
    verb: Verb,
    tag: String,
    rest: std::vec::IntoIter<Value>,
}

impl Reply {
    fn new(verb: Verb, value: Value) -> Result<Self> {
        let mut rest = list(value).unwrap_or_default().into_iter();
        let tag = rest.next().and_then(Value::into_string);
        let tag = tag.ok_or_else(|| Error::Corrupt(format!("{}.lua returned no tag", verb.name())))?;
        Ok(Self { verb, tag, rest })
    }

    /// Takes all remaining items, each a tagged reply of its own.
    pub(crate) fn replies(&mut self) -> Result<Vec<Self>> {
        let rest = std::mem::take(&mut self.rest);
        rest.map(|value| Self::new(self.verb, value)).collect()
    }

    /// Returns the first word.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// Makes the error for a tag or an item that the script's header does not list.
    pub(crate) fn unexpected(&self) -> Error {
        Error::Corrupt(format!("unexpected reply of {}.lua: {}", self.verb.name(), self.tag))
    }

    /// Takes the next item.
    pub(crate) fn value(&mut self) -> Result<Value> {
        self.rest.next().ok_or_else(|| self.unexpected())
    }

    /// Takes the next item and parses its text.
    pub(crate) fn parse<T: FromStr>(&mut self) -> Result<T> {
        let text = self.value()?.into_string().ok_or_else(|| self.unexpected())?;
        text.parse().map_err(|_| self.unexpected())
    }

    /// Takes the next item, a list.
    pub(crate) fn list(&mut self) -> Result<Vec<Value>> {
        let value = self.value()?;
        list(value).ok_or_else(|| self.unexpected())
    }

    /// Takes all remaining items, each a list.
    pub(crate) fn lists(&mut self) -> Result<Vec<Vec<Value>>> {
        let rest = std::mem::take(&mut self.rest);
        rest.map(|value| list(value).ok_or_else(|| Error::Corrupt(format!("{}.lua: not a list", self.verb.name()))))
            .collect()
    }
}

/// Returns the items of an array; `None` for any other value.
pub(crate) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

/// Encodes a number as an argument.
pub(crate) fn number(number: u64) -> Value {
    number.to_string().into()
}

/// Encodes a duration as an argument, in ms.
pub(crate) fn ms(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(MS_MAX).to_string().into()
}

/// Longest duration, ms (about 70,000 years). With a Unix time added it stays below 2^53, the largest integer that Lua
/// represents exactly.
const MS_MAX: u64 = 1 << 51;

/// Encodes a `bool` as an argument: `1` or `0`.
pub(crate) fn switch(on: bool) -> Value {
    if on { "1" } else { "0" }.into()
}

#[cfg(test)]
mod tests {
    use super::{Error, from_fred};
    use fred::error::{Error as FredError, ErrorKind};

    #[test]
    fn a_dropped_connection_is_unavailable_not_corrupt() {
        for details in
            ["Too many failed write attempts.", "Missing expected connection.", "NOSCRIPT No matching script."]
        {
            let error = from_fred(FredError::new(ErrorKind::Unknown, details));
            assert!(matches!(error, Error::Unavailable(_)), "{details}: {error:?}");
        }
        for details in ["ERR user_script:5: wrong", "WRONGTYPE Operation against a key"] {
            let error = from_fred(FredError::new(ErrorKind::Unknown, details));
            assert!(matches!(error, Error::Corrupt(_)), "{details}: {error:?}");
        }
    }
}
