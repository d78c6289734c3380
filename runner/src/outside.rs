//! HTTP clients for servers that a run names. What a run says comes from whoever may write one, and the
//! runner's pod may have an identity of its own in a cloud: such a client neither goes to the servers
//! that give that identity's credentials away, nor is sent there by a redirect or a name.

use std::{io, net::SocketAddr};

use bakeoff_crds::validate::addresses::{is_metadata_server, names_metadata_server};
use reqwest::{
    ClientBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::{Attempt, Policy},
};

/// As many as reqwest follows by itself.
const MOST_REDIRECTS: usize = 10;

/// Why nobody is asked there.
const REFUSED: &str = "it is the address of a cloud's metadata server, which holds credentials";

/// The beginnings of a client.
pub(crate) fn client() -> ClientBuilder {
    reqwest::Client::builder()
        .dns_resolver(Names)
        .redirect(Policy::custom(follow))
}

/// Those of some addresses that may be asked.
///
/// # Errors
/// Where none of them may.
pub(crate) fn allowed(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut any = false;
    let allowed: Vec<_> = addresses
        .inspect(|_| any = true)
        .filter(|address| !is_metadata_server(address.ip()))
        .collect();
    if any && allowed.is_empty() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, REFUSED));
    }
    Ok(allowed)
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if names_metadata_server(attempt.url().as_str()) {
        return attempt.error(REFUSED);
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("too many redirects");
    }
    attempt.follow()
}

/// The system's look-up, without the addresses that may not be asked.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Addrs = Box::new(allowed(found)?.into_iter());
            Ok(allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_lead_to_a_metadata_server() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let both = [at("169.254.169.254:80"), at("10.0.0.7:80")];
        assert_eq!(allowed(both.into_iter()).unwrap(), [at("10.0.0.7:80")]);
        let refused = allowed([both[0]].into_iter()).unwrap_err();
        assert!(refused.to_string().contains("metadata server"));
        assert_eq!(allowed([].into_iter()).unwrap(), []);
    }

    #[tokio::test]
    async fn a_redirect_does_not_either() {
        crate::store::backend::install_crypto_provider();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 1024]).await.unwrap();
            let answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/token\r\ncontent-length: 0\r\n\r\n";
            connection.write_all(answer.as_bytes()).await.unwrap();
        });
        let error = client().build().unwrap().get(url).send().await.unwrap_err();
        assert!(error.is_redirect(), "{error:?}");
        server.await.unwrap();
    }
}
