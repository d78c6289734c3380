//! The loads that are measured.

use bakeoff_runner::clock::{MILLISECOND, Nanos};

/// One load and the server's behaviour under it.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Requests in flight; absent in an open loop.
    pub concurrency: Option<u32>,
    /// Requests in all.
    pub requests: u64,
    /// Requests a second and for how many seconds.
    pub rate: Option<(f64, f64)>,
    /// Tokens of an answer.
    pub tokens: u32,
    pub first: Nanos,
    pub gap: Nanos,
    pub tokens_per_write: u32,
    pub tls: bool,
    pub chat: bool,
    /// Tokenizer check and log of requests as well.
    pub everything: bool,
    /// Whether the limit is measured too.
    pub against_limit: bool,
}

const SATURATED: Phase = Phase {
    name: "eff",
    about: "64 streams, as fast as the client reads, one token per write",
    concurrency: Some(64),
    requests: 1_500,
    rate: None,
    tokens: 256,
    first: 0,
    gap: 0,
    tokens_per_write: 1,
    tls: false,
    chat: false,
    everything: false,
    against_limit: true,
};

const IN_STEP: Phase = Phase {
    name: "acc512",
    about: "512 streams of 100 tokens/s in step",
    concurrency: Some(512),
    requests: 2_048,
    tokens: 128,
    first: 50 * MILLISECOND,
    gap: 10 * MILLISECOND,
    ..SATURATED
};

const FEW_IN_STEP: Phase = Phase {
    name: "acc128",
    about: "128 streams of 100 tokens/s in step",
    concurrency: Some(128),
    requests: 1_024,
    ..IN_STEP
};

/// All of them.
pub const PHASES: &[Phase] = &[
    SATURATED,
    Phase {
        name: "eff16",
        about: "the same, 16 tokens per write",
        requests: 20_000,
        tokens_per_write: 16,
        ..SATURATED
    },
    FEW_IN_STEP,
    IN_STEP,
    Phase {
        name: "chat512",
        about: "512 streams of chat frames, with tokenizer check and log of requests",
        chat: true,
        everything: true,
        against_limit: false,
        ..IN_STEP
    },
    Phase {
        name: "tls512",
        about: "512 streams of 100 tokens/s in step over TLS",
        tls: true,
        against_limit: false,
        ..IN_STEP
    },
    Phase {
        name: "open200",
        about: "Poisson arrivals, 200 a second, 16 tokens each",
        concurrency: None,
        rate: Some((200.0, 15.0)),
        tokens: 16,
        ..IN_STEP
    },
    Phase {
        name: "open5000",
        about: "Poisson arrivals, 5,000 a second, 4 tokens each",
        concurrency: None,
        rate: Some((5_000.0, 4.0)),
        tokens: 4,
        ..IN_STEP
    },
    Phase {
        name: "streams10k",
        about: "10,000 streams of 2 tokens/s in a closed loop",
        concurrency: Some(10_000),
        requests: 20_000,
        tokens: 8,
        first: 1_000 * MILLISECOND,
        gap: 500 * MILLISECOND,
        against_limit: false,
        ..IN_STEP
    },
    Phase {
        name: "open10k",
        about: "Poisson arrivals, 2,000 a second, of answers that last 5 s: 10,000 at once",
        concurrency: None,
        rate: Some((2_000.0, 8.0)),
        tokens: 10,
        first: 500 * MILLISECOND,
        gap: 500 * MILLISECOND,
        against_limit: false,
        ..IN_STEP
    },
];

impl Phase {
    /// Whether what the client says is compared with the truth: a server that writes as fast as it
    /// is read has no time of its own.
    pub fn is_for_accuracy(&self) -> bool {
        self.gap > 0 && self.requests < 10_000 && self.rate.is_none_or(|(rate, _)| rate < 1_000.0)
    }
}
