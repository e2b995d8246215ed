//! Classes instead of scores (Triton's classification extension): of each row the highest values, with their indexes and
//! names.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::num::NonZeroUsize;

use half::{bf16, f16};

use super::error::KserveError;
use crate::tensor::{DataType, Tensor};

/// Most bytes of classes that one output becomes: texts can be hundreds of times as long as the values they are made of.
pub(super) const MAX_CLASSIFIED: usize = 16 << 20;

/// The `most` highest values of each row of `output`, highest first, as `BYTES` of `value:index`, and `:label` where the
/// index has one. Of equal values the lower index comes first; what is not a number comes last.
///
/// With two dimensions or more each step of the first is a row, the others taken flat: shape `[rows, most]`. With one
/// dimension, or none, there is one row: shape `[most]`. Where a row has fewer values than `most`, they all come.
///
/// # Errors
///
/// [`KserveError::NoClasses`] for text, truth values and rows without a value; `TooMany` above 16 MiB;
/// `MalformedOutput` where the tensor is not what it says.
pub fn classify(
    output: &Tensor,
    most: NonZeroUsize,
    labels: &[String],
) -> Result<Tensor, KserveError> {
    output.validate().map_err(KserveError::MalformedOutput)?;
    let choice = Choice {
        output,
        classes: classes_of(output).ok_or_else(|| no_classes(output))?,
        most,
        labels,
    };
    match output.datatype {
        DataType::Bool | DataType::Bytes => Err(no_classes(output)),
        DataType::Uint8 => choice.of(u8::from_le_bytes, Ord::cmp),
        DataType::Uint16 => choice.of(u16::from_le_bytes, Ord::cmp),
        DataType::Uint32 => choice.of(u32::from_le_bytes, Ord::cmp),
        DataType::Uint64 => choice.of(u64::from_le_bytes, Ord::cmp),
        DataType::Int8 => choice.of(i8::from_le_bytes, Ord::cmp),
        DataType::Int16 => choice.of(i16::from_le_bytes, Ord::cmp),
        DataType::Int32 => choice.of(i32::from_le_bytes, Ord::cmp),
        DataType::Int64 => choice.of(i64::from_le_bytes, Ord::cmp),
        DataType::Fp16 => choice.of(|raw| f16::from_le_bytes(raw).to_f32(), float),
        DataType::Bf16 => choice.of(|raw| bf16::from_le_bytes(raw).to_f32(), float),
        DataType::Fp32 => choice.of(f32::from_le_bytes, float),
        DataType::Fp64 => choice.of(f64::from_le_bytes, float),
    }
}

/// Values in a row; `None` where there are none to choose among.
fn classes_of(output: &Tensor) -> Option<NonZeroUsize> {
    let inner = match output.shape.as_slice() {
        [_, inner @ ..] if !inner.is_empty() => inner,
        flat => flat,
    };
    let classes = inner.iter().try_fold(1usize, |product, length| {
        product.checked_mul(usize::try_from(*length).ok()?)
    })?;
    NonZeroUsize::new(classes)
}

fn no_classes(output: &Tensor) -> KserveError {
    KserveError::NoClasses {
        tensor: output.name.clone(),
        datatype: output.datatype,
        shape: output.shape.clone(),
    }
}

/// Numbers by size; -0 is 0, and NaN is below everything.
fn float<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    #[expect(clippy::eq_op, reason = "only a NaN is not equal to itself")]
    let is_number = |x: &T| x == x;
    a.partial_cmp(b)
        .unwrap_or_else(|| is_number(a).cmp(&is_number(b)))
}

struct Choice<'a> {
    output: &'a Tensor,
    classes: NonZeroUsize,
    most: NonZeroUsize,
    labels: &'a [String],
}

impl Choice<'_> {
    /// Chooses among values of `N` bytes each. Floats are written as the shortest text that reads back as the same number.
    fn of<const N: usize, T: Debug>(
        &self,
        value: impl Fn([u8; N]) -> T,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Result<Tensor, KserveError> {
        let take = self.most.min(self.classes).get();
        let (values, _) = self.output.data.as_chunks::<N>();
        let mut data = Vec::new();
        for row in values.chunks_exact(self.classes.get()) {
            let higher_first = |a: &usize, b: &usize| {
                compare(&value(row[*b]), &value(row[*a])).then_with(|| a.cmp(b))
            };
            let mut chosen: Vec<usize> = (0..row.len()).collect();
            chosen.select_nth_unstable_by(take - 1, higher_first);
            chosen.truncate(take);
            chosen.sort_unstable_by(higher_first);
            for index in chosen {
                self.put(&mut data, &value(row[index]), index)?;
            }
        }
        let rows = match self.output.shape.as_slice() {
            [rows, _, ..] => Some(*rows),
            _ => None,
        };
        Ok(Tensor {
            name: self.output.name.clone(),
            datatype: DataType::Bytes,
            shape: rows.into_iter().chain([take as u64]).collect(),
            data: data.into(),
        })
    }

    fn put(&self, data: &mut Vec<u8>, value: &impl Debug, index: usize) -> Result<(), KserveError> {
        let text = match self.labels.get(index) {
            Some(label) => format!("{value:?}:{index}:{label}"),
            None => format!("{value:?}:{index}"),
        };
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        data.extend_from_slice(&length.to_le_bytes());
        data.extend_from_slice(text.as_bytes());
        if data.len() <= MAX_CLASSIFIED {
            return Ok(());
        }
        Err(KserveError::TooMany {
            place: format!("the classification of output `{}`", self.output.name),
            what: "bytes",
            count: data.len(),
            limit: MAX_CLASSIFIED,
        })
    }
}
