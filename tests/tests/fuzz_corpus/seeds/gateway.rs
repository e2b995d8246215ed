//! ClientHellos.

use super::Seeds;

pub(super) fn add(seeds: &mut Seeds) {
    let iris = server_name(b"iris.fn.example.org");
    let whole = record(&hello(&iris, SIGNATURES));
    let mut with_more = whole.clone();
    with_more.extend(b"\x17\x03\x03\x00\x02ab");
    let long = [extension(0xfafa, &[0; 17_000])];
    seeds.add_all(
        "client_hello",
        [
            ("ok-name", whole.clone()),
            ("ok-and-more", with_more),
            ("ok-in-records", in_records(&hello(&iris, SIGNATURES), 7)),
            (
                "ok-upper-case",
                record(&hello(&server_name(b"IRIS.Fn.example.ORG"), SIGNATURES)),
            ),
            ("refused-no-name", record(&hello(&[], SIGNATURES))),
            (
                "refused-no-name.address",
                record(&hello(&server_name(b"192.0.2.1"), SIGNATURES)),
            ),
            ("refused-hello-incomplete", whole[..60].to_vec()),
            ("refused-hello-incomplete.nothing", Vec::new()),
            (
                "refused-hello-too-long",
                in_records(&hello(&long.concat(), SIGNATURES), 16_000),
            ),
            (
                "refused-hello-malformed.no-signatures",
                record(&hello(&iris, &[])),
            ),
            (
                "refused-hello-malformed.two-names",
                record(&hello(&[iris.clone(), iris.clone()].concat(), SIGNATURES)),
            ),
            (
                "refused-hello-malformed.name",
                record(&hello(&server_name(b"a..b"), SIGNATURES)),
            ),
            (
                "refused-hello-malformed.finished",
                record(&[&[20], &hello(&iris, SIGNATURES)[1..]].concat()),
            ),
            (
                "refused-hello-malformed.two-messages",
                record(&hello(&iris, SIGNATURES).repeat(2)),
            ),
            (
                "refused-hello-malformed.http",
                b"GET / HTTP/1.1\r\nhost: iris.fn.example.org\r\n\r\n".to_vec(),
            ),
        ],
    );
}

/// ecdsa_secp256r1_sha256, without which no server answers.
const SIGNATURES: &[u8] = b"\x00\x0d\x00\x04\x00\x02\x04\x03";

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &length(body.len()), body].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    let entry = [&[0][..], &length(name.len()), name].concat();
    extension(0, &[&length(entry.len())[..], &entry].concat())
}

/// The message: version, random, session, one suite, no compression, extensions.
fn hello(extensions: &[u8], signatures: &[u8]) -> Vec<u8> {
    let versions = extension(43, b"\x02\x03\x04");
    let extensions = [extensions, signatures, &versions].concat();
    let fixed = [&[3, 3][..], &[7; 32], b"\x00\x00\x02\x13\x01\x01\x00"].concat();
    let body = [&fixed[..], &length(extensions.len()), &extensions].concat();
    [&[1, 0][..], &length(body.len()), &body].concat()
}

fn record(message: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &length(message.len()), message].concat()
}

fn in_records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(record).collect()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap().to_be_bytes()
}
