//! A call by gRPC: from the events of its HTTP/2 connection to an outcome.

use super::{Exchange, Step, decode_failure, ended, failure, kind_of, note};
use crate::{
    clock::Nanos,
    protocol::{
        Event,
        grpc::status::{self, Status},
    },
    record::{FailureKind, Outcome},
    stats::Gaps,
    wire::{http2::client, request},
};

/// How far a call is.
#[derive(Debug, Default)]
pub(super) struct Call {
    is_sent: bool,
    /// HTTP's status, once it has come.
    http_status: Option<u16>,
}

impl Call {
    /// Whether anything of an answer has come.
    pub(super) fn has_begun(&self) -> bool {
        self.http_status.is_some()
    }
}

impl Exchange {
    /// Header block and body, the first time.
    pub(in crate::drive) fn begin_call(&mut self) -> Option<(&[u8], &[u8])> {
        if std::mem::replace(&mut self.call.is_sent, true) {
            return None;
        }
        Some(request::call(&self.request))
    }

    /// Takes what came of the call, read at `stamp`.
    pub(in crate::drive) fn take(
        &mut self,
        event: client::Event<'_>,
        stamp: Nanos,
        gaps: &mut Gaps,
    ) -> Step {
        match event {
            client::Event::Fields { fields, end } => {
                let found = Status::of(fields);
                if self.call.http_status.is_none() {
                    self.call.http_status = Some(found.http.unwrap_or_default());
                }
                if end || found.code.is_some_and(|code| code != 0) {
                    return self.end_call(&found, end, stamp, gaps);
                }
                match self.call.http_status {
                    Some(200) => Step::Continue,
                    // A proxy's page, which tells nothing more.
                    _ => self.end_call(&found, false, stamp, gaps),
                }
            }
            client::Event::Data { bytes, end } => {
                self.record.bytes += bytes.len() as u64;
                let (record, texts) = (&mut self.record, &mut self.texts);
                let latest = &mut self.latest;
                let mut on_event =
                    |event: Event<'_>| note(record, texts, latest, gaps, stamp, event);
                match self.decoder.feed(bytes, &mut on_event) {
                    Err(cause) => ended(decode_failure(&cause), false),
                    Ok(()) if end => self.end_call(&Status::default(), end, stamp, gaps),
                    Ok(()) => Step::Continue,
                }
            }
            client::Event::Reset(code) => {
                let kind = if self.call.has_begun() {
                    FailureKind::Truncated
                } else {
                    FailureKind::Connect
                };
                let message = format!("the server reset the call with HTTP/2's code {code}");
                ended(failure(kind, &message), false)
            }
            client::Event::Refused => {
                let message = "the server closed the connection before the call";
                ended(failure(FailureKind::Connect, message), false)
            }
        }
    }

    /// The call is over, or as good as.
    fn end_call(&mut self, found: &Status, end: bool, stamp: Nanos, gaps: &mut Gaps) -> Step {
        let http = self.call.http_status.unwrap_or_default();
        let outcome = match found.code {
            Some(0) => self.finish_answer(stamp, gaps),
            Some(code) => {
                let message = format!("gRPC {}: {}", status::name(code), found.message);
                let kind = kind_of(status::http_status(code)).unwrap_or(FailureKind::Protocol);
                // An error within an answer, as over HTTP.
                let within = self.record.chunks > 0;
                failure(
                    if within {
                        FailureKind::StreamError
                    } else {
                        kind
                    },
                    &message,
                )
            }
            None => match kind_of(http) {
                Some(kind) => failure(kind, &format!("HTTP {http} in place of gRPC")),
                None if self.record.chunks > 0 => {
                    failure(FailureKind::Truncated, "the call ended without a status")
                }
                None => failure(FailureKind::Protocol, "the call ended without a status"),
            },
        };
        let whole = outcome == Outcome::Succeeded;
        ended(outcome, end || whole)
    }
}

#[cfg(test)]
mod fuzz;
