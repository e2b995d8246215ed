//! Seeds of the way out: requests, answers, allow-lists.

use super::Seeds;

pub(super) fn add(seeds: &mut Seeds) {
    connect_request(seeds);
    connect_answer(seeds);
    allow_list(seeds);
}

fn connect_request(seeds: &mut Seeds) {
    const GOOD: &str = "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n";
    let with = |header: &str| GOOD.replace("host:", &format!("{header}\r\nhost:"));
    for (verdict, head) in [
        ("ok-request", GOOD.to_owned()),
        (
            "ok-headers",
            with("User-Agent: x\r\nProxy-Connection: keep-alive"),
        ),
        ("refused-more", GOOD[..GOOD.len() - 2].to_owned()),
        ("refused-early", format!("{GOOD}\u{16}\u{3}\u{1}")),
        (
            "refused-too-long.bytes",
            with(&format!("a: {}", "b".repeat(5000))),
        ),
        (
            "refused-too-long.lines",
            with("a: b\r\n".repeat(40).trim_end()),
        ),
        ("refused-method", GOOD.replace("CONNECT", "GET")),
        (
            "refused-target.address",
            GOOD.replace("a.example", "127.0.0.1"),
        ),
        (
            "refused-target.hexadecimal",
            GOOD.replace("a.example", "0x7f000001"),
        ),
        ("refused-target.port", GOOD.replace(":443 ", ":0443 ")),
        (
            "refused-target.user",
            GOOD.replace("a.example:443 ", "u@a.example:443 "),
        ),
        ("refused-malformed.version", GOOD.replace("1.1", "1.0")),
        (
            "refused-malformed.tab",
            GOOD.replace("CONNECT ", "CONNECT\t"),
        ),
        (
            "refused-header.other-host",
            GOOD.replace("host: a", "host: b"),
        ),
        ("refused-header.two-hosts", with("Host: a.example:443")),
        ("refused-header.folded", with(" x: y")),
        ("refused-header.line-feed", with("x: y\nz: w")),
        ("refused-header.length", with("content-length: 0")),
    ] {
        seeds.add("connect_request", verdict, head);
    }
}

fn connect_answer(seeds: &mut Seeds) {
    const GOOD: &str = "HTTP/1.1 200 Connection Established\r\n\r\n";
    const NO: &str = "HTTP/1.1 403 Forbidden\r\nnacre-error: egress-name-not-allowed\r\ncontent-length: 0\r\n\r\n";
    let with = |header: &str| GOOD.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    for (verdict, head) in [
        ("ok-open", GOOD.to_owned()),
        ("ok-headers", with("via: 1.1 host\r\nx:")),
        ("refused-refused", NO.to_owned()),
        ("refused-refused.body", format!("{NO}because")),
        ("refused-more", GOOD[..GOOD.len() - 2].to_owned()),
        ("refused-early", format!("{GOOD}\u{16}\u{3}\u{3}")),
        ("refused-status.version", GOOD.replace("1.1", "1.0")),
        ("refused-status.digits", GOOD.replace("200", "0200")),
        ("refused-status.another", GOOD.replace("200", "204")),
        ("refused-status.control", GOOD.replace("Conn", "\u{1b}[2J")),
        ("refused-header.length", with("Content-Length: 0")),
        ("refused-header.chunked", with("transfer-encoding: chunked")),
        ("refused-header.folded", with("a: b\r\n c")),
        ("refused-header.line-feed", with("a: b\nc: d")),
        (
            "refused-too-long.bytes",
            with(&format!("a: {}", "b".repeat(5000))),
        ),
        (
            "refused-too-long.lines",
            with("a: b\r\n".repeat(40).trim_end()),
        ),
    ] {
        seeds.add("connect_answer", verdict, head);
    }
}

fn allow_list(seeds: &mut Seeds) {
    let many: String = (0..1025).map(|n| format!("a{n}:1\n")).collect();
    for (verdict, text) in [
        ("ok-nothing", "# nothing\n"),
        ("ok-two", "a.example:443 # models\r\n\n\tb-1.example:8443"),
        ("refused-line.wildcard", "*.example:443"),
        ("refused-line.address", "a.example:443\n10.0.0.1:443"),
        ("refused-line.two", "a.example:443 b.example:443"),
        ("refused-line.case", "A.example:443"),
        (
            "refused-twice",
            "a.example:443\nb.example:443\na.example:443",
        ),
        ("refused-too-large", &many),
    ] {
        seeds.add("allow_list", verdict, text);
    }
    seeds.add("allow_list", "refused-too-large.not-text", [b'a', 0xff]);
}
