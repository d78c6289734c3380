//! The server's certificate: that of the load path's own tests.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Who signed it.
pub const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/drive/testdata/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../src/drive/testdata/server.pem");
const KEY: &[u8] = include_bytes!("../../src/drive/testdata/server.key");

/// Settings of a server.
pub fn server_config() -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE)?],
            PrivateKeyDer::from_pem_slice(KEY)?,
        )?;
    Ok(Arc::new(config))
}
