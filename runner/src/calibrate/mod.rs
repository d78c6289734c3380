//! What the client itself adds to its figures, and how much it can take: measured before a run, with
//! the client's own load path, against a server on the loopback device that stamps each of its
//! writes by the same clock ([`peer`]).
//!
//! Two short stages. In the first, single frames are spread evenly over the streams; a frame's
//! overhead is the time from just before the server wrote it to the client's stamp, so it holds the
//! server's write and the kernel's loopback too: an upper bound. In the second, frames are written as
//! fast as they are read; what the event loops spend on one says how many they can take. That is
//! by their CPU time, not by the clock, since on a machine of one CPU the server takes a part of it.

mod peer;

use std::{io, sync::Arc};

use bakeoff_crds::{
    plan::{
        Endpoint, Load, Stage, StageEnd,
        http::{HttpFormatError, builtin},
    },
    run::Protocol,
};

use crate::{
    clock::{self, Nanos, SECOND},
    drive::{self, Control, DriveError, Driven, Script, Share, StageInput, vitals},
    prompt::Prompt,
    protocol::{Codec, RequestOptions},
    stats,
    wire::{request::RequestHead, target::Target},
};
use peer::{Answer, Pace, Peer, Truth};

/// Streams where the load names no concurrency.
const STREAMS: u32 = 64;
/// Most streams: more add no further cost each.
const MOST_STREAMS: u32 = 256;
/// Requests of the first stage beside each stream's first: enough for a 99th percentile.
const REQUESTS: usize = 1024;
/// Frames a second of the first stage, for each stream, and the least and most in all. At the least,
/// the stage takes a second; the most keeps it from filling a CPU.
const FRAMES_PER_STREAM: u64 = 100;
const FRAMES: (u64, u64) = (1_250, 10_000);
/// Length of the second stage, in seconds, and frames of its answers.
const FLAT_OUT_SECONDS: f64 = 0.4;
const FLAT_OUT_FRAMES: u32 = 16;
/// Longest time for either stage.
const DEADLINE: Nanos = 10 * SECOND;

/// What a calibration found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calibration {
    /// Streams at the same time.
    pub streams: u32,
    /// What the client adds to a time to first token, in seconds: the mean.
    pub overhead_mean: f64,
    /// The same at the 99th percentile; absent where too few answers came.
    pub overhead_p99: Option<f64>,
    /// Frames with content a second that the client can take with this CPU.
    pub sustainable_chunks_per_second: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// CPU time that it took, the server's included, in seconds.
    pub cpu_seconds: f64,
}

/// Why there is no calibration.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The load path could not be driven.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// No socket or thread for the server.
    #[error("no server on the loopback device: {0}")]
    Server(#[from] io::Error),
    /// The requests cannot be written.
    #[error(transparent)]
    Request(#[from] HttpFormatError),
    /// Nothing was answered.
    #[error("no answer came back within {} s", DEADLINE / SECOND)]
    NoAnswers,
}

/// Streams for a plan's stages that so many processes drive together: one's part of the most that a
/// stage holds.
pub fn streams(stages: &[Stage], processes: u32) -> u32 {
    let asked = stages
        .iter()
        .map(|stage| stage.load.concurrency.unwrap_or(STREAMS))
        .map(|streams| streams.div_ceil(processes.max(1)));
    // Both ends of each connection are this process's.
    let possible = vitals::open_files_limit().saturating_sub(vitals::OPEN_FILES_SPARE) / 4;
    asked
        .max()
        .unwrap_or(STREAMS)
        .clamp(1, MOST_STREAMS)
        .min(u32::try_from(possible.max(1)).unwrap_or(MOST_STREAMS))
}

/// Measures the client with so many streams and event loops, in the frames of a protocol. Blocks for
/// about a second and a half.
///
/// # Errors
/// See [`CalibrationError`].
pub fn calibrate(
    protocol: Protocol,
    streams: u32,
    threads: usize,
) -> Result<Calibration, CalibrationError> {
    let begun = clock::now();
    let protocol = streaming(protocol);
    let frames = (u64::from(streams) * FRAMES_PER_STREAM).clamp(FRAMES.0, FRAMES.1);
    let paced = Part {
        protocol,
        streams,
        threads,
        frames: u32::try_from((frames / FRAMES.0).max(1)).unwrap_or(1),
        requests: REQUESTS + streams as usize,
        end: StageEnd::Requests((REQUESTS + streams as usize) as u64),
        pace: Pace::Every(SECOND / frames),
    };
    let (driven, truth) = paced.drive()?;
    let overhead = overhead(&driven, &truth, streams).ok_or(CalibrationError::NoAnswers)?;
    let mut cpu = driven.vitals.loops.cpu + truth.cpu;
    let flat_out = Part {
        frames: FLAT_OUT_FRAMES,
        end: StageEnd::Seconds(FLAT_OUT_SECONDS),
        pace: Pace::AsFastAsRead,
        ..paced
    };
    let (driven, truth) = flat_out.drive()?;
    cpu += driven.vitals.loops.cpu + truth.cpu;
    Ok(Calibration {
        streams,
        overhead_mean: overhead.mean,
        overhead_p99: overhead.p99,
        sustainable_chunks_per_second: sustainable(&driven, threads),
        seconds: clock::seconds(clock::now() - begun),
        cpu_seconds: clock::seconds(cpu),
    })
}

/// The protocol in whose frames a client is measured: OpenAI's for one that does not stream, and in
/// place of gRPC's, whose server the peer is not.
fn streaming(protocol: Protocol) -> Protocol {
    match builtin(protocol) {
        Some(format) if !format.answer.streams => Protocol::OpenAiCompletions,
        _ if protocol.is_grpc() => Protocol::OpenAiCompletions,
        _ => protocol,
    }
}

/// From just before a first frame was written to the client's stamp. Each stream's first request is
/// left out: caches and buffers are cold.
fn overhead(
    driven: &Driven,
    truth: &Truth,
    streams: u32,
) -> Option<bakeoff_crds::report::Distribution> {
    let added = driven
        .records
        .iter()
        .filter(|record| record.succeeded() && record.index >= u64::from(streams))
        .filter_map(|record| {
            let request = usize::try_from(record.index).ok()?;
            let written = (*truth.first_written.get(request)?)?;
            Some(clock::seconds(record.first_content?.checked_sub(written)?))
        });
    stats::distribution(added.collect())
}

/// Frames a second by the event loops' CPU time, on as many CPUs as they can use.
fn sustainable(driven: &Driven, threads: usize) -> f64 {
    let loops = &driven.vitals.loops;
    let possible = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let limit = driven
        .vitals
        .surroundings
        .cpu_limit
        .unwrap_or(f64::INFINITY);
    let cpus = (threads.min(possible) as f64).min(limit);
    loops.chunks as f64 / clock::seconds(loops.cpu).max(1e-9) * cpus
}

/// One of the two stages.
#[derive(Clone, Copy)]
struct Part {
    protocol: Protocol,
    streams: u32,
    threads: usize,
    /// Frames with content of an answer.
    frames: u32,
    /// Requests that can be told apart.
    requests: usize,
    end: StageEnd,
    pace: Pace,
}

impl Part {
    fn drive(&self) -> Result<(Driven, Truth), CalibrationError> {
        let endpoint = Endpoint {
            protocol: self.protocol,
            port: 0,
            path: "/".into(),
            model: "calibration".into(),
            http: None,
            request_port: None,
        };
        let options = RequestOptions {
            streaming: true,
            ..RequestOptions::default()
        };
        let codec = Codec::new(&endpoint, options);
        let listener = peer::listen()?;
        let target = Target {
            address: listener.local_addr()?,
            authority: "localhost".into(),
            tls_name: None,
            base_path: String::new(),
        };
        let prompt = Prompt {
            text: "How long does this take?".into(),
            max_tokens: self.frames,
            ..Prompt::default()
        };
        let body = codec.encode(&[&prompt], 0)?;
        let requests: Vec<Arc<[u8]>> = (0..self.requests)
            .map(|number| {
                let head = RequestHead {
                    path: endpoint.path.clone(),
                    accept: codec.accept().into(),
                    grpc: false,
                    content_type: None,
                    bearer: None,
                    headers: vec![peer::number_field(number)],
                };
                head.post(&target, &body)
            })
            .collect();
        let length = requests.first().map_or(0, |request| request.len());
        let answer = Answer::new(self.protocol, self.frames);
        let peer = Peer::start(listener, answer, length, self.requests, self.pace)?;
        let input = StageInput {
            target,
            tls: None,
            codec: Arc::new(codec),
            script: Arc::new(Script::of_requests(requests)),
            first_request: 0,
            load: Load {
                concurrency: Some(self.streams),
                ..Load::default()
            },
            end: self.end,
            seed: 0,
            trace: Arc::from([]),
            request_timeout: DEADLINE,
            deadline: Some(DEADLINE),
            threads: self.threads,
            share: Share::WHOLE,
            gate: None,
            keep_text: false,
        };
        let driven = drive::drive(&input, &Control::default());
        // Also where the load path failed: its thread must end.
        let truth = peer.stop()?;
        Ok((driven?, truth))
    }
}

#[cfg(test)]
mod tests;
