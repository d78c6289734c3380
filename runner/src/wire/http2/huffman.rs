//! HPACK's Huffman code (RFC 7541, appendix B). It is canonical: codes of one length follow one
//! another in the order of their symbols, so the lengths say all.

use std::sync::LazyLock;

/// Length of each byte's code in bits.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
];

const LONGEST: usize = 30;

/// For each length: the first code, and the bytes that have one of that length, in order.
static CODES: LazyLock<Vec<(u32, Vec<u8>)>> = LazyLock::new(|| {
    let mut code = 0_u32;
    (0..=LONGEST)
        .map(|length| {
            code <<= 1;
            let of_length = |byte: &u8| usize::from(LENGTHS[usize::from(*byte)]) == length;
            let bytes: Vec<u8> = (0..=u8::MAX).filter(of_length).collect();
            let first = code;
            code += u32::try_from(bytes.len()).unwrap_or_default();
            (first, bytes)
        })
        .collect()
});

/// Decodes a string; none where it is no code, or ends in what is no padding.
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut code, mut length) = (0_u32, 0_usize);
    for bit in bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1))
    {
        code = code << 1 | u32::from(bit);
        length += 1;
        let (first, symbols) = CODES.get(length)?;
        let place = code.wrapping_sub(*first) as usize;
        if code >= *first
            && let Some(byte) = symbols.get(place)
        {
            text.push(*byte);
            (code, length) = (0, 0);
        }
    }
    // Padding is the beginning of the code for the end: ones, fewer than a byte.
    let padded = length < 8 && code == (1 << length) - 1;
    padded.then_some(text)
}
