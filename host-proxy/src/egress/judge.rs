//! Which addresses an enclave may reach through this host.
//!
//! A name leads wherever its owner says, so the address decides. Only the internet's own addresses are in reach by
//! default (IANA's special-purpose registries, RFC 6890), and an IPv4 address that stands within an IPv6 one is judged as
//! itself. The networks around every machine, link-local ones with the metadata service of the cloud, are never in reach:
//! they give out the instance's credentials to whoever asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On the internet.
    Public,
    /// On a private network or this machine: only where the operator says so.
    Private,
    /// Nowhere that may be reached.
    Never,
}

/// Says where an address lies.
pub fn judge(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => judge_v4(address),
        IpAddr::V6(address) => judge_v6(address),
    }
}

fn judge_v4(address: Ipv4Addr) -> Reach {
    let within = |[a, b, c, d]: [u8; 4], bits: u32| {
        let net = Ipv4Addr::new(a, b, c, d).to_bits();
        (address.to_bits() ^ net).leading_zeros() >= bits
    };
    let private = [
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        // Shared address space of providers, RFC 6598.
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
    ];
    let never = [
        // "This network": Linux connects 0.0.0.0 to itself.
        ([0, 0, 0, 0], 8),
        // Link-local, with the metadata of instances and of containers.
        ([169, 254, 0, 0], 16),
        // Protocol assignments, documentation, benchmarks, the old relays of 6to4.
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        // Multicast, reserved, broadcast.
        ([224, 0, 0, 0], 3),
    ];
    if never.iter().any(|(net, bits)| within(*net, *bits)) {
        Reach::Never
    } else if private.iter().any(|(net, bits)| within(*net, *bits)) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn judge_v6(address: Ipv6Addr) -> Reach {
    let within = |net: &str, bits: u32| {
        let net: Option<Ipv6Addr> = net.parse().ok();
        net.is_some_and(|net| (address.to_bits() ^ net.to_bits()).leading_zeros() >= bits)
    };
    let [.., a, b, c, d] = address.octets();
    // IPv4-mapped (RFC 4291 §2.5.5.2), and the well-known prefix of NAT64 (RFC 6052), behind which IPv6-only subnets
    // reach the IPv4 internet.
    if within("::ffff:0:0", 96) || within("64:ff9b::", 96) {
        return judge_v4(Ipv4Addr::new(a, b, c, d));
    }
    let never = [
        // Protocol assignments with Teredo, which tunnels to an IPv4 address; documentation; 6to4, likewise a tunnel.
        ("2001::", 23),
        ("2001:db8::", 32),
        ("2002::", 16),
        ("3fff::", 20),
        // The services around an EC2 instance: metadata, DNS, time.
        ("fd00:ec2::", 32),
    ];
    if never.iter().any(|(net, bits)| within(net, *bits)) {
        Reach::Never
    } else if within("2000::", 3) {
        Reach::Public
    } else if within("fc00::", 7) || address.is_loopback() {
        Reach::Private
    } else {
        // Link-local, multicast, unspecified, IPv4-compatible, NAT64 of local use, and what nobody has assigned.
        Reach::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reach: Reach, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(judge(address.parse().unwrap()), reach, "{address}");
        }
    }

    #[test]
    fn the_internet_is_in_reach() {
        all(
            Reach::Public,
            &[
                "1.1.1.1",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.167.255.255",
                "192.169.0.0",
                "223.255.255.255",
                "2606:4700::1",
                "2600:1f18::1",
                "::ffff:1.1.1.1",
                "64:ff9b::1.1.1.1",
            ],
        );
    }

    #[test]
    fn private_networks_are_in_reach_where_the_operator_says_so() {
        all(
            Reach::Private,
            &[
                "10.0.0.1",
                "10.255.255.255",
                "100.64.0.1",
                "100.127.255.255",
                "127.0.0.1",
                "127.255.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.1",
                "::1",
                "fd12:3456::1",
                "fc00::1",
                "::ffff:127.0.0.1",
                "::ffff:10.0.0.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b::7f00:1",
            ],
        );
    }

    #[test]
    fn metadata_and_what_is_no_place_are_never_in_reach() {
        all(
            Reach::Never,
            &[
                "169.254.169.254",
                "169.254.170.2",
                "169.254.0.0",
                "::ffff:169.254.169.254",
                "64:ff9b::169.254.169.254",
                "fd00:ec2::254",
                "fd00:ec2::23",
                "0.0.0.0",
                "0.1.2.3",
                "192.0.0.1",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::ffff:0.0.0.0",
                "::7f00:1",
                "::1.2.3.4",
                "64:ff9b:1::1",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "ff02::1",
                "100::1",
                "2001:0:a9fe:a9fe::1",
                "2001:db8::1",
                "2002:a9fe:a9fe::1",
                "3fff::1",
                "5f00::1",
            ],
        );
    }
}
