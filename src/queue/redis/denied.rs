//! Commands that the server denies to our user (ACL), or has renamed. The error of a script names none; its line does.

use crate::queue::Error;

/// Words of the errors about a command that this user may not run or the server does not know.
const DENIED: [&str; 5] =
    ["can't run this command", "Unknown Redis command", "unknown command", "no permissions to run", "NOPERM"];

/// Names the command that the server denied to a script.
pub(crate) fn name_command(error: Error, script: &str) -> Error {
    let (Error::Corrupt(details) | Error::Refused(details)) = &error else { return error };
    if !is_denied(details) {
        return error;
    }
    let Some(command) = command_of(details, script) else { return error };
    Error::Refused(format!("redis denies the command {command} to this user, or has renamed it"))
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

fn is_denied(details: &str) -> bool {
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
