use super::*;
use crate::clock::{MILLISECOND, SECOND};

fn trace(format: TraceFormat) -> Trace {
    Trace {
        format,
        file: Default::default(),
        from: None,
        duration: None,
        max_requests: 1000,
    }
}

fn in_short(requests: &[TracedRequest]) -> Vec<(Nanos, u32, Option<u32>)> {
    requests
        .iter()
        .map(|request| match &request.content {
            Content::Length { tokens, .. } => (request.at, *tokens, request.output_tokens),
            Content::Messages(messages) => {
                (request.at, messages.len() as u32, request.output_tokens)
            }
        })
        .collect()
}

#[test]
fn both_forms_of_azures_traces_are_read() {
    for (file, second) in [
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n",
            4_314_579_000,
        ),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,374,44\n2024-05-10 00:00:01+00:00,396,109\n",
            990_070_000,
        ),
        (
            "\u{feff}contexttokens, timestamp, GeneratedTokens\n374,2023-11-16 00:00:00,44\n396,2023-11-16 00:00:01,109\n",
            SECOND,
        ),
    ] {
        let requests = read(file.as_bytes(), &trace(TraceFormat::Azure)).unwrap();
        assert_eq!(
            in_short(&requests),
            [(0, 374, Some(44)), (second, 396, Some(109))],
            "{file}"
        );
    }
}

#[test]
fn mooncakes_blocks_come_with_their_lengths() {
    let file =
        br#"{"timestamp": 27482, "input_length": 600, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535.5, "input_length": 6472, "output_length": 26}"#;
    let requests = read(file, &trace(TraceFormat::Mooncake)).unwrap();
    assert_eq!(
        in_short(&requests),
        [
            (0, 600, Some(52)),
            (3053 * MILLISECOND + MILLISECOND / 2, 6472, Some(26))
        ]
    );
    let blocks = vec![46, 47];
    assert_eq!(
        requests[0].content,
        Content::Length {
            tokens: 600,
            blocks
        }
    );
}

#[test]
fn the_simple_format_takes_prompts_and_lengths() {
    let file = br#"{"timestamp": 10, "prompt": "hi", "outputTokens": 7}
{"timestamp": 10.25, "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]}

{"timestamp": "1970-01-01T00:00:11Z", "inputTokens": 90, "outputTokens": 8}"#;
    let requests = read(file, &trace(TraceFormat::Jsonl)).unwrap();
    assert_eq!(
        in_short(&requests),
        [
            (0, 1, Some(7)),
            (250 * MILLISECOND, 2, None),
            (SECOND, 90, Some(8))
        ]
    );
}

#[test]
fn a_window_is_cut_out_in_the_order_of_time() {
    let file: String = [5, 1, 3, 3, 9, 7]
        .iter()
        .enumerate()
        .map(|(place, seconds)| {
            format!(
                "{{\"timestamp\": {seconds}, \"inputTokens\": {}}}\n",
                place + 1
            )
        })
        .collect();
    let mut wanted = trace(TraceFormat::Jsonl);
    let cut = |wanted: &Trace| in_short(&read(file.as_bytes(), wanted).unwrap());
    let places = |found: Vec<(Nanos, u32, Option<u32>)>| -> Vec<(u64, u32)> {
        found
            .into_iter()
            .map(|(at, place, _)| (at / SECOND, place))
            .collect()
    };
    assert_eq!(
        places(cut(&wanted)),
        [(0, 2), (2, 3), (2, 4), (4, 1), (6, 6), (8, 5)]
    );
    wanted.from = Some(bakeoff_crds::Duration::from_secs(1));
    wanted.duration = Some(bakeoff_crds::Duration::from_secs(5));
    assert_eq!(places(cut(&wanted)), [(1, 3), (1, 4), (3, 1)]);
    wanted.from = Some(bakeoff_crds::Duration::from_secs(60));
    assert_eq!(
        read(file.as_bytes(), &wanted),
        Err(DatasetError::EmptyWindow)
    );
}

#[test]
fn a_malformed_line_is_named_by_its_number() {
    use TraceFormat::{Azure, Jsonl, Mooncake};
    const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
    for (format, file, line, word) in [
        (
            Azure,
            "TIME,ContextTokens,GeneratedTokens\n".to_owned(),
            1,
            "no column TIMESTAMP",
        ),
        (
            Azure,
            format!("{HEADER}2023-11-16 18:15:46,1,2\nyesterday,1,2\n"),
            3,
            "yesterday",
        ),
        (
            Azure,
            format!("{HEADER}2023-11-16 18:15:46,-1,2\n"),
            2,
            "ContextTokens \"-1\"",
        ),
        (
            Azure,
            format!("{HEADER}2023-11-16 18:15:46,1\n"),
            2,
            "fields",
        ),
        (
            Mooncake,
            "{\"timestamp\": 1, \"input_length\": 2}".into(),
            1,
            "output_length",
        ),
        (
            Mooncake,
            "\n{\"timestamp\": -1e300, \"input_length\": 2, \"output_length\": 2}".into(),
            2,
            "is no time",
        ),
        (Jsonl, "{\"prompt\": \"a\"}".into(), 1, "timestamp"),
        (Jsonl, "{\"timestamp\": 1}".into(), 1, "exactly one"),
        (
            Jsonl,
            "{\"timestamp\": 1, \"prompt\": \"a\", \"inputTokens\": 3}".into(),
            1,
            "remove one",
        ),
        (
            Jsonl,
            "{\"timestamp\": \"soon\", \"prompt\": \"a\"}".into(),
            1,
            "soon",
        ),
    ] {
        match read(file.as_bytes(), &trace(format)) {
            Err(DatasetError::Line {
                line: found,
                message,
            }) => {
                assert_eq!(found, line, "{file}");
                assert!(message.contains(word), "{file}: {message}");
            }
            other => panic!("{file}: {other:?}"),
        }
    }
    for (format, file) in [(Azure, HEADER), (Mooncake, "\n"), (Jsonl, "")] {
        assert_eq!(
            read(file.as_bytes(), &trace(format)),
            Err(DatasetError::Empty)
        );
    }
}
