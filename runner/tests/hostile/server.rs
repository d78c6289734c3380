//! A server that does what it is told with every request, right or wrong.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
};

/// Pause between two bytes of a slow server.
const DRIP: Duration = Duration::from_millis(5);

/// What a server does once it has read a request.
#[derive(Clone)]
pub enum Act {
    Send(Vec<u8>),
    /// As fast as it goes, until the client is gone.
    SendForEver(Vec<u8>),
    /// Byte by byte, again and again, until the client is gone.
    DripForEver(Vec<u8>),
    /// Nothing, until the client is gone.
    Wait,
    /// An orderly end.
    Close,
}

pub fn send(text: impl AsRef<[u8]>) -> Act {
    Act::Send(text.as_ref().to_vec())
}

pub fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn act(stream: &mut TcpStream, acts: &[Act]) -> std::io::Result<()> {
    for act in acts {
        match act {
            Act::Send(bytes) => stream.write_all(bytes)?,
            Act::SendForEver(bytes) => {
                let much = bytes.repeat(1 + (256 << 10) / bytes.len());
                loop {
                    stream.write_all(&much)?;
                }
            }
            Act::DripForEver(bytes) => loop {
                for byte in bytes {
                    stream.write_all(&[*byte])?;
                    // It is the server that is slow.
                    std::thread::sleep(DRIP);
                }
            },
            Act::Wait => while stream.read(&mut [0; 1024])? > 0 {},
            Act::Close => stream.shutdown(Shutdown::Write)?,
        }
    }
    Ok(())
}

/// A server that treats every request so. It lives as long as the process.
pub fn serve(acts: Vec<Act>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, acts) = (stream.unwrap(), acts.clone());
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                read_request(&mut stream);
                // The client goes when it has had enough.
                let _ = act(&mut stream, &acts);
            });
        }
    });
    url
}

/// Reads a request to the end of its JSON body.
fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.ends_with(b"}") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(bytes) => request.extend_from_slice(&piece[..bytes]),
        }
    }
}
