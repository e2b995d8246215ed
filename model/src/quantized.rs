//! Numbers as ggml writes them (`ggml-quants.c`), and as ONNX Runtime's `MatMulNBits` takes them.

use half::{bf16, f16};

/// Numbers in a block of ours.
pub const BLOCK: usize = 32;
/// What stands for zero in eight bits.
const ZERO: u8 = 128;
/// Numbers in a block of the K family.
const LARGE_BLOCK: usize = 256;

/// How a tensor's numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// 32 numbers: a scale, and four bits each, of which 8 is zero.
    Q4_0,
    /// 32 numbers: a scale, a smallest, and four bits each.
    Q4_1,
    /// 32 numbers: a scale, and eight bits each.
    Q8_0,
    /// 256 numbers in eight parts with scales and smallests of six bits; four bits each.
    Q4K,
    /// 256 numbers in sixteen parts with scales of eight bits; six bits each.
    Q6K,
}

impl Quantization {
    /// By ggml's number of the type.
    pub fn of(kind: u32) -> Option<Self> {
        Some(match kind {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Numbers in a block.
    pub fn block(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q6K => LARGE_BLOCK,
        }
    }

    /// Bytes of so many numbers, which are whole blocks.
    pub fn bytes(self, numbers: usize) -> usize {
        let of_a_block = match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q6K => 210,
        };
        numbers / self.block() * of_a_block
    }

    /// The numbers; what is no whole block at the end is left out.
    pub fn numbers(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => each(bytes, |raw: &[u8; 4], out| {
                out.push(f32::from_le_bytes(*raw))
            }),
            Self::F16 => each(bytes, |raw: &[u8; 2], out| {
                out.push(f16::from_le_bytes(*raw).to_f32());
            }),
            Self::Bf16 => each(bytes, |raw: &[u8; 2], out| {
                out.push(bf16::from_le_bytes(*raw).to_f32());
            }),
            Self::Q4_0 => each(bytes, q4_0),
            Self::Q4_1 => each(bytes, q4_1),
            Self::Q8_0 => each(bytes, q8_0),
            Self::Q4K => each(bytes, q4_k),
            Self::Q6K => each(bytes, q6_k),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], mut block: impl FnMut(&[u8; N], &mut Vec<f32>)) -> Vec<f32> {
    let (blocks, _) = bytes.as_chunks::<N>();
    let mut out = Vec::new();
    for one in blocks {
        block(one, &mut out);
    }
    out
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q4_0(block: &[u8; 18], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    let number = |bits: u8| (f32::from(bits) - 8.0) * scale;
    out.extend(block[2..].iter().map(|byte| number(byte & 15)));
    out.extend(block[2..].iter().map(|byte| number(byte >> 4)));
}

fn q4_1(block: &[u8; 20], out: &mut Vec<f32>) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let number = |bits: u8| f32::from(bits) * scale + least;
    out.extend(block[4..].iter().map(|byte| number(byte & 15)));
    out.extend(block[4..].iter().map(|byte| number(byte >> 4)));
}

fn q8_0(block: &[u8; 34], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    out.extend(
        block[2..]
            .iter()
            .map(|byte| f32::from(byte.cast_signed()) * scale),
    );
}

fn q4_k(block: &[u8; 144], out: &mut Vec<f32>) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    // Six bits for each part: the first four lie in whole bytes, the others are put together.
    let part = |n: usize| {
        if n < 4 {
            (packed[n] & 63, packed[n + 4] & 63)
        } else {
            (
                (packed[n + 4] & 15) | ((packed[n - 4] >> 6) << 4),
                (packed[n + 4] >> 4) | ((packed[n] >> 6) << 4),
            )
        }
    };
    for (pair, bytes) in block[16..].chunks_exact(32).enumerate() {
        for (n, shift) in [(2 * pair, 0), (2 * pair + 1, 4)] {
            let (factor, below) = part(n);
            let (factor, below) = (scale * f32::from(factor), least * f32::from(below));
            let number = |byte: &u8| factor * f32::from((byte >> shift) & 15) - below;
            out.extend(bytes.iter().map(number));
        }
    }
}

fn q6_k(block: &[u8; 210], out: &mut Vec<f32>) {
    let scale = half_at(block, 208);
    for half in 0..2 {
        let low = &block[64 * half..64 * half + 64];
        let high = &block[128 + 32 * half..160 + 32 * half];
        let scales = &block[192 + 8 * half..200 + 8 * half];
        for quarter in 0..4 {
            for l in 0..32 {
                let low = low[l + 32 * (quarter % 2)] >> (4 * (quarter / 2)) & 15;
                let bits = low | (high[l] >> (2 * quarter) & 3) << 4;
                let part = f32::from(scales[l / 16 + 2 * quarter].cast_signed());
                out.push(scale * part * (f32::from(bits) - 32.0));
            }
        }
    }
}

/// A matrix in eight bits and blocks of [`BLOCK`], as `MatMulNBits` takes it: row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct EightBit {
    /// One byte a number; 128 is zero.
    pub bytes: Vec<u8>,
    /// One for each block.
    pub scales: Vec<f32>,
}

impl EightBit {
    /// From what ggml has written. Where its grid is one of ours (`Q8_0`, `Q4_0`) nothing is lost; otherwise each number is off
    /// by at most half a 127th of its block's largest. Rows are whole blocks.
    pub fn of(quantization: Quantization, bytes: &[u8]) -> Self {
        match quantization {
            Quantization::Q8_0 => Self::exactly(bytes, |block: &[u8; 34]| {
                let byte = |n: usize| block[2 + n].wrapping_add(ZERO);
                (half_at(block, 0), core::array::from_fn(byte))
            }),
            Quantization::Q4_0 => Self::exactly(bytes, |block: &[u8; 18]| {
                let bits = |n: usize| (block[2 + n % 16] >> (4 * (n / 16))) & 15;
                let byte = |n: usize| ZERO - 8 + bits(n);
                (half_at(block, 0), core::array::from_fn(byte))
            }),
            other => Self::nearest(&other.numbers(bytes)),
        }
    }

    /// The nearest to these numbers.
    pub fn nearest(numbers: &[f32]) -> Self {
        let mut matrix = Self {
            bytes: Vec::with_capacity(numbers.len()),
            scales: Vec::with_capacity(numbers.len() / BLOCK),
        };
        for block in numbers.chunks_exact(BLOCK) {
            let largest = block.iter().fold(0f32, |most, x| most.max(x.abs()));
            let scale = largest / 127.0;
            let byte = |x: &f32| {
                let steps = if scale > 0.0 { x / scale } else { 0.0 };
                (steps.round().clamp(-127.0, 127.0) as i8)
                    .cast_unsigned()
                    .wrapping_add(ZERO)
            };
            matrix.scales.push(scale);
            matrix.bytes.extend(block.iter().map(byte));
        }
        matrix
    }

    fn exactly<const N: usize>(
        bytes: &[u8],
        block: impl Fn(&[u8; N]) -> (f32, [u8; BLOCK]),
    ) -> Self {
        let (blocks, _) = bytes.as_chunks::<N>();
        let mut matrix = Self {
            bytes: Vec::with_capacity(blocks.len() * BLOCK),
            scales: Vec::with_capacity(blocks.len()),
        };
        for one in blocks {
            let (scale, bytes) = block(one);
            matrix.scales.push(scale);
            matrix.bytes.extend(bytes);
        }
        matrix
    }

    /// The numbers it stands for.
    pub fn numbers(&self) -> impl Iterator<Item = f32> {
        let blocks = self.bytes.chunks(BLOCK).zip(&self.scales);
        blocks.flat_map(|(bytes, scale)| {
            bytes
                .iter()
                .map(move |byte| (f32::from(*byte) - f32::from(ZERO)) * scale)
        })
    }
}

#[cfg(test)]
mod tests;
