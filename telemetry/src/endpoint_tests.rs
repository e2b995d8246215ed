#![allow(clippy::unwrap_used, reason = "tests")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn endpoint() -> (Endpoint, SocketAddr) {
    let address = listen("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::start(&address, || async { "# EOF\n".to_owned() })
        .await
        .unwrap();
    let at = endpoint.address().to_string();
    let at = at.strip_prefix("tcp://").unwrap().parse().unwrap();
    (endpoint, at)
}

async fn ask(at: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // One that is cut off in the middle of what it says may be reset.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn it_answers_one_question_and_refuses_every_other() {
    let (_endpoint, at) = endpoint().await;
    let answer = ask(at, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(OPENMETRICS), "{answer}");
    assert!(answer.ends_with("\r\n\r\n# EOF\n"), "{answer}");
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], "404"),
        (b"GET /metrics/x HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
        (
            b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
            "405",
        ),
        (b"nonsense\r\n\r\n", "400"),
    ] {
        let answer = ask(at, request).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
    let long = format!(
        "GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n",
        "y".repeat(64 << 10)
    );
    let answer = ask(at, long.as_bytes()).await;
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn a_process_that_is_not_well_says_why() {
    let well = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let seen = Arc::clone(&well);
    let args = MetricsArgs {
        address: Some(listen("127.0.0.1:0").unwrap()),
    };
    let health = move || match seen.load(std::sync::atomic::Ordering::Relaxed) {
        true => Ok(()),
        false => Err("nothing was done for a minute".to_owned()),
    };
    let endpoint = args.serve_with_health(Metrics::of("x", "1"), health).await;
    let endpoint = endpoint.unwrap().unwrap();
    let at = endpoint.address().to_string();
    let at = at.strip_prefix("tcp://").unwrap().parse().unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = ask(at, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    well.store(false, std::sync::atomic::Ordering::Relaxed);
    let answer = ask(at, request).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with("nothing was done for a minute\n"),
        "{answer}"
    );
    let answer = ask(at, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_out_for_long() {
    let (_endpoint, at) = endpoint().await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS + 4 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    let answered = ask(at, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    let answer = timeout(PATIENCE * 3, answered).await.unwrap();
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[test]
fn an_address_is_ip_and_port_or_a_socket() {
    for text in ["127.0.0.1:0", "[::1]:9464", "unix:/run/nacre/metrics.sock"] {
        let args = MetricsArgs {
            address: Some(listen(text).unwrap()),
        };
        assert_eq!(args.words(), ["--metrics", text]);
    }
    for text in ["", "9464", "localhost:9464", "unix:", "http://127.0.0.1:1"] {
        assert!(listen(text).is_err(), "{text}");
    }
}
