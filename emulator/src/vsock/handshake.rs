//! The line with which a program on the host asks for a port of the guest, as Firecracker has it: `CONNECT <port>\n`, and
//! then, when the guest has accepted, `OK <number>\n` comes back.

/// The longest line, with its end: `CONNECT 4294967295\n`.
pub const MAX_LINE: usize = 19;

/// What has come so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Not enough.
    Incomplete,
    /// A whole line of `length` bytes; what follows is for the guest.
    Connect {
        /// The guest's port.
        port: u32,
        /// Bytes of the line.
        length: usize,
    },
    /// Something else.
    Wrong,
}

/// Reads the beginning of what a program sent.
#[must_use]
pub fn parse(bytes: &[u8]) -> Line {
    let start = &bytes[..bytes.len().min(MAX_LINE)];
    match start.iter().position(|byte| *byte == b'\n') {
        Some(end) => port(&start[..end]).map_or(Line::Wrong, |port| Line::Connect {
            port,
            length: end + 1,
        }),
        None if start.len() < MAX_LINE => Line::Incomplete,
        None => Line::Wrong,
    }
}

fn port(line: &[u8]) -> Option<u32> {
    let number = line.strip_prefix(b"CONNECT ")?;
    if !number.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// The answer to a program whose connection is open.
#[must_use]
pub fn accepted(host_port: u32) -> String {
    format!("OK {host_port}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_word_and_a_port() {
        let connect = |port, length| Line::Connect { port, length };
        assert_eq!(parse(b"CONNECT 443\n"), connect(443, 12));
        assert_eq!(parse(b"CONNECT 443\nGET /"), connect(443, 12));
        assert_eq!(parse(b"CONNECT 4294967295\n"), connect(u32::MAX, 19));
        assert_eq!(parse(b"CONNECT 0\n"), connect(0, 10));
    }

    #[test]
    fn half_a_line_is_waited_for_and_a_wrong_one_is_not() {
        for end in 0..12 {
            assert_eq!(parse(&b"CONNECT 443\n"[..end]), Line::Incomplete);
        }
        for wrong in [
            &b"\n"[..],
            b"CONNECT\n",
            b"CONNECT \n",
            b"CONNECT +1\n",
            b"CONNECT -1\n",
            b"CONNECT 1 \n",
            b"CONNECT  1\n",
            b"CONNECT 4294967296\n",
            b"connect 1\n",
            b"CONNECT 00000000000000000001\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n",
        ] {
            assert_eq!(parse(wrong), Line::Wrong, "{}", wrong.escape_ascii());
        }
    }
}
