//! JSON tensor data of every datatype.

use half::{bf16, f16};

use super::{le, one};
use crate::kserve::KserveError;

/// The data of input `x`, its shape a list of as many elements as `data` has.
fn read(datatype: &str, data: &str) -> Result<Vec<u8>, KserveError> {
    let count = data.matches(',').count() + usize::from(data != "[]");
    one(datatype, &format!("[{count}]"), data).map(|tensor| tensor.data.to_vec())
}

#[test]
fn booleans() {
    assert_eq!(read("BOOL", "[true, false ,true]").unwrap(), [1, 0, 1]);
    for bad in ["[1]", "[0]", "[\"true\"]", "[null]"] {
        assert_eq!(
            read("BOOL", bad).unwrap_err().code(),
            "wrong-value",
            "{bad}"
        );
    }
}

#[test]
fn integers_up_to_their_limits() {
    for (datatype, least, most, below, above, bytes) in [
        ("UINT8", "0", "255", "-1", "256", le![0u8, 255u8]),
        ("UINT16", "0", "65535", "-1", "65536", le![0u16, u16::MAX]),
        (
            "UINT32",
            "0",
            "4294967295",
            "-1",
            "4294967296",
            le![0u32, u32::MAX],
        ),
        (
            "UINT64",
            "0",
            "18446744073709551615",
            "-1",
            "18446744073709551616",
            le![0u64, u64::MAX],
        ),
        ("INT8", "-128", "127", "-129", "128", le![i8::MIN, i8::MAX]),
        (
            "INT16",
            "-32768",
            "32767",
            "-32769",
            "32768",
            le![i16::MIN, i16::MAX],
        ),
        (
            "INT32",
            "-2147483648",
            "2147483647",
            "-2147483649",
            "2147483648",
            le![i32::MIN, i32::MAX],
        ),
        (
            "INT64",
            "-9223372036854775808",
            "9223372036854775807",
            "-9223372036854775809",
            "9223372036854775808",
            le![i64::MIN, i64::MAX],
        ),
    ] {
        assert_eq!(
            read(datatype, &format!("[{least},{most}]")).unwrap(),
            bytes,
            "{datatype}"
        );
        for outside in [below, above] {
            let error = read(datatype, &format!("[0,{outside}]")).unwrap_err();
            assert_eq!(error.code(), "value-out-of-range", "{datatype} {outside}");
        }
        for bad in ["1.5", "1.0", "1e2", "true", "\"1\"", "null"] {
            let error = read(datatype, &format!("[{bad}]")).unwrap_err();
            assert_eq!(error.code(), "wrong-value", "{datatype} {bad}");
        }
    }
    assert_eq!(read("UINT8", "[-0]").unwrap(), [0]);
    let digits = "9".repeat(400);
    assert_eq!(
        read("INT64", &format!("[-{digits}]")).unwrap_err().code(),
        "value-out-of-range"
    );
}

#[test]
fn integers_above_two_to_the_53_are_exact() {
    assert_eq!(
        read("INT64", "[9007199254740993,-9007199254740995]").unwrap(),
        le![9007199254740993i64, -9007199254740995i64]
    );
}

#[test]
fn floats_are_exact() {
    assert_eq!(
        read("FP32", "[0.1,-0.0,1e-45,3.4028234663852886e38,7,1E+2]").unwrap(),
        le![0.1f32, -0.0f32, 1e-45f32, f32::MAX, 7f32, 100f32]
    );
    // Rounded once: by way of FP64 this is a tie, and comes out as 1.
    assert_eq!(
        read("FP32", "[1.000000059604644775390625000001]").unwrap(),
        le![f32::from_bits(0x3f80_0001)]
    );
    assert_eq!(
        read(
            "FP64",
            "[0.1,5e-324,1.7976931348623157e308,2.2250738585072011e-308]"
        )
        .unwrap(),
        le![
            0.1f64,
            f64::from_bits(1),
            f64::MAX,
            f64::from_bits(0x000f_ffff_ffff_ffff)
        ]
    );
}

#[test]
fn what_a_float_cannot_hold_is_refused() {
    for (datatype, large) in [
        ("FP16", "65520"),
        ("FP16", "1e300"),
        ("BF16", "3.4e38"),
        ("FP32", "3.5e38"),
        ("FP64", "-1e309"),
    ] {
        let error = read(datatype, &format!("[1,{large}]")).unwrap_err();
        assert_eq!(error.code(), "value-out-of-range", "{datatype} {large}");
    }
    for datatype in ["FP16", "BF16", "FP32", "FP64"] {
        for bad in ["null", "true", "\"1.0\"", "{}"] {
            let error = read(datatype, &format!("[{bad}]")).unwrap_err();
            assert_eq!(error.code(), "wrong-value", "{datatype} {bad}");
        }
        for not_json in [
            "NaN",
            "Infinity",
            "-Infinity",
            "inf",
            ".5",
            "1.",
            "+1",
            "01",
        ] {
            let error = read(datatype, &format!("[{not_json}]")).unwrap_err();
            assert_eq!(error.code(), "malformed-json", "{datatype} {not_json}");
        }
    }
    assert_eq!(read("FP16", "[65519.9]").unwrap(), le![f16::MAX]);
}

#[test]
fn sixteen_bit_floats_round_to_nearest_and_ties_to_even() {
    // 1 + 2^-11 is the middle between 1 and the next FP16; a hair above it, the next one is nearer.
    assert_eq!(
        read(
            "FP16",
            "[1.00048828125,1.0004882812500002,1.0004882812499998,1.00048837065,1.00048819185]"
        )
        .unwrap(),
        le![
            f16::from_bits(0x3c00),
            f16::from_bits(0x3c01),
            f16::from_bits(0x3c00),
            // Three quarters of an FP32 step away from the middle.
            f16::from_bits(0x3c01),
            f16::from_bits(0x3c00)
        ]
    );
    // The same for BF16, 1 + 2^-8.
    assert_eq!(
        read(
            "BF16",
            "[1.00390625,1.0039062500000002,1.0039062499999998,1.01171875]"
        )
        .unwrap(),
        le![
            bf16::from_bits(0x3f80),
            bf16::from_bits(0x3f81),
            bf16::from_bits(0x3f80),
            bf16::from_bits(0x3f82)
        ]
    );
}

#[test]
fn around_every_middle_of_two_fp16_numbers() {
    let mut texts = Vec::new();
    let mut expected = Vec::new();
    for bits in 0..f16::MAX.to_bits() {
        let (below, above) = (f16::from_bits(bits), f16::from_bits(bits + 1));
        let middle = f64::midpoint(below.to_f64(), above.to_f64());
        let even = if bits & 1 == 0 { below } else { above };
        for (value, rounded) in [
            (middle.next_down(), below),
            (middle, even),
            (middle.next_up(), above),
            (-middle.next_up(), -above),
        ] {
            texts.push(format!("{value:e}"));
            expected.extend_from_slice(&rounded.to_le_bytes());
        }
    }
    let data = read("FP16", &format!("[{}]", texts.join(","))).unwrap();
    assert!(data == expected);
}

#[test]
fn strings() {
    let tensor = one(
        "BYTES",
        "[5]",
        r#"["", "ab", "é]\"", "\u00e9\ud83d\ude00\n", "a\\"]"#,
    )
    .unwrap();
    let elements: Vec<_> = crate::tensor::BytesElements::new(&tensor.data)
        .map(|element| std::str::from_utf8(element.unwrap()).unwrap())
        .collect();
    assert_eq!(elements, ["", "ab", "é]\"", "é😀\n", "a\\"]);
    for bad in ["[1]", "[null]", "[true]", r#"["\ud800"]"#] {
        assert_eq!(
            read("BYTES", bad).unwrap_err().code(),
            "wrong-value",
            "{bad}"
        );
    }
}

#[test]
fn flat_and_nested_are_the_same() {
    let expected = le![1i16, 2i16, 3i16, 4i16, 5i16, 6i16];
    for data in [
        "[1,2,3,4,5,6]",
        "[[1,2,3],[4,5,6]]",
        " [ [ 1 , 2,3 ] ,\n[4,5 ,6]\t] ",
    ] {
        assert_eq!(
            one("INT16", "[2,3]", data).unwrap().data,
            expected,
            "{data}"
        );
    }
    assert_eq!(
        one("INT16", "[1,2,3]", "[[[1,2,3],[4,5,6]]]").unwrap().data,
        expected
    );
}

#[test]
fn scalars_and_empty_tensors() {
    assert_eq!(one("INT8", "[]", "[7]").unwrap().data, &[7u8][..]);
    assert_eq!(one("INT8", "[]", "7").unwrap().data, &[7u8][..]);
    assert_eq!(
        one("BYTES", "[]", "\"a\"").unwrap().data,
        &b"\x01\0\0\0a"[..]
    );
    for (shape, data) in [
        ("[0]", "[]"),
        ("[2,0]", "[]"),
        ("[2,0]", "[[],[]]"),
        ("[0,2]", "[ ]"),
        ("[0,0]", "[]"),
    ] {
        let tensor = one("FP32", shape, data).unwrap();
        assert!(tensor.data.is_empty(), "{shape} {data}");
    }
    for (shape, data) in [
        ("[]", "[]"),
        ("[]", "[1,2]"),
        ("[1]", "1"),
        ("[2,0]", "[[]]"),
        ("[0,2]", "[[]]"),
    ] {
        assert!(one("FP32", shape, data).is_err(), "{shape} {data}");
    }
}

#[test]
fn the_wrong_number_of_elements_is_counted() {
    for (data, found) in [("[]", 0), ("[1,2,3]", 3), ("[1,2,3,4,5,6]", 6)] {
        let error = one("UINT8", "[2,2]", data).unwrap_err();
        assert_eq!(error.code(), "tensor-length");
        assert!(
            matches!(error, KserveError::ElementCount { expected: 4, found: f, .. } if f == found)
        );
    }
}

#[test]
fn nesting_must_be_the_shapes() {
    for (shape, data) in [
        ("[2,2]", "[[1,2],[3]]"),
        ("[2,2]", "[[1,2],[3,4,5]]"),
        ("[2,2]", "[[1,2]]"),
        ("[2,2]", "[[1,2],[3,4],[5,6]]"),
        ("[2,2]", "[[1,2],3,4]"),
        ("[2,2]", "[1,2,[3,4]]"),
        ("[2,2]", "[[[1],[2]],[[3],[4]]]"),
        ("[4]", "[[1,2,3,4]]"),
        ("[2,3]", "[[1,2],[3,4],[5,6]]"),
        ("[4]", "1"),
        ("[4]", "\"1234\""),
        ("[4]", "{}"),
    ] {
        assert_eq!(
            one("UINT8", shape, data).unwrap_err().code(),
            "tensor-nesting",
            "{shape} {data}"
        );
    }
}

#[test]
fn errors_name_tensor_index_and_value() {
    let error = one("UINT8", "[2,2]", "[[1,2],[3,300]]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "input `x`: element 3 is 300, which is out of the range of UINT8"
    );
    let error = one("INT8", "[2]", r#"[1, "two"]"#).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("input `x`: element 1 is the string \"two\", which is not an integer")
    );
    let long = "1".repeat(10_000);
    assert!(
        one("FP64", "[1]", &format!("[\"{long}\"]"))
            .unwrap_err()
            .to_string()
            .len()
            < 200
    );
}
