//! The bytes of answers, made once.

/// Head of every answer.
pub const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

const WORDS: [&str; 8] = [
    " the", " quick", " brown", " fox", " jumps", " over", " a", " dog",
];

/// Frames with one token each, as they go onto the socket, chunk framing included.
pub struct Frames {
    completions: Kind,
    chat: Kind,
    /// Tokens that one write holds.
    pub per_write: u32,
}

/// The frames of one interface.
pub struct Kind {
    /// By the place of the token, modulo their number.
    words: Vec<Vec<u8>>,
    /// So many words in one piece.
    pub many: Vec<u8>,
    last: Vec<u8>,
    is_chat: bool,
}

impl Frames {
    pub fn new(per_write: u32) -> Self {
        let per_write = per_write.max(1);
        Self {
            completions: Kind::new(false, per_write),
            chat: Kind::new(true, per_write),
            per_write,
        }
    }

    pub fn of(&self, is_chat: bool) -> &Kind {
        if is_chat {
            &self.chat
        } else {
            &self.completions
        }
    }
}

impl Kind {
    fn new(is_chat: bool, per_write: u32) -> Self {
        let words: Vec<Vec<u8>> = WORDS
            .iter()
            .map(|word| chunk(&frame(is_chat, word, "null")))
            .collect();
        let many = words
            .iter()
            .cycle()
            .take(per_write as usize)
            .flatten()
            .copied()
            .collect();
        Self {
            last: chunk(&frame(is_chat, " end", "\"length\"")),
            words,
            many,
            is_chat,
        }
    }

    /// The frame of a token, by its place from 0.
    pub fn token(&self, place: u32, is_last: bool) -> &[u8] {
        let word = self.words.get(place as usize % WORDS.len());
        match word {
            Some(word) if !is_last => word,
            _ => &self.last,
        }
    }

    /// What precedes the first token of a chat.
    pub fn role(&self) -> Option<Vec<u8>> {
        self.is_chat.then(|| {
            let delta = r#"{"role":"assistant","content":""}"#;
            chunk(&chat(delta, "null"))
        })
    }

    /// Usage and the end of the body.
    pub fn tail(&self, tokens: u32) -> Vec<u8> {
        let (id, object) = if self.is_chat {
            ("chatcmpl", "chat.completion.chunk")
        } else {
            ("cmpl", "text_completion")
        };
        let usage = format!(
            "data: {{\"id\":\"{id}-5f3a\",\"object\":\"{object}\",\"created\":1760000000,\"model\":\"mock\",\"choices\":[],\"usage\":{{\"prompt_tokens\":5,\"total_tokens\":{},\"completion_tokens\":{tokens}}}}}\n\n",
            tokens + 5
        );
        let mut bytes = chunk(&usage);
        bytes.extend(chunk("data: [DONE]\n\n"));
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}

fn frame(is_chat: bool, word: &str, reason: &str) -> String {
    if is_chat {
        return chat(&format!("{{\"content\":\"{word}\"}}"), reason);
    }
    format!(
        "data: {{\"id\":\"cmpl-9b1f0c5e2d7a4a4c8f6e3b2a1d0c9e8f\",\"object\":\"text_completion\",\"created\":1760000000,\"model\":\"mock\",\"choices\":[{{\"index\":0,\"text\":\"{word}\",\"logprobs\":null,\"finish_reason\":{reason},\"stop_reason\":null}}],\"usage\":null}}\n\n"
    )
}

fn chat(delta: &str, reason: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-9b1f0c5e2d7a4a4c8f6e3b2a1d0c9e8f\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{reason}}}]}}\n\n"
    )
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}
