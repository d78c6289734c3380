//! Leader election: of several operators one acts, the others wait for its Lease to end.
//!
//! - [`decision`]: what to do with the Lease, a pure function;
//! - [`elector`]: reads and writes the Lease, every write guarded by its resourceVersion;
//! - [`leadership`]: until when this instance may write; asked before every single write.
//!
//! The rules are those of client-go: a Lease counts as ended when this instance, by its own clock,
//! has seen no change of it for as long as its holder asked for, so that clocks of different
//! machines are never compared. The holder itself stops earlier ([`VALID_FOR`]), counted from before
//! its last renewal was sent. An own implementation, since the crates there are either lag behind
//! kube or do not say until when a leader may act.

pub mod decision;
pub mod elector;
pub mod leadership;

use std::time::Duration;

pub use elector::{Elector, LeaseName};
pub use leadership::{Leadership, NotLeader};

/// How long a Lease holds without a renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long its holder acts without one. The difference is room for clocks that run unevenly, and
/// for a request that is on its way.
pub const VALID_FOR: Duration = Duration::from_secs(10);
/// Time between two renewals, or two looks at another's Lease.
pub const PERIOD: Duration = Duration::from_secs(3);
