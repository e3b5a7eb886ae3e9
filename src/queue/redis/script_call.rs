//! A script call: arguments, tagged reply, errors.

use super::{
    connection::Connection,
    denied,
    installation::Installation,
    keys::Root,
    link::CommandPool,
    scripts::{Scripts, Verb},
};
use crate::{
    metrics,
    queue::{Error, Result},
};
use fred::{
    error::{Error as FredError, ErrorKind},
    interfaces::{ClientLike, FredResult},
    types::{ClusterHash, CustomCommand, FromValue, MultipleKeys, Value},
};
use std::{str::FromStr, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Timeout of every verb, including reconnects.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Pauses before a command is repeated that a cluster node redirected. The first follows MOVED; the others bridge a slot
/// that is just being handed over.
const REDIRECT_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(250)];

/// Words with which a server at its `maxclients` closes a new connection.
const NO_FREE_CONNECTION: &str = "max number of clients reached";

/// Runs scripts and commands on the connections of a process.
#[derive(Clone)]
pub(crate) struct ScriptCaller {
    pub(crate) pool: Arc<CommandPool>,
    pub(crate) scripts: Scripts,
    pub(crate) root: Root,
    /// Fence of every call; `None` before it is known.
    pub(crate) installation: Option<Arc<Installation>>,
    /// Notified of each refusal, so that its reason is looked for at once.
    pub(crate) refused: Arc<Notify>,
}

impl ScriptCaller {
    /// Runs a script on any connection of the pool.
    pub(crate) async fn call(&self, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        self.call_on(self.pool.next(), verb, args).await
    }

    /// Runs a script on this connection. Loads the script first if the server does not have it.
    pub(crate) async fn call_on(&self, connection: &Connection, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        let installation = self.installation.as_deref();
        let was_lost = installation.is_some_and(Installation::is_lost);
        let keys = installation.map_or_else(|| self.root.as_str().into(), Installation::keys);
        let result = self.evalsha(connection, verb, keys, args).await;
        if let Some(installation) = installation {
            installation.observe(was_lost, &result);
        }
        result
    }

    /// Runs a script whether or not Redis holds this installation.
    pub(crate) async fn call_unfenced(&self, connection: &Connection, verb: Verb, args: Vec<Value>) -> Result<Reply> {
        self.evalsha(connection, verb, self.root.as_str().into(), args).await
    }

    async fn evalsha(
        &self,
        connection: &Connection,
        verb: Verb,
        keys: MultipleKeys,
        args: Vec<Value>,
    ) -> Result<Reply> {
        // Boxed: fred's futures are large, and every verb holds this one.
        let value = with_timeout(Box::pin(self.run_script(connection, verb, keys, args))).await;
        if let Err(Error::Refused(_)) = &value {
            self.refused.notify_one();
        }
        Reply::new(verb, value.map_err(|error| denied::name_command(error, verb.text()))?)
    }

    async fn run_script(
        &self,
        connection: &Connection,
        verb: Verb,
        keys: MultipleKeys,
        args: Vec<Value>,
    ) -> FredResult<Value> {
        let (script, client) = (self.scripts.get(verb), connection.client());
        let run = || script.evalsha_with_reload::<Value, _, _>(&client, keys.clone(), args.clone());
        for pause in REDIRECT_PAUSES {
            match connection.ask(run()).await {
                Err(error) if is_redirect(&error) => tokio::time::sleep(pause).await,
                answer => return answer,
            }
        }
        connection.ask(run()).await
    }

    /// Runs a command whose first argument is a key, on any connection of the pool.
    ///
    /// # Errors
    /// [`Error::Lost`] among others: an emptied Redis would answer that there is nothing.
    pub(crate) async fn command<T: FromValue>(&self, name: &'static str, args: Vec<Value>) -> Result<T> {
        let answer = with_timeout(Box::pin(self.run_command(name, args))).await;
        if let Err(Error::Refused(_)) = &answer {
            self.refused.notify_one();
        }
        let (value, is_ours) = answer?;
        if !is_ours {
            // Its refusal names the system that is there instead, and is taken note of.
            self.call(Verb::Clock, Vec::new()).await?;
            return Err(Error::Unavailable("its data was just restored".to_owned()));
        }
        value.convert().map_err(from_fred)
    }

    /// Returns the answer, and whether Redis still held this installation after it.
    async fn run_command(&self, name: &'static str, args: Vec<Value>) -> FredResult<(Value, bool)> {
        let connection = self.pool.next();
        let client = connection.client();
        let key = |name| CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let fence = self.installation.as_deref().map(Installation::key);
        let run = || async {
            let Some(fence) = &fence else {
                return Ok((client.custom::<Value, Value>(key(name), args.clone()).await?, true));
            };
            // One round trip.
            let both = client.pipeline();
            let _: Value = both.custom(key(name), args.clone()).await?;
            let _: Value = both.custom(key("EXISTS"), vec![Value::from(fence.as_str())]).await?;
            let mut answers = list(both.all::<Value>().await?).unwrap_or_default().into_iter();
            let value = answers.next().unwrap_or(Value::Null);
            Ok((value, answers.next().and_then(|found| found.as_u64()) == Some(1)))
        };
        for pause in REDIRECT_PAUSES {
            match connection.ask(run()).await {
                Err(error) if is_redirect(&error) => tokio::time::sleep(pause).await,
                answer => return answer,
            }
        }
        connection.ask(run()).await
    }
}

/// Whether a cluster node answered that another one has the key.
fn is_redirect(error: &FredError) -> bool {
    *error.kind() == ErrorKind::Routing && error.details().starts_with("Too many redirections")
}

/// Whether an error is the answer of a server, rather than the lack of one.
pub(crate) fn is_answer(error: &FredError) -> bool {
    is_redirect(error) || error.details().split_whitespace().next().is_some_and(is_code)
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
            Error::NotConfirmed(_) => "not_confirmed",
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
        _ if details.contains(NO_FREE_CONNECTION) => {
            let cure =
                "redis has no free connection (maxclients): raise maxclients, or close other programs' connections";
            return Error::Refused(cure.to_owned());
        }
        _ if denied::is_denied(&details) => return Error::Refused(details),
        _ => {}
    }
    if is_redirect(&error) {
        return Error::Unavailable("the cluster is moving the slot of this namespace to another node".to_owned());
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

    /// Takes the same, each the reply to an independent part of the call, which may have failed: `{'error', text}`.
    pub(crate) fn independent_replies(&mut self) -> Result<Vec<Result<Self>>> {
        let is_done = |mut reply: Self| match reply.tag() {
            "error" => {
                let error = from_fred(FredError::new(ErrorKind::Unknown, reply.parse::<String>()?));
                Err(denied::name_command(error, reply.verb.text()))
            }
            _ => Ok(reply),
        };
        Ok(self.replies()?.into_iter().map(is_done).collect())
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

    /// They were taken for content that another program wrote.
    #[test]
    fn a_full_server_and_a_denied_command_are_refusals() {
        for (details, words) in [
            ("ERR max number of clients reached", "maxclients"),
            (
                "ERR The user executing the script can't run this command or subcommand script: 9c, on @user_script:3.",
                "can't run",
            ),
            ("ERR Unknown Redis command called from script", "Unknown"),
        ] {
            let error = from_fred(FredError::new(ErrorKind::Unknown, details));
            assert!(matches!(&error, Error::Refused(why) if why.contains(words)), "{details}: {error:?}");
        }
    }
}
