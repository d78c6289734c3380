//! Fields of a run that the operator itself acts on: a change of each changes what happens.

#[path = "../../../crds/tests/fields/table.rs"]
mod table;

use bakeoff_operator::decide::has_ended;
use serde_json::Value;
use table::Field;

use crate::world::{Fault, TWO_BY_TWO, World};

/// What happens to a run whose last engine crashes at its start, until two hours after its end.
fn story(field: &Field, value: &Value) -> String {
    let mut document: Value = serde_saphyr::from_str(TWO_BY_TWO).unwrap();
    document["spec"]["policy"]["rounds"] = 1.into();
    table::merge(&mut document["spec"], &field.with);
    table::set(&mut document["spec"], &field.path, value);
    let yaml = serde_json::to_string(&document).unwrap();
    // The first engine's failure shows what follows it, the second's what is kept.
    let mut world = World::new(&yaml)
        .with_fault("alpha", 1, Fault::CrashAtStart)
        .with_fault("beta", 1, Fault::NeverReady);
    // A suspended run never ends; it has shown what it does long before.
    for _ in 0..3000 {
        world.settle();
        if has_ended(world.status()) {
            break;
        }
        world.pass(1);
        world.cluster_acts();
    }
    world.pass(7200);
    let last = world.step();
    format!("{:?} {:?} {:?}", world.log, last.delete, last.status.turns)
}

#[test]
fn fields_of_the_operator_change_what_happens() {
    let fields: Vec<_> = table::benchmark_run()
        .into_iter()
        .filter(|field| field.by == "operator")
        .collect();
    assert!(!fields.is_empty());
    for field in fields {
        assert_ne!(
            story(&field, &field.a),
            story(&field, &field.b),
            "{} makes no difference",
            field.path
        );
    }
}
