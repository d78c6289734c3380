//! What a data set's file is before its content counts: packed, marked, or not a data set at all.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use flate2::read::MultiGzDecoder;

use super::DatasetError;

/// Most bytes that a file may unpack to.
const MOST: u64 = 4 << 30;
/// Byte order mark of UTF-8, which some editors write.
const MARK: &[u8] = b"\xEF\xBB\xBF";
/// How a gzip file begins (RFC 1952).
const GZIP: &[u8] = b"\x1F\x8B";

/// How other files begin that are taken for data sets, what they are, and what to do.
const OTHERS: [(&[u8], &str); 10] = [
    (
        b"PAR1",
        "a Parquet file; convert it to JSON lines, as pandas.read_parquet(…).to_json(…, orient=\"records\", lines=True) does",
    ),
    (b"PK\x03\x04", "a ZIP archive; unpack it"),
    (
        b"\x28\xB5\x2F\xFD",
        "packed by zstd; unpack it, or pack it by gzip",
    ),
    (b"BZh", "packed by bzip2; unpack it, or pack it by gzip"),
    (b"\xFD7zXZ", "packed by xz; unpack it, or pack it by gzip"),
    (b"\xFF\xFE", "text in UTF-16; write it in UTF-8"),
    (b"\xFE\xFF", "text in UTF-16; write it in UTF-8"),
    (b"<!DOCTYPE", WEB_PAGE),
    (b"<html", WEB_PAGE),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file that it stands for; fetch that (of the Hugging Face hub, the address with /resolve/)",
    ),
];

const WEB_PAGE: &str = "a web page; give the address of the file itself (of the Hugging Face hub, the one with /resolve/ in place of /blob/)";

/// The text of a data set's file: unpacked where gzip packed it, and without a byte order mark.
///
/// # Errors
/// Where the file is of another kind, cannot be unpacked, or unpacks to more than 4 GiB.
pub fn text(file: &[u8]) -> Result<Cow<'_, [u8]>, DatasetError> {
    let unpacked = match file.starts_with(GZIP) {
        true => Cow::Owned(unpack(file, MOST)?),
        false => Cow::Borrowed(file),
    };
    let begins = |with: &[u8]| {
        let start = unpacked.trim_ascii_start();
        start
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    if let Some((_, what)) = OTHERS.iter().find(|(start, _)| begins(start)) {
        return Err(DatasetError::Kind((*what).into()));
    }
    Ok(match unpacked {
        Cow::Borrowed(file) => Cow::Borrowed(file.strip_prefix(MARK).unwrap_or(file)),
        Cow::Owned(mut file) => {
            if file.starts_with(MARK) {
                file.drain(..MARK.len());
            }
            Cow::Owned(file)
        }
    })
}

fn unpack(file: &[u8], most: u64) -> Result<Vec<u8>, DatasetError> {
    let mut unpacked = Vec::new();
    let wrong = |error: io::Error| {
        DatasetError::Kind(format!("packed by gzip, and cannot be unpacked: {error}"))
    };
    MultiGzDecoder::new(file)
        .take(most + 1)
        .read_to_end(&mut unpacked)
        .map_err(wrong)?;
    if unpacked.len() as u64 > most {
        return Err(DatasetError::Kind(format!(
            "packed by gzip, and unpacks to more than {most} bytes; take a part of it"
        )));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_packed_or_marked_is_read_as_what_it_holds() {
        for file in [
            b"{}".to_vec(),
            b"\xEF\xBB\xBF{}".to_vec(),
            packed(b"{}"),
            packed(b"\xEF\xBB\xBF{}"),
            [packed(b"{"), packed(b"}")].concat(),
        ] {
            assert_eq!(text(&file).unwrap(), b"{}".as_slice(), "{file:?}");
        }
        assert_eq!(text(b"").unwrap(), b"".as_slice());
    }

    #[test]
    fn what_is_no_data_set_is_named() {
        for (file, word) in [
            (b"PAR1\x15\x04".to_vec(), "Parquet"),
            (b"\x28\xB5\x2F\xFD\x04".to_vec(), "zstd"),
            (b"\n <!doctype html><html>".to_vec(), "/resolve/"),
            (
                b"version https://git-lfs.github.com/spec/v1".to_vec(),
                "Git LFS",
            ),
            (packed(b"PAR1"), "Parquet"),
            (b"\x1F\x8Bnonsense".to_vec(), "cannot be unpacked"),
            (packed(b"{}")[..12].to_vec(), "cannot be unpacked"),
        ] {
            let error = text(&file).unwrap_err().to_string();
            assert!(error.contains(word), "{file:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_unpacks_to_too_much_is_refused() {
        let file = packed(&[b' '; 5000]);
        assert_eq!(unpack(&file, 5000).unwrap().len(), 5000);
        let error = unpack(&file, 4999).unwrap_err().to_string();
        assert!(error.contains("more than 4999 bytes"), "{error}");
    }
}
