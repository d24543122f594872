//! An OTLP endpoint over HTTP, in a thread: it keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// Listens, and answers every request.
pub(crate) struct Collector {
    at: SocketAddr,
    requests: mpsc::Receiver<(String, Vec<u8>)>,
}

/// All that it was sent.
pub(crate) struct Exported {
    pub(crate) spans: Vec<Span>,
    /// Those of the last export: sums are since the start.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) resource: Resource,
}

impl Collector {
    pub(crate) fn listen() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                thread::spawn(move || serve(&stream.unwrap(), &sender));
            }
        });
        Collector { at, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// What it was sent so far.
    pub(crate) fn exported(&self) -> Exported {
        let mut exported = Exported { spans: Vec::new(), metrics: Vec::new(), resource: Resource::default() };
        for (path, body) in self.requests.try_iter() {
            match path.as_str() {
                "/v1/traces" => {
                    for resource in ExportTraceServiceRequest::decode(&body[..]).unwrap().resource_spans {
                        exported.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                    }
                }
                "/v1/metrics" => {
                    exported.metrics.clear();
                    for resource in ExportMetricsServiceRequest::decode(&body[..]).unwrap().resource_metrics {
                        exported.resource = resource.resource.unwrap();
                        exported.metrics.extend(resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
                    }
                }
                other => panic!("nobody posts to {other}"),
            }
        }
        exported
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, sender: &mpsc::Sender<(String, Vec<u8>)>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim_end().to_lowercase();
            if line.is_empty() {
                break;
            }
            path.get_or_insert_with(|| line.split(' ').nth(1).unwrap().to_owned());
            length = line.strip_prefix("content-length: ").map_or(length, |length| length.parse().unwrap());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        sender.send((path.unwrap(), body)).unwrap();
        (&*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}

impl Exported {
    /// The one span with this name.
    pub(crate) fn span(&self, name: &str) -> &Span {
        let mut named = self.spans.iter().filter(|span| span.name == name);
        let span = named.next().unwrap_or_else(|| panic!("no span is called {name}"));
        assert!(named.next().is_none(), "several spans are called {name}");
        span
    }
}
