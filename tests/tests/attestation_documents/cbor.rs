//! CBOR by hand, one head at a time, so that nothing stops a test from writing nonsense.

pub(crate) const NULL: &[u8] = &[0xf6];

pub(crate) fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    match value {
        0..24 => vec![major | value as u8],
        24..0x100 => vec![major | 24, value as u8],
        0x100..0x1_0000 => [&[major | 25][..], &(value as u16).to_be_bytes()].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 26][..], &(value as u32).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &value.to_be_bytes()].concat(),
    }
}

pub(crate) fn uint(value: u64) -> Vec<u8> {
    head(0, value)
}

pub(crate) fn bytes(content: &[u8]) -> Vec<u8> {
    [&head(2, content.len() as u64)[..], content].concat()
}

pub(crate) fn text(content: &str) -> Vec<u8> {
    [&head(3, content.len() as u64)[..], content.as_bytes()].concat()
}

pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

pub(crate) fn map(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let entries_encoded: Vec<u8> = entries
        .iter()
        .flat_map(|(key, value)| [key.as_slice(), value].concat())
        .collect();
    [head(5, entries.len() as u64), entries_encoded].concat()
}
