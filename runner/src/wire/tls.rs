//! TLS settings: the system's roots, and a private authority's where one is given.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Environment variable with the path of a PEM file of further authorities.
pub const CA_BUNDLE: &str = "BAKEOFF_CA_BUNDLE";

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The bundle cannot be read.
    #[error("CA bundle {path}: {message}; it must be a file of PEM certificates")]
    Bundle {
        /// Its path.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The settings contradict each other.
    #[error("TLS: {0}")]
    Settings(#[from] rustls::Error),
}

/// Settings of a client that trusts the system's roots and those of `bundle`.
///
/// # Errors
/// When the bundle cannot be read or holds no certificate.
pub fn client_config(bundle: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    // Certificates of the system that do not parse are left out, as browsers do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = bundle {
        for certificate in read_bundle(path)? {
            roots.add(certificate)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The same settings for a server that is asked by HTTP/2.
pub fn for_http2(config: &ClientConfig) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn read_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |message: String| TlsError::Bundle {
        path: path.display().to_string(),
        message,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|cause| error(cause.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|cause| error(cause.to_string()))?;
    if certificates.is_empty() {
        return Err(error("no certificate in it".into()));
    }
    Ok(certificates)
}

/// Path of the bundle that the environment names.
pub fn bundle_from_environment() -> Option<std::path::PathBuf> {
    std::env::var_os(CA_BUNDLE)
        .filter(|path| !path.is_empty())
        .map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = client_config(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("no certificate in it"), "{error}");
        let error = client_config(Some(Path::new("/nowhere.pem")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere.pem"), "{error}");
    }
}
