//! CBOR, written by hand (RFC 8949).

pub(crate) const NULL: [u8; 1] = [0xf6];

/// A head in its shortest form.
pub(crate) fn head(major: u8, argument: u64) -> Vec<u8> {
    let bytes = argument.to_be_bytes();
    let (info, tail) = match argument {
        0..=23 => (bytes[7], &bytes[8..]),
        24..=0xff => (24, &bytes[7..]),
        0x100..=0xffff => (25, &bytes[6..]),
        0x1_0000..=0xffff_ffff => (26, &bytes[4..]),
        _ => (27, &bytes[..]),
    };
    [&[major << 5 | info], tail].concat()
}

pub(crate) fn uint(value: u64) -> Vec<u8> {
    head(0, value)
}

pub(crate) fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len() as u64), value.to_vec()].concat()
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    [head(3, value.len() as u64), value.as_bytes().to_vec()].concat()
}

/// An array of encoded items.
pub(crate) fn array(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let items: Vec<_> = items.into_iter().collect();
    [head(4, items.len() as u64), items.concat()].concat()
}

/// A map of encoded keys and values.
pub(crate) fn map(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(key, value)| [key, value].concat())
        .collect();
    [head(5, entries.len() as u64), entries.concat()].concat()
}

pub(crate) fn pcrs(pcrs: impl IntoIterator<Item = (u8, [u8; 48])>) -> Vec<u8> {
    map(pcrs
        .into_iter()
        .map(|(index, value)| (uint(index.into()), bytes(&value))))
}
