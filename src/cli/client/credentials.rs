//! Saved logins: `<config folder>/shuzhiren/logins.json`, readable by its owner only.
//!
//! Invariant: a token is saved under the address that issued it and never sent to another one.

use crate::{
    cli::{error::Error, term::output},
    save_file,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::PathBuf,
};

/// `{"current":"http://…","logins":{"http://…":{"username","token","expiresAt"}}}`
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Logins {
    /// Address of the last login.
    pub(crate) current: Option<String>,
    logins: BTreeMap<String, Login>,
}

/// A saved login.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    /// User name.
    pub(crate) username: String,
    /// Bearer token.
    pub(crate) token: String,
    /// Expiry, RFC 3339.
    pub(crate) expires_at: String,
}

impl Logins {
    /// Reads the saved logins; none if there is no file.
    pub(crate) fn read() -> Result<Self, Error> {
        // Only saving needs a config folder.
        let Ok(path) = path() else { return Ok(Self::default()) };
        // A device or a pipe in its place, such as a link to /dev/null, keeps no logins; reading it could block.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
            return Ok(Self::default());
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::Local(format!("cannot read {}: {error}", path.display()))),
        };
        if fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
            output::hint(&format!("warning: other users can read {0}: chmod 600 {0}", path.display()));
        }
        serde_json::from_str(&text)
            .map_err(|error| Error::Local(format!("{} is invalid ({error}): delete it", path.display())))
    }

    /// Returns the login at an address.
    pub(crate) fn get(&self, base: &str) -> Option<&Login> {
        self.logins.get(base)
    }

    /// Saves a login, makes its address the current one, and returns the path of the file.
    pub(crate) fn save(base: &str, login: Login) -> Result<PathBuf, Error> {
        let mut logins = Self::read()?;
        logins.current = Some(base.to_owned());
        logins.logins.insert(base.to_owned(), login);
        logins.write()
    }

    /// Deletes the login at an address. Returns false if there was none.
    pub(crate) fn remove(base: &str) -> Result<bool, Error> {
        let mut logins = Self::read()?;
        let was_saved = logins.logins.remove(base).is_some();
        if logins.current.as_deref() == Some(base) {
            logins.current = logins.logins.keys().next().cloned();
        }
        if was_saved {
            logins.write()?;
        }
        Ok(was_saved)
    }

    /// Writes the file whole or not at all, never readable by others. Of a symbolic link it replaces the file that the
    /// link leads to.
    fn write(&self) -> Result<PathBuf, Error> {
        let path = path()?;
        let failed = |error: &dyn std::fmt::Display| Error::Local(format!("cannot write {}: {error}", path.display()));
        let folder = path.parent().ok_or_else(|| failed(&"it has no folder"))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| failed(&error))?;
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(&error))?;
        save_file::write_private(&path, text.as_bytes()).map_err(|error| failed(&error))?;
        Ok(path)
    }
}

/// Path of the file: `$XDG_CONFIG_HOME/shuzhiren/logins.json`, or below `~/.config`.
fn path() -> Result<PathBuf, Error> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    let config = config.ok_or_else(|| {
        Error::Local("no config folder to save a login in: set HOME, or use SHUZHIREN_TOKEN".to_owned())
    })?;
    Ok(config.join("shuzhiren").join("logins.json"))
}
