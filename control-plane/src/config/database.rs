//! Which database a control plane uses, and how safely it talks to it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

use crate::store::StoreError;

/// Where the database is.
#[derive(Clone)]
pub enum Database {
    /// SQLite in a folder, which is made if absent. One control plane uses it at a time.
    Folder(PathBuf),
    /// PostgreSQL, which several control planes may use. Their clocks must agree within a fraction of `offline_after`.
    Postgres(Url),
}

impl Database {
    /// `postgres://USER@HOST[:PORT]/NAME` or, through a Unix socket, `postgres:///NAME?host=/FOLDER`.
    ///
    /// To another machine it is TLS with the server's name verified (`sslmode=verify-full`), by the authorities of
    /// browsers or those of `sslrootcert=FILE`; only a URL or `PGSSLMODE` that names another `sslmode` has it.
    pub fn postgres(url: &str) -> Result<Self, StoreError> {
        let refused = |why: &str| StoreError::Url(why.to_owned());
        let mut url: Url = url
            .parse()
            .map_err(|error: url::ParseError| refused(&error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refused("it begins with postgres://"));
        }
        if url.path().len() < 2 && !url.query_pairs().any(|(key, _)| key == "dbname") {
            return Err(refused("it names a database: postgres://HOST/NAME"));
        }
        if is_elsewhere(&url) && !names_tls(&url) {
            url.query_pairs_mut().append_pair("sslmode", "verify-full");
        }
        Ok(Self::Postgres(url))
    }
}

/// Whether what is said to the database leaves this machine.
fn is_elsewhere(url: &Url) -> bool {
    let asked = |(key, value): (Cow<'_, str>, Cow<'_, str>)| {
        matches!(&*key, "host" | "hostaddr").then(|| value.into_owned())
    };
    let by_environment = || std::env::var("PGHOST").ok();
    let host = url.query_pairs().filter_map(asked).last();
    let host = host.or_else(|| {
        url.host_str()
            .filter(|host| !host.is_empty())
            .map(str::to_owned)
    });
    let Some(host) = host.or_else(by_environment) else {
        return false;
    };
    let socket = host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    !(socket || loopback || host.eq_ignore_ascii_case("localhost"))
}

fn names_tls(url: &Url) -> bool {
    let by_url = |(key, _): (Cow<'_, str>, _)| matches!(&*key, "sslmode" | "ssl-mode");
    url.query_pairs().any(by_url) || std::env::var_os("PGSSLMODE").is_some()
}

/// Without the password.
impl core::fmt::Debug for Database {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Folder(folder) => f.debug_tuple("Folder").field(folder).finish(),
            Self::Postgres(url) => write!(f, "Postgres({:?}{})", url.host_str(), url.path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sslmode(url: &str) -> Option<String> {
        let Database::Postgres(url) = Database::postgres(url).unwrap() else {
            return None;
        };
        let mut named = url.query_pairs().filter(|(key, _)| key == "sslmode");
        let mode = named.next().map(|(_, mode)| mode.into_owned());
        assert!(named.next().is_none(), "said twice: {url}");
        mode
    }

    #[test]
    fn another_machine_is_reached_by_verified_tls_unless_the_url_says_otherwise() {
        for url in [
            "postgres://nacre@db.example/nacre",
            "postgres://nacre:secret@192.0.2.1:6432/nacre",
            "postgres://nacre@[2001:db8::1]/nacre?application_name=x",
            "postgres:///nacre?host=db.example",
            "postgres://localhost/nacre?hostaddr=192.0.2.1",
        ] {
            assert_eq!(sslmode(url).as_deref(), Some("verify-full"), "{url}");
        }
        let said = sslmode("postgres://nacre@db.example/nacre?sslmode=disable");
        assert_eq!(said.as_deref(), Some("disable"));
    }

    #[test]
    fn this_machine_needs_none() {
        for url in [
            "postgres://nacre@localhost/nacre",
            "postgres://nacre@127.0.0.1:5433/nacre",
            "postgres://nacre@[::1]/nacre",
            "postgres://nacre@localhost/nacre?host=/run/postgresql",
            "postgres://%2Frun%2Fpostgresql/nacre",
        ] {
            assert_eq!(sslmode(url), None, "{url}");
        }
    }
}
