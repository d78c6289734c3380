//! Reads and writes the Lease.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    LEASE_DURATION, Leadership, NotLeader, PERIOD, VALID_FOR,
    decision::{Step, decide, released},
};
use crate::clock;

/// Which Lease, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseName {
    /// Namespace of the Lease: the operator's own.
    pub namespace: String,
    /// Its name: one per installation.
    pub name: String,
    /// What this instance calls itself; no other may.
    pub identity: String,
}

/// One instance's part in the election.
pub struct Elector {
    api: Api<Lease>,
    name: LeaseName,
    leadership: Leadership,
    /// The Lease as it was last seen, and since when.
    seen: Option<(Lease, Instant)>,
}

impl Elector {
    /// An instance that has yet to be elected, and what its writers ask.
    pub fn new(client: Client, name: LeaseName) -> (Self, Leadership) {
        let leadership = Leadership::none();
        let elector = Self {
            api: Api::namespaced(client, &name.namespace),
            name,
            leadership: leadership.clone(),
            seen: None,
        };
        (elector, leadership)
    }

    /// Waits until this instance is the leader.
    pub async fn win(&mut self) {
        let mut waits_for = None;
        loop {
            match self.step().await {
                Ok(true) => return,
                Ok(false) => {
                    let holder = self.holder().map(str::to_owned);
                    if waits_for != holder {
                        tracing::info!(
                            holder,
                            "another operator acts; waiting for its Lease to end"
                        );
                        waits_for = holder;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the Lease cannot be read or written; trying again");
                }
            }
            sleep(PERIOD).await;
        }
    }

    /// Renews for as long as it can.
    ///
    /// # Errors
    /// When this instance is not the leader any more.
    pub async fn keep(&mut self) -> Result<std::convert::Infallible, NotLeader> {
        loop {
            sleep(PERIOD).await;
            match self.step().await {
                Ok(true) => {}
                Ok(false) => return Err(NotLeader),
                Err(error) => tracing::warn!(%error, "the Lease cannot be renewed; trying again"),
            }
            self.leadership.check()?;
        }
    }

    /// Looks at the Lease once, and takes or renews it where that is due. Whether this instance is
    /// the leader after it.
    ///
    /// # Errors
    /// Where the API server gives no answer in time. A leader stays one until its time is over.
    pub async fn step(&mut self) -> Result<bool, kube::Error> {
        let begun = (Instant::now(), SystemTime::now());
        let is_leader = self.leadership.check().is_ok();
        // A leader knows the Lease from its own last write, and its next one fails if that changed.
        if !is_leader {
            let found = in_time(self.api.get_opt(&self.name.name)).await?;
            self.see(found);
        }
        let (lease, since) = match &self.seen {
            Some((lease, since)) => (Some(lease.clone()), *since),
            None => (None, begun.0),
        };
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let step = decide(
            &self.name.identity,
            spec.or(lease.as_ref().map(|_| &EMPTY)),
            begun.0.saturating_duration_since(since),
            clock::now(),
        );
        let Step::Write(spec) = step else {
            self.leadership.give_up();
            return Ok(false);
        };
        match self.write(lease.as_ref(), spec).await {
            Ok(written) => {
                self.see(Some(written));
                self.leadership.extend(begun, VALID_FOR);
                Ok(true)
            }
            // Another was faster, or has taken over; or it was ourselves, by a write whose answer
            // never came. Nothing is written again before the next look.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                let found = in_time(self.api.get_opt(&self.name.name)).await?;
                self.see(found);
                let is_ours = self.holder() == Some(self.name.identity.as_str());
                if !is_ours {
                    self.leadership.give_up();
                }
                Ok(is_leader && is_ours)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the Lease back, so that the next operator need not wait for its end.
    pub async fn release(mut self) {
        let is_leader = self.leadership.check().is_ok();
        self.leadership.give_up();
        let Some((lease, _)) = self.seen.take().filter(|_| is_leader) else {
            return;
        };
        let spec = released(lease.spec.as_ref().unwrap_or(&EMPTY), clock::now());
        if let Err(error) = self.write(Some(&lease), spec).await {
            tracing::warn!(%error, "the Lease could not be given back; the next operator waits for its end");
        }
    }

    /// Creates the Lease, or replaces exactly the one that was seen.
    async fn write(&self, seen: Option<&Lease>, spec: LeaseSpec) -> Result<Lease, kube::Error> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.name.clone()),
                namespace: Some(self.name.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        let params = PostParams::default();
        match seen {
            None => in_time(self.api.create(&params, &lease)).await,
            Some(seen) => {
                // Labels and the like are others' to set; the resourceVersion is the lock.
                let lease = Lease {
                    metadata: seen.metadata.clone(),
                    ..lease
                };
                in_time(self.api.replace(&self.name.name, &params, &lease)).await
            }
        }
    }

    /// Notes a Lease; the time that it has been unchanged starts anew where it was changed.
    fn see(&mut self, found: Option<Lease>) {
        let Some(found) = found else {
            self.seen = None;
            return;
        };
        let unchanged = self.seen.as_ref().filter(|(lease, _)| {
            lease.resource_version() == found.resource_version() && lease.uid() == found.uid()
        });
        let since = unchanged.map_or_else(Instant::now, |(_, since)| *since);
        self.seen = Some((found, since));
    }

    fn holder(&self) -> Option<&str> {
        let (lease, _) = self.seen.as_ref()?;
        lease.spec.as_ref()?.holder_identity.as_deref()
    }
}

/// A Lease without a word in it, which nobody holds.
static EMPTY: LeaseSpec = LeaseSpec {
    acquire_time: None,
    holder_identity: None,
    lease_duration_seconds: None,
    lease_transitions: None,
    preferred_holder: None,
    renew_time: None,
    strategy: None,
};

/// An answer that comes too late for a second try is none.
async fn in_time<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    const PATIENCE: Duration = Duration::from_secs(PERIOD.as_secs() + 1);
    const _: () = assert!(PATIENCE.as_secs() < VALID_FOR.as_secs());
    const _: () = assert!(VALID_FOR.as_secs() < LEASE_DURATION.as_secs());
    match timeout(PATIENCE, request).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service(
            "the API server gave no answer within 4 s".into(),
        )),
    }
}
