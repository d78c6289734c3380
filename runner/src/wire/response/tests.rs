use proptest::prelude::*;

use super::*;

struct Read {
    head: Option<Head>,
    body: Vec<u8>,
    done: bool,
}

/// Feeds the bytes in pieces, cut at the places given.
fn read(bytes: &[u8], cuts: &[usize]) -> Result<Read, ResponseError> {
    let mut reader = ResponseReader::new();
    let mut body = Vec::new();
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    for window in places.windows(2) {
        let _ = reader.feed(&bytes[window[0]..window[1]], &mut |_, piece| {
            body.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
    }
    Ok(Read {
        head: reader.head(),
        done: reader.finish(),
        body,
    })
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
    5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nx: y\r\n\r\n";

#[test]
fn bodies_end_as_their_framing_says() {
    for (bytes, status, keep_alive, body, done) in [
        (CHUNKED, 200, true, "hello, world", true),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            200,
            true,
            "hi",
            true,
        ),
        (
            b"HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\nhi",
            500,
            true,
            "hi",
            false,
        ),
        (
            b"HTTP/1.1 200 \r\nConnection: close\r\ncontent-length: 0\r\n\r\n",
            200,
            false,
            "",
            true,
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
            200,
            false,
            "until the end",
            true,
        ),
        (
            b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            200,
            false,
            "hi",
            true,
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
            204,
            true,
            "",
            true,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
            200,
            true,
            "hel",
            false,
        ),
    ] as [(&[u8], u16, bool, &str, bool); 8]
    {
        let text = String::from_utf8_lossy(bytes);
        let read = read(bytes, &[]).unwrap();
        assert_eq!(
            read.head,
            Some(Head {
                status,
                keep_alive,
                retry_after: None
            }),
            "{text}"
        );
        assert_eq!(String::from_utf8_lossy(&read.body), body, "{text}");
        assert_eq!(read.done, done, "{text}");
    }
}

#[test]
fn what_is_no_response_is_an_error() {
    for bytes in [
        &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
    ] {
        assert!(
            read(bytes, &[]).is_err(),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
    for (spare, fits) in [(0, true), (1, false)] {
        // However it comes: whole, or in pieces.
        let line = &b"HTTP/1.1 200 OK\r\nx: "[..];
        let filler = vec![b'a'; MAX_HEAD - line.len() - 4 + spare];
        let head = [line, &filler, b"\r\n\r\n"].concat();
        for cuts in [&[][..], &[100, 40_000, MAX_HEAD]] {
            assert_eq!(read(&head, cuts).is_ok(), fits, "{spare} {cuts:?}");
        }
    }
    let endless = [&b"HTTP/1.1 200 OK\r\nx: "[..], &vec![b'a'; MAX_HEAD]].concat();
    assert_eq!(read(&endless, &[]).err(), Some(ResponseError::HeadTooLarge));
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_reads_the_same(cuts in prop::collection::vec(any::<usize>(), 0..12)) {
        let read = read(CHUNKED, &cuts).unwrap();
        prop_assert_eq!(read.body, b"hello, world");
        prop_assert!(read.done);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..4)) {
        let _ = read(&[&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"[..], &bytes].concat(), &cuts);
        let _ = read(&bytes, &cuts);
    }
}
