//! The runner pods behind each stage as the page shows them, where several acted as one client.

use bakeoff_crds::report::{ShardReport, StageReport};
use serde::Serialize;

use crate::report::format;

/// One runner pod in one stage.
#[derive(Debug, Serialize)]
pub struct ShardRow {
    label: String,
    shard: u32,
    lost: bool,
    cells: Vec<String>,
}

/// A row for each pod of each stage.
pub fn rows(stages: &[(String, &StageReport)]) -> Vec<ShardRow> {
    let of = |(label, stage): &(String, &StageReport)| {
        let shards = stage.shards.iter();
        shards.map(|shard| row(label, shard)).collect::<Vec<_>>()
    };
    stages.iter().flat_map(of).collect()
}

fn row(label: &str, shard: &ShardReport) -> ShardRow {
    let delay = shard.schedule_delay_p99.map(format::seconds);
    let mebibytes = shard.peak_rss_bytes as f64 / f64::from(1 << 20);
    ShardRow {
        label: label.to_owned(),
        shard: shard.index,
        lost: shard.lost,
        cells: vec![
            format::count(shard.requests.sent),
            format::count(shard.requests.failed),
            format::seconds(shard.clock_offset_bound_seconds),
            format::seconds(shard.late_start_seconds),
            delay.unwrap_or_else(|| "–".to_owned()),
            format::seconds(shard.longest_stall_seconds),
            format::seconds(shard.cpu_seconds),
            format!("{} MiB", format::number(mebibytes)),
        ],
    }
}
