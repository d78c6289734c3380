//! Where requests go: a URL, taken apart and looked up once, before anything is measured.

use std::net::{SocketAddr, ToSocketAddrs};

use hyper::Uri;

/// A server's root, ready to connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Address; of several, the first that the resolver gave.
    pub address: SocketAddr,
    /// Value of the `host` header.
    pub authority: String,
    /// Name for the certificate, where TLS is spoken.
    pub tls_name: Option<String>,
    /// Path of the root, without a slash at its end; before the protocol's own path.
    pub base_path: String,
}

/// Why a URL cannot be a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not an absolute http or https URL.
    #[error(
        "{url:?} is not the root of a server; write it like http://HOST:PORT or https://HOST/PATH"
    )]
    Malformed {
        /// The text.
        url: String,
    },
    /// No address for the name.
    #[error("no address for host {host:?}: {source}; check the name and this machine's DNS")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
}

impl Target {
    /// Takes a URL apart and looks its host up. Blocks for the time of the look-up.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn resolve(url: &str) -> Result<Self, TargetError> {
        let malformed = || TargetError::Malformed { url: url.into() };
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(malformed()),
        };
        let authority = uri.authority().ok_or_else(malformed)?;
        let host = authority.host();
        let bare_host = host.trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let address = (bare_host, port)
            .to_socket_addrs()
            .and_then(|addresses| {
                let allowed = crate::outside::allowed(addresses)?;
                allowed
                    .into_iter()
                    .next()
                    .ok_or_else(|| std::io::Error::other("the name has no address"))
            })
            .map_err(|source| TargetError::Unresolved {
                host: host.into(),
                source,
            })?;
        let authority = match authority.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.into(),
        };
        Ok(Self {
            address,
            authority,
            tls_name: tls.then(|| bare_host.into()),
            base_path: uri.path().trim_end_matches('/').into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, address, authority, tls_name, base_path) in [
            (
                "http://127.0.0.1:8000",
                "127.0.0.1:8000",
                "127.0.0.1:8000",
                None,
                "",
            ),
            ("http://127.0.0.1", "127.0.0.1:80", "127.0.0.1", None, ""),
            (
                "https://127.0.0.1/serverless/",
                "127.0.0.1:443",
                "127.0.0.1",
                Some("127.0.0.1"),
                "/serverless",
            ),
            ("http://[::1]:9/a/b", "[::1]:9", "[::1]:9", None, "/a/b"),
        ] {
            let target = Target::resolve(url).unwrap();
            assert_eq!(target.address.to_string(), address, "{url}");
            assert_eq!(target.authority, authority, "{url}");
            assert_eq!(target.tls_name.as_deref(), tls_name, "{url}");
            assert_eq!(target.base_path, base_path, "{url}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for url in ["", "localhost:80", "ftp://127.0.0.1", "/v1", "http://"] {
            let error = Target::resolve(url).unwrap_err().to_string();
            assert!(error.contains("write it like"), "{url:?}: {error}");
        }
    }
}
