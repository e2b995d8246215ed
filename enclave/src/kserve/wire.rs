//! The JSON objects of an inference request, as they stand on the wire.
//!
//! `data` and `shape` stay raw slices of the body: `datatype` may come after them, and tensor data is then read once,
//! straight into its final bytes. Lists keep at most their limit of items and count the rest.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::de::{
    Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
    value::MapAccessDeserializer,
};
use serde_json::value::RawValue;

use super::{MAX_PARAMETERS, MAX_TENSORS};

#[derive(serde::Deserialize)]
pub(super) struct WireRequest<'a> {
    pub(super) id: Option<String>,
    pub(super) parameters: Option<Parameters>,
    #[serde(borrow)]
    pub(super) inputs: Option<Bounded<Object<WireInput<'a>>, MAX_TENSORS>>,
    pub(super) outputs: Option<Bounded<Object<WireOutput>, MAX_TENSORS>>,
}

#[derive(serde::Deserialize)]
pub(super) struct WireInput<'a> {
    pub(super) name: Option<String>,
    pub(super) datatype: Option<String>,
    #[serde(borrow)]
    pub(super) shape: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) parameters: Option<Parameters>,
}

#[derive(serde::Deserialize)]
pub(super) struct WireOutput {
    pub(super) name: Option<String>,
    pub(super) parameters: Option<Parameters>,
}

/// Value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A string.
    String(String),
    /// `null`, a list or an object: other servers take such, and nothing here asks what is in it.
    Other,
}

/// The first [`MAX_PARAMETERS`] parameters, and how many there are in all.
#[derive(Default)]
pub(super) struct Parameters {
    pub(super) values: BTreeMap<String, ParameterValue>,
    pub(super) count: usize,
}

/// The first `LIMIT` items of a list, and how many there are in all.
pub(super) struct Bounded<T, const LIMIT: usize> {
    pub(super) items: Vec<T>,
    pub(super) count: usize,
}

/// A `T` that is written as a JSON object; serde's derived code would take a list of the fields' values too.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Bounded<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const LIMIT: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for ListVisitor<T, LIMIT> {
            type Value = Bounded<T, LIMIT>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while items.len() < LIMIT {
                    match seq.next_element()? {
                        Some(item) => items.push(item),
                        None => break,
                    }
                }
                let mut count = items.len();
                if count == LIMIT {
                    while seq.next_element::<IgnoredAny>()?.is_some() {
                        count += 1;
                    }
                }
                Ok(Bounded { items, count })
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ParametersVisitor;

        impl<'de> Visitor<'de> for ParametersVisitor {
            type Value = Parameters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut parameters = Parameters::default();
                while parameters.count < MAX_PARAMETERS {
                    let Some((name, value)) = map.next_entry()? else {
                        return Ok(parameters);
                    };
                    if parameters.values.insert(name, value).is_some() {
                        return Err(A::Error::custom("a parameter is there twice"));
                    }
                    parameters.count += 1;
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    parameters.count += 1;
                }
                Ok(parameters)
            }
        }

        deserializer.deserialize_map(ParametersVisitor)
    }
}

impl<'de> Deserialize<'de> for ParameterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;

        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = ParameterValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a parameter's value")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
                Ok(ParameterValue::Bool(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                Ok(ParameterValue::Integer(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                Ok(ParameterValue::Integer(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                Ok(ParameterValue::Float(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(ParameterValue::String(value.to_owned()))
            }

            fn visit_string<E: Error>(self, value: String) -> Result<Self::Value, E> {
                Ok(ParameterValue::String(value))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(ParameterValue::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(ParameterValue::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(ParameterValue::Other)
            }
        }

        deserializer.deserialize_any(ValueVisitor)
    }
}
