//! Who is who in the cluster: certificates and kubeconfigs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::machine::Machine;
use crate::certificates::{Authority, Files, Subject, signing_key};
use crate::kubeconfig;
use crate::settings::{ADDRESS, API_SERVICE_ADDRESS, Layout};

/// Paths of everything that the components are started with.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) authority: PathBuf,
    pub(super) api_server: Files,
    pub(super) kubelet_client: Files,
    pub(super) service_account: Files,
    pub(super) controller_manager: PathBuf,
    pub(super) scheduler: PathBuf,
    pub(super) kube_proxy: PathBuf,
    folder: PathBuf,
}

impl Credentials {
    /// The kubeconfig of a node's kubelet.
    pub(super) fn kubelet(&self, machine: &Machine) -> Result<PathBuf> {
        client(
            &Authority::open(&self.folder, AUTHORITY)?,
            &self.folder,
            &machine.own("kubelet"),
            &format!("system:node:{}", machine.name),
            Some("system:nodes"),
        )
    }
}

/// Who signs for whoever is in the cluster.
const AUTHORITY: &str = "bakeoff-e2e-cluster";

/// Makes whatever does not exist yet, the people's kubeconfig among it.
pub(super) fn issue(layout: &Layout) -> Result<Credentials> {
    let folder = layout.state.join("certificates");
    let authority = Authority::open(&folder, AUTHORITY)?;
    let kubeconfig =
        |name: &str, common_name: &str| client(&authority, &folder, name, common_name, None);
    let admin = Subject {
        common_name: "bakeoff-e2e-admin",
        organization: Some("system:masters"),
        ..Subject::default()
    };
    kubeconfig::write(
        &layout.state_file("kubeconfig")?,
        &authority,
        &authority.issue("admin", &admin)?,
    )?;
    Ok(Credentials {
        authority: authority.certificate(),
        api_server: authority.issue("kube-apiserver", &api_server())?,
        kubelet_client: authority.issue(
            "kube-apiserver-kubelet-client",
            &Subject {
                common_name: "kube-apiserver-kubelet-client",
                ..admin
            },
        )?,
        service_account: signing_key(&folder, "service-account")?,
        controller_manager: kubeconfig(
            "kube-controller-manager",
            "system:kube-controller-manager",
        )?,
        scheduler: kubeconfig("kube-scheduler", "system:kube-scheduler")?,
        kube_proxy: kubeconfig("kube-proxy", "system:kube-proxy")?,
        folder,
    })
}

/// A client's kubeconfig, its certificate in it.
fn client(
    authority: &Authority,
    folder: &Path,
    name: &str,
    common_name: &str,
    organization: Option<&str>,
) -> Result<PathBuf> {
    let subject = Subject {
        common_name,
        organization,
        ..Subject::default()
    };
    kubeconfig::write(
        &folder.join(format!("{name}.kubeconfig")),
        authority,
        &authority.issue(name, &subject)?,
    )
}

fn api_server() -> Subject<'static> {
    Subject {
        common_name: "kube-apiserver",
        names: &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ],
        addresses: const {
            &[
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V4(ADDRESS),
                IpAddr::V4(API_SERVICE_ADDRESS),
            ]
        },
        ..Subject::default()
    }
}
