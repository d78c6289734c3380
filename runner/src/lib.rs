//! Bakeoff's runner: load, measurement, reports, upload and simulated engines.
//!
//! In reading order: [`cli`] takes the words of the command line; [`agent`] is what the Jobs of a
//! cluster start; [`models`] fetches models into volumes; [`measure`] takes one engine through its stages; [`workload`] makes prompts and
//! arrival times; [`drive`] sends them, [`calibrate`] tells what it adds itself; [`wire`] and
//! [`protocol`] speak HTTP and the engines' formats; [`record`] and [`stats`] turn time stamps into
//! figures, [`answer`] reads texts; [`scrape`] reads the engines' own
//! metrics; [`report`] makes the pages and [`export`] the files that other tools read; [`store`] keeps them; [`simulate`] stands in for engines.
//!
//! Invariants: no Kubernetes client; `protocol` does no I/O; `stats` knows no protocol; only
//! [`clock`] reads time.

pub mod agent;
pub mod answer;
pub mod calibrate;
pub mod cli;
pub mod clock;
pub mod drive;
pub mod export;
pub mod measure;
pub mod models;
mod outside;
pub mod prompt;
pub mod protocol;
pub mod record;
pub mod report;
pub mod scrape;
pub mod shard;
pub mod simulate;
pub mod stats;
pub mod store;
#[cfg(test)]
mod testing;
pub mod wire;
pub mod workload;
