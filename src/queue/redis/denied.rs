//! Commands that the server denies to our user (ACL), or has renamed. The error of a script names none; its line does.

use super::{
    installation::Installation,
    script_call::{Reply, ScriptCaller},
    scripts::Verb,
};
use crate::queue::{Error, Result};

/// Words of the errors about a command, key or channel that this user may not use, or a command that the server does not know.
const DENIED: [&str; 5] =
    ["executing the script can't", "Unknown Redis command", "unknown command", "no permissions to run", "NOPERM"];

/// Tries every command. Returns the denied ones as a sentence; `None` if there are none.
pub(crate) async fn denied_commands(caller: &ScriptCaller) -> Result<Option<String>> {
    let Some(installation) = caller.installation.as_deref().map(Installation::id) else { return Ok(None) };
    named(caller.call(Verb::TryCommands, vec![installation.into()]).await?)
}

/// Does the same for the installation that Redis holds.
pub(crate) async fn denied_commands_of(caller: &ScriptCaller, installation: &str) -> Result<Option<String>> {
    named(caller.call_unfenced(caller.pool.next(), Verb::TryCommands, vec![installation.into()]).await?)
}

fn named(mut reply: Reply) -> Result<Option<String>> {
    let mut denied = Vec::new();
    while let (Ok(command), Ok(error)) = (reply.parse::<String>(), reply.parse::<String>()) {
        if is_denied(&error) {
            denied.push(command);
        }
    }
    Ok(sentence(&denied))
}

fn sentence(denied: &[String]) -> Option<String> {
    match denied {
        [] => None,
        [command] => Some(format!("redis denies the command {command} to this user, or has renamed it")),
        all => Some(format!("redis denies the commands {} to this user, or has renamed them", all.join(", "))),
    }
}

/// Names the command that the server denied to a script.
pub(crate) fn name_command(error: Error, script: &str) -> Error {
    let (Error::Corrupt(details) | Error::Refused(details)) = &error else { return error };
    if !is_denied(details) {
        return error;
    }
    let Some(command) = command_of(details, script) else { return error };
    sentence(&[command.to_owned()]).map_or(error, Error::Refused)
}

/// Makes a denied command the reason for a refusal to start: waiting would not help.
pub(crate) fn at_start(error: Error) -> Error {
    match error {
        Error::Corrupt(details) | Error::Refused(details) if is_denied(&details) => {
            Error::Unusable(format!("{details}; allow this user all commands of deploy/README.md (ACL)"))
        }
        other => other,
    }
}

pub(super) fn is_denied(details: &str) -> bool {
    details.contains("redis denies") || DENIED.iter().any(|words| details.contains(words))
}

/// Finds the command in the line of the script that an error names, `… on @user_script:72.`.
fn command_of<'a>(details: &str, script: &'a str) -> Option<&'a str> {
    let (_, after) = details.rsplit_once("user_script:")?;
    let number: usize = after.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
    let line = script.lines().nth(number.checked_sub(1)?)?;
    let (_, call) = line.split_once("call('")?;
    call.split('\'').next()
}

#[cfg(test)]
mod tests {
    use super::{at_start, name_command};
    use crate::queue::Error;

    #[test]
    fn the_line_of_a_script_names_the_denied_command() {
        let script = "#!lua\nlocal a = 1\nreturn redis.call('INFO', 'server')\n";
        for words in [
            "ERR The user executing the script can't run this command or subcommand",
            "ERR Unknown Redis command called",
            "ERR The user executing the script can't access at least one of the keys mentioned in the command",
        ] {
            let error = Error::Corrupt(format!("{words} script: 9c, on @user_script:3."));
            let named = at_start(name_command(error, script));
            assert!(matches!(&named, Error::Unusable(why) if why.contains("the command INFO")), "{named}");
        }
        let other = name_command(Error::Corrupt("ERR wrong, on @user_script:3.".to_owned()), script);
        assert!(matches!(at_start(other), Error::Corrupt(_)));
        let direct = Error::Refused("NOPERM User u has no permissions to run the 'evalsha' command".to_owned());
        assert!(matches!(at_start(direct), Error::Unusable(why) if why.contains("evalsha")));
    }
}
