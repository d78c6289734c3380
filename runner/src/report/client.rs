//! The client's own figures as people read them, on the page and in the terminal.

use bakeoff_crds::report::StageReport;

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
