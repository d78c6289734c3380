//! Takes secrets out of text that comes from containers, by their shape.
//!
//! Evidence of a failure goes into status, events and the report, where more people can read it
//! than may read the Secret. The operator knows no secret's value, so shapes are all there is to go
//! by. Masking too much is a nuisance, too little a leak: where in doubt, mask.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// What stands in for a secret.
pub const MASK: &str = "***";

/// Shapes of secrets, each with what is put in their place. Publicly documented formats: Hugging
/// Face, AWS, Google, OpenAI and NVIDIA keys, GitHub tokens, JSON web tokens, PEM private keys, and
/// the query parameters of signed URLs.
const SHAPES: &[(&str, &str)] = &[
    // Colours of a terminal, which may stand in the middle of a secret.
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    // To the end of the text where the END line was cut off.
    (
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
        MASK,
    ),
    (r"\b(hf|api_org)_[A-Za-z0-9]{16,}", MASK),
    (r"\b(AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b", MASK),
    (r"\bAIza[A-Za-z0-9_-]{30,}", MASK),
    (r"\bya29\.[A-Za-z0-9._-]{16,}", MASK),
    (r"\bsk-[A-Za-z0-9_-]{16,}", MASK),
    (r"\b(nvapi|flp)[-_][A-Za-z0-9_-]{16,}", MASK),
    (r"\bgh[pousr]_[A-Za-z0-9]{20,}", MASK),
    (
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        MASK,
    ),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", "${1} ***"),
    // user:password@ of a URL.
    (r"(://[^\s/:@]*):[^\s/@]+@", "${1}:***@"),
    (
        r"(?i)([?&](x-amz-signature|x-amz-security-token|x-amz-credential|x-goog-signature|x-goog-credential|signature|sig|token|key)=)[^&\s]+",
        "${1}***",
    ),
    // NAME=value, "name": "value" and name: value, where the name says that it is secret.
    (
        r#"(?i)([A-Za-z0-9_.-]*((secret|password|passwd|api[_-]?key|access[_-]?key|private[_-]?key|authorization)[A-Za-z0-9_.-]*|_token)["']?\s*[=:]\s*["']?)[^\s"',}*][^\s"',}]{5,}"#,
        "${1}***",
    ),
];

static COMPILED: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    SHAPES
        .iter()
        .filter_map(|(shape, replacement)| Some((Regex::new(shape).ok()?, *replacement)))
        .collect()
});

/// The text, with [`MASK`] in place of everything that looks like a secret.
pub fn mask(text: &str) -> String {
    COMPILED
        .iter()
        .fold(Cow::Borrowed(text), |text, (shape, replacement)| {
            Cow::Owned(shape.replace_all(&text, *replacement).into_owned())
        })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_a_regular_expression() {
        assert_eq!(COMPILED.len(), SHAPES.len());
    }

    #[test]
    fn secrets_are_masked_and_the_rest_is_kept() {
        for (text, masked) in [
            (
                "token hf_abcdefghijklmnopqrstuvwxyz0123 was refused",
                "token *** was refused",
            ),
            ("key AKIAIOSFODNN7EXAMPLE.", "key ***."),
            (
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "aws_secret_access_key = ***",
            ),
            (
                r#"{"api_key": "0123456789abcdef", "model": "m"}"#,
                r#"{"api_key": "***", "model": "m"}"#,
            ),
            (
                "Authorization: Bearer abc.def-ghi_jkl",
                "Authorization: *** ***",
            ),
            ("curl -H bearer abcdefghijkl", "curl -H bearer ***"),
            ("HF_TOKEN=notashapeweknow", "HF_TOKEN=***"),
            (
                "GET https://user:pa55word@example.org/x",
                "GET https://user:***@example.org/x",
            ),
            (
                "https://b.s3.amazonaws.com/k?X-Amz-Signature=0a1b2c3d&x=1",
                "https://b.s3.amazonaws.com/k?X-Amz-Signature=***&x=1",
            ),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb",
                "a\n***\nb",
            ),
            ("-----BEGIN PRIVATE KEY-----\nMIIEcut", "***"),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl end",
                "*** end",
            ),
            ("sk-proj-abcdefghijklmnop1234", "***"),
            // What must stay readable.
            (
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB",
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB",
            ),
            (
                "max_num_batched_tokens: 1048576, eos_token_id=2",
                "max_num_batched_tokens: 1048576, eos_token_id=2",
            ),
            (
                "couldn't find key token in Secret bench/hf",
                "couldn't find key token in Secret bench/hf",
            ),
            (
                "401 Client Error for url: https://huggingface.co/api/models/m",
                "401 Client Error for url: https://huggingface.co/api/models/m",
            ),
        ] {
            assert_eq!(mask(text), masked, "{text}");
        }
    }

    #[test]
    fn masking_twice_changes_nothing() {
        let once = mask("Authorization: Bearer abcdefgh12345678 HF_TOKEN=abcdefghij");
        assert_eq!(mask(&once), once);
    }
}
