//! As much of protobuf's wire format as a few messages need
//! (protobuf.dev/programming-guides/encoding).

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Numbers and booleans.
    Number(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Texts, bytes, messages and packed lists.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// A message that breaks off or is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The fields of a message, in order. What a reader does not know it passes over.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = read(&mut self.0);
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

fn read<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Number(varint(rest)?),
        1 => {
            let (bytes, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            Value::Fixed64(u64::from_le_bytes(*bytes))
        }
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Value::Bytes(bytes)
        }
        5 => {
            let (bytes, after) = rest.split_first_chunk::<4>()?;
            *rest = after;
            Value::Fixed32(u32::from_le_bytes(*bytes))
        }
        _ => return None,
    };
    Some((key >> 3, value))
}

/// A number of seven bits a byte, the lowest first.
pub fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

/// Writes a message field by field.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A number or a boolean.
    #[must_use]
    pub fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    /// A text, bytes, a message or a packed list.
    #[must_use]
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A packed list of numbers.
    #[must_use]
    pub fn numbers(self, field: u64, values: &[u64]) -> Self {
        let mut list = Self::default();
        for &value in values {
            list.varint(value);
        }
        self.bytes(field, &list.0)
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 128 {
            // The remainder is below 256.
            self.0.push((number % 128) as u8 | 128);
            number /= 128;
        }
        self.0.push(number as u8);
    }
}
