//! What the tests of several modules need.

pub mod fuzz;

use bakeoff_crds::{
    BenchmarkRun,
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
};

/// The plan of a run without a cluster, from the YAML under its `spec`.
pub fn planned(spec: &str) -> Plan {
    let yaml = format!(
        "apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: tested, namespace: team, uid: 0123456789}}
spec:{spec}
"
    );
    let run: BenchmarkRun = serde_saphyr::from_str(&yaml).unwrap();
    let settings = PlanSettings {
        runner_image: "unused".into(),
        place: Place::Local,
    };
    resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
}
