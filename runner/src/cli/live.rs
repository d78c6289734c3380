//! Live progress on a terminal; elsewhere the log says enough.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use bakeoff_crds::plan::{Plan, StageEnd};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::measure::Progress;

/// Between two looks: rarely enough to cost the client nothing.
const EVERY: Duration = Duration::from_millis(250);

/// A line that follows a round until it is finished.
pub(super) struct Live {
    bar: ProgressBar,
    task: Option<JoinHandle<()>>,
}

impl Live {
    /// Begins to follow, where standard error is a terminal.
    pub(super) fn start(progress: Arc<Progress>, plan: &Plan) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
                task: None,
            };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        // The template is a constant that parses.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        let most = if plan.search.is_some() { "≤" } else { "" };
        let single = plan.spec.workload.prompts.conversations.is_none();
        let requests: Vec<(String, Option<u64>)> = plan
            .stages
            .iter()
            .map(|stage| {
                let requests = match stage.end {
                    // Of conversations, whose turns are counted, it says less.
                    StageEnd::Requests(requests) => Some(requests).filter(|_| single),
                    StageEnd::Seconds(_) | StageEnd::Trace => None,
                };
                (stage.name.clone(), requests)
            })
            .collect();
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            loop {
                shown.set_message(line(&progress, &requests, most));
                shown.tick();
                tokio::time::sleep(EVERY).await;
            }
        });
        Self {
            bar,
            task: Some(task),
        }
    }

    /// Says something above the line, or in the log.
    pub(super) fn say(&self, text: &str) {
        if self.task.is_some() {
            self.bar.println(text);
        } else {
            tracing::info!("{text}");
        }
    }

    /// Ends the line.
    pub(super) fn finish(self) {
        if let Some(task) = self.task {
            task.abort();
        }
        self.bar.finish_and_clear();
    }
}

fn line(progress: &Progress, requests: &[(String, Option<u64>)], most: &str) -> String {
    let now = progress.snapshot();
    let of = requests
        .iter()
        .find(|(stage, _)| *stage == now.stage)
        .and_then(|(_, requests)| *requests)
        .map(|requests| format!("/{requests}"))
        .unwrap_or_default();
    let chunks = progress.control().chunks();
    let stages = if now.stages_planned > 0 {
        let stage = (now.stages_done + 1).min(now.stages_planned);
        format!("stage {stage}/{most}{} ", now.stages_planned)
    } else {
        String::new()
    };
    format!(
        "{stages}{}: {}{of} requests, {chunks} chunks",
        now.stage, now.requests_done
    )
}
