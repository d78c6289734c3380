//! Stored plans, read once: their ConfigMaps are immutable.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bakeoff_crds::plan::Plan;

/// Most plans that are kept; beyond, the oldest is read again when it is needed. A plan of three
/// engines takes some 26 KB.
const MOST: usize = 256;

/// Plans by the UIDs of their runs. Clones share them.
#[derive(Clone, Default)]
pub struct Plans(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    plans: HashMap<String, Arc<Plan>>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl Plans {
    /// The plan of the run of this UID, where it was read before.
    pub fn get(&self, uid: &str) -> Option<Arc<Plan>> {
        self.known().plans.get(uid).cloned()
    }

    /// Keeps a plan that was read.
    pub fn keep(&self, uid: &str, plan: Plan) -> Arc<Plan> {
        let plan = Arc::new(plan);
        let mut known = self.known();
        if known.plans.insert(uid.to_owned(), plan.clone()).is_none() {
            known.order.push_back(uid.to_owned());
        }
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.plans.remove(&oldest);
        }
        plan
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
