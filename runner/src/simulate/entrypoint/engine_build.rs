//! The programs that the build step of profile `triton-tensorrt-llm-engine` calls: `nvidia-smi`,
//! `trtllm-build`, and Python for the version and for the profile's own `convert.py`. The step itself
//! is a script, which a real shell runs.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use super::{
    Misuse, Program,
    flags::{Arguments, Fault, Flag, Style, switch, value},
};

/// The file of the profile that converts the checkpoint.
const CONVERT: &str = "/etc/bakeoff-engine/convert.py";

/// Flags by the page of TensorRT-LLM's documentation.
const FLAGS: &[Flag] = &[
    value(&["--checkpoint_dir"]),
    value(&["--model_config"]),
    value(&["--build_config"]),
    value(&["--output_dir"]),
    value(&["--max_batch_size"]),
    value(&["--max_input_len"]),
    value(&["--max_seq_len", "--max_decoder_seq_len"]),
    value(&["--max_beam_width"]),
    value(&["--max_num_tokens"]),
    value(&["--opt_num_tokens"]),
    value(&["--kv_cache_type"]),
    value(&["--input_timing_cache"]),
    value(&["--output_timing_cache"]),
    value(&["--profiling_verbosity"]),
    value(&["--workers"]),
    value(&["--log_level"]),
    value(&["--logits_dtype"]),
    value(&["--gpt_attention_plugin"]),
    value(&["--gemm_plugin"]),
    value(&["--remove_input_padding"]),
    value(&["--use_paged_context_fmha"]),
    value(&["--use_fp8_context_fmha"]),
    value(&["--multiple_profiles"]),
    switch(&["--strip_plan"]),
    switch(&["--weight_sparsity"]),
    switch(&["--weight_streaming"]),
    switch(&["--fast_build"]),
];

/// Plays a program that ends; `None` for one that serves.
pub fn run(program: Program, words: &[String]) -> Option<Result<(), Misuse>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (program, &words[..]) {
        (Program::NvidiaSmi, _) => Some(say("Simulated GPU, 0.0")),
        (Program::Python, ["-c", _]) => Some(say("0.18.2")),
        (Program::Python, [CONVERT, "resolve"]) => Some(say(&"0".repeat(40))),
        (Program::Python, [CONVERT, "convert", checkpoint, tokenizer]) => {
            let made = [checkpoint, tokenizer].map(fs::create_dir);
            Some(made.into_iter().collect::<io::Result<()>>().map_err(failed))
        }
        (Program::TrtllmBuild, words) => {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Some(build(&words))
        }
        _ => None,
    }
}

fn say(answer: &str) -> Result<(), Misuse> {
    writeln!(io::stdout(), "{answer}").map_err(failed)
}

fn failed(error: io::Error) -> Misuse {
    Misuse(format!("OSError: {error}"))
}

/// An engine for each GPU, and the settings that it was built with.
fn build(words: &[String]) -> Result<(), Misuse> {
    let refuse = |message: String| {
        Misuse(format!(
            "usage: trtllm-build [-h] …\ntrtllm-build: error: {message}"
        ))
    };
    let arguments = Arguments::read(FLAGS, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) => format!("unrecognized arguments: {word}"),
            Fault::NoValue(word) => format!("argument {word}: expected one argument"),
            Fault::Surplus(word) => format!("argument {word}: ignored explicit argument"),
        })
    })?;
    if let Some(word) = arguments.positional.first() {
        return Err(refuse(format!("unrecognized arguments: {word}")));
    }
    let checkpoint = arguments.get("--checkpoint_dir").unwrap_or_default();
    if !Path::new(checkpoint).is_dir() {
        return Err(refuse(format!("{checkpoint} is no checkpoint")));
    }
    let settings = json!({ "build_config": {
        "max_batch_size": arguments.number::<u32>("--max_batch_size")?.unwrap_or(2048),
        "max_seq_len": arguments.number::<u32>("--max_seq_len")?,
    }});
    let output = Path::new(arguments.get("--output_dir").unwrap_or("engine_outputs"));
    fs::create_dir_all(output)
        .and_then(|()| fs::write(output.join("config.json"), settings.to_string()))
        .and_then(|()| fs::write(output.join("rank0.engine"), ""))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_built_of_a_checkpoint_by_flags_that_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let words =
            |line: String| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let line = format!(
            "--checkpoint_dir={} --output_dir={} --max_batch_size=4 --max_seq_len=2048",
            at("checkpoint"),
            at("engine")
        );
        let none = run(Program::TrtllmBuild, &words(line.clone())).unwrap();
        assert!(none.unwrap_err().0.contains("is no checkpoint"));
        let convert = format!("{CONVERT} convert {} {}", at("checkpoint"), at("tokenizer"));
        run(Program::Python, &words(convert)).unwrap().unwrap();
        run(Program::TrtllmBuild, &words(line.clone()))
            .unwrap()
            .unwrap();
        let config = fs::read_to_string(at("engine/config.json")).unwrap();
        assert!(config.contains("\"max_seq_len\":2048"), "{config}");
        let unknown = run(
            Program::TrtllmBuild,
            &words(format!("{line} --max-batch=4")),
        )
        .unwrap();
        assert!(unknown.unwrap_err().0.contains("--max-batch=4"));
        assert!(run(Program::Python, &words("-m sglang.launch_server".into())).is_none());
    }
}
