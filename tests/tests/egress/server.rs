//! A server of the web: what it answers depends on the name it is asked by.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A listening server; ends with this value.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Serves `file` as each name wants it.
    pub(crate) async fn start(tls: Arc<ServerConfig>, file: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (file, log) = (Arc::new(file), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, file, log) = (tls.clone(), Arc::clone(&file), Arc::clone(&log));
                tokio::spawn(async move { answer(stream, tls, &file, &log).await });
            }
        });
        Self {
            address,
            asked,
            serving,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `host` of each request that arrived whole.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(stream: TcpStream, tls: Arc<ServerConfig>, file: &[u8], log: &Mutex<Vec<String>>) {
    // Who does not trust the certificate does not come further.
    let Ok(mut stream) = TlsAcceptor::from(tls).accept(stream).await else {
        return;
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("GET /model.onnx HTTP/1.1\r\n"), "{head}");
    let host = head
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    log.lock().unwrap().push(host.to_owned());
    let name = host.split('.').next().unwrap();
    // It may have been cut off on purpose.
    let _ = stream.write_all(&response(name, file)).await;
    let _ = stream.shutdown().await;
}

fn response(name: &str, file: &[u8]) -> Vec<u8> {
    let length = file.len();
    let ok = |headers: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), body].concat()
    };
    let whole = format!("content-length: {length}\r\n");
    let to = |location: &str| {
        format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    };
    match name {
        "wrong-bytes" | "recorded" => ok(&whole, &vec![7; length]),
        "longer" => ok("connection: close\r\n", &[file, b"and more"].concat()),
        "shorter" => ok(&whole, &file[..length / 2]),
        "other-length" => ok("content-length: 1\r\n", b"x"),
        "encoded" => ok(&format!("{whole}content-encoding: gzip\r\n"), file),
        "not-found" => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "no-http" => b"220 mail.example ESMTP\r\n".to_vec(),
        "endless-head" => ok(&"x: y\r\n".repeat(100_000), b""),
        "circles" => to("/model.onnx"),
        "leads-away" => to("https://unlisted.test/model.onnx"),
        "leads-to-plain" => to("http://honest.test/model.onnx"),
        "leads-home" => to("https://honest.test/model.onnx"),
        _ => ok(&whole, file),
    }
}
