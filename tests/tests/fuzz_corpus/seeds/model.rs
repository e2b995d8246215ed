//! Seeds of models: a GGUF file as small as one can be, and what is wrong with others.

use super::Seeds;

/// A model of one layer and two tokens.
struct Small {
    version: u32,
    pairs: Vec<u8>,
    count: u64,
    tensors: Vec<u8>,
    named: u64,
    data: Vec<u8>,
}

impl Small {
    fn new() -> Self {
        let mut file = Self {
            version: 3,
            pairs: Vec::new(),
            count: 0,
            tensors: Vec::new(),
            named: 0,
            data: Vec::new(),
        };
        file.pair("general.architecture", 8, &text("llama"));
        for (key, value) in [
            ("block_count", 1u32),
            ("embedding_length", 32),
            ("feed_forward_length", 32),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
            ("context_length", 4),
        ] {
            file.pair(&format!("llama.{key}"), 4, &value.to_le_bytes());
        }
        let epsilon = 1e-5f32.to_le_bytes();
        file.pair("llama.attention.layer_norm_rms_epsilon", 6, &epsilon);
        file.pair("tokenizer.ggml.model", 8, &text("gpt2"));
        file.pair("tokenizer.ggml.tokens", 9, &texts(&["a", "b"]));
        file.pair("tokenizer.ggml.merges", 9, &texts(&["a b"]));
        // Eight bits: a scale and 32 numbers for each row.
        file.tensor("token_embd", &[32, 2], 8, 68);
        for (name, rows) in [
            ("attn_q", 32),
            ("attn_k", 16),
            ("attn_v", 16),
            ("attn_output", 32),
        ] {
            file.tensor(&format!("blk.0.{name}"), &[32, rows], 8, 34 * rows);
        }
        for name in ["ffn_gate", "ffn_up", "ffn_down"] {
            file.tensor(&format!("blk.0.{name}"), &[32, 32], 8, 34 * 32);
        }
        for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
            file.tensor(name, &[32], 0, 128);
        }
        file
    }

    fn pair(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.pairs.extend(text(key));
        self.pairs.extend(kind.to_le_bytes());
        self.pairs.extend(value);
        self.count += 1;
    }

    fn tensor(&mut self, name: &str, shape: &[u64], kind: u32, bytes: u64) {
        self.tensors.extend(text(&format!("{name}.weight")));
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        for length in shape {
            self.tensors.extend(length.to_le_bytes());
        }
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend((self.data.len() as u64).to_le_bytes());
        let bytes = usize::try_from(bytes).unwrap_or_default();
        self.data.resize(self.data.len() + bytes, 0x2c);
        self.named += 1;
    }

    fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.named.to_le_bytes());
        file.extend(self.count.to_le_bytes());
        file.extend(&self.pairs);
        file.extend(&self.tensors);
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(&self.data);
        file
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    let mut list = 8u32.to_le_bytes().to_vec();
    list.extend((texts.len() as u64).to_le_bytes());
    list.extend(texts.iter().flat_map(|one| text(one)));
    list
}

pub(super) fn add(seeds: &mut Seeds) {
    let with = |change: &dyn Fn(&mut Small)| {
        let mut file = Small::new();
        change(&mut file);
        file.bytes()
    };
    let good = Small::new().bytes();
    let other = |from: &str, to: &str| {
        let at = good
            .windows(from.len())
            .position(|bytes| bytes == from.as_bytes());
        let mut file = good.clone();
        file[at.unwrap_or_default()..][..to.len()].copy_from_slice(to.as_bytes());
        file
    };
    seeds.add_all(
        "gguf",
        [
            ("ok-llama", good.clone()),
            (
                "ok-cut-by-digits",
                with(&|file| file.pair("tokenizer.ggml.pre", 8, &text("smollm"))),
            ),
            (
                "ok-linear-rotations",
                with(&|file| {
                    file.pair("llama.rope.scaling.type", 8, &text("linear"));
                    file.pair("llama.rope.scaling.factor", 6, &2f32.to_le_bytes());
                }),
            ),
            ("refused-not-gguf", b"GGML and more".to_vec()),
            ("refused-gguf-version", with(&|file| file.version = 1)),
            ("refused-file-unreadable", good[..60].to_vec()),
            (
                "refused-gguf-malformed.beyond",
                good[..good.len() - 1].to_vec(),
            ),
            (
                "refused-gguf-malformed.twice",
                with(&|file| {
                    file.pair("general.architecture", 8, &text("llama"));
                }),
            ),
            (
                "refused-gguf-malformed.alignment",
                with(&|file| {
                    file.pair("general.alignment", 4, &3u32.to_le_bytes());
                }),
            ),
            (
                "refused-gguf-malformed.blocks",
                with(&|file| file.tensor("x", &[33], 8, 34)),
            ),
            (
                "refused-gguf-tensor-type",
                with(&|file| file.tensor("x", &[32], 16, 34)),
            ),
            (
                "refused-gguf-incomplete",
                other("tokenizer.ggml.merges", "tokenizer.ggml.purges"),
            ),
            ("refused-model-unsupported.family", other("llama", "mamba")),
            (
                "refused-model-unsupported.rotations",
                with(&|file| {
                    file.pair("llama.rope.scaling.type", 8, &text("yarn"));
                }),
            ),
            (
                "refused-model-contradictory",
                with(&|file| {
                    file.pair("tokenizer.ggml.bos_token_id", 4, &2u32.to_le_bytes());
                }),
            ),
        ],
    );
}
