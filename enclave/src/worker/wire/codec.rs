//! The fields of a frame's `meta`, each in both directions.

use crate::tensor::{DataType, TensorSpec, element_count};

use super::{
    Configure, Fault, FaultCode, HEADER_LEN, Isolation, MAX_MESSAGE, MAX_META, MAX_NAME, MAX_PATH,
    MAX_RANK, MAX_TENSORS, TensorHead, VERSION,
};

/// Why bytes are no frame of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Reserved bytes of the header are not zero.
    #[error("reserved bytes of the frame header are set")]
    Reserved,
    /// No such kind of frame.
    #[error("frame kind {kind} does not exist")]
    Kind {
        /// The kind that was read.
        kind: u8,
    },
    /// The other side speaks another version.
    #[error("the peer speaks version {version} of the worker protocol, not {VERSION}")]
    Version {
        /// Its version.
        version: u16,
    },
    /// `meta` is longer than [`MAX_META`].
    #[error("frame meta of {length} bytes exceeds {MAX_META}")]
    MetaTooLong {
        /// The length that was asked for.
        length: usize,
    },
    /// `body` is longer than the reader takes.
    #[error("frame body of {length} bytes exceeds {limit}")]
    BodyTooLong {
        /// The length that was asked for.
        length: u64,
        /// The most that the reader takes.
        limit: u64,
    },
    /// The sizes in `meta` do not add up to the body's length.
    #[error("the frame's sizes do not add up to its body")]
    BodyLength,
    /// `meta` ends in the middle of a field.
    #[error("the frame's meta ends early")]
    Short,
    /// `meta` goes on after its last field.
    #[error("the frame's meta has trailing bytes")]
    Trailing,
    /// A count or length is beyond its limit.
    #[error("{what} exceed the limit of {limit}")]
    Limit {
        /// What is too long or too many.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Text that is not UTF-8.
    #[error("text in the frame is not UTF-8")]
    Text,
    /// A value outside its field's range.
    #[error("field `{field}` has a value that it cannot have")]
    Value {
        /// Name of the field.
        field: &'static str,
    },
    /// A tensor's length is not what its type and shape ask for.
    #[error("tensor `{name}`: its length does not fit its type and shape")]
    TensorLength {
        /// Name of the tensor.
        name: String,
    },
}

/// Stands for "all outputs" where the number of names stands.
const ALL_OUTPUTS: u16 = u16::MAX;

pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn new() -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.resize(HEADER_LEN, 0);
        Encoder { bytes }
    }

    pub(super) fn finish(mut self, kind: u8, body_len: u64) -> Result<Vec<u8>, WireError> {
        let length = self.bytes.len() - HEADER_LEN;
        let meta_len = u32::try_from(length)
            .ok()
            .filter(|_| length <= MAX_META)
            .ok_or(WireError::MetaTooLong { length })?;
        self.bytes[0] = kind;
        self.bytes[4..8].copy_from_slice(&meta_len.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&body_len.to_le_bytes());
        Ok(self.bytes)
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    fn count(&mut self, count: usize, limit: usize, what: &'static str) -> Result<(), WireError> {
        let value = u16::try_from(count)
            .ok()
            .filter(|_| count <= limit)
            .ok_or(WireError::Limit { what, limit })?;
        self.u16(value);
        Ok(())
    }

    fn text(&mut self, text: &str, limit: usize, what: &'static str) -> Result<(), WireError> {
        self.count(text.len(), limit, what)?;
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }

    pub(super) fn configure(&mut self, configure: &Configure) -> Result<(), WireError> {
        self.u16(VERSION);
        self.text(&configure.onnxruntime, MAX_PATH, "bytes of a path")?;
        self.u64(configure.memory_bytes);
        self.u8(u8::from(configure.uid.is_some()));
        self.u32(configure.uid.unwrap_or(0));
        self.u64(configure.max_output_bytes);
        self.u16(configure.threads);
        self.u8(u8::from(configure.pid_namespace));
        Ok(())
    }

    pub(super) fn isolation(&mut self, isolation: &Isolation) {
        for wall in [
            isolation.own_uid,
            isolation.no_new_privs,
            isolation.rlimits,
            isolation.network_namespace,
            isolation.ipc_namespace,
            isolation.pid_namespace,
            isolation.empty_root,
            isolation.seccomp,
        ] {
            self.u8(u8::from(wall));
        }
        self.u8(isolation.landlock_abi);
    }

    pub(super) fn fault(&mut self, fault: &Fault) -> Result<(), WireError> {
        let code = FaultCode::ALL.iter().position(|code| *code == fault.code);
        self.u8(code
            .and_then(|code| u8::try_from(code).ok())
            .ok_or(WireError::Value { field: "code" })?);
        self.text(&fault.message, MAX_MESSAGE, "bytes of a message")
    }

    pub(super) fn heads(&mut self, heads: &[TensorHead]) -> Result<(), WireError> {
        self.count(heads.len(), MAX_TENSORS, "tensors")?;
        for head in heads {
            self.text(&head.name, MAX_NAME, "bytes of a tensor's name")?;
            self.datatype(head.datatype)?;
            self.count(head.shape.len(), MAX_RANK, "dimensions")?;
            for dimension in &head.shape {
                self.u64(*dimension);
            }
            self.u64(head.len);
        }
        Ok(())
    }

    pub(super) fn specs(&mut self, specs: &[TensorSpec]) -> Result<(), WireError> {
        self.count(specs.len(), MAX_TENSORS, "inputs or outputs")?;
        for spec in specs {
            self.text(&spec.name, MAX_NAME, "bytes of a tensor's name")?;
            self.datatype(spec.datatype)?;
            self.count(spec.shape.len(), MAX_RANK, "dimensions")?;
            for dimension in &spec.shape {
                if *dimension < -1 {
                    return Err(WireError::Value { field: "dimension" });
                }
                self.bytes.extend_from_slice(&dimension.to_le_bytes());
            }
        }
        Ok(())
    }

    pub(super) fn names(&mut self, names: Option<&[String]>) -> Result<(), WireError> {
        let Some(names) = names else {
            self.u16(ALL_OUTPUTS);
            return Ok(());
        };
        self.count(names.len(), MAX_TENSORS, "outputs")?;
        for name in names {
            self.text(name, MAX_NAME, "bytes of a tensor's name")?;
        }
        Ok(())
    }

    fn datatype(&mut self, datatype: DataType) -> Result<(), WireError> {
        let index = DataType::ALL.iter().position(|other| *other == datatype);
        self.u8(index
            .and_then(|index| u8::try_from(index).ok())
            .ok_or(WireError::Value { field: "datatype" })?);
        Ok(())
    }
}

pub(super) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(meta: &'a [u8]) -> Self {
        Decoder { rest: meta }
    }

    pub(super) fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WireError::Trailing)
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        self.take().map(|[byte]| byte)
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Value { field }),
        }
    }

    fn count(&mut self, limit: usize, what: &'static str) -> Result<usize, WireError> {
        let count = usize::from(self.u16()?);
        if count > limit {
            return Err(WireError::Limit { what, limit });
        }
        Ok(count)
    }

    fn text(&mut self, limit: usize, what: &'static str) -> Result<String, WireError> {
        let length = self.count(limit, what)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(WireError::Short)?;
        self.rest = rest;
        let text = std::str::from_utf8(bytes).map_err(|_| WireError::Text)?;
        Ok(text.to_owned())
    }

    pub(super) fn configure(&mut self) -> Result<Configure, WireError> {
        let version = self.u16()?;
        if version != VERSION {
            return Err(WireError::Version { version });
        }
        let onnxruntime = self.text(MAX_PATH, "bytes of a path")?;
        let memory_bytes = self.u64()?;
        let has_uid = self.flag("uid")?;
        let uid = self.u32()?;
        if !has_uid && uid != 0 {
            return Err(WireError::Value { field: "uid" });
        }
        Ok(Configure {
            onnxruntime,
            memory_bytes,
            uid: has_uid.then_some(uid),
            max_output_bytes: self.u64()?,
            threads: self.u16()?,
            pid_namespace: self.flag("pid_namespace")?,
        })
    }

    pub(super) fn isolation(&mut self) -> Result<Isolation, WireError> {
        Ok(Isolation {
            own_uid: self.flag("own_uid")?,
            no_new_privs: self.flag("no_new_privs")?,
            rlimits: self.flag("rlimits")?,
            network_namespace: self.flag("network_namespace")?,
            ipc_namespace: self.flag("ipc_namespace")?,
            pid_namespace: self.flag("pid_namespace")?,
            empty_root: self.flag("empty_root")?,
            seccomp: self.flag("seccomp")?,
            landlock_abi: self.u8()?,
        })
    }

    pub(super) fn fault(&mut self) -> Result<Fault, WireError> {
        let code = FaultCode::ALL
            .get(usize::from(self.u8()?))
            .copied()
            .ok_or(WireError::Value { field: "code" })?;
        Ok(Fault {
            code,
            message: self.text(MAX_MESSAGE, "bytes of a message")?,
        })
    }

    pub(super) fn heads(&mut self) -> Result<Vec<TensorHead>, WireError> {
        let count = self.count(MAX_TENSORS, "tensors")?;
        (0..count).map(|_| self.head()).collect()
    }

    fn head(&mut self) -> Result<TensorHead, WireError> {
        let name = self.text(MAX_NAME, "bytes of a tensor's name")?;
        let datatype = self.datatype()?;
        let rank = self.count(MAX_RANK, "dimensions")?;
        let shape = (0..rank)
            .map(|_| self.u64())
            .collect::<Result<Vec<_>, _>>()?;
        let len = self.u64()?;
        let head = TensorHead {
            name,
            datatype,
            shape,
            len,
        };
        if head.length_fits() {
            Ok(head)
        } else {
            Err(WireError::TensorLength { name: head.name })
        }
    }

    pub(super) fn specs(&mut self) -> Result<Vec<TensorSpec>, WireError> {
        let count = self.count(MAX_TENSORS, "inputs or outputs")?;
        (0..count).map(|_| self.spec()).collect()
    }

    fn spec(&mut self) -> Result<TensorSpec, WireError> {
        let name = self.text(MAX_NAME, "bytes of a tensor's name")?;
        let datatype = self.datatype()?;
        let rank = self.count(MAX_RANK, "dimensions")?;
        let shape = (0..rank)
            .map(|_| match self.take().map(i64::from_le_bytes)? {
                dimension if dimension < -1 => Err(WireError::Value { field: "dimension" }),
                dimension => Ok(dimension),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(TensorSpec {
            name,
            datatype,
            shape,
        })
    }

    pub(super) fn names(&mut self) -> Result<Option<Vec<String>>, WireError> {
        let count = self.u16()?;
        if count == ALL_OUTPUTS {
            return Ok(None);
        }
        if usize::from(count) > MAX_TENSORS {
            return Err(WireError::Limit {
                what: "outputs",
                limit: MAX_TENSORS,
            });
        }
        (0..count)
            .map(|_| self.text(MAX_NAME, "bytes of a tensor's name"))
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }

    fn datatype(&mut self) -> Result<DataType, WireError> {
        DataType::ALL
            .get(usize::from(self.u8()?))
            .copied()
            .ok_or(WireError::Value { field: "datatype" })
    }
}

impl TensorHead {
    /// Whether `len` is what type and shape ask for; for `BYTES`, whether it can be.
    fn length_fits(&self) -> bool {
        let Ok(count) = element_count(&self.name, &self.shape) else {
            return false;
        };
        let Ok(len) = usize::try_from(self.len) else {
            return false;
        };
        match self.datatype.element_size() {
            Some(size) => count.checked_mul(size) == Some(len),
            None => count.checked_mul(4).is_some_and(|least| least <= len),
        }
    }
}
