//! A small model of random numbers: what ONNX Runtime computes of its graph is what the family's own rules give.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use nacre_model::gguf::Gguf;
use nacre_model::llama;
use nacre_model::quantized::EightBit;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

const LAYERS: usize = 2;
const WIDTH: usize = 64;
const INNER: usize = 96;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD: usize = 16;
const VOCABULARY: usize = 50;
const CONTEXT: usize = 32;
const BASE: f32 = 1_000.0;
const EPSILON: f32 = 1e-5;
/// Sums are of products of eight-bit numbers.
const TOLERANCE: f32 = 0.06;

#[test]
fn the_graph_computes_what_the_family_computes() {
    let model = Model::random();
    let mut file = Gguf::read(Cursor::new(model.gguf())).unwrap();
    let onnx = llama::to_onnx(&mut file).unwrap();
    let environment = ort::init_from(onnxruntime()).unwrap().build().unwrap();
    let mut session = Session::builder(&environment)
        .unwrap()
        .commit_from_memory(&onnx)
        .unwrap();

    let prompt = [3i64, 17, 49, 0, 17];
    let mut past = Past::default();
    let first = past.step(&mut session, &prompt);
    near(&first, &model.logits(&prompt));
    // What was looked at is kept, and not looked at again.
    let longer = [&prompt[..], &[8]].concat();
    let second = past.step(&mut session, &[8]);
    near(&second, &model.logits(&longer));
    assert_eq!(past.length, longer.len());
}

fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let off = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let size = norm(&mut expected.iter().copied());
    assert!(off / size < TOLERANCE, "off by {} of {size}", off / size);
}

/// Keys and values so far.
#[derive(Default)]
struct Past {
    kept: Vec<Vec<f32>>,
    length: usize,
}

impl Past {
    fn step(&mut self, session: &mut Session, tokens: &[i64]) -> Vec<f32> {
        let total = self.length + tokens.len();
        self.kept.resize(2 * LAYERS, Vec::new());
        let whole = |values: Vec<i64>| -> SessionInputValue<'static> {
            let length = values.len();
            Tensor::from_array(([1, length], values)).unwrap().into()
        };
        let mut inputs = vec![
            ("input_ids".to_owned(), whole(tokens.to_vec())),
            ("attention_mask".to_owned(), whole(vec![1; total])),
        ];
        for (n, kept) in self.kept.drain(..).enumerate() {
            let shape = [1, KV_HEADS, self.length, HEAD];
            let name = format!("past_key_values.{}.{}", n / 2, ["key", "value"][n % 2]);
            inputs.push((name, Tensor::from_array((shape, kept)).unwrap().into()));
        }
        let outputs = session.run(inputs).unwrap();
        let take = |name: &str| {
            outputs[name]
                .try_extract_tensor::<f32>()
                .unwrap()
                .1
                .to_vec()
        };
        for n in 0..2 * LAYERS {
            self.kept.push(take(&format!(
                "present.{}.{}",
                n / 2,
                ["key", "value"][n % 2]
            )));
        }
        self.length = total;
        take("logits")
    }
}

/// A matrix: row after row, `width` numbers each.
struct Matrix {
    name: String,
    width: usize,
    numbers: Vec<f32>,
}

impl Matrix {
    /// In the eight bits in which the graph has it.
    fn rounded(&self) -> Vec<f32> {
        EightBit::nearest(&self.numbers).numbers().collect()
    }
}

struct Model {
    matrices: Vec<Matrix>,
    norms: Vec<(String, Vec<f32>)>,
}

impl Model {
    fn random() -> Self {
        let mut state = 1u64;
        let mut next = move || {
            // Knuth's MMIX generator.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let mut matrices = Vec::new();
        let mut norms = Vec::new();
        let mut matrix = |name: String, width: usize, rows: usize, scale: f32| {
            let numbers = (0..width * rows).map(|_| next() * scale).collect();
            matrices.push(Matrix {
                name,
                width,
                numbers,
            });
        };
        matrix("token_embd".into(), WIDTH, VOCABULARY, 1.0);
        for layer in 0..LAYERS {
            let name = |part: &str| format!("blk.{layer}.{part}");
            matrix(name("attn_q"), WIDTH, HEADS * HEAD, 0.3);
            matrix(name("attn_k"), WIDTH, KV_HEADS * HEAD, 0.3);
            matrix(name("attn_v"), WIDTH, KV_HEADS * HEAD, 0.3);
            matrix(name("attn_output"), HEADS * HEAD, WIDTH, 0.3);
            matrix(name("ffn_gate"), WIDTH, INNER, 0.3);
            matrix(name("ffn_up"), WIDTH, INNER, 0.3);
            matrix(name("ffn_down"), INNER, WIDTH, 0.3);
            for part in ["attn_norm", "ffn_norm"] {
                norms.push((
                    name(part),
                    (0..WIDTH).map(|n| 0.5 + n as f32 / 64.0).collect(),
                ));
            }
        }
        norms.push(("output_norm".into(), vec![1.5; WIDTH]));
        Self { matrices, norms }
    }

    fn gguf(&self) -> Vec<u8> {
        let text = |text: &str| {
            let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
            bytes.extend(text.as_bytes());
            bytes
        };
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(((self.matrices.len() + self.norms.len()) as u64).to_le_bytes());
        file.extend(9u64.to_le_bytes());
        let architecture = [
            text("general.architecture"),
            8u32.to_le_bytes().into(),
            text("llama"),
        ];
        file.extend(architecture.concat());
        for (key, value) in [
            ("block_count", LAYERS),
            ("embedding_length", WIDTH),
            ("feed_forward_length", INNER),
            ("attention.head_count", HEADS),
            ("attention.head_count_kv", KV_HEADS),
            ("context_length", CONTEXT),
        ] {
            file.extend(text(&format!("llama.{key}")));
            file.extend(4u32.to_le_bytes());
            file.extend((value as u32).to_le_bytes());
        }
        for (key, value) in [
            ("rope.freq_base", BASE),
            ("attention.layer_norm_rms_epsilon", EPSILON),
        ] {
            file.extend(text(&format!("llama.{key}")));
            file.extend(6u32.to_le_bytes());
            file.extend(value.to_le_bytes());
        }
        let mut data = Vec::new();
        let mut tensor = |name: &str, shape: &[usize], numbers: &[f32]| {
            file.extend(text(&format!("{name}.weight")));
            file.extend((shape.len() as u32).to_le_bytes());
            for length in shape {
                file.extend((*length as u64).to_le_bytes());
            }
            file.extend(0u32.to_le_bytes());
            file.extend((data.len() as u64).to_le_bytes());
            data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        };
        for matrix in &self.matrices {
            let rows = matrix.numbers.len() / matrix.width;
            tensor(&matrix.name, &[matrix.width, rows], &matrix.numbers);
        }
        for (name, numbers) in &self.norms {
            tensor(name, &[numbers.len()], numbers);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(data);
        file
    }

    /// Scores after these tokens, by the rules as the family's authors wrote them down.
    fn logits(&self, tokens: &[i64]) -> Vec<f32> {
        let matrix = |name: &str| {
            let found = self.matrices.iter().find(|matrix| matrix.name == name);
            found
                .map(|matrix| (matrix.width, matrix.rounded()))
                .unwrap()
        };
        let times = |name: &str, x: &[f32]| -> Vec<f32> {
            let (width, numbers) = matrix(name);
            let rows = numbers.chunks(width);
            rows.map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
                .collect()
        };
        let norm = |name: &str, x: &[f32]| -> Vec<f32> {
            let weights = &self.norms.iter().find(|(n, _)| n == name).unwrap().1;
            let mean = x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32;
            let scale = (mean + EPSILON).sqrt().recip();
            x.iter().zip(weights).map(|(x, w)| x * scale * w).collect()
        };
        let (width, embedding) = matrix("token_embd");
        let row = |token: &i64| embedding[*token as usize * width..][..width].to_vec();
        let mut sums: Vec<Vec<f32>> = tokens.iter().map(row).collect();
        for layer in 0..LAYERS {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let normed: Vec<_> = sums.iter().map(|x| norm(&name("attn_norm"), x)).collect();
            let rotated = |part: &str| -> Vec<Vec<f32>> {
                let all = normed.iter().map(|x| times(&name(part), x));
                all.enumerate()
                    .map(|(position, x)| rotate(&x, position))
                    .collect()
            };
            let (queries, keys) = (rotated("attn_q"), rotated("attn_k"));
            let values: Vec<_> = normed.iter().map(|x| times(&name("attn_v"), x)).collect();
            for (position, sum) in sums.iter_mut().enumerate() {
                let seen = &keys[..=position];
                let attended = attend(&queries[position], seen, &values[..=position]);
                add(sum, &times(&name("attn_output"), &attended));
                let normed = norm(&name("ffn_norm"), sum);
                let gate = times(&name("ffn_gate"), &normed);
                let up = times(&name("ffn_up"), &normed);
                let through = gate
                    .iter()
                    .zip(&up)
                    .map(|(g, u)| g / (1.0 + (-g).exp()) * u);
                add(sum, &times(&name("ffn_down"), &through.collect::<Vec<_>>()));
            }
        }
        times("token_embd", &norm("output_norm", sums.last().unwrap()))
    }
}

fn add(sum: &mut [f32], step: &[f32]) {
    sum.iter_mut()
        .zip(step)
        .for_each(|(sum, step)| *sum += step);
}

/// Turns each pair of neighbours.
fn rotate(x: &[f32], position: usize) -> Vec<f32> {
    let pairs = x.chunks(2).enumerate().flat_map(|(pair, numbers)| {
        let exponent = (2 * (pair % (HEAD / 2))) as f32 / HEAD as f32;
        let (sin, cos) = (position as f32 * BASE.powf(-exponent)).sin_cos();
        let (a, b) = (numbers[0], numbers[1]);
        [a * cos - b * sin, a * sin + b * cos]
    });
    pairs.collect()
}

fn attend(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>]) -> Vec<f32> {
    let heads = query.chunks(HEAD).enumerate().flat_map(|(head, query)| {
        let at = head / (HEADS / KV_HEADS) * HEAD;
        let scores: Vec<f32> = keys
            .iter()
            .map(|key| {
                let product: f32 = key[at..at + HEAD]
                    .iter()
                    .zip(query)
                    .map(|(a, b)| a * b)
                    .sum();
                (product / (HEAD as f32).sqrt()).exp()
            })
            .collect();
        let total: f32 = scores.iter().sum();
        let mut out = vec![0.0; HEAD];
        for (score, value) in scores.iter().zip(values) {
            for (out, value) in out.iter_mut().zip(&value[at..at + HEAD]) {
                *out += score / total * value;
            }
        }
        out
    });
    heads.collect()
}

fn onnxruntime() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/onnxruntime/libonnxruntime.so");
    let path = std::env::var_os("NACRE_ONNXRUNTIME").map_or(here, PathBuf::from);
    let missing = "is missing: run `make setup`, or set NACRE_ONNXRUNTIME";
    assert!(path.is_file(), "{} {missing}", path.display());
    path
}
