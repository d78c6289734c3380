//! Servers that speak TLS.

use super::*;

/// Certificates that a test authority made for this test: `openssl req -x509` and `openssl x509`.
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/drive/testdata/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../testdata/server.pem");
const KEY: &[u8] = include_bytes!("../testdata/server.key");

/// Passes bytes between TLS connections and a plain server.
fn tls_front(backend: String) -> String {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, backend) = (acceptor.clone(), backend.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(stream).await?;
                    let mut server = tokio::net::TcpStream::connect(backend).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
    });
    format!("https://localhost:{}", told.recv().unwrap())
}

#[test]
fn tls_is_spoken_to_a_server_of_a_trusted_authority_alone() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let url = tls_front(server.url.trim_start_matches("http://").into());
    for (bundle, failure) in [
        (Some(std::path::Path::new(AUTHORITY)), None),
        (None, Some(FailureKind::Connect)),
    ] {
        let mut stage = stage(&url, closed(3), StageEnd::Requests(9));
        stage.tls = Some(crate::wire::tls::client_config(bundle).unwrap());
        let driven = drive(&stage, &Control::default()).unwrap();
        assert_eq!(driven.records.len(), 9);
        for record in &driven.records {
            assert_eq!(failure_of(record), failure, "{record:?}");
        }
    }
}

#[test]
fn a_long_prompt_goes_out_whole_over_plain_and_tls() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let tls = tls_front(server.url.trim_start_matches("http://").into());
    for url in [&server.url, &tls] {
        let mut stage = stage(url, closed(2), StageEnd::Requests(4));
        stage.tls = Some(crate::wire::tls::client_config(Some(AUTHORITY.as_ref())).unwrap());
        let head = RequestHead {
            path: "/v1/completions".into(),
            ..RequestHead::default()
        };
        // More than any socket's buffer takes at once.
        let long = Prompt {
            text: "word ".repeat(2_000_000),
            max_tokens: 3,
            ..Prompt::default()
        };
        stage.script = Arc::new(Script::of_requests([
            head.post(&stage.target, &stage.codec.encode(&[&long], 0).unwrap())
        ]));
        let driven = drive(&stage, &Control::default()).unwrap();
        assert!(
            driven.records.iter().all(Record::succeeded),
            "{url}: {:?}",
            driven.records
        );
    }
}
