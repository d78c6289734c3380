//! What a call ends with: a code, and words.

use crate::wire::http2::hpack::Field;

/// The end of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// HTTP's status, where the fields have one: those at the beginning do.
    pub http: Option<u16>,
    /// gRPC's code.
    pub code: Option<u32>,
    /// gRPC's words.
    pub message: String,
}

impl Status {
    /// What some header fields or trailers say.
    pub fn of(fields: &[Field]) -> Self {
        let mut status = Self::default();
        for (name, value) in fields {
            let value = String::from_utf8_lossy(value);
            match name.as_slice() {
                b":status" => status.http = value.parse().ok(),
                b"grpc-status" => status.code = value.parse().ok(),
                b"grpc-message" => status.message = percent_decoded(&value),
                _ => {}
            }
        }
        status
    }
}

/// Name of a code.
pub fn name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.copied().unwrap_or("an unknown code")
}

/// The status of HTTP that a code stands for, as Google's API design guide lists them.
pub fn http_status(code: u32) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// Text in which `%` and two digits stand for a byte.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let coded = after.get(..2).filter(|_| *first == b'%');
        let coded = coded.and_then(|digits| std::str::from_utf8(digits).ok());
        match coded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
