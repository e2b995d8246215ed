//! A stand-in for an OpenTelemetry collector: takes OTLP over HTTP in protobuf, and keeps the spans.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// Longest export that is read.
const MOST: usize = 16 << 20;

/// One span, and the service that it is of.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) span: Span,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Seen>,
    bodies: Vec<Vec<u8>>,
    wrong: Vec<String>,
}

/// A collector that listens until the test ends.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Collector {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let collector = Self {
            address: listener.local_addr()?,
            kept: Arc::default(),
        };
        let kept = Arc::clone(&collector.kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Ok(collector)
    }

    /// What OTEL_EXPORTER_OTLP_ENDPOINT is to be.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans that have come; an error where something else came.
    pub(crate) fn spans(&self) -> anyhow::Result<Vec<Seen>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(kept.wrong.is_empty(), "{:?}", kept.wrong);
        Ok(kept.spans.clone())
    }

    /// Every byte that has come.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bodies.clone()
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Kept>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let mut stream = BufReader::new(stream);
    loop {
        let taken = take(&mut stream);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        match taken {
            Ok(Some((body, spans))) => {
                kept.bodies.push(body);
                kept.spans.extend(spans);
            }
            // The exporter has enough of this connection.
            Ok(None) => return,
            Err(error) => return kept.wrong.push(format!("{error:#}")),
        }
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if stream.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}

type Taken = (Vec<u8>, Vec<Seen>);

/// The next export.
fn take(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Taken>> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(0) | Err(_) => return Ok(None),
        Ok(_) => {}
    }
    ensure!(line == "POST /v1/traces HTTP/1.1\r\n", "{line:?}");
    let (mut length, mut media_type) = (None, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse()?),
            "content-type" => media_type = value.to_owned(),
            _ => {}
        }
    }
    ensure!(media_type == "application/x-protobuf", "{media_type:?}");
    let length: usize = length.context("no length")?;
    ensure!(length <= MOST, "{length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let export = ExportTraceServiceRequest::decode(&body[..])?;
    let mut spans = Vec::new();
    for of_resource in export.resource_spans {
        let attributes = of_resource.resource.context("no resource")?.attributes;
        let named = attributes.iter().find(|pair| pair.key == "service.name");
        let named = named.and_then(|pair| pair.value.as_ref()?.value.as_ref());
        let Some(Value::StringValue(service)) = named else {
            anyhow::bail!("spans of no service: {attributes:?}");
        };
        for span in of_resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            let service = service.clone();
            spans.push(Seen { service, span });
        }
    }
    Ok(Some((body, spans)))
}
