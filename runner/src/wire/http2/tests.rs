//! The codec against bytes written by hand, by RFC 7541's examples, and in any split.

use proptest::prelude::*;

use super::{
    client::{Client, Event},
    frame::{self, *},
    hpack::{self, Decoder, Field},
    *,
};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    let pair = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn shown(fields: &[Field]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = |(name, value): &Field| format!("{}: {}", text(name), text(value));
    fields.iter().map(line).collect()
}

#[test]
fn the_examples_of_rfc_7541_are_read() {
    // C.4.1: a request with Huffman codes.
    let block = bytes("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff");
    let found = shown(&Decoder::default().decode(&block).unwrap());
    let expected = [
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
    ];
    assert_eq!(found, expected);
    // C.6.1 and C.6.2: the second takes three fields from the dynamic table.
    let mut decoder = Decoder::default();
    let block = bytes(
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    );
    let first = shown(&decoder.decode(&block).unwrap());
    let expected = [
        ":status: 302",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ];
    assert_eq!(first, expected);
    let second = shown(&decoder.decode(&bytes("4883 640e ffc1 c0bf")).unwrap());
    assert_eq!(second[0], ":status: 307");
    assert_eq!(second[1..], expected[1..]);
}

#[test]
fn what_we_write_we_read_also_where_it_is_long() {
    let long = "x".repeat(70_000 / 4);
    let mut block = Vec::new();
    for (name, value) in [(":path", "/a"), ("authorization", &long), ("x", "")] {
        hpack::write(&mut block, name, value);
    }
    let found = shown(&Decoder::default().decode(&block).unwrap());
    assert_eq!(
        found,
        [
            ":path: /a".to_owned(),
            format!("authorization: {long}"),
            "x: ".to_owned()
        ]
    );
}

#[test]
fn a_smaller_table_forgets() {
    let mut decoder = Decoder::default();
    let kept = bytes("4001 6101 62");
    decoder.decode(&kept).unwrap();
    assert_eq!(shown(&decoder.decode(&[0xbe]).unwrap()), ["a: b"]);
    // The table is emptied, and then has no such place.
    assert!(decoder.decode(&[0x20, 0xbe]).is_err());
}

#[test]
fn broken_header_fields_are_refused() {
    for block in [
        "80",
        "be",
        "ff ff ff ff ff",
        "00 05 61",
        "00",
        "3f e2 1f",
        "00 81 00 00",
        "7f",
    ] {
        let found = Decoder::default().decode(&bytes(block));
        assert!(found.is_err(), "{block}: {found:?}");
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, kind, flags, stream, payload);
    out
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        hpack::write(&mut out, name, value);
    }
    out
}

/// A client under a call, whose greetings and request were written.
fn client(body: &[u8]) -> Client {
    let mut client = Client::default();
    client.call(&block(&[(":method", "POST")]), body);
    client
}

fn told<'a>(
    client: &mut Client,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Option<Http2Error>) {
    let mut events = Vec::new();
    let mut on_event = |event: Event<'_>| {
        events.push(match event {
            Event::Fields { fields, end } => format!("{:?} {end}", shown(fields)),
            other => format!("{other:?}"),
        });
    };
    let fed = pieces
        .into_iter()
        .try_for_each(|piece| client.feed(piece, &mut on_event));
    (events, fed.err())
}

/// Frames that were written, as types, flags, streams and lengths; the preface left out.
fn written(client: &mut Client) -> Vec<(u8, u8, u32, usize)> {
    let mut out = client.unwritten().to_vec();
    client.wrote(out.len());
    if out.starts_with(b"PRI") {
        out.drain(..24);
    }
    let mut found = Vec::new();
    let mut reader = FrameReader::default();
    reader
        .feed(&out, &mut |frame| {
            found.push((frame.kind, frame.flags, frame.stream, frame.payload.len()));
            Ok(())
        })
        .unwrap();
    found
}

/// A whole answer: greetings, fields, data in two frames, trailers.
fn answer(stream: u32) -> Vec<u8> {
    [
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(HEADERS, END_HEADERS, stream, &block(&[(":status", "200")])),
        frame(DATA, 0, stream, b"one"),
        frame(DATA, PADDED, stream, b"\x02two\0\0"),
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block(&[("grpc-status", "0")]),
        ),
    ]
    .concat()
}

#[test]
fn a_connection_carries_one_call_after_the_other() {
    let mut client = client(b"body");
    let sent = written(&mut client);
    assert_eq!(sent[0].0, SETTINGS);
    assert_eq!(sent[1], (WINDOW_UPDATE, 0, 0, 4));
    assert_eq!(sent[2].0, HEADERS);
    assert_eq!(sent[3], (DATA, END_STREAM, 1, 4));
    for stream in [1, 3] {
        let (events, error) = told(&mut client, [answer(stream).as_slice()]);
        assert_eq!(error, None);
        let whole = [
            r#"[":status: 200"] false"#,
            "Data { bytes: [111, 110, 101], end: false }",
            "Data { bytes: [116, 119, 111], end: false }",
            r#"["grpc-status: 0"] true"#,
        ];
        assert_eq!(events, whole);
        assert!(client.is_reusable());
        assert_eq!(written(&mut client), [(SETTINGS, ACK, 0, 0)]);
        client.call(&block(&[(":method", "POST")]), b"");
        let sent = written(&mut client);
        assert_eq!(sent[1], (DATA, END_STREAM, stream + 2, 0));
    }
}

#[test]
fn a_body_waits_for_both_windows() {
    let mut client = client(&vec![7; 100_000]);
    let data = |frames: Vec<(u8, u8, u32, usize)>| {
        let data = frames.into_iter().filter(|frame| frame.0 == DATA);
        data.map(|frame| (frame.3, frame.1)).collect::<Vec<_>>()
    };
    let sent = data(written(&mut client));
    assert_eq!(sent.iter().map(|(length, _)| length).sum::<usize>(), 65_535);
    let more = 40_000_u32.to_be_bytes();
    told(&mut client, [frame(WINDOW_UPDATE, 0, 1, &more).as_slice()]);
    assert_eq!(data(written(&mut client)), []);
    told(&mut client, [frame(WINDOW_UPDATE, 0, 0, &more).as_slice()]);
    let sent = data(written(&mut client));
    assert_eq!(sent.iter().map(|(length, _)| length).sum::<usize>(), 34_465);
    assert_eq!(sent.last().unwrap().1, END_STREAM);
}

#[test]
fn settings_change_windows_and_frames_of_the_call_under_way() {
    let mut client = client(&vec![7; 80_000]);
    written(&mut client);
    // The stream's window is 70,000 now, the connection's still used up.
    let settings = [bytes("0004"), 70_000_u32.to_be_bytes().to_vec()].concat();
    told(&mut client, [frame(SETTINGS, 0, 0, &settings).as_slice()]);
    assert_eq!(written(&mut client), [(SETTINGS, ACK, 0, 0)]);
    let more = 100_000_u32.to_be_bytes();
    told(&mut client, [frame(WINDOW_UPDATE, 0, 0, &more).as_slice()]);
    assert_eq!(written(&mut client), [(DATA, 0, 1, 70_000 - 65_535)]);
}

#[test]
fn pings_come_back_and_what_is_unknown_is_passed_over() {
    let mut client = client(b"");
    written(&mut client);
    let frames = [
        frame(PING, 0, 0, b"12345678"),
        frame(PING, ACK, 0, b"12345678"),
        frame(2, 0, 1, b"12345"),
        frame(0xee, 0xff, 9, b"whatever"),
    ];
    assert_eq!(
        told(&mut client, [frames.concat().as_slice()]),
        (Vec::new(), None)
    );
    assert_eq!(written(&mut client), [(PING, ACK, 0, 8)]);
}

#[test]
fn the_ends_of_calls_are_told() {
    let mut reset = client(b"");
    let (events, _) = told(
        &mut reset,
        [frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()).as_slice()],
    );
    assert_eq!(events, ["Reset(8)"]);
    let mut refused = client(b"");
    let (events, _) = told(&mut refused, [frame(GOAWAY, 0, 0, &[0; 8]).as_slice()]);
    assert_eq!(
        (events, refused.is_reusable()),
        (vec!["Refused".to_owned()], false)
    );
    // It was the last one that is taken: its answer comes, and none after it.
    let mut last = client(b"");
    let leaving = [frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]), answer(1)].concat();
    let (events, error) = told(&mut last, [leaving.as_slice()]);
    assert_eq!((events.len(), error, last.is_reusable()), (4, None, false));
    // An answer before the body was sent takes back what is left of it.
    let mut early = client(&vec![0; 100_000]);
    written(&mut early);
    told(&mut early, [answer(1).as_slice()]);
    assert!(written(&mut early).contains(&(RST_STREAM, 0, 1, 4)));
}

#[test]
fn a_header_block_may_go_on() {
    let fields = block(&[(":status", "200"), ("a", "b")]);
    let (first, second) = fields.split_at(5);
    let frames = [
        frame(
            HEADERS,
            END_STREAM | PRIORITY,
            1,
            &[&[0; 5], first].concat(),
        ),
        frame(CONTINUATION, END_HEADERS, 1, second),
    ];
    let (events, error) = told(&mut client(b""), [frames.concat().as_slice()]);
    assert_eq!(
        (events, error),
        (vec![r#"[":status: 200", "a: b"] true"#.to_owned()], None)
    );
}

#[test]
fn servers_that_break_http2_are_told_so() {
    let headers = frame(HEADERS, 0, 1, &[]);
    let zero = 0_u32.to_be_bytes();
    let cases: [(&str, Vec<u8>); 15] = [
        (
            "HTTP/1.1 answers",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        ),
        (
            "a frame too large",
            frame(DATA, 0, 1, &vec![0; MAX_FRAME + 1]),
        ),
        ("padding alone", frame(DATA, PADDED, 1, &[9, 0])),
        ("no padding length", frame(DATA, PADDED, 1, &[])),
        ("data of the connection", frame(DATA, 0, 0, b"x")),
        ("data of a call to come", frame(DATA, 0, 7, b"x")),
        (
            "fields of the server's own",
            frame(HEADERS, END_HEADERS, 8, &[]),
        ),
        (
            "an interrupted block",
            [headers.clone(), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "a block of another call",
            [headers, frame(CONTINUATION, 0, 3, &[])].concat(),
        ),
        ("a continuation of nothing", frame(CONTINUATION, 0, 1, &[])),
        ("a push", frame(PUSH_PROMISE, 0, 1, &[0; 4])),
        ("a short ping", frame(PING, 0, 0, &[0; 7])),
        ("half a setting", frame(SETTINGS, 0, 0, &[0; 5])),
        (
            "a window that grows by nothing",
            frame(WINDOW_UPDATE, 0, 0, &zero),
        ),
        (
            "a window too large",
            frame(WINDOW_UPDATE, 0, 0, &u32::MAX.to_be_bytes()),
        ),
    ];
    for (what, answer) in cases {
        let (_, error) = told(&mut client(b""), [answer.as_slice()]);
        assert!(error.is_some(), "{what}");
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9)) {
        let answer = answer(1);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(answer.len() + 1)).collect();
        cuts.extend([0, answer.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &answer[cut[0]..cut[1]]);
        let whole = told(&mut client(b"body"), [answer.as_slice()]);
        prop_assert_eq!(told(&mut client(b"body"), pieces), whole.clone());
        prop_assert_eq!(told(&mut client(b"body"), answer.chunks(1)), whole);
    }

    #[test]
    fn no_bytes_make_the_codec_panic(block in any::<Vec<u8>>(), kind in 0_u8..11, flags: u8, stream in 0_u32..5) {
        let _ = Decoder::default().decode(&block);
        let mut client = client(&block);
        told(&mut client, [frame(kind, flags, stream, &block).as_slice(), &block]);
    }

    #[test]
    fn huffman_codes_of_any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
        let _ = huffman::decode(&bytes);
    }
}
