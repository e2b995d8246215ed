//! What a host can say on the control channel, which is plain HTTP and its own.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::control::LoadFunction;
use nacre_protocol::digest::Digest;
use nacre_tests::http::ask_socket;
use nacre_tests::traffic::Outcome;

use crate::site::Site;

/// Longest that the enclave may take to be rid of nonsense.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that are no request, or claim what they are not.
#[test]
fn nonsense_harms_nobody() -> anyhow::Result<()> {
    let site = Site::start()?;
    let socket = site.control()?;
    let digest = format!("sha256:{}", "0".repeat(64));
    let blob = |head: &str| format!("PUT /v1/blobs/{digest} HTTP/1.1\r\nhost: e\r\n{head}\r\n\r\n");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", vec![]),
        ("zeros", vec![0; 64 << 10]),
        (
            "a TLS client hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (
            "a head without end",
            [
                b"GET /v1/status HTTP/1.1\r\nx: ".to_vec(),
                vec![b'a'; 1 << 20],
            ]
            .concat(),
        ),
        (
            "a thousand headers",
            [
                b"GET /v1/status HTTP/1.1\r\n".to_vec(),
                b"x: y\r\n".repeat(1000),
            ]
            .concat(),
        ),
        (
            "half a request",
            b"PUT /v1/functions/iris-network HTTP/1.1\r\nhost: e\r\ncontent-length: 400\r\n\r\n{"
                .to_vec(),
        ),
        (
            "a blob of an exabyte",
            blob("content-length: 1152921504606846976").into_bytes(),
        ),
        (
            "a blob of a negative size",
            blob("content-length: -1").into_bytes(),
        ),
        (
            "two sizes",
            blob("content-length: 1\r\ncontent-length: 2").into_bytes(),
        ),
        (
            "size and chunks",
            blob("content-length: 1\r\ntransfer-encoding: chunked").into_bytes(),
        ),
        (
            "a huge chunk",
            [
                blob("transfer-encoding: chunked").into_bytes(),
                b"ffffffffffffffff\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            "a chunk that is none",
            [
                blob("transfer-encoding: chunked").into_bytes(),
                b"zz\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            "a path of a megabyte",
            [
                b"GET /".to_vec(),
                vec![b'a'; 1 << 20],
                b" HTTP/1.1\r\n\r\n".to_vec(),
            ]
            .concat(),
        ),
    ];
    for (what, bytes) in cases {
        let answer = say(&socket, &bytes).with_context(|| what.to_owned())?;
        let refused = answer.is_empty()
            || answer.starts_with(b"HTTP/1.1 4")
            || answer.starts_with(b"HTTP/1.1 507");
        ensure!(refused, "{what}: {}", String::from_utf8_lossy(&answer));
        let status = ask_socket(&socket, "GET", "/v1/status", b"")
            .with_context(|| format!("after {what}"))?;
        ensure!(status.status == 200, "after {what}: {}", status.status);
    }
    site.serves_as_before()
}

/// The host loads another version under the name of the one that callers mean. They are refused before a worker sees a
/// byte of theirs, and no receipt names a function that they did not ask for.
#[test]
fn another_version_under_the_same_name_answers_nobody() -> anyhow::Result<()> {
    let site = Site::start()?;
    let socket = site.control()?;
    let put = |path: &str, body: &[u8], wanted: u16| {
        let answer = ask_socket(&socket, "PUT", path, body)?;
        ensure!(answer.status == wanted, "{path}: {}", answer.code());
        anyhow::Ok(())
    };
    let read = |name: &str| std::fs::read(site.example.dir().join(name));
    let toml = [&read("nacre.toml")?[..], b"# the host's\n"].concat();
    let files = [("model.onnx", read("model.onnx")?), ("nacre.toml", toml)];
    let listed = files.iter().map(|(name, bytes)| BundleFile {
        name: (*name).to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        urls: Vec::new(),
    });
    let bundle = Bundle::new(listed.collect())?;
    put(&blob_path(Digest::of(&files[1].1)), &files[1].1, 201)?;
    put(&blob_path(bundle.digest()), &bundle.to_oci_manifest(), 201)?;
    let load = serde_json::to_vec(&LoadFunction {
        digest: bundle.digest(),
        lease: None,
    })?;
    put(&format!("/v1/functions/{}", site.example.name), &load, 200)?;

    // The node's own agent mends it sooner or later; until then callers are refused, and never served by anything else.
    match site.call(site.node()?)? {
        Outcome::Wrong(what) => anyhow::bail!("{what}"),
        Outcome::Failed(why) => ensure!(why.contains("function-mismatch"), "{why}"),
        Outcome::Right => {}
    }
    put(
        &format!("/v1/functions/{}", site.example.name),
        &serde_json::to_vec(&LoadFunction {
            digest: site.digest.parse()?,
            lease: None,
        })?,
        200,
    )?;
    site.serves_as_before()
}

/// Bytes under a digest that is not theirs never stay, however they come: changed, short, or with more behind them.
#[test]
fn a_changed_bundle_is_not_taken() -> anyhow::Result<()> {
    let site = Site::start()?;
    let socket = site.control()?;
    let model = std::fs::read(site.example.dir().join("model.onnx"))?;
    let digest = Digest::of(&[&model[..], b"!"].concat());
    let path = blob_path(digest);
    let mut changed = [&model[..], b"!"].concat();
    changed[model.len() / 2] ^= 1;
    let longer = [&model[..], b"!!"].concat();
    for (what, body) in [
        ("changed", &changed),
        ("short", &model),
        ("longer", &longer),
    ] {
        let put = ask_socket(&socket, "PUT", &path, body)?;
        ensure!(
            (put.status, put.code().as_str()) == (422, "digest-mismatch"),
            "{what}: {put:?}"
        );
        let there = ask_socket(&socket, "HEAD", &path, b"")?;
        ensure!(there.status == 404, "{what}: it stayed");
    }
    site.serves_as_before()
}

fn blob_path(digest: Digest) -> String {
    format!("/v1/blobs/{digest}")
}

/// Says this, and gives what comes back until the enclave hangs up.
fn say(socket: &Path, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // It may have hung up before all of it was said.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            anyhow::bail!("not done within {PATIENCE:?}")
        }
        _ => Ok(answer),
    }
}
