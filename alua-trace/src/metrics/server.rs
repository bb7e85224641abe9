//! Metrics over HTTP, on a thread of its own: whoever asks, however slowly, holds up nothing but other askers.
//!
//! `GET /metrics` has Prometheus' text (0.0.4), OpenMetrics' text (1.0.0) or Prometheus' protobuf, which alone can hold native
//! histograms, whichever the `Accept` header wants most; with gzip where that is accepted.

use std::{
    convert::Infallible,
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::FileTypeExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{
    encoding::{prometheus_protobuf, prometheus_text, text},
    registry::Registry,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, oneshot},
    time::sleep,
};

use super::Shared;
use crate::{cli::Listen, safe};

/// Connections at one time; more are closed at once.
const CONNECTIONS: usize = 64;
/// How long a client may take for a request's head, and between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// For how long a connection is kept, and how long the last answer may take on its way to the client.
const CONNECTED_FOR: Duration = Duration::from_secs(300);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Room for a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// What is shorter is not worth packing.
const PACKED_FROM: usize = 1024;
/// What all names begin with.
const PREFIX: &str = "alua_trace";

/// The server; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// To be taken away at the end.
    socket: Option<PathBuf>,
    /// Where it can be asked, in words: with the port that it got.
    pub at: String,
}

enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Server {
    /// Begins to give `metrics` to whoever asks at `listen`.
    ///
    /// # Errors
    /// The address is in use, or may not be used.
    pub fn start(listen: &Listen, metrics: Shared) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start the runtime of the metrics' server")?;
        let entered = runtime.enter();
        let (listener, at) = match listen {
            Listen::Loopback(address) => tcp(*address)?,
            Listen::Unix(path) => (unix(path)?, format!("unix:{}", safe::os(path.as_os_str()))),
        };
        drop(entered);
        let socket = match listen {
            Listen::Unix(path) => Some(path.clone()),
            Listen::Loopback(_) => None,
        };
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("metrics server".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(listener, metrics) => {}
                        _ = ended => {}
                    }
                });
            })
            .context("failed to start the thread of the metrics' server")?;
        Ok(Self {
            end: Some(end),
            thread: Some(thread),
            socket,
            at,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to give back.
            let _ = thread.join();
        }
        if let Some(socket) = &self.socket {
            // Somebody else may have taken it away.
            let _ = std::fs::remove_file(socket);
        }
    }
}

fn tcp(address: SocketAddr) -> Result<(Listener, String)> {
    let failed = || {
        format!(
            "cannot give metrics at {address}; name another port, or see with `ss -ltnp` who has it"
        )
    };
    let listener = TcpListener::bind(address).with_context(failed)?;
    listener.set_nonblocking(true).with_context(failed)?;
    let at = format!(
        "http://{}/metrics",
        listener.local_addr().with_context(failed)?
    );
    let listener = tokio::net::TcpListener::from_std(listener).with_context(failed)?;
    Ok((Listener::Tcp(listener), at))
}

fn unix(path: &Path) -> Result<Listener> {
    let failed = || format!("cannot give metrics at the socket {}", path.display());
    // One that nobody listens on any more is left from a process that was killed.
    let is_socket = path.metadata().is_ok_and(|it| it.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path).is_err_and(|it| it.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path).with_context(failed)?;
    }
    let listener = UnixListener::bind(path).with_context(failed)?;
    listener.set_nonblocking(true).with_context(failed)?;
    let listener = tokio::net::UnixListener::from_std(listener).with_context(failed)?;
    Ok(Listener::Unix(listener))
}

async fn serve(listener: Listener, metrics: Shared) {
    let forms = Arc::new(Forms::new(metrics));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = match &listener {
            Listener::Tcp(it) => it.accept().await.map(|(it, _)| Box::pin(it) as Connection),
            Listener::Unix(it) => it.accept().await.map(|(it, _)| Box::pin(it) as Connection),
        };
        let Ok(connection) = accepted else {
            // Of file descriptors there are none, as a rule: others have to close theirs.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let forms = Arc::clone(&forms);
        tokio::spawn(async move {
            serve_connection(connection, &forms).await;
            drop(permit);
        });
    }
}

/// What a client does wrong is its own affair.
async fn serve_connection(connection: Connection, forms: &Forms) {
    let answer = service_fn(|request| {
        let answer = forms.answer(&request);
        async { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(connection), answer);
    tokio::pin!(served);
    tokio::select! {
        _ = &mut served => return,
        () = sleep(CONNECTED_FOR) => {}
    }
    // What is being answered is, but nothing more.
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(ANSWER_WITHIN, served).await;
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}
type Connection = std::pin::Pin<Box<dyn Stream>>;

/// The forms that metrics are told in.
enum Form {
    Text,
    OpenMetrics,
    Protobuf,
}

impl Form {
    const fn content_type(&self) -> &'static str {
        match self {
            Self::Text => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// What an `Accept` header wants most of what there is (RFC 9110 12.5.1); text where it wants none of it.
    fn wanted(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next() {
                Some("application/vnd.google.protobuf") => Self::Protobuf,
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain" | "text/*" | "*/*") => Self::Text,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
            let quality: f64 = quality.unwrap_or(1.0);
            if quality > best.0 {
                best = (quality, form);
            }
        }
        best.1
    }
}

struct Forms(Registry);

impl Forms {
    fn new(metrics: Shared) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(metrics));
        Self(registry)
    }

    /// # Errors
    /// None that is known of: writing to memory does not fail.
    fn encode(&self, form: &Form) -> Result<Vec<u8>> {
        let mut out = String::new();
        match form {
            Form::Text => prometheus_text::encode(&mut out, &self.0)?,
            Form::OpenMetrics => text::encode(&mut out, &self.0)?,
            Form::Protobuf => return Ok(prometheus_protobuf::encode_to_vec(&self.0)?),
        }
        Ok(out.into_bytes())
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        match (is_read, request.uri().path()) {
            (true, "/metrics") => self.metrics(request.headers()),
            (true, "/") => plain(StatusCode::OK, "alua-trace: metrics are at /metrics\n"),
            (true, _) => plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"),
            (false, _) => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "GET /metrics\n");
                let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
                answer.headers_mut().insert(ALLOW, allowed);
                answer
            }
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let header = |name| {
            headers
                .get(name)
                .and_then(|it| it.to_str().ok())
                .unwrap_or("")
        };
        let form = Form::wanted(header(ACCEPT));
        let Ok(body) = self.encode(&form) else {
            return plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be encoded\n",
            );
        };
        let gzip = accepts_gzip(header(ACCEPT_ENCODING));
        let packed = if gzip { packed(&body) } else { None };
        let mut answer = Response::builder()
            .header(CONTENT_TYPE, form.content_type())
            .header(VARY, "Accept, Accept-Encoding");
        if packed.is_some() {
            answer = answer.header(CONTENT_ENCODING, "gzip");
        }
        let body = Full::new(Bytes::from(packed.unwrap_or(body)));
        answer
            .body(body)
            .unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, ""))
    }
}

fn accepts_gzip(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_gzip = parts.next() == Some("gzip");
        is_gzip
            && !parts.any(|part| {
                part.starts_with("q=0") && part.trim_start_matches(['q', '=', '0', '.']).is_empty()
            })
    })
}

fn packed(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < PACKED_FROM {
        return None;
    }
    let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    packer.write_all(body).ok()?;
    packer.finish().ok()
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}
