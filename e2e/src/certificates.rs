//! A certificate authority and the certificates and keys that it signs, as PEM files.
//!
//! The cluster has one, the object store another, so that trust in one is not trust in the other.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

/// A certificate and its key on disk.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    fn at(folder: &Path, name: &str) -> Self {
        Self {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        }
    }

    fn exist(&self) -> bool {
        self.certificate.is_file() && self.key.is_file()
    }

    fn write(&self, certificate: &str, key: &str) -> Result<()> {
        // The key first: a certificate's presence then means that both are there.
        write(&self.key, key)?;
        write(&self.certificate, certificate)
    }
}

/// What a certificate says of its holder.
#[derive(Debug, Default)]
pub struct Subject<'a> {
    /// CN: to Kubernetes, the user.
    pub common_name: &'a str,
    /// O: to Kubernetes, the group.
    pub organization: Option<&'a str>,
    /// Names that the holder serves under.
    pub names: &'a [&'a str],
    /// Addresses that the holder serves on.
    pub addresses: &'a [IpAddr],
}

/// Signs certificates. Kept on disk, so that the next `up` signs with the same key.
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority of this folder; made if there is none.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let files = Files::at(folder, "ca");
        let key = if files.exist() {
            KeyPair::from_pem(&fs::read_to_string(&files.key)?)?
        } else {
            KeyPair::generate()?
        };
        let mut params = params(&Subject {
            common_name: name,
            ..Subject::default()
        })?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key_pem = key.serialize_pem();
        let issuer = CertifiedIssuer::self_signed(params, key)?;
        if !files.exist() {
            files.write(&issuer.pem(), &key_pem)?;
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            issuer,
        })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        Files::at(&self.folder, "ca").certificate
    }

    /// A certificate for `subject`, kept under `name`; made if there is none.
    pub fn issue(&self, name: &str, subject: &Subject<'_>) -> Result<Files> {
        let files = Files::at(&self.folder, name);
        if files.exist() {
            return Ok(files);
        }
        let key = KeyPair::generate()?;
        let mut params = params(subject)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer)?;
        files.write(&certificate.pem(), &key.serialize_pem())?;
        Ok(files)
    }
}

/// A key pair for signing service account tokens: the public half in place of a certificate.
pub fn signing_key(folder: &Path, name: &str) -> Result<Files> {
    let files = Files {
        certificate: folder.join(format!("{name}.pub")),
        key: folder.join(format!("{name}.key")),
    };
    if !files.exist() {
        let key = KeyPair::generate()?;
        files.write(&key.public_key_pem(), &key.serialize_pem())?;
    }
    Ok(files)
}

fn params(subject: &Subject<'_>) -> Result<CertificateParams> {
    let names: Vec<String> = subject.names.iter().map(|name| (*name).into()).collect();
    let mut params = CertificateParams::new(names)?;
    params
        .subject_alt_names
        .extend(subject.addresses.iter().copied().map(SanType::IpAddress));
    params
        .distinguished_name
        .push(DnType::CommonName, subject.common_name);
    if let Some(organization) = subject.organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
