//! Runs for which nothing is to be done until something changes: what was seen of each at its last
//! look, and when it is looked at again should nothing be heard of it.
//!
//! It only ever saves a look. Nothing is made, removed or concluded from what is kept here
//! ([`crate::observe::Fresh`]).

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;

use crate::{decide::Attention, metrics::RunKey, observe::Kept};

/// The first look at a run after a change of it, should nothing be heard; and how often it tells how
/// far it is.
pub const SOON: Duration = Duration::from_secs(10);

/// The longest between two looks at a run that is under way. The pause doubles from [`SOON`], so a
/// watch event that never came costs no more than twice the time that the run had stood still. While
/// a runner answers, it is this long from the first: its silence would tell of what no watch did.
pub const LATEST: Duration = Duration::from_secs(300);

/// The pause between two looks at a run that is suspended or queued. What ends that comes with
/// several events, or by a person.
pub const RESTING: Duration = Duration::from_secs(1800);

/// One version of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// UID.
    uid: String,
    /// Opaque; two are the same or not.
    resource_version: String,
}

impl Version {
    /// That of an object with this metadata.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// A run at its last look, at which nothing was to be done.
struct Idle {
    run: Version,
    /// Pods and Jobs.
    seen: Vec<Version>,
    look_at: Option<Instant>,
    /// For a run that tells how far it is.
    at_work: Option<AtWork>,
}

/// A run that tells how far it is.
struct AtWork {
    kept: Box<Kept>,
    tell_at: Instant,
}

#[derive(Default)]
struct Entry {
    /// What watches told since the last look began.
    news: Vec<Version>,
    idle: Option<Idle>,
    /// The pause before the last look, while nothing has changed since the one before.
    pause: Option<Duration>,
    told_at: Option<Instant>,
}

impl Entry {
    fn has_news(&self) -> bool {
        let seen = self.idle.as_ref().map(|idle| &idle.seen);
        let is_known = |version: &Version| seen.is_some_and(|seen| seen.contains(version));
        !self.news.iter().all(is_known)
    }
}

/// What is due for a run.
pub enum Due {
    /// Everything is to be read.
    Look,
    /// How far it is is to be told; by what was kept of it.
    Tell(Box<Kept>),
    /// Nothing, until a change or for this long.
    Nothing(Option<Duration>),
}

/// Runs for which nothing is to be done until something changes.
#[derive(Default)]
pub struct IdleRuns(Mutex<BTreeMap<RunKey, Entry>>);

impl IdleRuns {
    /// A watch has told of a pod or a Job of a run.
    pub fn heard(&self, run: &RunKey, version: Version) {
        // Of one without an entry everything is read anyway.
        if let Some(entry) = self.entries().get_mut(run) {
            entry.news.retain(|known| known.uid != version.uid);
            entry.news.push(version);
        }
    }

    /// What is due for a run that its watch shows in this version. What is kept of a run that is to
    /// tell how far it is leaves this place, until [`Self::told`].
    pub fn due(&self, run: &RunKey, version: &Version) -> Due {
        let now = Instant::now();
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(run) else {
            return Due::Look;
        };
        let has_news = entry.has_news();
        let Some(idle) = entry.idle.as_mut() else {
            return Due::Look;
        };
        if has_news || idle.run != *version {
            entry.idle = None;
            entry.pause = None;
            return Due::Look;
        }
        if idle.look_at.is_some_and(|at| at <= now) {
            return Due::Look;
        }
        match idle.at_work.take() {
            Some(work) if work.tell_at <= now => Due::Tell(work.kept),
            work => {
                idle.at_work = work;
                Due::Nothing(idle.next(now))
            }
        }
    }

    /// A look at a run begins: what was heard until now will be seen.
    pub fn begin(&self, run: &RunKey) {
        let mut entries = self.entries();
        let entry = entries.entry(run.clone()).or_default();
        // Without a look that found nothing to do, the next is the first.
        if entry.idle.is_none() || entry.has_news() {
            entry.pause = None;
        }
        entry.idle = None;
        entry.news.clear();
    }

    /// A look at a run has found nothing to do. `deadline` is when time alone changes that. Gives when
    /// to look again.
    pub fn rest(
        &self,
        run: &RunKey,
        kept: Kept,
        attention: Attention,
        deadline: Option<Duration>,
    ) -> Option<Duration> {
        let now = Instant::now();
        let mut entries = self.entries();
        let entry = entries.entry(run.clone()).or_default();
        let pause = match attention {
            Attention::None => None,
            Attention::Resting => Some(RESTING),
            Attention::Close => Some(SOON),
            Attention::Growing if kept.tells() => Some(LATEST),
            Attention::Growing => {
                let last = entry.pause;
                Some(last.map_or(SOON, |last| (last * 2).min(LATEST)))
            }
        };
        entry.pause = pause;
        let sooner = [pause, deadline].into_iter().flatten().min();
        let idle = entry.idle.insert(Idle {
            run: kept.version(),
            seen: kept.seen(),
            // A deadline beyond all time is none.
            look_at: sooner.and_then(|span| now.checked_add(span)),
            at_work: kept.tells().then(|| AtWork {
                kept: Box::new(kept),
                tell_at: now + SOON,
            }),
        });
        idle.next(now)
    }

    /// A run has told how far it is. Gives when to look again.
    pub fn told(&self, run: &RunKey, kept: Box<Kept>) -> Option<Duration> {
        let now = Instant::now();
        let mut entries = self.entries();
        // Forgotten meanwhile.
        let entry = entries.get_mut(run)?;
        let idle = entry.idle.as_mut()?;
        // Its status may have been written.
        idle.run = kept.version();
        idle.at_work = Some(AtWork {
            kept,
            tell_at: now + SOON,
        });
        idle.next(now)
    }

    /// Whether a run may write how far it is, which it may every [`SOON`]; notes that it does.
    pub fn may_tell(&self, run: &RunKey) -> bool {
        let now = Instant::now();
        let mut entries = self.entries();
        let entry = entries.entry(run.clone()).or_default();
        let may = entry.told_at.is_none_or(|at| at + SOON <= now);
        if may {
            entry.told_at = Some(now);
        }
        may
    }

    /// A run has ended, or is gone.
    pub fn forget(&self, run: &RunKey) {
        self.entries().remove(run);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<RunKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// How long until something is due.
    fn next(&self, now: Instant) -> Option<Duration> {
        let tell_at = self.at_work.as_ref().map(|work| work.tell_at);
        let next = [self.look_at, tell_at].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(now))
    }
}
