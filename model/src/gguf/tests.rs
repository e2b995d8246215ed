//! Files made by hand.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct File(Vec<u8>);

impl File {
    fn header(version: u32, tensors: u64, pairs: u64) -> Self {
        let mut file = Self(b"GGUF".to_vec());
        file.0.extend(version.to_le_bytes());
        file.0.extend(tensors.to_le_bytes());
        file.0.extend(pairs.to_le_bytes());
        file
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend((text.len() as u64).to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn tensor(self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        let mut file = self.text(name).u32(u32::try_from(shape.len()).unwrap());
        for length in shape {
            file = file.u64(*length);
        }
        file.u32(kind).u64(offset)
    }

    fn data(mut self, bytes: &[u8]) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32), 0);
        self.0.extend(bytes);
        self
    }

    fn read(self) -> Result<Gguf<Cursor<Vec<u8>>>, GgufError> {
        Gguf::read(Cursor::new(self.0))
    }

    fn code(self) -> &'static str {
        self.read().unwrap_err().code()
    }
}

fn small() -> File {
    File::header(3, 1, 3)
        .text("general.architecture")
        .u32(8)
        .text("llama")
        .text("llama.block_count")
        .u32(4)
        .u32(30)
        .text("tokens")
        .u32(9)
        .u32(8)
        .u64(2)
        .text("a")
        .text("é")
        .tensor("weight", &[2, 1], 0, 0)
}

#[test]
fn a_file_says_what_it_has() {
    let mut file = small()
        .data(&[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0])
        .read()
        .unwrap();
    assert_eq!(file.text("general.architecture").unwrap(), "llama");
    assert_eq!(file.whole("llama.block_count").unwrap(), 30);
    assert_eq!(file.texts("tokens").unwrap(), ["a", "é"]);
    assert_eq!(file.names().collect::<Vec<_>>(), ["weight"]);
    let (tensor, numbers) = file.numbers_of("weight").unwrap();
    assert_eq!((tensor.shape, numbers), (vec![2, 1], vec![1.0, -2.0]));
    assert_eq!(
        file.whole("general.architecture").unwrap_err().code(),
        "gguf-incomplete"
    );
    assert_eq!(
        file.bytes_of("nobody").unwrap_err().code(),
        "gguf-incomplete"
    );
}

#[test]
fn what_is_no_such_file_is_refused() {
    assert_eq!(File(b"GGML".to_vec()).u64(0).code(), "not-gguf");
    assert_eq!(File(b"GG".to_vec()).code(), "file-unreadable");
    assert_eq!(File::header(1, 0, 0).code(), "gguf-version");
    // A big-endian file of version 3.
    assert_eq!(File::header(0x0300_0000, 0, 0).code(), "gguf-version");
    assert_eq!(File::header(3, u64::MAX, 0).code(), "gguf-malformed");
    assert_eq!(File::header(3, 0, u64::MAX).code(), "gguf-malformed");
    let pair = |kind: u32| File::header(3, 0, 1).text("a").u32(kind);
    assert_eq!(pair(13).code(), "gguf-malformed");
    assert_eq!(pair(8).u64(u64::MAX).code(), "gguf-malformed");
    assert_eq!(pair(8).u64(1 << 20).code(), "file-unreadable");
    assert_eq!(pair(9).u32(9).u64(1).code(), "gguf-malformed");
    assert_eq!(pair(9).u32(4).u64(1 << 40).code(), "gguf-malformed");
    let twice = File::header(3, 0, 2)
        .text("a")
        .u32(4)
        .u32(1)
        .text("a")
        .u32(4)
        .u32(2);
    assert_eq!(twice.code(), "gguf-malformed");
}

#[test]
fn tensors_lie_within_the_file() {
    let with = |shape: &[u64], kind: u32, offset: u64| {
        File::header(3, 1, 0)
            .tensor("w", shape, kind, offset)
            .data(&[0; 64])
    };
    assert!(with(&[16], 0, 0).read().is_ok());
    assert_eq!(with(&[17], 0, 0).code(), "gguf-malformed");
    assert_eq!(with(&[16], 0, 32).code(), "gguf-malformed");
    assert_eq!(with(&[1], 0, u64::MAX).code(), "gguf-malformed");
    assert_eq!(with(&[1 << 40, 1 << 40], 0, 0).code(), "gguf-malformed");
    assert_eq!(with(&[31], 8, 0).code(), "gguf-malformed");
    assert_eq!(with(&[], 0, 0).code(), "gguf-malformed");
    assert_eq!(with(&[32], 16, 0).code(), "gguf-tensor-type");
}

proptest! {
    #[test]
    fn bytes_never_panic(at in 0usize..200, byte: u8, end in 0usize..200) {
        let mut file = small().data(&[0; 8]).0;
        let length = file.len();
        file[at % length] = byte;
        file.truncate(length - end % length);
        let _ = Gguf::read(Cursor::new(file));
    }
}
