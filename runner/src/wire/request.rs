//! Requests as the bytes that go onto the socket, made before the schedule begins.

use std::sync::Arc;

use super::{http2::hpack, target::Target};

/// Header fields and path that are the same for every request to one engine.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// Whether requests are calls by gRPC, over HTTP/2.
    pub grpc: bool,
    /// Path of the protocol, below the target's own.
    pub path: String,
    /// Value of `accept`.
    pub accept: String,
    /// Media type of bodies; none stands for JSON.
    pub content_type: Option<String>,
    /// Bearer token.
    pub bearer: Option<String>,
    /// Further fields.
    pub headers: Vec<(String, String)>,
}

/// Why a request cannot be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "header {name:?} holds a character that HTTP does not allow; write it like NAME:VALUE on one line"
)]
pub struct HeaderError {
    name: String,
}

impl RequestHead {
    /// Checks names and values, so that none can end its line.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), HeaderError> {
        let bearer = self
            .bearer
            .iter()
            .map(|token| ("authorization", token.as_str()));
        let further = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in further.chain(bearer) {
            let good_name = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b':');
            let good_value = value
                .bytes()
                .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
            if !good_name || !good_value {
                return Err(HeaderError { name: name.into() });
            }
        }
        Ok(())
    }

    /// A whole POST request: head and body in one piece, so that one write sends it. A call by gRPC as
    /// [`call`] takes it apart again, since its frames hold the number of the call.
    pub fn post(&self, target: &Target, body: &[u8]) -> Arc<[u8]> {
        if self.grpc {
            return self.call(target, body);
        }
        let mut bytes = format!(
            "POST {}{} HTTP/1.1\r\nhost: {}\r\naccept: {}\r\nuser-agent: bakeoff/{}\r\n\
             content-type: {}\r\ncontent-length: {}\r\n",
            target.base_path,
            self.path,
            target.authority,
            self.accept,
            env!("CARGO_PKG_VERSION"),
            self.content_type.as_deref().unwrap_or("application/json"),
            body.len(),
        )
        .into_bytes();
        if let Some(token) = &self.bearer {
            bytes.extend_from_slice(format!("authorization: Bearer {token}\r\n").as_bytes());
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes.into()
    }
}

/// Bytes before a header block: its length.
const LENGTH: usize = 4;

impl RequestHead {
    fn call(&self, target: &Target, body: &[u8]) -> Arc<[u8]> {
        let mut block = Vec::new();
        let scheme = if target.tls_name.is_some() {
            "https"
        } else {
            "http"
        };
        let path = format!("{}{}", target.base_path, self.path);
        let agent = concat!("bakeoff/", env!("CARGO_PKG_VERSION"));
        let bearer = self.bearer.iter().map(|token| format!("Bearer {token}"));
        let fixed = [
            (":method", "POST"),
            (":scheme", scheme),
            (":path", &path),
            (":authority", &target.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", agent),
        ];
        for (name, value) in fixed {
            hpack::write(&mut block, name, value);
        }
        for value in bearer {
            hpack::write(&mut block, "authorization", &value);
        }
        for (name, value) in &self.headers {
            hpack::write(&mut block, &name.to_ascii_lowercase(), value);
        }
        // Header fields are far shorter.
        let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes(), block.as_slice(), body]
            .concat()
            .into()
    }
}

/// Header block and body of a call.
pub fn call(request: &[u8]) -> (&[u8], &[u8]) {
    let split = || {
        let (length, rest) = request.split_first_chunk::<LENGTH>()?;
        rest.split_at_checked(u32::from_be_bytes(*length) as usize)
    };
    split().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_piece() {
        let target = Target {
            address: ([127, 0, 0, 1], 80).into(),
            authority: "engine:80".into(),
            tls_name: None,
            base_path: "/root".into(),
        };
        let head = RequestHead {
            grpc: false,
            path: "/v1/completions".into(),
            accept: "text/event-stream".into(),
            content_type: None,
            bearer: Some("key".into()),
            headers: vec![("x-team".into(), "a b".into())],
        };
        head.check().unwrap();
        let text = String::from_utf8(head.post(&target, b"{}").to_vec()).unwrap();
        let (first, rest) = text.split_once("\r\n").unwrap();
        assert_eq!(first, "POST /root/v1/completions HTTP/1.1");
        for field in [
            "host: engine:80",
            "accept: text/event-stream",
            "content-length: 2",
            "authorization: Bearer key",
            "x-team: a b",
        ] {
            assert!(rest.contains(&format!("{field}\r\n")), "{field}: {rest}");
        }
        assert!(text.ends_with("\r\n\r\n{}"));
    }

    #[test]
    fn no_header_can_end_its_line() {
        for (name, value) in [("x", "a\r\nb"), ("a b", "c"), ("", "c"), ("x:", "c")] {
            let head = RequestHead {
                headers: vec![(name.into(), value.into())],
                ..RequestHead::default()
            };
            assert!(head.check().is_err(), "{name:?}: {value:?}");
        }
        let head = RequestHead {
            bearer: Some("key\n".into()),
            ..RequestHead::default()
        };
        assert!(
            head.check()
                .unwrap_err()
                .to_string()
                .contains("authorization")
        );
    }
}
