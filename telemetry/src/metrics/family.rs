//! Metrics of one name, told apart by labels.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::{Label, MAX_SERIES, OTHER};

/// What a [`Family`] is of.
pub trait Member: EncodeMetric + TypedMetric + Clone + Send + Sync + 'static {}

impl<M: EncodeMetric + TypedMetric + Clone + Send + Sync + 'static> Member for M {}

/// Metrics of one name: one for each set of `N` labels, made when it is first asked for.
pub struct Family<M, const N: usize>(Arc<Shared<M, N>>);

struct Shared<M, const N: usize> {
    labels: [&'static str; N],
    make: Box<dyn Fn() -> M + Send + Sync>,
    members: Mutex<BTreeMap<[Label; N], M>>,
}

impl<M: Member, const N: usize> Family<M, N> {
    pub(super) fn new(
        labels: [&'static str; N],
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            labels,
            make: Box::new(make),
            members: Mutex::default(),
        }))
    }

    /// The one with these labels.
    pub fn of(&self, mut values: [Label; N]) -> M {
        let Shared { make, members, .. } = &*self.0;
        let mut members = members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.len() >= MAX_SERIES && !members.contains_key(&values) {
            values = std::array::from_fn(|_| OTHER.into());
        }
        members.entry(values).or_insert_with(make).clone()
    }
}

impl<M, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M, const N: usize> fmt::Debug for Family<M, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Family").field(&self.0.labels).finish()
    }
}

/// Never empty in prometheus-client's sense: its name, help and type are exposed before its first member is.
impl<M: Member, const N: usize> EncodeMetric for Family<M, N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let Shared {
            labels, members, ..
        } = &*self.0;
        let members = members.lock().unwrap_or_else(PoisonError::into_inner);
        for (values, member) in members.iter() {
            let set = named(labels, values);
            member.encode(encoder.encode_family(&set)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// Labels with their names.
pub(super) fn named<const N: usize>(
    names: &[&'static str; N],
    values: &[Label; N],
) -> [(&'static str, Label); N] {
    std::array::from_fn(|n| (names[n], values[n].clone()))
}
