use proptest::prelude::*;

use super::*;

/// A header as the document draws it: TCP over IPv4, 192.0.2.7:51234 to 198.51.100.1:443, and one TLV.
const DRAWN: &[u8] = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x10\
    \xc0\x00\x02\x07\xc6\x33\x64\x01\xc8\x22\x01\xbb\x04\x00\x01\x00TLS";

fn whole(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Parsed::Header(header)) => header,
        other => panic!("no header: {other:?}"),
    }
}

/// The fixed part alone, with this command, family and length.
fn fixed(command: u8, family: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [&SIGNATURE[..], &[command, family, high, low]].concat()
}

#[test]
fn a_header_says_whom_it_speaks_for_and_where_it_ends() {
    let header = whole(DRAWN);
    assert_eq!(header.source, Some("192.0.2.7:51234".parse().unwrap()));
    assert_eq!(&DRAWN[header.length..], b"TLS");
}

#[test]
fn a_proxy_may_speak_for_itself_in_any_family() {
    for family in [0x00, 0x11, 0x31, 0xff] {
        let bytes = [fixed(0x20, family, 3), b"abcrest".to_vec()].concat();
        let header = whole(&bytes);
        assert_eq!((header.source, header.length), (None, 19));
    }
    assert_eq!(whole(&LOCAL_HEADER).source, None);
}

#[test]
fn every_beginning_asks_for_no_more_than_is_certain_to_come() {
    let end = whole(DRAWN).length;
    for cut in 0..end {
        let needs = if cut < 16 { 16 } else { end };
        assert_eq!(parse(&DRAWN[..cut]), Ok(Parsed::Needs(needs)), "{cut}");
    }
}

#[test]
fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
    // A TLS ClientHello, version 1, and a signature with one wrong byte at its end.
    assert_eq!(parse(b"\x16"), Err(HeaderError::Signature));
    assert_eq!(parse(b"PROXY TCP4"), Err(HeaderError::Signature));
    assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), Err(HeaderError::Signature));
    assert_eq!(
        parse(&fixed(0x11, 0x11, 12)),
        Err(HeaderError::Command(0x11))
    );
    assert_eq!(
        parse(&fixed(0x22, 0x11, 12)),
        Err(HeaderError::Command(0x22))
    );
    // UDP, a Unix socket, and nothing at all are no callers of a TCP port.
    for family in [0x12, 0x31, 0x00, 0x13] {
        assert_eq!(
            parse(&fixed(0x21, family, 216)),
            Err(HeaderError::Family(family))
        );
    }
    assert_eq!(parse(&fixed(0x21, 0x11, 11)), Err(HeaderError::Length(11)));
    assert_eq!(parse(&fixed(0x21, 0x21, 35)), Err(HeaderError::Length(35)));
    assert_eq!(
        parse(&fixed(0x20, 0x00, 521)),
        Err(HeaderError::Length(521))
    );
    assert_eq!(parse(&fixed(0x20, 0x00, 520)), Ok(Parsed::Needs(536)));
    for error in [HeaderError::Signature, HeaderError::Length(1)] {
        assert!(error.to_string().starts_with(error.code()));
    }
}

#[test]
fn networks_are_written_as_everybody_writes_them() {
    let contains = |network: &str, address: &str| {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    };
    assert!(contains("10.0.0.0/8", "10.255.0.1"));
    assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(!contains("10.0.0.0/8", "11.0.0.1"));
    assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
    assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
    assert!(!contains("2001:db8::/32", "2001:db9::"));
    assert!(contains("0.0.0.0/0", "255.0.0.1") && !contains("0.0.0.0/0", "2001:db8::1"));
    assert!(contains("::/0", "2001:db8::1"));
    for wrong in [
        "",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "x/8",
        "10.0.0.0/8/8",
        "::/999",
    ] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<(u32, u16)>().prop_map(|(ip, port)| (std::net::Ipv4Addr::from(ip), port).into()),
        any::<(u128, u16)>().prop_map(|(ip, port)| (Ipv6Addr::from(ip), port).into()),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(from in socket(), to in socket(), rest in any::<Vec<u8>>()) {
        let header = header(from, to);
        let read = whole(&[header.clone(), rest].concat());
        prop_assert_eq!(read.length, header.len());
        let source = read.source.unwrap();
        prop_assert_eq!(source.port(), from.port());
        prop_assert_eq!(source.ip().to_canonical(), from.ip().to_canonical());
    }

    #[test]
    fn any_bytes_are_read_without_harm(command: u8, family: u8, length: u16, rest in any::<Vec<u8>>(), cut in 0..40usize) {
        let mut bytes = [fixed(command, family, length), rest].concat();
        bytes.truncate(cut);
        match parse(&bytes) {
            Ok(Parsed::Header(header)) => prop_assert!(header.length <= bytes.len()),
            Ok(Parsed::Needs(needs)) => prop_assert!(needs > bytes.len() && needs <= FIXED + MOST),
            Err(error) => prop_assert!(!error.code().is_empty()),
        }
    }

    #[test]
    fn networks_are_read_as_they_are_shown(bits: u128, prefix in 0..=128u32) {
        let network = Network { bits: bits & mask(prefix), prefix };
        prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
        prop_assert!(network.contains(Ipv6Addr::from_bits(bits).into()));
    }
}
