//! Seeds of addresses, of proxies' headers and of the NSM emulator.

use super::Seeds;

pub(super) fn add(seeds: &mut Seeds) {
    address(seeds);
    proxy_header(seeds);
    nsm_request(seeds);
}

fn address(seeds: &mut Seeds) {
    for (verdict, text) in [
        ("ok-vsock", "vsock://16:443"),
        ("ok-vsock-any", "vsock://any:9000"),
        ("ok-unix", "unix:/run/nacre: é.sock"),
        ("ok-hybrid", "hybrid:/run/v.sock:443"),
        ("ok-tcp", "tcp://node-1.example:80"),
        ("ok-ipv4", "tcp://127.0.0.1:0"),
        ("ok-ipv6", "tcp://[2001:db8:0:0::1]:65535"),
        ("refused-scheme", "http://a:1"),
        ("refused-no-port", "vsock://16"),
        ("refused-port", "tcp://a:080"),
        ("refused-cid", "vsock://0x3:1"),
        ("refused-host.brackets", "tcp://::1:1"),
        ("refused-host.digits", "tcp://1.2.3:1"),
        ("refused-path", "unix:"),
    ] {
        seeds.add("address", verdict, text);
    }
    seeds.add("address", "refused-not-text", [0xff]);
}

fn proxy_header(seeds: &mut Seeds) {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let mut add = |verdict: &str, rest: &[u8]| {
        seeds.add("proxy_header", verdict, [SIGNATURE, rest].concat());
    };
    let ipv4 =
        b"\x21\x11\x00\x10\xc0\x00\x02\x07\xc6\x33\x64\x01\xc8\x22\x01\xbb\x04\x00\x01\x00TLS";
    add("ok-ipv4-and-more", ipv4);
    let mut ipv6 = b"\x21\x21\x00\x24".to_vec();
    ipv6.extend(b"\x20\x01\x0d\xb8".repeat(8));
    ipv6.extend(b"\xc8\x22\x01\xbb");
    add("ok-ipv6", &ipv6);
    add("ok-local", b"\x20\x00\x00\x00");
    add("refused-needs-more", b"\x21\x11\x00\x0c\xc0");
    add("refused-proxy-protocol-command", b"\x11\x11\x00\x0c");
    add("refused-proxy-protocol-family", b"\x21\x12\x00\x0c");
    add("refused-proxy-protocol-length.short", b"\x21\x11\x00\x0b");
    add("refused-proxy-protocol-length.long", b"\x20\x00\xff\xff");
    let version_1 = "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n";
    seeds.add(
        "proxy_header",
        "refused-proxy-protocol-signature.version-1",
        version_1,
    );
}

fn nsm_request(seeds: &mut Seeds) {
    const DESCRIBE: &[u8] = b"\x6bDescribeNSM";
    const RANDOM: &[u8] = b"\xa1\x69GetRandom\xf6";
    const EXTEND_16: &[u8] = b"\xa1\x69ExtendPCR\xa2\x65index\x10\x64data\x44abcd";
    const LOCK_16: &[u8] = b"\xa1\x67LockPCR\xa1\x65index\x10";
    const LOCK_ALL: &[u8] = b"\xbf\x68LockPCRs\xbf\x65range\x18\x20\xff\xff";
    const ATTEST: &[u8] =
        b"\xa1\x6bAttestation\xa3\x69user_data\xf6\x65nonce\x44abcd\x6apublic_key\x40";
    let session = |requests: &[(u8, &[u8])]| -> Vec<u8> {
        let frame = |(hour, request): &(u8, &[u8])| {
            let length = u16::try_from(request.len()).unwrap().to_be_bytes();
            [&[*hour], length.as_slice(), request].concat()
        };
        requests.iter().flat_map(frame).collect()
    };
    let long = [
        b"\xa1\x69ExtendPCR\xa2\x65index\x11\x64data\x59\x0f\xff",
        &[7; 4095][..],
    ]
    .concat();
    let wide = [
        b"\xa1\x6bAttestation\xa1\x65nonce\x59\x04\x01",
        &[7; 1025][..],
    ]
    .concat();
    let full = [
        b"\xa1\x6bAttestation\xa1\x69user_data\x59\x04\x00",
        &[7; 1024][..],
    ]
    .concat();
    let ask = |request: &[u8]| session(&[(0, request)]);
    seeds.add_all(
        "nsm_request",
        [
            (
                "ok-questions",
                session(&[(0, DESCRIBE), (0, RANDOM), (0, ATTEST)]),
            ),
            (
                "ok-boot",
                session(&[(0, EXTEND_16), (1, LOCK_16), (2, ATTEST), (30, ATTEST)]),
            ),
            (
                "ok-lock-all",
                session(&[(0, LOCK_ALL), (0, LOCK_ALL), (0, &full)]),
            ),
            ("ok-clock-set-back", session(&[(200, ATTEST), (0, ATTEST)])),
            ("ok-nothing", Vec::new()),
            (
                "refused-InvalidArgument.trailing",
                ask(&[DESCRIBE, &[0]].concat()),
            ),
            ("refused-InvalidArgument.empty", ask(b"")),
            (
                "refused-InvalidArgument.deep",
                ask(&[b"\xa1\x69GetRandom", &[0x81; 2000][..]].concat()),
            ),
            (
                "refused-InvalidIndex",
                ask(b"\xa1\x6bDescribePCR\xa1\x65index\x18\x20"),
            ),
            (
                "refused-ReadOnlyIndex",
                session(&[(0, LOCK_ALL), (0, EXTEND_16)]),
            ),
            ("refused-InvalidOperation", ask(b"\xa1\x69Selfdestr\xf6")),
            ("refused-InputTooLarge.request", ask(&long)),
            ("refused-InputTooLarge.field", ask(&wide)),
        ],
    );
}
