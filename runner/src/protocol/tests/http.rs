//! Protocols that are data: what their formats say is done.

use bakeoff_crds::run::HttpFormat;
use serde_json::{Value, json};

use super::*;

const BODY: &str = r#"{"q": {{ prompt }}, "n": {{ maxTokens }}, "stream": {{ stream }}}"#;

fn own(answer: Value, streaming: bool) -> Codec {
    let format = json!({"path": "/p", "body": BODY, "answer": answer});
    let format: HttpFormat = serde_json::from_value(format).unwrap();
    let endpoint = Endpoint {
        protocol: Protocol::Http,
        port: 0,
        path: "/p".into(),
        model: "m".into(),
        http: Some(format),
        request_port: None,
    };
    let options = RequestOptions {
        streaming,
        ..RequestOptions::default()
    };
    Codec::new(&endpoint, options)
}

/// The text, the counts and the error of a body in pieces.
fn told<'a>(
    codec: &Codec,
    echo: Option<&str>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (String, (Option<u32>, Option<u32>), Option<DecodeError>) {
    let mut decoder = codec.decoder(echo.map(Arc::from));
    let (mut text, mut usage) = (String::new(), (None, None));
    let mut on_event = |event: Event<'_>| match event {
        Event::Content { text: piece, .. } => text.push_str(piece),
        Event::Usage {
            input_tokens,
            output_tokens,
        } => {
            usage = (input_tokens.or(usage.0), output_tokens.or(usage.1));
        }
        Event::Finish { .. } | Event::End => {}
    };
    let outcome = pieces
        .into_iter()
        .try_for_each(|piece| decoder.feed(piece, &mut on_event))
        .and_then(|()| decoder.finish(&mut on_event));
    (text, usage, outcome.err())
}

#[test]
fn one_answer_in_every_framing() {
    let answer =
        json!({"text": ["/a/0/t", "/t"], "finishReason": ["/why"], "outputTokens": ["/n"]});
    let codec = own(answer, true);
    for body in [
        "data: {\"t\":\"x\"}\n\ndata: {\"a\":[{\"t\":\"y\"}],\"why\":\"stop\",\"n\":2}\n\n",
        "data: {\"t\":\"xy\"}\n\ndata: {\"why\":true,\"n\":2}\n\ndata: [DONE]\n\n",
        "{\"t\":\"x\"}\n{\"t\":\"y\",\"n\":2,\"why\":\"length\"}\n",
        "{\"t\":\"x\"}{\"t\":\"y\"}{\"n\":2,\"why\":\"eos\"}",
        "{\"t\":\"x\",\"why\":null}\0{\"t\":\"y\",\"n\":2,\"why\":\"eos\"}\0",
        "{\n \"t\": \"xy\",\n \"n\": 2, \"why\": \"stop\"\n}",
    ] {
        let whole = told(&codec, None, [body.as_bytes()]);
        assert_eq!(whole, ("xy".to_owned(), (None, Some(2)), None), "{body}");
        assert_eq!(
            told(&codec, None, body.as_bytes().chunks(1)),
            whole,
            "{body}"
        );
    }
}

#[test]
fn a_stream_that_tells_its_end_is_cut_without_it() {
    let codec = own(json!({"text": ["/t"], "finishReason": ["/why"]}), true);
    for body in [
        "{\"t\":\"x\"}\n",
        "{\"t\":\"x\"}\n{\"t\":",
        "data: {\"t\":\"x\"}\n\n",
    ] {
        let (_, _, error) = told(&codec, None, [body.as_bytes()]);
        assert_eq!(error, Some(DecodeError::Truncated), "{body}");
    }
    // One that does not stream may leave the reason out.
    let whole = own(json!({"text": ["/t"], "finishReason": ["/why"]}), false);
    assert_eq!(told(&whole, None, [b"{\"t\":\"x\"}".as_slice()]).2, None);
}

#[test]
fn growing_texts_come_piece_by_piece() {
    let codec = own(json!({"text": ["/t"], "textIs": "SoFar"}), true);
    let body = "{\"t\":\"a\"}\n{\"t\":\"a b\"}\n{\"t\":\"a b c\"}\n";
    assert_eq!(told(&codec, None, [body.as_bytes()]).0, "a b c");
}

#[test]
fn the_prompt_is_no_part_of_an_answer() {
    let piece = own(json!({"text": ["/t"], "echoesPrompt": true}), true);
    let so_far = own(
        json!({"text": ["/t"], "echoesPrompt": true, "textIs": "SoFar"}),
        true,
    );
    for (codec, body, text) in [
        (&piece, "{\"t\":\"why? so\"}", " so"),
        (&piece, "{\"t\":\"wh\"}{\"t\":\"y? s\"}{\"t\":\"o\"}", " so"),
        (&piece, "{\"t\":\"wh\"}{\"t\":\"at\"}", "what"),
        (
            &so_far,
            "{\"t\":\"wh\"}{\"t\":\"why? s\"}{\"t\":\"why? so\"}",
            " so",
        ),
    ] {
        assert_eq!(
            told(codec, Some("why?"), [body.as_bytes()]).0,
            text,
            "{body}"
        );
    }
    assert_eq!(piece.echo(&[&prompt()]).as_deref(), Some(&*prompt().text));
    assert_eq!(own(json!({"text": ["/t"]}), true).echo(&[&prompt()]), None);
}

#[test]
fn bare_text_is_the_answer_however_it_is_cut() {
    let codec = own(json!({"framing": "Text"}), true);
    let body = " {\"a\" é €\n";
    for size in 1..body.len() {
        let (text, _, error) = told(&codec, None, body.as_bytes().chunks(size));
        assert_eq!((text.as_str(), error), (body, None), "{size}");
    }
    let empty = told(&codec, None, [b"".as_slice()]).2;
    assert_eq!(empty, Some(DecodeError::Empty));
    let cut = told(&codec, None, ["é".as_bytes().split_at(1).0]).2;
    assert_eq!(cut, Some(DecodeError::Truncated));
    let garbled = told(&codec, None, [b"\xff".as_slice()]).2;
    assert!(
        matches!(garbled, Some(DecodeError::Protocol(_))),
        "{garbled:?}"
    );
}

#[test]
fn what_does_not_fit_the_places_is_named() {
    let codec = own(json!({"text": ["/t"], "outputTokens": ["/n"]}), true);
    for (body, words) in [
        ("{\"x\":1}", "no frame holds anything at /t"),
        ("{\"t\":[1]}", "which is no text"),
        ("{\"t\":\"x\",\"n\":-1}", "no number of tokens"),
        ("{\"t\":\"x\"} oops", "should begin"),
    ] {
        let (_, _, error) = told(&codec, None, [body.as_bytes()]);
        let error = error.unwrap().to_string();
        assert!(error.contains(words), "{body}: {error}");
    }
}

#[test]
fn a_server_that_cannot_stream_is_asked_for_whole_answers() {
    let codec = own(json!({"text": ["/t"], "streams": false}), true);
    assert!(!codec.options().streaming);
    let body = codec.encode(&[&prompt()], 0).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["stream"], false);
}

#[test]
fn a_template_that_fails_for_one_prompt_says_so() {
    let mut format = bakeoff_crds::plan::http::builtin(Protocol::Http).unwrap();
    format.body = r#"{"q": {{ messages[1].content }}}"#.into();
    let endpoint = Endpoint {
        protocol: Protocol::Http,
        port: 0,
        path: "/p".into(),
        model: "m".into(),
        http: Some(format),
        request_port: None,
    };
    let codec = Codec::new(&endpoint, RequestOptions::default());
    let error = codec.encode(&[&prompt()], 0).unwrap_err().to_string();
    assert!(
        error.contains("body") && error.contains("undefined"),
        "{error}"
    );
}
