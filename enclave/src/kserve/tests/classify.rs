//! Classes, as Triton's clients read them.

use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::{le, tensor};
use crate::kserve::{KserveError, classify};
use crate::tensor::{BytesElements, DataType, Tensor};

fn texts(classified: &Tensor) -> Vec<String> {
    assert_eq!(classified.validate(), Ok(()));
    assert_eq!(classified.datatype, DataType::Bytes);
    BytesElements::new(&classified.data)
        .map(|element| String::from_utf8(element.unwrap().to_vec()).unwrap())
        .collect()
}

fn best(output: &Tensor, most: usize, labels: &[&str]) -> Result<Tensor, KserveError> {
    let labels: Vec<_> = labels.iter().map(ToString::to_string).collect();
    classify(output, NonZeroUsize::new(most).unwrap(), &labels)
}

#[test]
fn the_highest_of_each_row_come_with_index_and_name() {
    let scores = le![0.25f32, 0.5f32, 0.125f32, 0.0f32, -1.0f32, 3.0e30f32];
    let output = tensor("p", DataType::Fp32, &[2, 3], &scores);
    let classified = best(&output, 2, &["cat", "dog"]).unwrap();
    assert_eq!(classified.shape, [2, 2]);
    let expected = ["0.5:1:dog", "0.25:0:cat", "3e30:2", "0.0:0:cat"];
    assert_eq!(texts(&classified), expected);
    assert_eq!(classified.name, "p");
}

#[test]
fn inner_dimensions_are_flat_and_one_dimension_is_one_row() {
    let output = tensor("p", DataType::Int8, &[1, 2, 2], &[1, 0xff, 7, 3]);
    let classified = best(&output, 9, &[]).unwrap();
    assert_eq!(classified.shape, [1, 4]);
    assert_eq!(texts(&classified), ["7:2", "3:3", "1:0", "-1:1"]);
    let output = tensor("p", DataType::Uint16, &[3], &le![1u16, 3u16, 2u16]);
    let classified = best(&output, 1, &[]).unwrap();
    assert_eq!(classified.shape, [1]);
    assert_eq!(texts(&classified), ["3:1"]);
    let scalar = tensor("p", DataType::Int64, &[], &le![-5i64]);
    assert_eq!(texts(&best(&scalar, 3, &[]).unwrap()), ["-5:0"]);
    let no_rows = tensor("p", DataType::Fp32, &[0, 3], &[]);
    let classified = best(&no_rows, 2, &[]).unwrap();
    assert_eq!((classified.shape, classified.data.len()), (vec![0, 2], 0));
}

#[test]
fn equal_values_keep_their_order_and_what_is_no_number_comes_last() {
    let scores = le![
        f64::NAN,
        -0.0f64,
        0.0f64,
        f64::INFINITY,
        -f64::NAN,
        f64::NEG_INFINITY
    ];
    let output = tensor("p", DataType::Fp64, &[6], &scores);
    let classified = best(&output, 6, &[]).unwrap();
    assert_eq!(
        texts(&classified),
        ["inf:3", "-0.0:1", "0.0:2", "-inf:5", "NaN:0", "NaN:4"]
    );
}

#[test]
fn what_has_no_classes_is_refused() {
    for output in [
        tensor("p", DataType::Bool, &[2], &[0, 1]),
        tensor("p", DataType::Bytes, &[1], &[1, 0, 0, 0, b'a']),
        tensor("p", DataType::Fp32, &[2, 0], &[]),
        tensor("p", DataType::Fp32, &[0], &[]),
    ] {
        let error = best(&output, 1, &[]).unwrap_err();
        assert_eq!((error.code(), error.status().as_u16()), ("no-classes", 400));
    }
    let malformed = tensor("p", DataType::Fp32, &[2], &[0; 4]);
    assert_eq!(
        best(&malformed, 1, &[]).unwrap_err().code(),
        "malformed-output"
    );
}

#[test]
fn texts_are_bounded_however_long_the_names() {
    let output = tensor("p", DataType::Uint8, &[90_000, 1], &vec![1; 90_000]);
    assert!(best(&output, 1, &["x"]).is_ok());
    let error = best(&output, 1, &[&"x".repeat(256)]).unwrap_err();
    assert_eq!(error.code(), "too-many");
}

proptest! {
    #[test]
    fn the_order_is_that_of_a_full_sort(
        rows in prop::collection::vec(prop::collection::vec(any::<i16>(), 5), 0..6),
        most in 1usize..8,
    ) {
        let data: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let output = tensor("p", DataType::Int16, &[rows.len() as u64, 5], &data);
        let mut expected = Vec::new();
        for row in &rows {
            let mut sorted: Vec<_> = row.iter().enumerate().collect();
            sorted.sort_by_key(|(index, value)| (std::cmp::Reverse(**value), *index));
            expected.extend(sorted.iter().take(most).map(|(index, value)| format!("{value}:{index}")));
        }
        prop_assert_eq!(texts(&best(&output, most, &[]).unwrap()), expected);
    }
}
