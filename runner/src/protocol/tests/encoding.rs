//! Golden request bodies.

use super::*;

/// Bodies of all protocols, one a line, that a sampling gives.
fn bodies(sampling: &Sampling, streaming: bool) -> String {
    PROTOCOLS
        .iter()
        .map(|protocol| {
            let body = codec(*protocol, sampling.clone(), streaming).encode(&prompt());
            format!("{protocol:?} {}\n", String::from_utf8_lossy(&body))
        })
        .collect()
}

#[test]
fn greedy_is_said_in_each_engines_own_words() {
    insta::assert_snapshot!(bodies(&Sampling::default(), true));
}

#[test]
fn every_sampling_field_reaches_the_engines_that_know_it() {
    let sampling = Sampling {
        temperature: 0.7,
        top_p: Some(0.9),
        top_k: Some(20),
        seed: Some(42),
        stop: vec!["END".to_owned(), "\n\n".to_owned()],
        ignore_eos: true,
    };
    insta::assert_snapshot!(bodies(&sampling, true));
}

#[test]
fn without_streaming_no_stream_is_asked_for() {
    let bodies = bodies(&Sampling::default(), false);
    assert!(!bodies.contains("\"stream\": true"), "{bodies}");
    assert!(!bodies.contains("\"streaming\": true"), "{bodies}");
    assert!(!bodies.contains("stream_options"), "{bodies}");
    assert_eq!(
        codec(Protocol::Tgi, Sampling::default(), false).accept(),
        "application/json"
    );
}

#[test]
fn tgi_is_never_sent_a_top_p_that_it_refuses() {
    for top_p in [0.0, 1.0] {
        let sampling = Sampling {
            temperature: 1.0,
            top_p: Some(top_p),
            ..Sampling::default()
        };
        let body = codec(Protocol::Tgi, sampling, true).encode(&prompt());
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(!body.contains("top_p"), "{body}");
    }
}
