use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// What a real client says first.
fn hello(name: &str, alpn: &[Vec<u8>]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.to_vec();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same message cut into records of this many bytes.
fn in_records_of(hello: &[u8], size: usize) -> Vec<u8> {
    let records = hello[5..].chunks(size).map(|part| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], &length[..], part].concat()
    });
    records.collect::<Vec<_>>().concat()
}

fn name(bytes: &[u8]) -> Result<Option<String>, &'static str> {
    let read = parse(bytes).map(|hello| hello.server_name);
    read.map_err(|error| error.code())
}

#[test]
fn the_name_is_the_one_the_client_asks_for() {
    let iris = Some("iris.example.org".to_owned());
    assert_eq!(name(&hello("iris.example.org", &[])), Ok(iris.clone()));
    assert_eq!(name(&hello("IRIS.Example.org", &[])), Ok(iris.clone()));
    assert_eq!(name(&hello("192.0.2.1", &[])), Ok(None));
    let many = in_records_of(&hello("iris.example.org", &[]), 40);
    assert_eq!(name(&many), Ok(iris));
}

#[test]
fn what_follows_the_hello_is_not_looked_at() {
    let mut bytes = hello("iris.example.org", &[]);
    bytes.extend(b"\x17\x03\x03\xff\xff early data that makes no sense");
    assert_eq!(name(&bytes), Ok(Some("iris.example.org".to_owned())));
}

#[test]
fn a_hello_may_fill_its_bound_and_no_byte_more() {
    let protocol = vec![b'a'; 250];
    let of = |bytes: usize| {
        let plain = hello("iris.example.org", &[]).len() + 6;
        let count = (bytes - plain) / 251;
        let last = vec![b'b'; bytes - plain - count * 251 - 1];
        let mut alpn = vec![protocol.clone(); count];
        alpn.push(last);
        hello("iris.example.org", &alpn)
    };
    let (fits, over) = (of(MAX_HELLO), of(MAX_HELLO + 1));
    assert_eq!((fits.len(), over.len()), (MAX_HELLO, MAX_HELLO + 1));
    assert_eq!(name(&fits), Ok(Some("iris.example.org".to_owned())));
    assert_eq!(name(&over), Err("hello-too-long"));
    // A first record that promises more than it may is not waited for.
    assert!(Parser::default().feed(b"\x16\x03\x01\xff\xff").is_err());
}

#[test]
fn what_is_no_hello_is_refused() {
    for other in [&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"SSH-2.0-x\r\n"] {
        assert_eq!(name(other), Err("hello-malformed"));
    }
    let mut finished = hello("iris.example.org", &[]);
    finished[5] = 20;
    assert_eq!(name(&finished), Err("hello-malformed"));
}

#[test]
fn a_byte_at_a_time_costs_no_more_than_its_bound() {
    let mut parser = Parser::default();
    // Records of one byte each, of a message that never ends.
    let mut drop_by_drop = b"\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x03\x00\xff\xff".to_vec();
    drop_by_drop.extend(b"\x16\x03\x01\x00\x01\x00".repeat(MAX_HELLO));
    let fed = drop_by_drop.iter().position(|byte| {
        let fed = parser.feed(&[*byte]);
        matches!(fed, Err(HelloError::TooLong | HelloError::Malformed(_)))
    });
    assert!(fed.unwrap() < MAX_HELLO);
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_come(
        label in "[a-z0-9]{1,20}",
        record in 1usize..600,
        cuts in proptest::collection::vec(1usize..400, 0..30),
        changed in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = in_records_of(&hello(&format!("{label}.example.org"), &[]), record);
        if let Some((at, byte)) = changed {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut parser = Parser::default();
        let mut rest = &bytes[..];
        let mut pieces = cuts.into_iter().chain(std::iter::repeat(1));
        let piecewise = loop {
            if rest.is_empty() {
                break Err("hello-incomplete");
            }
            let (piece, after) = rest.split_at(pieces.next().unwrap().min(rest.len()));
            rest = after;
            match parser.feed(piece) {
                Ok(None) => {}
                Ok(Some(hello)) => break Ok(hello.server_name),
                Err(error) => break Err(error.code()),
            }
        };
        prop_assert_eq!(name(&bytes), piecewise);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = parse(&bytes);
        let _ = parse(&[b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &bytes[..]].concat());
    }
}
