//! Any bytes sent to the metrics' server, which answers the next client all the same.

#![no_main]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use alua_trace::cli::Listen;
use alua_trace::metrics::{Shared, server::Server};
use libfuzzer_sys::fuzz_target;

static SERVER: OnceLock<Server> = OnceLock::new();

fn ask(bytes: &[u8]) -> Vec<u8> {
    let server = SERVER.get_or_init(|| {
        let listen = Listen::Loopback(SocketAddr::from(([127, 0, 0, 1], 0)));
        Server::start(&listen, Shared::default()).expect("a server")
    });
    let at = server
        .at
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(9)))
        .expect("a timeout");
    // It may have closed the connection already.
    let _ = stream
        .write_all(bytes)
        .and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fuzz_target!(|data: &[u8]| {
    ask(data);
    let answer = ask(b"GET / HTTP/1.0\r\n\r\n");
    assert!(
        answer.starts_with(b"HTTP/1.0 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
});
