//! Connections that are kept, and those that servers close.

use super::*;

const ANSWER: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A server that gives a fixed answer, counts its connections, and closes each after so many
/// requests.
fn counting_server(requests_per_connection: usize) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut stream = stream?;
                for _ in 0..requests_per_connection {
                    let mut request = Vec::new();
                    let mut buffer = [0; 4096];
                    // The bodies here end with the first brace that closes.
                    while !request.ends_with(b"}") {
                        match stream.read(&mut buffer)? {
                            0 => return Ok(()),
                            read => request.extend_from_slice(&buffer[..read]),
                        }
                    }
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                        ANSWER.len()
                    );
                    // Cut within the head and within a frame.
                    for part in [&head[..9], &head[9..], &ANSWER[..20], &ANSWER[20..]] {
                        stream.write_all(part.as_bytes())?;
                        stream.flush()?;
                    }
                }
                Ok(())
            });
        }
    });
    (url, connections)
}

#[test]
fn a_worker_keeps_its_connection() {
    let (url, connections) = counting_server(1000);
    let driven = drive(
        &stage(&url, closed(3), StageEnd::Requests(60)),
        &Control::default(),
    )
    .unwrap();
    assert!(driven.records.iter().all(Record::succeeded));
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[test]
fn a_server_that_closes_between_requests_gets_new_connections() {
    let (url, connections) = counting_server(1);
    // Slow enough for the closing to be seen before the next request.
    let driven = drive(
        &stage(&url, open(Some(50.0)), StageEnd::Requests(10)),
        &Control::default(),
    )
    .unwrap();
    assert!(
        driven.records.iter().all(Record::succeeded),
        "{:?}",
        driven.records
    );
    assert!(connections.load(Ordering::SeqCst) >= 10);
}

/// A server that answers once on each connection, and closes it when the next request comes.
fn closing_server() -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                // A spare connection that is closed unused sends nothing.
                while !request.ends_with(b"}") {
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => return,
                        Ok(bytes) => request.extend_from_slice(&buffer[..bytes]),
                    }
                }
                let frames = concat!(
                    "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\n",
                    "data: [DONE]\n\n"
                );
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nKeep-Alive: timeout=5\r\n";
                let answer = format!("{head}Content-Length: {}\r\n\r\n{frames}", frames.len());
                stream.write_all(answer.as_bytes()).unwrap();
                let _ = stream.read(&mut buffer);
            });
        }
    });
    url
}

#[test]
fn a_request_that_meets_the_closing_of_a_used_connection_is_sent_on_a_fresh_one() {
    let url = closing_server();
    let driven = drive(
        &stage(&url, closed(2), StageEnd::Requests(40)),
        &Control::default(),
    )
    .unwrap();
    assert_eq!(driven.records.len(), 40);
    for record in &driven.records {
        assert_eq!(failure_of(record), None, "{record:?}");
        assert!(record.sent.is_some_and(|sent| sent >= record.started));
    }
    assert!(
        driven.vitals.loops.reconnects > 0,
        "the closing was never met"
    );
}
