//! Address of Redis: reads the URL, refuses what it does not know, and adds the private CA.

use crate::{
    queue::{Error, Result},
    settings::RedisSettings,
};
use fred::types::config::{Config, ServerConfig, TlsConfig, TlsConnector};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::path::Path;

/// Kinds of addresses: the scheme, with Redis' spelling, and the parameters that it takes.
const SCHEMES: [(&str, &[&str]); 7] = [
    ("redis", &[]),
    ("rediss", &[]),
    ("redis+unix", &[]),
    ("redis-sentinel", SENTINEL_PARAMETERS),
    ("rediss-sentinel", SENTINEL_PARAMETERS),
    ("redis-cluster", &["node"]),
    ("rediss-cluster", &["node"]),
];
const SENTINEL_PARAMETERS: &[&str] = &["sentinelServiceName", "node", "sentinelUsername", "sentinelPassword"];

/// Reads the URL from the variable or its file, and parses it.
pub(crate) fn config(settings: &RedisSettings) -> Result<Config> {
    let url = match (&settings.redis_url, &settings.redis_url_file) {
        (Some(url), _) => url.expose().to_owned(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| Error::Unusable(format!("cannot read REDIS_URL_FILE {}: {error}", path.display())))?,
        (None, None) => return Err(Error::Unusable("REDIS_URL is not set".to_owned())),
    };
    install_tls_provider();
    let url = canonical(url.trim())?;
    let mut config = Config::from_url(&url).map_err(|error| unusable(error.details()))?;
    if let ServerConfig::Sentinel { username, password, .. } = &mut config.server
        && username.is_none()
        && password.is_none()
    {
        username.clone_from(&config.username);
        password.clone_from(&config.password);
    }
    if let Some(path) = &settings.redis_ca {
        if config.tls.is_none() {
            return Err(Error::Unusable("REDIS_CA is set, but REDIS_URL does not use TLS: write rediss://".to_owned()));
        }
        config.tls = Some(trusting(path)?);
    }
    Ok(config)
}

/// Returns the URL with Redis' spelling of the scheme; fred would take an unknown scheme for plain TCP and ignore an
/// unknown parameter.
fn canonical(url: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| unusable("no scheme"))?;
    let scheme = match scheme.strip_prefix("valkey") {
        Some(kind) => format!("redis{kind}"),
        None => scheme.to_owned(),
    };
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme).ok_or_else(|| unusable("unknown scheme"))?.1;
    let url = format!("{scheme}://{rest}");
    let parsed = url::Url::parse(&url).map_err(|error| unusable(&error.to_string()))?;
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| !known.contains(&name.as_ref())) {
        let known = if known.is_empty() { "it takes none".to_owned() } else { format!("known: {}", known.join(", ")) };
        return Err(unusable(&format!("unknown parameter `{name}`; {known}")));
    }
    Ok(url)
}

/// Makes the error for a bad URL. The message omits the URL, which may hold a password.
fn unusable(why: &str) -> Error {
    Error::Unusable(format!(
        "REDIS_URL is not usable ({why}); write redis://, rediss://, redis+unix:///path, \
         redis-sentinel://host:26379?sentinelServiceName=main or redis-cluster://"
    ))
}

/// Makes the TLS configuration that trusts the CA of this file and no other.
fn trusting(path: &Path) -> Result<TlsConfig> {
    let unreadable = |why: String| Error::Unusable(format!("REDIS_CA {}: {why}", path.display()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("holds no certificate; write PEM, BEGIN CERTIFICATE".to_owned()));
    }
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(client).into())
}

/// Installs the crypto provider of rustls, which the first `rediss://` needs.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread installed it meanwhile, with the same effect.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{canonical, config};
    use crate::settings::{Durability, RedisSettings, Secret};
    use fred::types::config::ServerConfig;

    fn settings(url: &str) -> RedisSettings {
        RedisSettings {
            redis_url: Some(Secret::new(url)),
            redis_url_file: None,
            redis_ca: None,
            namespace: "test".to_owned(),
            durability: Durability::Local,
            durability_replicas: 1,
        }
    }

    #[test]
    fn valkey_is_another_spelling_of_redis() {
        for kind in ["", "s", "+unix", "-sentinel", "s-sentinel", "-cluster", "s-cluster"] {
            assert_eq!(canonical(&format!("valkey{kind}://h:1")).unwrap(), format!("redis{kind}://h:1"));
        }
        assert!(canonical("valkeyx://h:1").is_err() && canonical("http://h").is_err());
    }

    #[test]
    fn an_unknown_parameter_is_refused() {
        let refused = canonical("redis-sentinel://h:1?sentinelServiceName=main&sentinelPasword=secret").unwrap_err();
        assert!(refused.to_string().contains("`sentinelPasword`"), "{refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
        assert!(canonical("redis://h:1?node=b:1").is_err());
        assert!(canonical("redis-cluster://h:1?node=b:1&node=c:1").is_ok());
    }

    #[test]
    fn sentinels_take_the_credentials_of_redis_or_their_own() {
        let sentinel = |url: &str| match config(&settings(url)).unwrap().server {
            ServerConfig::Sentinel { username, password, hosts, .. } => (username, password, hosts.len()),
            other => panic!("{other:?}"),
        };
        let text = |text: &str| Some(text.to_owned());
        let same = "redis-sentinel://u:p@a:1?sentinelServiceName=main&node=b:1&node=c:1";
        assert_eq!(sentinel(same), (text("u"), text("p"), 3));
        let own = format!("{same}&sentinelUsername=s&sentinelPassword=q%2F");
        assert_eq!(sentinel(&own), (text("s"), text("q/"), 3));
    }

    #[test]
    fn a_private_ca_needs_tls_and_a_certificate() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with_ca = |url: &str| RedisSettings { redis_ca: Some(file.path().to_owned()), ..settings(url) };
        let plain = config(&with_ca("redis://h:1")).unwrap_err().to_string();
        assert!(plain.contains("rediss://"), "{plain}");
        let empty = config(&with_ca("rediss://h:1")).unwrap_err().to_string();
        assert!(empty.contains("no certificate"), "{empty}");
    }
}
