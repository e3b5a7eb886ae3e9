//! JSON Web Tokens: only HS256, regardless of a token's header.

use super::{Caller, Denied, Role};
use crate::clock;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

/// Tolerated difference between the clocks of our processes, seconds.
const LEEWAY_SECONDS: u64 = 5;
/// Longest token accepted, bytes.
const TOKEN_BYTES_MAX: usize = 4_096;

/// Issues and verifies tokens.
pub(super) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

/// Claims of a token: `{"sub":"admin","role":"admin","iat":…,"exp":…}`. `exp` is typed: a text or a fraction is
/// refused.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    role: Role,
    #[serde(default)]
    iat: u64,
    exp: u64,
}

impl Tokens {
    /// Uses `key`, or a new random one.
    pub(super) fn new(key: Option<&[u8]>) -> Self {
        let random = [*uuid::Uuid::new_v4().as_bytes(), *uuid::Uuid::new_v4().as_bytes()].concat();
        let key = key.unwrap_or(&random);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self { encoding: EncodingKey::from_secret(key), decoding: DecodingKey::from_secret(key), validation }
    }

    /// Signs a token for `caller`.
    pub(super) fn issue(&self, caller: &Caller) -> String {
        let claims = Claims {
            sub: caller.username.clone(),
            role: caller.role,
            iat: clock::unix_seconds(),
            exp: caller.expires_at,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("two words and two numbers can be written as JSON and signed with any key")
    }

    /// Returns the user that the token was issued to.
    pub(super) fn verify(&self, token: &str) -> Result<Caller, Denied> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Denied::Token);
        }
        let claims = decode::<Claims>(token, &self.decoding, &self.validation).map_err(|_| Denied::Token)?.claims;
        if claims.sub.is_empty() {
            return Err(Denied::Token);
        }
        Ok(Caller { username: claims.sub, role: claims.role, expires_at: claims.exp })
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, EncodingKey, Header, LEEWAY_SECONDS, Tokens, encode};
    use crate::{auth::Role, clock::unix_seconds};
    use serde_json::{Value, json};

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn signed(claims: &Value) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(KEY)).unwrap()
    }

    fn later() -> u64 {
        unix_seconds() + 3_600
    }

    #[test]
    fn an_issued_token_verifies_with_its_role() {
        let token = signed(&json!({"sub": "lin", "role": "user", "exp": later(), "nbf": unix_seconds() - 1}));
        let caller = Tokens::new(Some(KEY)).verify(&token).unwrap();
        assert_eq!((caller.username.as_str(), caller.role, caller.expires_at), ("lin", Role::User, later()));
    }

    #[test]
    fn invalid_claims_are_refused() {
        let now = unix_seconds();
        let tokens = Tokens::new(Some(KEY));
        for claims in [
            json!({"sub": "admin", "role": "admin"}),
            json!({"sub": "admin", "role": "admin", "exp": now - LEEWAY_SECONDS - 2}),
            json!({"sub": "admin", "role": "admin", "exp": now - 120}),
            json!({"sub": "admin", "role": "admin", "exp": later().to_string()}),
            json!({"sub": "admin", "role": "admin", "exp": null}),
            json!({"sub": "admin", "role": "admin", "exp": {}}),
            json!({"sub": "admin", "role": "admin", "exp": []}),
            json!({"sub": "admin", "role": "admin", "exp": 0}),
            json!({"sub": "admin", "role": "admin", "exp": -1}),
            json!({"sub": "admin", "role": "admin", "exp": 9.5e18}),
            json!({"sub": "admin", "role": "admin", "exp": later(), "nbf": later()}),
            json!({"sub": "admin", "role": "admin", "exp": later(), "nbf": "soon"}),
            json!({"role": "admin", "exp": later()}),
            json!({"sub": "", "role": "admin", "exp": later()}),
            json!({"sub": null, "role": "admin", "exp": later()}),
            json!({"sub": 1, "role": "admin", "exp": later()}),
            json!({"sub": "admin", "exp": later()}),
            json!({"sub": "admin", "role": "root", "exp": later()}),
            json!({"sub": "admin", "role": ["admin"], "exp": later()}),
            json!({"sub": "admin", "role": "admin", "exp": later(), "aud": "another service"}),
            json!([]),
        ] {
            assert!(tokens.verify(&signed(&claims)).is_err(), "{claims}");
        }
    }

    #[test]
    fn another_key_or_algorithm_is_refused() {
        let claims = json!({"sub": "admin", "role": "admin", "exp": later()});
        let tokens = Tokens::new(Some(KEY));
        assert!(tokens.verify(&signed(&claims)).is_ok());
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let token = encode(&Header::new(algorithm), &claims, &EncodingKey::from_secret(KEY)).unwrap();
            assert!(tokens.verify(&token).is_err(), "{algorithm:?}");
        }
        for key in ["", "secret", "changeme", "0123456789abcdef0123456789abcde"] {
            let token =
                encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap();
            assert!(tokens.verify(&token).is_err(), "{key:?}");
        }
    }

    #[test]
    fn malformed_tokens_are_refused() {
        let tokens = Tokens::new(Some(KEY));
        let good = signed(&json!({"sub": "admin", "role": "admin", "exp": later()}));
        let cut = &good[..good.len() - 1];
        for text in ["", ".", "..", "a.b.c", "null", cut, &format!("{good}."), &format!("{good}.x"), &"a".repeat(6_000)]
        {
            assert!(tokens.verify(text).is_err(), "{text}");
        }
    }
}
