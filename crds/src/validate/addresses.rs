//! Addresses that nothing of a run may be at: the metadata servers of clouds, which give whoever asks
//! the credentials of the machine, or of the service account, that asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::Problem;
use crate::run::BenchmarkRunSpec;

/// Alibaba Cloud's, which is not link-local.
const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// The block of AWS' IPv6 addresses: `fd00:ec2::254` (EC2), `fd00:ec2::23` (EKS).
const AWS: [u16; 2] = [0xfd00, 0x0ec2];
/// Google's name for it.
const GOOGLE: [&str; 2] = ["metadata.google.internal", "metadata"];

/// Whether a cloud's metadata server may be at this address: all that is link-local, as
/// 169.254.169.254 is, and those that are known beside.
pub fn is_metadata_server(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address == ALIBABA,
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.segments()[..2] == AWS || embeds(address)
        }
    }
}

/// An IPv4 address in the block by which IPv6-only networks reach IPv4 (RFC 6052).
fn embeds(address: Ipv6Addr) -> bool {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else {
        return false;
    };
    let inner = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    is_metadata_server(inner.into())
}

/// Whether a URL names such an address, in whatever way IPv4 addresses can be written, or Google's
/// name of it. A name of one's own that stands for such an address is found when it is looked up.
pub fn names_metadata_server(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    match url.host() {
        Some(Host::Ipv4(address)) => is_metadata_server(address.into()),
        Some(Host::Ipv6(address)) => is_metadata_server(address.into()),
        Some(Host::Domain(name)) => GOOGLE.contains(&name.trim_end_matches('.')),
        None => false,
    }
}

pub(super) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let files = super::files(spec)
        .filter_map(|(field, file)| Some((format!("{field}.uri"), file.uri.clone()?)));
    let engines = spec
        .engines
        .iter()
        .enumerate()
        .filter_map(|(index, engine)| {
            let external = engine.external.as_ref()?;
            Some((
                format!("spec.engines[{index}].external.url"),
                external.url.clone(),
            ))
        });
    let single = [
        ("spec.model.hub", &spec.model.hub),
        ("spec.metrics.url", &spec.metrics.url),
        ("spec.output.endpoint", &spec.output.endpoint),
    ];
    let single = single
        .into_iter()
        .filter_map(|(field, url)| Some((field.to_owned(), url.clone()?)));
    for (field, url) in single.chain(engines).chain(files) {
        if names_metadata_server(&url) {
            problems.push(Problem::new(
                field,
                format!(
                    "{url:?} is the address of a cloud's metadata server, which holds credentials; name the server that is meant"
                ),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metadata_server_is_known_however_it_is_written() {
        for url in [
            "http://169.254.169.254/latest/meta-data/iam/security-credentials",
            "http://2852039166/",
            "http://0xA9.0xFE.0xA9.0xFE/",
            "http://0251.0376.0251.0376/",
            "http://user@169.254.169.254:80/",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[fe80::1]/",
            "http://100.100.100.200/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "http://METADATA.google.internal./",
            "http://metadata/",
        ] {
            assert!(names_metadata_server(url), "{url}");
        }
    }

    #[test]
    fn other_servers_are_not() {
        for url in [
            "http://127.0.0.1:8000/",
            "http://10.0.0.7/",
            "http://[::1]/",
            "http://[fd12:3456::1]/",
            "https://metadata.example.com/",
            "s3://bucket/file",
            "nothing",
        ] {
            assert!(!names_metadata_server(url), "{url}");
        }
    }
}
