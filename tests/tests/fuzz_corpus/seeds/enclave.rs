//! Seeds of what reaches the enclave.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use nacre_enclave::tensor::{DataType, ModelSpec, TensorSpec};
use nacre_enclave::worker::wire::{Configure, Fault, FaultCode, Isolation, Message, TensorHead};

use super::Seeds;
use crate::targets::enclave::BODY_LIMIT;

pub(super) fn add(seeds: &mut Seeds) {
    kserve_infer(seeds);
    kserve_infer_refused(seeds);
    kserve_route(seeds);
    worker_frame(seeds);
}

/// Three header lines and a body.
fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    [headers.as_bytes(), b"\n", body].concat()
}

/// A request with one input `x` in JSON.
fn one(datatype: &str, shape: &str, data: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"inputs":[{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}]}}"#
    );
    request("\n\n", json.as_bytes())
}

/// A request with binary data after its JSON.
fn mixed(json: &str, binary: &[u8]) -> Vec<u8> {
    let headers = format!("\napplication/octet-stream\n{}", json.len());
    request(&headers, &[json.as_bytes(), binary].concat())
}

/// Tensors without a word around them.
fn bare(tensors: &[u8]) -> Vec<u8> {
    request("\napplication/vnd.nacre.tensors\n", tensors)
}

const IRIS: &str = r#"{"id":"7","inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[5.1,3.5,1.4,0.2]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;

fn kserve_infer(seeds: &mut Seeds) {
    let binary = r#"{"parameters":{"binary_data_output":true,"n":-1.5e3,"s":"t"},"inputs":[{"name":"a","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":9}},{"name":"b","datatype":"BOOL","shape":[2],"parameters":{"binary_data_size":2}},{"name":"c","datatype":"FP16","shape":[2],"parameters":{"binary_data_size":4}},{"name":"d","datatype":"INT8","shape":[],"data":-128}]}"#;
    let data = b"\x01\0\0\0\xff\0\0\0\0\x00\x01\x00\x7e\x00\xfc";
    seeds.add_all(
        "kserve_infer",
        [
            ("ok-json", request("\n\n", IRIS.as_bytes())),
            (
                "ok-classification",
                request(
                    "\n\n",
                    IRIS.replace("{\"binary", "{\"classification\":2,\"binary")
                        .as_bytes(),
                ),
            ),
            (
                "ok-gzip",
                request("gzip\napplication/json\n", &gzip(IRIS.as_bytes())),
            ),
            ("ok-deflate", request("deflate\n\n", &zlib(IRIS.as_bytes()))),
            ("ok-binary", mixed(binary, data)),
            (
                "ok-nested",
                one("INT64", "[2,1,2]", "[[[9223372036854775807,-1]],[[0,1]]]"),
            ),
            (
                "ok-strings",
                one("BYTES", "[3]", r#"["","a\u00e9\n\"","\ud83d\ude00 ]"]"#),
            ),
            ("ok-scalar", one("FP64", "[]", "-0.0")),
            ("ok-empty", one("UINT8", "[0,3]", "[]")),
            ("ok-halves", one("BF16", "[1,3]", "[1e-45,3.389e38,-65504]")),
            ("ok-bare", bare(b"\x01\x02\x03\x04\0\0\0\x3f\x01")),
            ("ok-bare.none", bare(b"\0\0\0\x3f\x01")),
            ("ok-bool", one("BOOL", "[2]", "[ true ,\tfalse ]")),
        ],
    );
}

fn kserve_infer_refused(seeds: &mut Seeds) {
    let size = r#"{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]}"#;
    let bool = size.replace("INT8", "BOOL");
    let twice = IRIS.replace("\"outputs\"", "\"inputs\"");
    seeds.add_all(
        "kserve_infer",
        [
            ("refused-bare-tensors", bare(b"\x01\0\0\0\x3f\x01")),
            ("refused-bare-tensors.short", bare(b"")),
            ("refused-tensor-data.bare", bare(b"\0\0\0\x3f\x02")),
            (
                "refused-invalid-header-length.bare",
                request("\napplication/vnd.nacre.tensors\n0", b""),
            ),
            ("refused-no-headers", b"{}".to_vec()),
            (
                "refused-body-too-large",
                request("gzip\n\n", &gzip(&vec![b' '; BODY_LIMIT + 1])),
            ),
            (
                "refused-malformed-encoding",
                request("deflate\n\n", &zlib(b"{}")[..6]),
            ),
            ("refused-unsupported-encoding", request("br\n\n", b"{}")),
            (
                "refused-unsupported-media-type",
                request("\ntext/plain\n", b"{}"),
            ),
            ("refused-invalid-header-length", request("\n\n+2", b"{}")),
            ("refused-malformed-json", request("\n\n", b"{\"inputs\":[")),
            (
                "refused-malformed-json.depth",
                one("INT8", "[1]", &"[".repeat(300)),
            ),
            ("refused-invalid-request", request("\n\n", twice.as_bytes())),
            ("refused-missing-field", request("\n\n", b"{}")),
            (
                "refused-invalid-parameter",
                request(
                    "\n\n",
                    IRIS.replace("{\"binary", "{\"classification\":0,\"binary")
                        .as_bytes(),
                ),
            ),
            ("refused-binary-length", mixed(size, b"ab")),
            ("refused-tensor-data", mixed(&bool, b"\x02")),
            ("refused-unknown-datatype", one("FP8", "[1]", "[1]")),
            (
                "refused-invalid-shape",
                one("FP32", "[4611686018427387904,2]", "[]"),
            ),
            ("refused-tensor-length", one("FP32", "[2]", "[1]")),
            (
                "refused-tensor-nesting",
                one("FP32", "[2,1]", "[[1],[1,2]]"),
            ),
            ("refused-wrong-value", one("INT32", "[1]", "[1.0]")),
            ("refused-value-out-of-range", one("FP16", "[1]", "[65520]")),
        ],
    );
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn kserve_route(seeds: &mut Seeds) {
    let long = format!("GET /v2/models/{}", "%61".repeat(257));
    for (verdict, line) in [
        ("ok-server", "GET /v2"),
        ("ok-ready", "HEAD /v2/health/ready"),
        ("ok-index", "POST /v2/repository/index"),
        ("ok-infer", "POST /v2/models/iris/versions/1/infer"),
        ("ok-escaped", "GET /v2/models/a%20b%2fc%C3%A9/stats"),
        (
            "ok-named-like-a-word",
            "GET /v2/models/versions/versions/ready",
        ),
        ("refused-not-found", "GET /v2/models/iris/infer/x"),
        ("refused-method-not-allowed", "DELETE /v2/models/iris"),
        ("refused-invalid-path.cut", "GET /v2/models/%4"),
        ("refused-invalid-path.utf-8", "GET /v2/models/%ff"),
        ("refused-invalid-path.control", "GET /v2/models/a%0d%0ab"),
        ("refused-invalid-path.long", &long),
        (
            "refused-repository-read-only",
            "POST /v2/repository/models/iris/load",
        ),
        ("refused-no-method", "/v2"),
    ] {
        seeds.add("kserve_route", verdict, line);
    }
}

fn worker_frame(seeds: &mut Seeds) {
    let head = |name: &str, datatype, shape: &[u64], len| TensorHead {
        name: name.to_owned(),
        datatype,
        shape: shape.to_vec(),
        len,
    };
    let spec = |name: &str, shape: &[i64]| TensorSpec {
        name: name.to_owned(),
        datatype: DataType::Fp32,
        shape: shape.to_vec(),
    };
    let infer = frame(&Message::Infer {
        id: 1,
        inputs: vec![
            head("x", DataType::Fp32, &[1, 4], 16),
            head("s", DataType::Bytes, &[2], 11),
        ],
        outputs: Some(vec!["y".into()]),
    });
    let configure = Configure {
        onnxruntime: "/lib/libonnxruntime.so".into(),
        memory_bytes: 64 << 20,
        uid: Some(100_001),
        max_output_bytes: 1 << 20,
        threads: 2,
        pid_namespace: true,
    };
    let isolation = Isolation {
        seccomp: true,
        landlock_abi: 4,
        ..Isolation::default()
    };
    let output = Message::Output {
        id: u64::MAX,
        compute_micros: 250,
        outputs: vec![head("y", DataType::Int64, &[], 8)],
    };
    let fault = Fault::new(FaultCode::WrongData, "é is not it");
    let loaded = Message::Loaded(ModelSpec {
        inputs: vec![spec("x", &[-1, 4])],
        outputs: vec![spec("y", &[])],
    });
    seeds.add_all(
        "worker_frame",
        [
            ("ok-configure", frame(&Message::Configure(configure))),
            ("ok-ready", frame(&Message::Ready(isolation))),
            ("ok-load", frame(&Message::Load { len: 1 << 30 })),
            ("ok-loaded", frame(&loaded)),
            ("ok-infer", infer.clone()),
            ("ok-output", frame(&output)),
            ("ok-failed", frame(&Message::Failed { id: 3, fault })),
        ],
    );
    let changed = |at: usize, byte: u8| {
        let mut bytes = infer.clone();
        bytes[at] = byte;
        bytes
    };
    let longer = {
        let mut bytes = infer.clone();
        bytes[4] += 1;
        bytes.push(0);
        bytes
    };
    seeds.add_all(
        "worker_frame",
        [
            ("refused-reserved", changed(1, 1)),
            ("refused-kind", changed(0, 77)),
            ("refused-meta-too-long", changed(7, 1)),
            ("refused-body-too-long", changed(15, 1)),
            ("refused-body-length", changed(8, 28)),
            ("refused-short", infer[..infer.len() - 1].to_vec()),
            ("refused-trailing", longer),
            // After the header: id (8), count (2), length of the name (2), name, type, rank (2), first dimension (8).
            ("refused-limit", changed(25, 9)),
            ("refused-text", changed(28, 0xff)),
            ("refused-value", changed(29, 14)),
            ("refused-tensor-length", changed(32, 2)),
        ],
    );
}

fn frame(message: &Message) -> Vec<u8> {
    message.encode().unwrap()
}
