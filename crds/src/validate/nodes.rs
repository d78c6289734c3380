//! Rules on engines that span several nodes.

use super::Problem;
use crate::run::{AccessMode, BenchmarkRunSpec};

pub(super) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let nodes = spec.hardware.nodes();
    let Some(prefetch) = spec.model.prefetch.as_ref().filter(|_| nodes > 1) else {
        return;
    };
    // A claim that is there already may be of any mode.
    if prefetch.claim_name.is_none() && prefetch.access_mode == AccessMode::ReadWriteOnce {
        problems.push(Problem::new(
            "spec.model.prefetch.accessMode",
            format!(
                "a ReadWriteOnce volume is mounted on one node, and each engine spans {nodes}; use ReadWriteMany with a storage class that has it, or remove prefetch"
            ),
        ));
    }
}
