//! Header fields (HPACK, RFC 7541). What we send is written out in full and changes no table, so the
//! same bytes serve every request; what we read may use all of it.

use std::collections::VecDeque;

use super::{Http2Error, huffman};

/// Bytes of the dynamic table: the default, which we do not change.
const TABLE: usize = 4096;
/// What a field takes in it beside its text.
const OVERHEAD: usize = 32;
/// Most bytes of all fields of one message.
const MAX_FIELDS: usize = 64 << 10;

/// A name and a value.
pub type Field = (Vec<u8>, Vec<u8>);

/// Writes a field, literally and without indexing.
pub fn write(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(0);
    for text in [name, value] {
        write_number(out, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

/// A length with seven bits in its first byte, the highest bit of which says that nothing is coded.
fn write_number(out: &mut Vec<u8>, number: usize) {
    // The remainder of a division by 128 and a comparison keep each below 256.
    if number < 127 {
        out.push(number as u8);
        return;
    }
    out.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        out.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// Reads the header blocks of one connection.
#[derive(Debug)]
pub struct Decoder {
    /// The last one first.
    table: VecDeque<Field>,
    size: usize,
    capacity: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: VecDeque::new(),
            size: 0,
            capacity: TABLE,
        }
    }
}

impl Decoder {
    /// The fields of a block.
    ///
    /// # Errors
    /// Where they cannot be read; the connection is of no use then, since its table is unknown.
    pub fn decode(&mut self, block: &[u8]) -> Result<Vec<Field>, Http2Error> {
        let mut input = Input(block);
        let mut fields = Vec::new();
        let mut size = 0;
        while let Some(&first) = input.0.first() {
            let (field, keep) = match first {
                0x80.. => (self.field(input.number(7)?)?, false),
                0x40.. => (self.literal(&mut input, 6)?, true),
                0x20.. => {
                    let capacity = input.number(5)?;
                    if capacity > TABLE {
                        return Err(Http2Error::Compression("the table is made too large"));
                    }
                    self.capacity = capacity;
                    self.evict();
                    continue;
                }
                _ => (self.literal(&mut input, 4)?, false),
            };
            size += field.0.len() + field.1.len() + OVERHEAD;
            if size > MAX_FIELDS {
                return Err(Http2Error::Compression("there is too much of them"));
            }
            if keep {
                self.keep(field.clone());
            }
            fields.push(field);
        }
        Ok(fields)
    }

    fn literal(&self, input: &mut Input<'_>, bits: u32) -> Result<Field, Http2Error> {
        let name = match input.number(bits)? {
            0 => input.text()?,
            place => self.field(place)?.0,
        };
        Ok((name, input.text()?))
    }

    fn field(&self, place: usize) -> Result<Field, Http2Error> {
        let unknown = Http2Error::Compression("a place that no table has");
        let place = place.checked_sub(1).ok_or(unknown)?;
        match STATIC.get(place) {
            Some((name, value)) => Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
            None => self.table.get(place - STATIC.len()).cloned().ok_or(unknown),
        }
    }

    fn keep(&mut self, field: Field) {
        self.size += size_of_field(&field);
        self.table.push_front(field);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.capacity
            && let Some(field) = self.table.pop_back()
        {
            self.size -= size_of_field(&field);
        }
    }
}

fn size_of_field(field: &Field) -> usize {
    field.0.len() + field.1.len() + OVERHEAD
}

struct Input<'a>(&'a [u8]);

const CUT: Http2Error = Http2Error::Compression("they break off");

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Http2Error> {
        let (&byte, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(byte)
    }

    /// A number that begins in the low bits of the next byte.
    fn number(&mut self, bits: u32) -> Result<usize, Http2Error> {
        let most = (1_usize << bits) - 1;
        let first = usize::from(self.byte()?) & most;
        if first < most {
            return Ok(first);
        }
        let mut number = most;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(Http2Error::Compression("a number is too large"))
    }

    fn text(&mut self) -> Result<Vec<u8>, Http2Error> {
        let coded = self.0.first().ok_or(CUT)? & 128 != 0;
        let length = self.number(7)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        if !coded {
            return Ok(text.to_vec());
        }
        huffman::decode(text).ok_or(Http2Error::Compression("a text is no Huffman code"))
    }
}

/// The static table (RFC 7541, appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
