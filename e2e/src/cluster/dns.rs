//! Cluster DNS: CoreDNS as a process of the machine, where the kubelet tells pods to ask.

use anyhow::Result;

use crate::daemon::Daemon;
use crate::settings::{ADDRESS, Layout};
use crate::tools;

/// Starts CoreDNS.
pub(super) fn start(layout: &Layout) -> Result<()> {
    let kubeconfig = layout.state_file("kubeconfig")?;
    let config = format!(
        "cluster.local:53 in-addr.arpa:53 {{
    bind {ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
}}
.:53 {{
    bind {ADDRESS}
    errors
    # The cluster's names are all there are: a name outside fails at once instead of timing out.
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
",
        kubeconfig = kubeconfig.display()
    );
    let path = layout.write_state_file("Corefile", config)?;
    Daemon::new("coredns", tools::COREDNS.build(layout)?)
        .args(["-conf".to_owned(), path.display().to_string()])
        .start(layout)?;
    Ok(())
}
