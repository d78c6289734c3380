//! The simulators' tables of flags against what the real programs' own parsers know
//! (`crds/tests/flags`): a simulated program that takes a flag which the real one refuses would let a
//! wrong profile pass.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{
    flags::{Flag, Value},
    openllm, python, shell, transformers, vllm,
};

#[derive(Deserialize)]
struct Captured {
    programs: BTreeMap<String, BTreeMap<String, Known>>,
}

#[derive(Deserialize)]
struct Known {
    takes: String,
}

#[test]
fn no_simulated_program_takes_a_flag_that_the_real_one_refuses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/flags");
    let captured = |file: &str| -> Captured {
        serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap()
    };
    let programs: [(&str, &str, &[Flag]); 10] = [
        ("vllm.json", "vllm serve", vllm::FLAGS),
        (
            "sglang.json",
            "python3 -m sglang.launch_server",
            python::SGLANG,
        ),
        (
            "transformers.json",
            "transformers serve",
            transformers::FLAGS,
        ),
        (
            "torchserve.json",
            "python3 -m ts.llm_launcher",
            python::TORCHSERVE,
        ),
        (
            "fastchat.json",
            "python3 -m fastchat.serve.controller",
            python::CONTROLLER,
        ),
        (
            "fastchat.json",
            "python3 -m fastchat.serve.model_worker",
            python::WORKER,
        ),
        (
            "fastchat.json",
            "python3 -m fastchat.serve.openai_api_server",
            python::API,
        ),
        ("openllm.json", "openllm serve", openllm::FLAGS),
        ("ray.json", "ray start", shell::RAY_START),
        ("ray.json", "serve run", shell::SERVE_RUN),
    ];
    let mut wrong = Vec::new();
    for (file, program, flags) in programs {
        let file = captured(file);
        let known = &file.programs[program];
        for flag in flags {
            for name in flag.names {
                let takes = known.get(*name).map(|known| known.takes.as_str());
                let alike = match (flag.value, takes) {
                    (_, None) => false,
                    (Value::None, Some(takes)) => takes == "nothing",
                    (_, Some(takes)) => takes != "nothing",
                };
                if !alike {
                    wrong.push(format!("{program} {name}: really {takes:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
