//! Which files of a repository are fetched.

/// Weights that repositories keep beside safetensors in the formats of other programs. What engines
/// themselves leave out of their downloads, as vLLM's `--load-format auto` and TGI do.
const COPIES: [&str; 11] = [
    "*.bin",
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.onnx",
    "*.onnx_data",
    "*.tflite",
    "original/*",
];

/// Whether each file is fetched: those that one of the patterns matches. Without patterns all, but
/// for other formats' copies of weights that are there as safetensors.
pub fn chosen<'a>(paths: &[&'a str], patterns: &[String]) -> Vec<&'a str> {
    let has_safetensors = paths
        .iter()
        .any(|path| path.ends_with(".safetensors") && !matches("original/*", path));
    let is_chosen = |path: &str| {
        if patterns.is_empty() {
            let is_copy = COPIES.iter().any(|pattern| matches(pattern, path));
            !(has_safetensors && is_copy) && path != ".gitattributes"
        } else {
            patterns.iter().any(|pattern| matches(pattern, path))
        }
    };
    let paths = paths.iter().copied();
    paths.filter(|path| is_chosen(path)).collect()
}

/// Whether a pattern matches a whole path; `*` stands for anything, slashes too, as in the
/// `allow_patterns` of `huggingface_hub`.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        // What came before is found as early as it can be, so that most is left for what follows.
        if let Some(middle) = last.replace(part) {
            let Some(at) = rest.find(middle) else {
                return false;
            };
            rest = rest.get(at + middle.len()..).unwrap_or_default();
        }
    }
    match last {
        Some(last) => rest.ends_with(last),
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, path, is_match) in [
            ("*.json", "config.json", true),
            ("*.json", "sub/config.json", true),
            ("*.json", "config.jsonl", false),
            ("config.json", "config.json", true),
            ("config.json", "config.json.bak", false),
            ("model-*-of-*.safetensors", "model-1-of-2.safetensors", true),
            (
                "model-*-of-*.safetensors",
                "model-1-in-2.safetensors",
                false,
            ),
            ("*Q4_K_M*", "a/b.Q4_K_M.gguf", true),
            ("a*a", "a", false),
            ("a*ab*b", "aab", false),
            ("*", "anything/at.all", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, path), is_match, "{pattern} {path}");
        }
    }

    #[test]
    fn copies_of_safetensors_are_left_out_and_lone_weights_are_not() {
        let both = [
            ".gitattributes",
            "config.json",
            "model.safetensors",
            "onnx/model.onnx",
            "original/consolidated.00.pth",
            "pytorch_model.bin",
            "tokenizer.model",
        ];
        assert_eq!(
            chosen(&both, &[]),
            ["config.json", "model.safetensors", "tokenizer.model"]
        );
        let alone = ["config.json", "pytorch_model.bin"];
        assert_eq!(chosen(&alone, &[]), alone);
        let asked = ["*.bin".to_owned(), "config.json".to_owned()];
        assert_eq!(chosen(&both, &asked), ["config.json", "pytorch_model.bin"]);
    }
}
