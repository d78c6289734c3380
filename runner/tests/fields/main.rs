//! Fields of a run that the runner acts on: a change of each changes what it sends, stores or says.
//!
//! Each row of the table is a whole run as `bakeoff run` makes it, against servers of the test: the
//! engine, a bucket, a Prometheus and a model hub. What they saw and what the report says, less
//! all that depends on time, is the run's story. Two values of a field must tell two stories, and
//! one value the same story twice, so that no difference is one of chance.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod server;
mod story;
#[path = "../../../crds/tests/fields/table.rs"]
mod table;

use futures::StreamExt;
use table::Field;

/// Runs at the same time: most of their time is the engine's.
const AT_ONCE: usize = 4;

/// What is wrong with a row, if anything.
async fn fault(field: Field) -> Option<String> {
    let before = story::of(&field, &field.a).await;
    let again = story::of(&field, &field.a).await;
    if before != again {
        let path = field.path;
        return Some(format!(
            "{path} tells two stories of one value:\n{before}\n{again}"
        ));
    }
    (before == story::of(&field, &field.b).await)
        .then(|| format!("{} makes no difference:\n{before}", field.path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_the_runner_change_what_it_does() {
    let fields: Vec<_> = table::benchmark_run()
        .into_iter()
        .filter(|field| field.by == "runner")
        .collect();
    assert!(!fields.is_empty());
    let faults: Vec<String> = futures::stream::iter(fields)
        .map(fault)
        .buffer_unordered(AT_ONCE)
        .filter_map(|fault| async { fault })
        .collect()
        .await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
