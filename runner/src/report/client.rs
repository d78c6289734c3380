//! The client's own figures as people read them, on the page and in the terminal.

use bakeoff_crds::report::{ShardReport, StageReport};

use super::format;

/// One figure: its title, and its value where the stage has one.
pub struct Column {
    /// Title on the page.
    pub title: &'static str,
    /// The value with its unit.
    pub value: fn(&StageReport) -> Option<String>,
}

/// Every figure, in reading order.
pub const COLUMNS: [Column; 12] = [
    Column {
        title: "Own overhead",
        value: |stage| {
            let client = &stage.client;
            let mean = format::seconds(client.overhead_micros? / 1e6);
            Some(match client.overhead_p99_micros {
                Some(p99) => format!("{mean}, p99 {}", format::seconds(p99 / 1e6)),
                None => mean,
            })
        },
    },
    Column {
        title: "Of what it can do",
        value: |stage| stage.client.capacity_used.map(format::percent),
    },
    Column {
        title: "Busiest loop",
        value: |stage| Some(format::percent(stage.client.busiest_loop_share)),
    },
    Column {
        title: "CPU",
        value: |stage| Some(format::seconds(stage.client.cpu_seconds)),
    },
    Column {
        title: "CPU per chunk",
        value: |stage| Some(format::seconds(stage.client.cpu_micros_per_chunk / 1e6)),
    },
    Column {
        title: "Memory, peak",
        value: |stage| {
            let mebibytes = stage.client.peak_rss_bytes as f64 / f64::from(1 << 20);
            Some(format!("{} MiB", format::number(mebibytes)))
        },
    },
    Column {
        title: "Schedule delay, p99",
        value: |stage| {
            let delay = stage.schedule_delay.as_ref()?;
            Some(format::seconds(delay.p99.unwrap_or(delay.max)))
        },
    },
    Column {
        title: "Late to its work, p99",
        value: |stage| {
            let delay = stage.client.loop_delay.as_ref()?;
            Some(format::seconds(delay.p99.unwrap_or(delay.max)))
        },
    },
    Column {
        title: "Longest stall",
        value: |stage| Some(format::seconds(stage.client.longest_stall_seconds)),
    },
    Column {
        title: "Waited for a CPU",
        value: |stage| stage.client.run_queue_wait_seconds.map(format::seconds),
    },
    Column {
        title: "Throttled",
        value: |stage| stage.client.throttled_seconds.map(format::seconds),
    },
    Column {
        title: "CPU stolen",
        value: |stage| stage.client.steal_share.map(format::percent),
    },
];

/// The figures in one line, those that the stage has.
pub fn line(stage: &StageReport) -> String {
    let figures: Vec<String> = COLUMNS
        .iter()
        .filter_map(|column| {
            let value = (column.value)(stage)?;
            Some(format!(
                "{} {value}",
                column.title.to_lowercase().replace("cpu", "CPU")
            ))
        })
        .collect();
    format!("client: {}\n", figures.join("; "))
}

/// How well several processes kept together, in one line; empty where there was one.
pub fn shards(stage: &StageReport) -> String {
    let shards = &stage.shards;
    if shards.is_empty() {
        return String::new();
    }
    let lost = shards.iter().filter(|shard| shard.lost).count();
    let lost = match lost {
        0 => String::new(),
        lost => format!(", {lost} of them lost"),
    };
    let worst = |of: fn(&ShardReport) -> f64| {
        let values = shards.iter().map(of);
        format::seconds(values.fold(0.0, f64::max))
    };
    format!(
        "{} shards as one client{lost}: clocks known to {}; latest start {} late\n",
        shards.len(),
        worst(|shard| shard.clock_offset_bound_seconds),
        worst(|shard| shard.late_start_seconds)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kept_shards_together_is_one_line() {
        let shard = |clock_offset_bound_seconds, lost| ShardReport {
            clock_offset_bound_seconds,
            lost,
            late_start_seconds: 0.001,
            ..ShardReport::default()
        };
        let mut stage = StageReport::default();
        assert_eq!(shards(&stage), "");
        stage.shards = vec![shard(0.0, false), shard(0.00021, false)];
        let together =
            "2 shards as one client: clocks known to 210 µs; latest start 1.00 ms late\n";
        assert_eq!(shards(&stage), together);
        stage.shards.push(shard(0.0, true));
        assert!(shards(&stage).starts_with("3 shards as one client, 1 of them lost: "));
    }
}
