//! The body of a streamed answer: one write to the socket for each frame, and the truth about it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bakeoff_crds::run::Fault;
use bytes::Bytes;
use hyper::{
    HeaderMap,
    body::{Body, Frame},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc::UnboundedReceiver};

use super::{
    call,
    frames::{self, Answer, Interface},
    log::{self, Outcome, Record, TruthLog},
};

/// The stream is cut on purpose.
#[derive(Debug, thiserror::Error)]
#[error("the simulated fault cuts the stream")]
pub struct Cut;

/// The record of a request under way; it goes into the log when the request ends, or when it is
/// dropped because the client left.
#[derive(Debug)]
pub struct Trace {
    log: TruthLog,
    record: Option<Record>,
}

impl Trace {
    /// The trace of a request.
    pub fn new(log: TruthLog, record: Record) -> Self {
        Self {
            log,
            record: Some(record),
        }
    }

    /// Id of the request.
    pub fn id(&self) -> String {
        self.record
            .as_ref()
            .map(|record| record.id.clone())
            .unwrap_or_default()
    }

    /// The request has named a model.
    pub fn model(&mut self, model: Option<String>) {
        if let Some(record) = &mut self.record {
            record.model = model;
        }
    }

    /// The prompt has been read.
    pub fn input_tokens(&mut self, tokens: u32) {
        if let Some(record) = &mut self.record {
            record.input_tokens = tokens;
        }
    }

    /// A frame with so many tokens is about to be written.
    pub fn frame(&mut self, tokens: u32) {
        if let Some(record) = &mut self.record {
            let now = log::now();
            record.first_token_at.get_or_insert(now);
            record.last_token_at = Some(now);
            record.frames.push(now);
            record.output_tokens += tokens;
        }
    }

    /// The request has ended.
    pub fn end(&mut self, outcome: Outcome) {
        if let Some(mut record) = self.record.take() {
            record.outcome = outcome;
            self.log.push(record);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}

/// One answer of a request, and its tokens as they come from the batch.
#[derive(Debug)]
pub struct Part {
    /// The answer.
    pub answer: Answer,
    /// Its tokens by their index.
    pub tokens: UnboundedReceiver<u32>,
}

/// The frames of a request's answers, as their tokens come.
#[derive(Debug)]
pub struct StreamBody {
    parts: Vec<Part>,
    /// Answers that are not whole yet.
    unfinished: usize,
    ready: VecDeque<frames::Frame>,
    /// What becomes of the request once `ready` is empty.
    ending: Option<Outcome>,
    /// The last frame has been handed over and must reach the socket before the next.
    unflushed: bool,
    trace: Trace,
    /// What a call by gRPC ends with.
    trailers: Option<HeaderMap>,
    fault: Fault,
    _place: Option<OwnedSemaphorePermit>,
}

impl StreamBody {
    /// The body of answers whose tokens come from the batch; `place` is given back at its end.
    pub fn new(
        parts: Vec<Part>,
        trace: Trace,
        fault: Fault,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let is_call = |part: &Part| part.answer.interface == Interface::Grpc;
        Self {
            trailers: parts.iter().any(is_call).then(|| call::trailers(0)),
            unfinished: parts.len(),
            parts,
            ready: VecDeque::new(),
            ending: None,
            unflushed: false,
            trace,
            fault,
            _place: place,
        }
    }

    /// The body of a call whose answer is whole: messages, and its status.
    pub fn whole_call(messages: Vec<frames::Frame>, trace: Trace) -> Self {
        let mut body = Self::new(Vec::new(), trace, Fault::None, None);
        body.ready = messages.into();
        body.ending = Some(Outcome::Completed);
        body.trailers = Some(call::trailers(0));
        body
    }

    /// Takes the token of an index, or the fault in its place.
    fn take(&mut self, part: usize, index: u32) {
        let several = self.parts.len() > 1;
        let Some(Part { answer, .. }) = self.parts.get(part) else {
            return;
        };
        let last = index + 1 == answer.output_tokens;
        match self.fault {
            Fault::ErrorEvent if index >= strikes_at(answer) => {
                let frames = answer.error_frames();
                self.ending = Some(if frames.is_empty() && self.trailers.is_none() {
                    Outcome::Cut
                } else {
                    Outcome::ErrorEvent
                });
                if frames.is_empty() && self.trailers.is_some() {
                    self.trailers = Some(call::trailers(13));
                }
                self.ready.extend(frames);
            }
            Fault::CutStream if index >= strikes_at(answer) => self.ending = Some(Outcome::Cut),
            Fault::Stall if index > 0 => {}
            Fault::Stall => self.ready.extend(answer.frames(index, false)),
            _ => {
                self.unfinished -= usize::from(last);
                let of_all = self.unfinished == 0;
                self.ready.extend(if several {
                    answer.choice_frames(index, last, of_all)
                } else {
                    answer.frames(index, last)
                });
                self.ending = of_all.then_some(Outcome::Completed);
            }
        }
    }

    /// The next token of any answer: which answer's, and its index. None where all are gone.
    fn poll_token(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, u32)>> {
        let mut gone = 0;
        for (number, part) in self.parts.iter_mut().enumerate() {
            match part.tokens.poll_recv(context) {
                Poll::Ready(Some(index)) => return Poll::Ready(Some((number, index))),
                Poll::Ready(None) => gone += 1,
                Poll::Pending => {}
            }
        }
        if gone == self.parts.len() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

impl StreamBody {
    /// Whether every frame of a stream that is not cut has been handed over.
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && matches!(self.ending, Some(ending) if ending != Outcome::Cut)
    }
}

/// Token by which a fault amid the stream strikes: half-way, though never before the first token
/// where there is a second.
fn strikes_at(answer: &Answer) -> u32 {
    let tokens = answer.output_tokens;
    (tokens / 2).max(1).min(tokens.saturating_sub(1))
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        while self.ready.is_empty() && self.ending.is_none() {
            match self.poll_token(context) {
                Poll::Pending => {
                    self.unflushed = false;
                    return Poll::Pending;
                }
                Poll::Ready(Some((part, index))) => self.take(part, index),
                // The batch is gone, or, under a stall, has made all tokens.
                Poll::Ready(None) => return Poll::Pending,
            }
        }
        if std::mem::take(&mut self.unflushed) {
            // hyper flushes when the body has nothing for it.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(frame) = self.ready.pop_front() else {
            let ending = self.ending.unwrap_or(Outcome::Cancelled);
            self.trace.end(ending);
            if ending != Outcome::Cut
                && let Some(trailers) = self.trailers.take()
            {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            return Poll::Ready((ending == Outcome::Cut).then_some(Err(Cut)));
        };
        self.unflushed = true;
        if frame.token {
            self.trace.frame(1);
        }
        if self.is_empty()
            && let Some(ending) = self.ending
        {
            self.trace.end(ending);
        }
        Poll::Ready(Some(Ok(Frame::data(frame.bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::simulate::{
        config::Engine,
        frames::{Interface, TritonOutputs},
    };

    fn body(fault: Fault) -> (StreamBody, UnboundedSender<u32>, TruthLog) {
        let answer = Answer {
            engine: Engine::Vllm,
            interface: Interface::Chat,
            id: "id".to_owned(),
            created: 0,
            model: "\"m\"".to_owned(),
            prompt: String::new(),
            hash: 7,
            input_tokens: 2,
            output_tokens: 4,
            at_limit: true,
            include_usage: true,
            continuous_usage: false,
            outputs: TritonOutputs::default(),
            choice: 0,
            of_request: (2, 4),
        };
        let log = TruthLog::default();
        let record = Record {
            id: "id".to_owned(),
            path: "/".to_owned(),
            model: None,
            received_at: 0,
            input_tokens: 2,
            output_tokens: 0,
            first_token_at: None,
            last_token_at: None,
            frames: Vec::new(),
            outcome: Outcome::Cancelled,
        };
        let (sender, tokens) = unbounded_channel();
        let trace = Trace::new(log.clone(), record);
        (
            StreamBody::new(vec![Part { answer, tokens }], trace, fault, None),
            sender,
            log,
        )
    }

    /// Polls as hyper does between two flushes: until the body has nothing. The frames, and whether
    /// the stream ended.
    fn poll(body: &mut StreamBody) -> (usize, bool) {
        let mut context = Context::from_waker(Waker::noop());
        let mut frames = 0;
        loop {
            if body.is_end_stream() {
                return (frames, true);
            }
            match Pin::new(&mut *body).poll_frame(&mut context) {
                Poll::Pending => return (frames, false),
                Poll::Ready(Some(Ok(_))) => frames += 1,
                Poll::Ready(None | Some(Err(Cut))) => return (frames, true),
            }
        }
    }

    #[test]
    fn each_frame_is_flushed_before_the_next() {
        let (mut body, tokens, log) = body(Fault::None);
        assert_eq!(poll(&mut body), (0, false));
        tokens.send(0).unwrap();
        // Role and first token.
        assert_eq!(poll(&mut body), (1, false));
        assert_eq!(poll(&mut body), (1, false));
        assert_eq!(poll(&mut body), (0, false));
        for index in 1..4 {
            tokens.send(index).unwrap();
        }
        // Three tokens, usage and the end.
        let polls: Vec<_> = (0..5).map(|_| poll(&mut body)).collect();
        assert_eq!(polls[..4], [(1, false); 4]);
        assert_eq!(polls[4], (1, true));
        let record = log.records().pop().unwrap();
        assert_eq!(record.outcome, Outcome::Completed);
        assert_eq!((record.output_tokens, record.frames.len()), (4, 4));
    }

    #[test]
    fn a_stall_writes_the_first_token_and_nothing_more() {
        let (mut body, tokens, log) = body(Fault::Stall);
        for index in 0..4 {
            tokens.send(index).unwrap();
        }
        drop(tokens);
        let frames: usize = (0..20).map(|_| poll(&mut body).0).sum();
        assert_eq!(frames, 2, "the role and one token");
        drop(body);
        assert_eq!(log.records()[0].outcome, Outcome::Cancelled);
        assert_eq!(log.records()[0].output_tokens, 1);
    }

    #[test]
    fn a_client_that_leaves_is_logged() {
        let (mut body, tokens, log) = body(Fault::None);
        tokens.send(0).unwrap();
        poll(&mut body);
        drop(body);
        assert_eq!(log.records()[0].outcome, Outcome::Cancelled);
        assert!(tokens.is_closed(), "the batch learns of it");
    }
}
