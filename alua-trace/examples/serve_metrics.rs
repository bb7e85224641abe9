//! Gives the metrics of a recording, as at the end of its trace, to a real Prometheus:
//! `cargo run --example serve_metrics -- RECORDING`. Prints where, and ends when standard input does.

use std::io::{self, Write};
use std::net::SocketAddr;

use alua_trace::cli::Listen;
use alua_trace::metrics::{Shared, server::Server};
use alua_trace::model::Line;
use alua_trace::replay::{Audience, Playing, play};
use alua_trace::sinks::Sink;
use anyhow::{Context, Result};

struct Taking(Shared);

impl Audience for Taking {
    fn line(&mut self, line: Line) -> io::Result<()> {
        self.0.take(&line)
    }
}

fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("name a recording")?;
    let mut taking = Taking(Shared::default());
    play(&[file.into()], &Playing::default(), &mut taking)?;
    let listen = Listen::Loopback(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = Server::start(&listen, taking.0)?;
    println!("{}", server.at);
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
