//! What one request holds.

use super::*;

#[test]
fn each_arrival_sends_the_request_of_its_name() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(3), StageEnd::Requests(9));
    let good = Arc::clone(&stage.script.turns(0)[0].requests[0]);
    let turn = Turn {
        requests: Box::from([
            good,
            Arc::from(*b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"),
        ]),
        ..Turn::default()
    };
    stage.script = Arc::new(Script::new([vec![turn]], vec![0, 0, 1]));
    let driven = drive(&stage, &Control::default()).unwrap();
    for record in &driven.records {
        assert_eq!(record.name, u16::from(record.index % 3 == 2));
        let failed = failure_of(record);
        assert_eq!(failed.is_some(), record.name == 1, "{record:?}");
    }
}

#[test]
fn the_answers_of_a_request_interleave_and_are_counted_together() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for streaming in [true, false] {
        let mut stage = stage(&server.url, closed(2), StageEnd::Requests(6));
        let endpoint = endpoint();
        let mut options = RequestOptions {
            streaming,
            prompts_per_request: 3,
            ..RequestOptions::default()
        };
        options.sampling.ignore_eos = true;
        let codec = Codec::new(&endpoint, options);
        let head = RequestHead {
            path: endpoint.path.clone(),
            accept: codec.accept().into(),
            ..RequestHead::default()
        };
        let prompt = |text: &str| Prompt {
            text: text.into(),
            max_tokens: 5,
            ..Prompt::default()
        };
        let prompts = [prompt("one"), prompt("two three"), prompt("four")];
        let body = codec
            .encode(&prompts.iter().collect::<Vec<_>>(), 0)
            .unwrap();
        stage.script = Arc::new(Script::of_requests([head.post(&stage.target, &body)]));
        stage.codec = Arc::new(codec);
        stage.keep_text = true;
        let mut driven = drive(&stage, &Control::default()).unwrap();
        for record in &driven.records {
            assert_eq!(record.outcome, Outcome::Succeeded);
            assert_eq!(
                (record.input_tokens, record.output_tokens),
                (Some(4), Some(15))
            );
            let chunks = if streaming { 15 } else { 3 };
            assert_eq!(record.chunks, chunks);
        }
        // Four gaps in each of three answers: those between two answers are none.
        let gaps = if streaming { 6 * 3 * 4 } else { 0 };
        assert_eq!(driven.gaps.chunk.count(), gaps);
        let mut texts = Vec::new();
        for spool in driven.texts.drain(..) {
            spool
                .for_each(|_, text| texts.push(text.split_whitespace().count()))
                .unwrap();
        }
        assert_eq!(texts, vec![5; 18]);
    }
}
