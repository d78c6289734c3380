//! What comes from outside for a workload, mutated at random: data sets, traces, tokenizers and chat
//! templates. Each is either read, or refused by an error that says where; nothing panics or hangs.

use std::io::Write as _;

use bakeoff_crds::run::{Trace, TraceFormat};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{
    dataset::{DatasetError, file, json_lines, message, share_gpt},
    template::ChatTemplate,
    tokens::{
        TokenCounter,
        tests::{bpe_tokenizer, words_tokenizer},
    },
    trace,
};
use crate::testing::fuzz::{self, Random};

/// Pieces that mean something to one of the readers.
const WORDS: &[&[u8]] = &[
    b"\n", b"\r\n", b"\r", b",", b"\"", b"\\", b"\\u0000", b"\\ud800", b"\xFF\xFE", b"\xEF\xBB\xBF", b"\x00", b" ",
    b"{", b"}", b"[", b"]", b"null", b"-1", b"0", b"1e999", b"1e15", b"-1e14", b"4294967295", b"4294967296",
    b"18446744073709551615", b"99999999999999999999999", b"NaN", b"2023-11-16 18:17:03.9799600",
    b"9999-12-31T23:59:59Z", b"-009999-01-01T00:00:00Z", b"2024-05-10 00:00:00+25:00",
    b"\"prompt\": \"a\",", b"\"messages\": [],", b"\"timestamp\": 0,", b"\"outputTokens\": 0,", b"\"expected\": [\"\"],",
    b"\"hash_ids\": [18446744073709551615, 0],", b"\"from\": \"human\",", b"\"role\": \"system\",", b"\"content\": null,",
    b"TIMESTAMP,ContextTokens,GeneratedTokens\n",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

const SHARE_GPT: &str = r#"[
 {"id": "1", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello there"}, {"from": "human", "value": "more"}]},
 {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}
]"#;
const JSON_LINES: &str = r#"{"prompt": "a", "outputTokens": 7, "expected": ["b", "c"], "match": "Contains"}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]}
"#;
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\r\n2024-05-10 00:00:00.009930+00:00,396,109\n";
const MOONCAKE: &str = r#"{"timestamp": 27482, "input_length": 600, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535.5, "input_length": 6472, "output_length": 26}
"#;
const OWN: &str = r#"{"timestamp": 10, "prompt": "hi", "outputTokens": 7}
{"timestamp": "1970-01-01T00:00:11Z", "inputTokens": 90, "outputTokens": 8}
"#;

/// Some text with up to four changes.
fn mutant(file: &str, random: &mut Random) -> Vec<u8> {
    let others = [SHARE_GPT, JSON_LINES, AZURE, MOONCAKE, OWN].map(str::as_bytes);
    let mut bytes = file.as_bytes().to_vec();
    for _ in 0..random.below(5) {
        random.mutate(&mut bytes, &others, WORDS);
    }
    bytes
}

/// An error says where: a line that the file has, or that there is nothing in it.
fn says_where<T>(result: &Result<T, DatasetError>, bytes: &[u8]) -> bool {
    let lines = bytes.split(|&byte| byte == b'\n').count();
    match result {
        Ok(_) => return true,
        Err(DatasetError::Empty | DatasetError::EmptyWindow | DatasetError::Kind(_)) => {}
        Err(DatasetError::ShareGpt(message)) => {
            assert!(message.contains("line "), "{message}");
        }
        Err(DatasetError::Line { line, message }) => {
            assert!(
                (1..=lines).contains(line),
                "line {line} of {lines}: {message}"
            );
        }
    }
    let shown = result
        .as_ref()
        .err()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        shown.len() < 2000,
        "{} bytes: {}",
        shown.len(),
        &shown[..200]
    );
    false
}

#[test]
fn data_sets_are_read_or_refused_by_their_line() {
    let (mut read, mut refused) = (0, 0);
    fuzz::cases(2000, |random| {
        let told = match random.below(2) {
            0 => {
                let bytes = mutant(SHARE_GPT, random);
                let (one, all) = (share_gpt::entries(&bytes), share_gpt::conversations(&bytes));
                says_where(&one, &bytes) & says_where(&all, &bytes)
            }
            _ => {
                let bytes = mutant(JSON_LINES, random);
                let (one, all) = (
                    json_lines::entries(&bytes),
                    json_lines::conversations(&bytes),
                );
                says_where(&one, &bytes) & says_where(&all, &bytes)
            }
        };
        *if told { &mut read } else { &mut refused } += 1;
    });
    eprintln!("{read} read, {refused} refused");
}

#[test]
fn packed_files_are_unpacked_or_refused() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(JSON_LINES.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    fuzz::cases(2000, |random| {
        let mut bytes = packed.clone();
        for _ in 0..random.below(4) {
            random.mutate(&mut bytes, &[&packed, SHARE_GPT.as_bytes()], WORDS);
        }
        if let Err(error) = file::text(&bytes) {
            assert!(matches!(error, DatasetError::Kind(_)), "{error}");
        }
    });
}

#[test]
fn traces_are_read_or_refused_by_their_line() {
    let (mut read, mut refused) = (0, 0);
    fuzz::cases(2000, |random| {
        let (format, file) = *random.pick(&[
            (TraceFormat::Azure, AZURE),
            (TraceFormat::Mooncake, MOONCAKE),
            (TraceFormat::Jsonl, OWN),
        ]);
        let bytes = mutant(file, random);
        let span = |random: &mut Random| {
            let seconds = *random.pick(&[0, 1, 3600, u64::from(u32::MAX)]);
            (random.below(2) > 0).then(|| bakeoff_crds::Duration::from_secs(seconds))
        };
        let wanted = Trace {
            format,
            file: Default::default(),
            from: span(random),
            duration: span(random),
            max_requests: 10,
        };
        let result = trace::read(&bytes, &wanted);
        if let Ok(requests) = &result {
            assert!(!requests.is_empty() && requests.is_sorted_by_key(|request| request.at));
        }
        *if says_where(&result, &bytes) {
            &mut read
        } else {
            &mut refused
        } += 1;
    });
    eprintln!("{read} read, {refused} refused");
}

/// A tokenizer as SentencePiece's models have.
fn unigram() -> Value {
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 512, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"},
        "added_tokens": [
            {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
            {"id": 9, "content": "way", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true, "special": false}
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Strip", "strip_left": true, "strip_right": true},
            {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"}, {"type": "Nmt"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u{2581}"},
            {"type": "Prepend", "prepend": "\u{2581}"}
        ]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"}, "behavior": "Isolated", "invert": false},
            {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true},
            {"type": "Digits", "individual_digits": true},
            {"type": "UnicodeScripts"},
            {"type": "Punctuation", "behavior": "Isolated"}
        ]},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": true, "add_prefix_space": true},
        "decoder": null,
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<unk>", 0.0], ["<s>", 0.0], ["</s>", 0.0], ["\u{2581}", -2.0], ["a", -3.5], ["time", -4.0], ["\u{2581}time", -3.0]]}
    })
}

/// A tokenizer as BERT's.
fn word_piece() -> Value {
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
            {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]}
        ]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "time": 3, "##s": 4, "t": 5}}
    })
}

#[test]
fn tokenizers_are_used_or_refused() {
    let files: Vec<Value> = [words_tokenizer(), bpe_tokenizer()]
        .iter()
        .map(|file| serde_json::from_slice(file).unwrap())
        .chain([unigram(), word_piece()])
        .collect();
    for file in &files {
        let bytes = serde_json::to_vec(file).unwrap();
        TokenCounter::new(Some(&bytes)).map(drop).unwrap();
    }
    let (mut used, mut refused) = (0, 0);
    fuzz::cases(200, |random| {
        let mut file = random.pick(&files).clone();
        for _ in 0..1 + random.below(4) {
            random.mutate_json(&mut file);
        }
        let bytes = serde_json::to_vec(&file).unwrap();
        match TokenCounter::new(Some(&bytes)) {
            Err(error) => {
                refused += 1;
                assert!(error.len() < 1000, "{error}");
            }
            Ok(counter) => {
                used += 1;
                for text in [
                    "",
                    "time and way",
                    "\u{0}\u{1f600}e\u{301}\u{202e} \t\n<s>[UNK]",
                ] {
                    let _ = (counter.prompt(text), counter.answer(text));
                }
            }
        }
    });
    eprintln!("{used} used, {refused} refused");
}

/// A template as models have, with what else templates do.
const TEMPLATE: &str = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{%- set ns = namespace(index=0, text='') -%}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% set ns.index = ns.index + 1 %}{% set ns.text = ns.text ~ message.content | trim %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'].split('</think>')[-1].lstrip('\n') + eos_token }}{% else %}{{ message | tojson(indent=2) }}{% endif %}{%- if loop.last and add_generation_prompt %}{{ strftime_now('%d %b %Y') }}{% endif %}{% endfor %}{% macro m(a, b=1) %}{{ a * b }}{% endmacro %}{{ m(2) }}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(', ') }}{% for key, value in {'a': 1}.items() %}{{ key ~ value }}{% endfor %}";

/// Pieces of Jinja.
const JINJA: &[&[u8]] = &[
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"{#",
    b"#}",
    b"{% for a in range(1000) %}",
    b"{% endfor %}",
    b"{% endif %}",
    b"{% else %}",
    b"{% set x = messages %}",
    b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    b"{% break %}",
    b"{{ messages }}",
    b"{{ loop(messages) }}",
    b" | tojson",
    b" | length",
    b" | reverse",
    b" | batch(3)",
    b" | slice(0)",
    b"[::-1]",
    b"[99999999999:]",
    b"[-1]",
    b".items()",
    b".strip()",
    b" ~ ",
    b" // 0",
    b" % 0",
    b" ** 99",
    b" * 9999",
    b" in messages",
    b" is defined",
    b" is none",
    b"(((((",
    b")))))",
    b"'",
    b"\"",
    b"\\",
    b"-9223372036854775808",
    b"170141183460469231731687303715884105727",
    b"1e308",
    b"{% raw %}",
    b"{% include 'x' %}",
    b"{% extends 'x' %}",
    b"{% block b %}{% endblock %}",
    b"{{ self.b() }}",
    b"\xF0\x9F\x98\x80",
    b"{{ namespace(a=1) }}",
    b"{{ cycler() }}",
    b"{{ debug() }}",
];

#[test]
fn chat_templates_render_or_refuse() {
    let talks = [
        vec![message("user", "hi".into())],
        vec![
            message("system", "be".into()),
            message("user", "\u{0}\u{202e}{{ x }}".into()),
            message("assistant", "a</think>b".into()),
            message("user", String::new()),
        ],
        vec![message("assistant", "first".into())],
    ];
    let (mut rendered, mut refused) = (0, 0);
    fuzz::cases(1000, |random| {
        let mut source = TEMPLATE.as_bytes().to_vec();
        for _ in 0..random.below(4) {
            random.mutate(&mut source, &[TEMPLATE.as_bytes()], JINJA);
        }
        let source = String::from_utf8_lossy(&source);
        let config =
            json!({"chat_template": source, "bos_token": "<s>", "eos_token": {"content": "</s>"}});
        let config = serde_json::to_vec(&config).unwrap();
        let mut outcomes = Vec::new();
        match ChatTemplate::choose(None, Some(&config)) {
            Ok(template) => {
                let template = template.unwrap();
                outcomes.extend(talks.iter().map(|talk| template.render(talk).map(drop)));
            }
            Err(error) => outcomes.push(Err(error)),
        }
        for outcome in outcomes {
            match outcome {
                Ok(()) => rendered += 1,
                Err(error) => {
                    refused += 1;
                    assert!(!error.is_empty() && error.chars().count() < 600, "{error}");
                }
            }
        }
    });
    eprintln!("{rendered} rendered, {refused} refused");
}

#[test]
fn what_lies_beside_a_tokenizer_is_read_or_refused() {
    let whole = json!({"chat_template": [{"name": "default", "template": "a"}, {"name": "rag", "template": "b"}], "bos_token": "<s>", "eos_token": {"content": "</s>"}, "added_tokens_decoder": {"0": {"content": "x"}}});
    fuzz::cases(500, |random| {
        let mut file = whole.clone();
        for _ in 0..1 + random.below(3) {
            random.mutate_json(&mut file);
        }
        let mut bytes = serde_json::to_vec(&file).unwrap();
        if random.below(2) == 0 {
            random.mutate(&mut bytes, &[OWN.as_bytes()], WORDS);
        }
        if let Err(error) = ChatTemplate::choose(None, Some(&bytes)) {
            assert!(error.chars().count() < 600, "{error}");
        }
    });
}
