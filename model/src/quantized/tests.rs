//! Blocks made by hand, with their numbers worked out beside them.

use proptest::prelude::*;

use super::*;

/// 1.5 and 0.25 as binary16.
const ONE_AND_A_HALF: [u8; 2] = [0x00, 0x3e];
const A_QUARTER: [u8; 2] = [0x00, 0x34];

#[test]
fn plain_numbers_are_themselves() {
    let f32s = Quantization::F32.numbers(&[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    assert_eq!(f32s, [1.0, -2.0]);
    assert_eq!(
        Quantization::F16.numbers(&[0x00, 0x3c, 0x00, 0xc0]),
        [1.0, -2.0]
    );
    assert_eq!(
        Quantization::Bf16.numbers(&[0x80, 0x3f, 0x00, 0xc0]),
        [1.0, -2.0]
    );
}

#[test]
fn four_bits_lie_low_half_first() {
    let mut block = ONE_AND_A_HALF.to_vec();
    block.extend([0x98; 16]);
    let numbers = Quantization::Q4_0.numbers(&block);
    assert_eq!(numbers[..16], [0.0; 16]);
    assert_eq!(numbers[16..], [1.5; 16]);
    let mut block = [ONE_AND_A_HALF, A_QUARTER].concat();
    block.extend([0x10; 16]);
    let numbers = Quantization::Q4_1.numbers(&block);
    assert_eq!(numbers[..16], [0.25; 16]);
    assert_eq!(numbers[16..], [1.75; 16]);
}

#[test]
fn eight_bits_have_a_sign() {
    let mut block = ONE_AND_A_HALF.to_vec();
    block.extend((0..32u8).map(|n| n.wrapping_sub(16)));
    let numbers = Quantization::Q8_0.numbers(&block);
    assert_eq!((numbers[0], numbers[16], numbers[31]), (-24.0, 0.0, 22.5));
}

#[test]
fn the_k_family_puts_its_scales_together_from_six_bits() {
    // Scales 1, 2, 3, 4, then 33, 34, 35, 36; smallests 5, 6, 7, 8, then 49, 50, 51, 52.
    let (scales, least) = (
        [1u8, 2, 3, 4, 33, 34, 35, 36],
        [5u8, 6, 7, 8, 49, 50, 51, 52],
    );
    let mut packed = [0u8; 12];
    for n in 0..4 {
        packed[n] = scales[n] | (scales[n + 4] >> 4) << 6;
        packed[n + 4] = least[n] | (least[n + 4] >> 4) << 6;
        packed[n + 8] = (scales[n + 4] & 15) | (least[n + 4] & 15) << 4;
    }
    let mut block = [ONE_AND_A_HALF, A_QUARTER].concat();
    block.extend(packed);
    block.extend([0x52; 128]);
    let numbers = Quantization::Q4K.numbers(&block);
    for (part, numbers) in numbers.chunks(32).enumerate() {
        let bits = if part % 2 == 0 { 2.0 } else { 5.0 };
        let expected = 1.5 * f32::from(scales[part]) * bits - 0.25 * f32::from(least[part]);
        assert!(numbers.iter().all(|x| *x == expected), "part {part}");
    }
}

#[test]
fn six_bits_are_four_and_two() {
    let mut block = Vec::new();
    for half in [0x21u8, 0x43] {
        block.extend([half; 32]);
        block.extend([half + 0x11; 32]);
    }
    block.extend([0b11_10_01_00; 64]);
    block.extend((0..16u8).map(|n| n.wrapping_sub(8)));
    block.extend(ONE_AND_A_HALF);
    let numbers = Quantization::Q6K.numbers(&block);
    // Low bits 1, 2, 2, 3 in the first half; high bits 0, 1, 2, 3.
    for (quarter, low) in [1.0, 2.0, 2.0, 3.0].into_iter().enumerate() {
        let bits = low + 16.0 * quarter as f32 - 32.0;
        for l in [0, 16] {
            let scale = (2 * quarter + l / 16) as f32 - 8.0;
            assert_eq!(numbers[32 * quarter + l], 1.5 * scale * bits);
        }
    }
    // The second half: low bits 3, 4, 4, 5, and its own scales.
    assert_eq!(numbers[128], 0.0);
    assert_eq!(numbers[128 + 16], 1.5 * (3.0 - 32.0));
}

#[test]
fn grids_that_are_ours_keep_every_number() {
    for (quantization, length) in [(Quantization::Q8_0, 34), (Quantization::Q4_0, 18)] {
        let mut block = ONE_AND_A_HALF.to_vec();
        block.extend((0..length - 2).map(|n| (n * 37 + 11) as u8));
        let kept: Vec<f32> = EightBit::of(quantization, &block).numbers().collect();
        assert_eq!(kept, quantization.numbers(&block));
    }
}

proptest! {
    #[test]
    fn eight_bits_are_near(numbers in prop::collection::vec(-1e4f32..1e4, BLOCK * 3)) {
        let matrix = EightBit::nearest(&numbers);
        prop_assert_eq!(matrix.bytes.len(), numbers.len());
        for (block, kept) in numbers.chunks(BLOCK).zip(matrix.numbers().collect::<Vec<_>>().chunks(BLOCK)) {
            let largest = block.iter().fold(0f32, |most, x| most.max(x.abs()));
            for (number, kept) in block.iter().zip(kept) {
                prop_assert!((number - kept).abs() <= largest / 127.0 * 0.501);
            }
        }
    }
}
